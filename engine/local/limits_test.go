//go:build linux

package local_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/local"
)

var first = engine.Run{Task: 0, Attempt: 1}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	e := open(t, local.Config{Memory: 4 << 30})
	for _, resident := range []bool{false, true} {
		id := "m" + strconv.FormatBool(resident)
		submit(t, e, engine.Job{ID: id, Command: enginetest.Command("", "on:0:alloc:400000000", "on:0:sleep:1h"),
			Runs: enginetest.Runs(2), Resident: resident, Resources: engine.Resources{Memory: 200 << 20}})
		got := enginetest.Wait(t, e, id, 2)
		if ev := got[first]; ev.Cause != engine.CauseMemory || !strings.Contains(ev.Reason, "200 MiB") {
			t.Errorf("a run above its limit: %+v, want out of memory with the limit", ev)
		}
		if ev := got[engine.Run{Task: 1, Attempt: 1}]; ev.Cause != "" {
			t.Errorf("a run below its limit: %+v", ev)
		}
	}
}

// A run that prints without end is neither held up nor does it fill the disk; both ends of its output are kept.
func TestLogLimit(t *testing.T) {
	dir := t.TempDir()
	e := open(t, local.Config{Dir: dir, LogLimit: 1 << 20, Slots: 1})
	for _, resident := range []bool{false, true} {
		id := "flood" + strconv.FormatBool(resident)
		submit(t, e, engine.Job{ID: id, Resident: resident, Runs: enginetest.Runs(3),
			Command: enginetest.Command("", "print:start {task}",
				"on:1:flood:100000000", "on:1:sleep:200ms", "on:1:flood:10000000", "on:1:sleep:200ms", "print:end {task}")})
		for r, ev := range enginetest.Wait(t, e, id, 3) {
			if ev.Cause != "" {
				t.Errorf("%s %+v", id, ev)
			}
			log := enginetest.Log(t, e, id, r)
			n := strconv.Itoa(r.Task)
			if !strings.HasPrefix(log, "start "+n+"\n") || !strings.HasSuffix(log, "end "+n+"\n") {
				t.Errorf("%s task %d: log starts with %.20q and ends with %.20q", id, r.Task, log, log[max(0, len(log)-20):])
			}
			if cut := strings.Contains(log, "of output were cut here"); cut != (r.Task == 1) {
				t.Errorf("%s task %d: says that it was cut: %v, of %d bytes", id, r.Task, cut, len(log))
			}
			if len(log) > 2<<20 {
				t.Errorf("%s task %d: log of %d bytes, the limit is 1 MiB", id, r.Task, len(log))
			}
		}
	}
}

// Output that comes faster than the engine looks is cut when the run ends.
func TestLogLimitAtTheEnd(t *testing.T) {
	e := open(t, local.Config{LogLimit: 1 << 20})
	for _, resident := range []bool{false, true} {
		id := "flood" + strconv.FormatBool(resident)
		submit(t, e, engine.Job{ID: id, Resident: resident, Runs: enginetest.Runs(8), Command: enginetest.Command("", "print:start {task}", "flood:10000000", "print:end {task}")})
		for r := range enginetest.Wait(t, e, id, 8) {
			log, n := enginetest.Log(t, e, id, r), strconv.Itoa(r.Task)
			if len(log) > 1<<20 || !strings.Contains(log, "of output were cut here") {
				t.Errorf("%s task %d: log of %d bytes, the limit is 1 MiB", id, r.Task, len(log))
			}
			if !strings.HasPrefix(log, "start "+n+"\n") {
				t.Errorf("%s task %d: log starts with %.20q", id, r.Task, log)
			}
		}
	}
}

// What a run leaves behind is gone when its process is, even if it left the process group and the process was
// killed from outside.
func TestOrphans(t *testing.T) {
	e := open(t, local.Config{})
	for _, test := range []struct {
		name     string
		resident bool
		script   []string
	}{
		{"plain exit", false, []string{"child:3600"}},
		{"plain killed from outside", false, []string{"child:3600", "escape:3600", "signal:9"}},
		{"plain timed out", false, []string{"child:3600", "escape:3600", "sleep:1h"}},
		{"resident killed from outside", true, []string{"child:3600", "escape:3600", "signal:9"}},
		{"resident retires", true, []string{"child:3600", "escape:3600", "retire:"}},
		{"resident times out", true, []string{"child:3600", "escape:3600", "sleep:1h"}},
	} {
		id := strings.ReplaceAll(test.name, " ", "-")
		submit(t, e, engine.Job{ID: id, Command: enginetest.Command("", test.script...), Runs: enginetest.Runs(1),
			Resident: test.resident, Timeout: 500 * time.Millisecond})
		enginetest.Wait(t, e, id, 1)
		var children []string
		for line := range strings.Lines(enginetest.Log(t, e, id, first)) {
			if strings.HasPrefix(line, "child ") {
				children = append(children, line)
			}
		}
		if len(children) == 0 {
			t.Errorf("%s: no children in the log", test.name)
		}
		eventually(t, test.name+": the children are gone", allDead(children))
	}
}

// Also a daemon that is in the middle of an execve, when nobody can tell by its environment where it came from.
func TestOrphansThatExec(t *testing.T) {
	e := open(t, local.Config{})
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.WriteFile(loop, []byte(`exec sh "$0"`), 0o600); err != nil {
		t.Fatal(err)
	}
	const runs = 60
	submit(t, e, engine.Job{ID: "exec", Runs: enginetest.Runs(runs),
		Command: []string{"sh", "-c", `setsid sh "$0" & echo "child $!"; sleep 0.02; kill -9 $$`, loop}})
	var daemons []string
	for r := range enginetest.Wait(t, e, "exec", runs) {
		daemons = append(daemons, enginetest.Log(t, e, "exec", r))
	}
	if len(daemons) != runs || daemons[0] == "" {
		t.Fatalf("daemons: %q", daemons)
	}
	t.Cleanup(func() { // not for the machine to keep
		for _, line := range daemons {
			if pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "child "))); err == nil && !dead(pid) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	eventually(t, "the daemons are gone", allDead(daemons))
}

// A resident Go program that runs into its timeout leaves the stacks of its goroutines in the log.
func TestTimeoutStacks(t *testing.T) {
	e := open(t, local.Config{})
	submit(t, e, engine.Job{ID: "stuck", Command: enginetest.Command("", "sleep:1h"), Runs: enginetest.Runs(1),
		Resident: true, Timeout: 200 * time.Millisecond})
	ev := enginetest.Wait(t, e, "stuck", 1)[first]
	if log := enginetest.Log(t, e, "stuck", first); ev.Cause != engine.CauseTimeout || !strings.Contains(log, "goroutine ") {
		t.Errorf("%+v with the log %.100q; want a timeout and the stacks", ev, log)
	}
}

// An engine that was closed has left no process, descriptor, goroutine or file that only it needed.
func TestNoLeaks(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(t.TempDir(), "pids")
	use := func() {
		e := open(t, local.Config{Dir: dir})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 4 {
			id := "leak" + strconv.Itoa(i)
			submit(t, e, engine.Job{ID: id, Command: enginetest.Command("", "append:"+pids+":{pid}", "print:x", "on:3:child:3600", "on:5:sleep:1h"),
				Runs: enginetest.Runs(6), Resident: i%2 == 0, Isolated: i == 2, Timeout: time.Hour})
			go func() {
				for range e.Watch(ctx, id) {
				}
			}()
			l, err := e.Logs(ctx, id, first, true)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, l)
			l.Close()
			if i == 1 {
				e.Cancel(ctx, id)
			}
			if i > 0 {
				e.Delete(ctx, id)
			}
		}
		e.Close()
		e = open(t, local.Config{Dir: dir})
		if err := e.Delete(t.Context(), "leak0"); err != nil {
			t.Error(err)
		}
		e.Close()
	}
	use()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	use()
	eventually(t, "goroutines and files are as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files
	})
	eventually(t, "processes are gone", allDead(fileLines(pids)))
	for _, sub := range []string{"jobs", "logs", "scratch", "owners"} {
		left, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range left {
			if f.Name() != "takeover" {
				t.Errorf("%s/%s is left", sub, f.Name())
			}
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
