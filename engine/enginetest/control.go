//go:build unix

package enginetest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

func (s *suite) cancel(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 40, "sleep:1h")
		j.Resident = resident
		submit(t, e, j)
		Until(t, e, j.ID, running(1))
		if err := e.Cancel(t.Context(), j.ID); err != nil {
			t.Fatal(err)
		}
		for r, ev := range Wait(t, e, j.ID, 40) {
			if ev.State != engine.Exited || ev.Cause != engine.CauseCancelled {
				t.Errorf("%v: %+v, want it cancelled", r, ev)
			}
		}
		if err := e.Cancel(t.Context(), j.ID); err != nil {
			t.Errorf("cancel a finished job: %v", err)
		}
		// The engine still works, also for the same job.
		next := s.job(t, 1, "exit:5")
		next.Resident = resident
		submit(t, e, next)
		if ev := Wait(t, e, next.ID, 1)[engine.Run{Attempt: 1}]; ev.ExitCode != 5 {
			t.Errorf("after a cancelled job: %+v, want exit code 5", ev)
		}
	})
}

// cancelTree kills a run with children, one of which has left its process group.
func (s *suite) cancelTree(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 1, "child:3600", "escape:3600", "print:ready", "sleep:1h")
		j.Resident = resident
		submit(t, e, j)
		children := printed(t, e, j.ID, "ready")
		if len(children) != 2 {
			t.Fatalf("children %v, want 2", children)
		}
		if err := e.Cancel(t.Context(), j.ID); err != nil {
			t.Fatal(err)
		}
		Wait(t, e, j.ID, 1)
		vanish(t, children...)
	})
}

// printed follows the log of task 0 until a line, and returns the numbers of the children that it named.
func printed(t *testing.T, e engine.Engine, id, last string) (children []int) {
	t.Helper()
	l, err := engine.Logs(t.Context(), e, id, engine.Run{Task: 0, Attempt: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for lines := bufio.NewScanner(l); lines.Scan(); {
		if pid, ok := strings.CutPrefix(lines.Text(), "child "); ok {
			n, _ := strconv.Atoi(pid)
			children = append(children, n)
		}
		if lines.Text() == last {
			return children
		}
	}
	t.Fatalf("the log of %s ended before %q", id, last)
	return nil
}

// vanish waits until processes are gone, or only zombies that nobody waits for.
func vanish(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(deadline) {
				t.Errorf("process %d is still there", pid)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

func (s *suite) delete(t *testing.T, e engine.Engine) {
	j := s.job(t, 4, "print:x", "sleep:1h")
	submit(t, e, j)
	Until(t, e, j.ID, running(1))
	if err := e.Delete(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	s.gone(t, e, j.ID)
	if err := e.Delete(t.Context(), j.ID); err != nil {
		t.Errorf("delete again: %v", err)
	}
	j.Command = Command(s.Program, "exit:6") // the ID is free
	j.Runs = Runs(1)
	submit(t, e, j)
	if ev := Wait(t, e, j.ID, 1)[engine.Run{Attempt: 1}]; ev.ExitCode != 6 {
		t.Errorf("a new job with the ID of a deleted one: %+v, want exit code 6", ev)
	}
}

func (s *suite) timeout(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 3, "on:0:exit:0", "on:1:ignore:", "sleep:1h")
		j.Resident = resident
		j.Timeout = time.Second
		submit(t, e, j)
		got := Wait(t, e, j.ID, 3)
		for task, want := range []engine.Cause{"", engine.CauseTimeout, engine.CauseTimeout} {
			if ev := got[engine.Run{Task: task, Attempt: 1}]; ev.State != engine.Exited || ev.Cause != want {
				t.Errorf("task %d: %+v, want cause %q", task, ev, want)
			}
		}
	})
}

func (s *suite) logs(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 6, "on:4:exit:0", "print:one {task}", "stderr:two {task}", "on:2:flood:200000", "on:3:die:1")
		j.Resident = resident
		j.Runs = append(j.Runs, engine.Run{Task: 2, Attempt: 2})
		submit(t, e, j)
		Wait(t, e, j.ID, 7)
		for _, r := range j.Runs {
			want := "one " + itoa(r.Task) + "\ntwo " + itoa(r.Task) + "\n"
			got := Log(t, e, j.ID, r)
			switch {
			case r.Task == 4 && got != "":
				t.Errorf("log of a run that printed nothing: %q", got)
			case r.Task == 2 && (!strings.HasPrefix(got, want) || len(got) < 200000):
				t.Errorf("log of %v, which prints much: %d bytes, starts with %.20q", r, len(got), got)
			case r.Task != 4 && r.Task != 2 && got != want:
				t.Errorf("log of %v: %q, want %q", r, got, want)
			}
		}
		_, err := engine.Logs(t.Context(), e, j.ID, engine.Run{Task: 77, Attempt: 1}, false)
		if !errors.Is(err, engine.ErrNotExist) {
			t.Errorf("log of an unknown run: %v, want ErrNotExist", err)
		}
	})
}

func (s *suite) followLog(t *testing.T, e engine.Engine) {
	dir := s.Dir(t)
	j := s.job(t, 1, "print:first", "wait:"+dir+"/go", "print:second")
	submit(t, e, j)
	l, err := engine.Logs(t.Context(), e, j.ID, engine.Run{Attempt: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := bufio.NewReader(l)
	if line, err := r.ReadString('\n'); line != "first\n" {
		t.Fatalf("followed log starts with %q, %v", line, err)
	}
	touch(t, dir+"/go")
	rest, err := io.ReadAll(r)
	if string(rest) != "second\n" || err != nil {
		t.Errorf("followed log goes on with %q, %v", rest, err)
	}
	// A reader that waits can be closed.
	quiet := s.job(t, 1, "sleep:1h")
	submit(t, e, quiet)
	l, err = engine.Logs(t.Context(), e, quiet.ID, engine.Run{Attempt: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { io.ReadAll(l); close(done) }()
	l.Close()
	<-done
}

// priority: on an engine that is full the more urgent job starts first, and each in the order of its runs.
func (s *suite) priority(t *testing.T, e engine.Engine) {
	slots, _ := engine.Slots(e, engine.Resources{})
	dir := s.Dir(t)
	full := s.job(t, slots, "wait:"+dir+"/go")
	submit(t, e, full)
	Until(t, e, full.ID, running(slots))
	all := engine.Resources{Cores: slots} // one at a time
	for name, priority := range map[string]int{"low": -1, "high": 7} {
		j := s.job(t, 3, "append:"+dir+"/ran:"+name+" {task}")
		j.ID, j.Resources, j.Priority = j.ID+name, all, priority
		submit(t, e, j)
		defer Wait(t, e, j.ID, 3)
	}
	touch(t, dir+"/go")
	deadline := time.Now().Add(patience)
	var got []string
	for len(got) < 6 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
		got = lines(t, dir+"/ran")
	}
	want := []string{"high 0", "high 1", "high 2", "low 0", "low 1", "low 2"}
	if !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}
