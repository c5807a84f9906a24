//go:build linux || darwin || freebsd

package local_test

import (
	"log/slog"
	"testing"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/local"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// open makes an engine that the test closes.
func open(t testing.TB, c local.Config) *local.Engine {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Slots == 0 {
		c.Slots = 2
	}
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := local.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func submit(t testing.TB, e engine.Engine, j engine.Job) {
	t.Helper()
	if err := e.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func TestEngine(t *testing.T) {
	dir := t.TempDir()
	enginetest.Run(t, enginetest.Options{Open: func(t testing.TB) engine.Engine {
		e, err := local.New(local.Config{Dir: dir, Slots: 2, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}})
}

func BenchmarkRoundTrip(b *testing.B) {
	e := open(b, local.Config{Slots: 1})
	job := engine.Job{ID: "bench", Command: enginetest.Command(""), Resident: true, Runs: []engine.Run{{Task: 0, Attempt: 1}}}
	submit(b, e, job)
	i := 0
	b.ReportAllocs()
	for ev, err := range e.Watch(b.Context(), "bench") {
		if err != nil {
			b.Fatal(err)
		}
		if ev.State < engine.Exited {
			continue
		}
		if i == 0 {
			b.ResetTimer()
		}
		if i++; i > b.N {
			return
		}
		job.Runs[0].Task = i
		if err := e.Submit(b.Context(), job); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRuns(b *testing.B) {
	e := open(b, local.Config{Slots: 2})
	job := engine.Job{ID: "warm", Command: enginetest.Command(""), Resident: true, Runs: enginetest.Runs(2)}
	submit(b, e, job)
	enginetest.Wait(b, e, "warm", 2)
	job.ID, job.Runs = "bench", enginetest.Runs(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	submit(b, e, job)
	enginetest.Wait(b, e, "bench", b.N)
}
