//go:build linux || darwin || freebsd

package local_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/local"
)

// TestMain lets the test binary also be a client with an engine, to be killed: local-client DIR, with the job's
// script behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "local-client" {
		client(os.Args[2], os.Args[3:])
	}
	enginetest.Main(m)
}

// client submits a job "killed" of 4 runs on 2 slots, tells on stdout when two of them run, and waits for its end.
func client(dir string, script []string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	e, err := local.New(local.Config{Dir: dir, Slots: 2})
	check(err)
	check(e.Submit(context.Background(), engine.Job{ID: "killed", Command: enginetest.Command("", script...), Runs: enginetest.Runs(4), Resident: true}))
	time.Sleep(time.Hour)
}

// startClient starts a client in a process of its own.
func startClient(t *testing.T, dir string, script ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"local-client", dir}, script...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

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

// eventually waits for what must happen.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// fileLines are the lines of a file that may not be there yet.
func fileLines(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

func TestOpen(t *testing.T) {
	for _, test := range []struct {
		url   string
		slots int
		err   string
	}{
		{"local:?slots=3&memory=8G", 3, ""},
		{"local:?slots=0", 0, "slots=0"},
		{"local:?memory=lots", 0, "512M"},
		{"local:?cores=3", 0, "no such setting"},
		{"local:/tmp", 0, "want local:"},
		{"cloud9:", 0, "this program has: local"},
	} {
		e, err := engine.Open(t.Context(), test.url, engine.Config{Dir: t.TempDir()})
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("open %s: %v, want an error with %q", test.url, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("open %s: %v", test.url, err)
			continue
		}
		defer e.Close()
		if n, _ := engine.Slots(e, engine.Resources{}); n != test.slots {
			t.Errorf("open %s: %d slots, want %d", test.url, n, test.slots)
		}
		if n, _ := engine.Slots(e, engine.Resources{Memory: 5 << 30}); n != 1 {
			t.Errorf("open %s: %d runs of 5 GiB fit, want 1", test.url, n)
		}
	}
	e, err := engine.Open(t.Context(), "local", engine.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
}

// BenchmarkRoundTrip is a warm no-op: from Submit to the event of its end, and the next.
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

// BenchmarkJob is a warm no-op that is a job of its own, with its journal.
func BenchmarkJob(b *testing.B) {
	e := open(b, local.Config{Slots: 1})
	job := engine.Job{Command: enginetest.Command(""), Resident: true, Runs: enginetest.Runs(1)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		job.ID = fmt.Sprint("bench-", i)
		submit(b, e, job)
		for ev, err := range e.Watch(b.Context(), job.ID) {
			if err != nil {
				b.Fatal(err)
			}
			if ev.State >= engine.Exited {
				break
			}
		}
	}
}

// BenchmarkRuns is the throughput of no-ops on two warm processes.
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

// BenchmarkProcesses is the throughput of runs with a process each.
func BenchmarkProcesses(b *testing.B) {
	e := open(b, local.Config{Slots: 2})
	b.ResetTimer()
	submit(b, e, engine.Job{ID: "bench", Command: []string{"true"}, Runs: enginetest.Runs(b.N)})
	enginetest.Wait(b, e, "bench", b.N)
}
