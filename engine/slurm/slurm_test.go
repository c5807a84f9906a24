//go:build linux

package slurm_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/slurm"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

func TestMain(m *testing.M) {
	enginetest.Helper()
	code := slurmtest.Main(m, "SLURM_MAX_ARRAY=101", "SLURM_GPUS=2")
	os.RemoveAll(limitDir)
	os.Exit(code)
}

// quick is how often the tests ask the queue.
const quick = 500 * time.Millisecond

// shared is a directory that the nodes see.
func shared(t testing.TB) string {
	t.Helper()
	return t.TempDir()
}

// open opens an engine of its own on a directory.
func open(t testing.TB, dir string, change ...func(*slurm.Config)) *slurm.Engine {
	t.Helper()
	c := slurm.Config{Dir: dir, Poll: quick}
	for _, f := range change {
		f(&c)
	}
	e, err := slurm.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// cluster is the cluster of the tests. Its first use submits the job of TestTimeLimit: a time limit of Slurm is at least a
// minute, so that test is the last.
func cluster(t *testing.T) *slurmtest.Cluster {
	t.Helper()
	c := slurmtest.Need(t)
	limit.Do(func() {
		var err error
		if limitDir, err = os.MkdirTemp("", "slurm-limit-"); err != nil {
			t.Fatal(err)
		}
		j := job("over-time", 1, "print:begun", "sleep:1h")
		j.Settings = []string{"time=1m", "flag=--nodelist=n4"} // where no other test breaks anything
		e, err := slurm.New(slurm.Config{Dir: limitDir})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close() // this client logs out
		submit(t, e, j)
	})
	return c
}

var (
	limit    sync.Once
	limitDir string
)

func TestEngine(t *testing.T) {
	cluster(t)
	dir := shared(t)
	enginetest.Run(t, enginetest.Options{Many: 250, Open: func(t testing.TB) engine.Engine { return open(t, dir) }})
}

func TestTimeLimit(t *testing.T) {
	cluster(t)
	e := open(t, limitDir)
	var ev engine.Event
	for range 3 { // it may take two minutes
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for ev = range e.Watch(ctx, "over-time") {
			if final(ev) {
				break
			}
		}
		cancel()
		if final(ev) {
			break
		}
	}
	if ev.Cause != engine.CauseWalltime || !strings.Contains(ev.Reason, "00:01:00") || !strings.Contains(ev.Reason, "the setting time") || ev.Node != "n4" {
		t.Errorf("%+v, want that it ran into the time limit of 00:01:00 on n4, and advice", ev)
	}
	if log := enginetest.Log(t, e, "over-time", engine.Run{Attempt: 1}); log != "begun\n" {
		t.Errorf("its log: %q", log)
	}
}
