//go:build unix

package enginetest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

func itoa(n int) string { return strconv.Itoa(n) }

func (s *suite) exit(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 3, "on:1:exit:3", "on:2:die:4")
		j.Resident = resident
		submit(t, e, j)
		got := Wait(t, e, j.ID, 3)
		for task, want := range []engine.Event{
			{State: engine.Exited},
			{State: engine.Exited, Cause: engine.CauseExit, ExitCode: 3},
			{State: engine.Exited, Cause: engine.CauseExit, ExitCode: 4},
		} {
			ev := got[engine.Run{Task: task, Attempt: 1}]
			if ev.Cause == engine.CauseDied && resident && task == 2 {
				ev.Cause = engine.CauseExit // the engine kept the process, and saw that it ended without a report
			}
			if ev.State != want.State || ev.Cause != want.Cause || ev.ExitCode != want.ExitCode {
				t.Errorf("task %d: %+v, want exit code %d", task, ev, want.ExitCode)
			}
			if ev.Node == "" || ev.Time.IsZero() {
				t.Errorf("task %d: node %q, time %v: want both", task, ev.Node, ev.Time)
			}
		}
	})
}

func (s *suite) signal(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 2, "on:0:signal:9", "on:1:signal:15")
		j.Resident = resident
		submit(t, e, j)
		got := Wait(t, e, j.ID, 2)
		for task, want := range []string{"SIGKILL", "SIGTERM"} {
			if ev := got[engine.Run{Task: task, Attempt: 1}]; ev.Cause != engine.CauseSignal || ev.Signal != want {
				t.Errorf("task %d: %+v, want %s", task, ev, want)
			}
		}
	})
}

func (s *suite) environment(t *testing.T, e engine.Engine) {
	j := s.job(t, 1,
		"want:"+contract.EnvJob+"={job}", "want:"+contract.EnvTask+"=0", "want:"+contract.EnvAttempt+"=1",
		"want:"+contract.EnvScratch, "want:"+contract.EnvCache, "want:"+contract.EnvNode,
		"want:MINE=a b=c\"d$e", "want:TWICE=second", "want:EMPTY=", "want:PATH", "want:HOME=/elsewhere")
	j.Env = []string{"MINE=a b=c\"d$e", "TWICE=first", "EMPTY=", "TWICE=second", "HOME=/elsewhere"}
	submit(t, e, j)
	for r, ev := range Wait(t, e, j.ID, 1) {
		if ev.Cause != "" {
			log := ""
			if _, ok := e.(engine.Logger); ok {
				log = Log(t, e, j.ID, r)
			}
			t.Errorf("%+v: %s", ev, log)
		}
	}
}

func (s *suite) apart(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		const n = 20
		j := s.job(t, n, "exit:1{task}")
		j.Resident = resident
		submit(t, e, j)
		for r, ev := range Wait(t, e, j.ID, n) {
			if want, _ := strconv.Atoi("1" + itoa(r.Task)); ev.ExitCode != want%256 {
				t.Errorf("task %d ended with %d, want %d", r.Task, ev.ExitCode, want)
			}
		}
	})
}

func (s *suite) add(t *testing.T, e engine.Engine) {
	j := s.job(t, 2, "exit:{attempt}{task}")
	submit(t, e, j)
	Wait(t, e, j.ID, 2)
	j.Runs = []engine.Run{{Task: 0, Attempt: 2}, {Task: 7, Attempt: 3}}
	j.Command = Command(s.Program, "exit:99") // is as at the first Submit all the same
	submit(t, e, j)
	got := Wait(t, e, j.ID, 4)
	for r, want := range map[engine.Run]int{{Task: 0, Attempt: 1}: 10, {Task: 1, Attempt: 1}: 11, {Task: 0, Attempt: 2}: 20, {Task: 7, Attempt: 3}: 37} {
		if ev := got[r]; ev.ExitCode != want {
			t.Errorf("%+v: %+v, want exit code %d", r, ev, want)
		}
	}
}

func (s *suite) idempotent(t *testing.T, e engine.Engine) {
	file := s.Dir(t) + "/ran"
	j := s.job(t, 3, "append:"+file+":{task}.{attempt}")
	j.Runs = append(j.Runs, j.Runs...)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := e.Submit(t.Context(), j); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	Wait(t, e, j.ID, 3)
	submit(t, e, j)
	j.Runs = []engine.Run{{Task: 9, Attempt: 1}}
	submit(t, e, j)
	Wait(t, e, j.ID, 4)
	if ran := lines(t, file); len(ran) != 4 {
		t.Errorf("these ran: %q, want each of 0 1 2 9 once", ran)
	}
}

func (s *suite) watchers(t *testing.T, e engine.Engine) {
	const n, watchers = 30, 4
	j := s.job(t, n, "exit:{task}")
	j.Resident = true
	submit(t, e, j)
	var all sync.WaitGroup
	for range watchers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			final := 0
			for ev, err := range e.Watch(ctx, j.ID) {
				if err != nil {
					t.Error(err)
					return
				}
				if ev.State >= engine.Exited {
					if ev.ExitCode != ev.Task {
						t.Errorf("%+v, want exit code %d", ev, ev.Task)
					}
					if final++; final == n {
						return
					}
				}
			}
			t.Errorf("saw %d of %d ends", final, n)
		})
	}
	all.Wait()
}

func (s *suite) watchLate(t *testing.T, e engine.Engine) {
	j := s.job(t, 3, "exit:{task}")
	submit(t, e, j)
	Wait(t, e, j.ID, 3)
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	for ev, err := range e.Watch(ctx, j.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.State != engine.Exited || ev.ExitCode != ev.Task {
			t.Errorf("%+v, want only the final states", ev)
		}
		if seen++; seen == 3 {
			cancel() // ends the watch, which would not end by itself
		}
	}
	cancel()
	if seen != 3 {
		t.Errorf("saw %d runs, want 3", seen)
	}
}

func (s *suite) otherInstance(t *testing.T, e engine.Engine) {
	other := s.open(t)
	j := s.job(t, 3, "print:from {task}", "sleep:50ms", "exit:{task}")
	submit(t, e, j)
	got := Wait(t, other, j.ID, 3)
	for r, ev := range got {
		if ev.ExitCode != r.Task {
			t.Errorf("%+v, want exit code %d", ev, r.Task)
		}
	}
	if _, ok := other.(engine.Logger); ok {
		if got, want := Log(t, other, j.ID, engine.Run{Task: 2, Attempt: 1}), "from 2\n"; got != want {
			t.Errorf("log by another instance: %q, want %q", got, want)
		}
	}
	// Runs that it already has are not started twice, new ones are, whoever asks.
	j.Runs = append(j.Runs, engine.Run{Task: 5, Attempt: 1})
	submit(t, other, j)
	for _, w := range []engine.Engine{e, other} {
		if ev := Wait(t, w, j.ID, 4)[engine.Run{Task: 5, Attempt: 1}]; ev.ExitCode != 5 {
			t.Errorf("%+v, want exit code 5", ev)
		}
	}
	long := s.job(t, 4, "sleep:1h")
	submit(t, e, long)
	Until(t, other, long.ID, running(1))
	if err := other.Cancel(t.Context(), long.ID); err != nil {
		t.Fatalf("cancel by another instance: %v", err)
	}
	for _, ev := range Wait(t, e, long.ID, 4) {
		if ev.Cause != engine.CauseCancelled {
			t.Errorf("%+v, want it cancelled", ev)
		}
	}
	if err := other.Delete(t.Context(), long.ID); err != nil {
		t.Fatalf("delete by another instance: %v", err)
	}
	s.gone(t, e, long.ID)
	s.gone(t, other, long.ID)
}

// gone checks that an engine does not know a job.
func (s *suite) gone(t *testing.T, e engine.Engine, id string) {
	t.Helper()
	for ev, err := range e.Watch(t.Context(), id) {
		if !errors.Is(err, engine.ErrNotExist) {
			t.Errorf("watch %s: %+v, %v; want ErrNotExist", id, ev, err)
		}
		return
	}
	t.Errorf("watch %s ended without an error, want ErrNotExist", id)
}

func (s *suite) unknown(t *testing.T, e engine.Engine) {
	s.gone(t, e, "never-heard-of")
	if err := e.Cancel(t.Context(), "never-heard-of"); !errors.Is(err, engine.ErrNotExist) {
		t.Errorf("cancel: %v, want ErrNotExist", err)
	}
	if err := e.Delete(t.Context(), "never-heard-of"); err != nil {
		t.Errorf("delete: %v, want none", err)
	}
	if l, ok := e.(engine.Logger); ok {
		if _, err := l.Logs(t.Context(), "never-heard-of", engine.Run{Attempt: 1}, false); !errors.Is(err, engine.ErrNotExist) {
			t.Errorf("logs: %v, want ErrNotExist", err)
		}
	}
}

func (s *suite) invalid(t *testing.T, e engine.Engine) {
	for _, test := range []struct {
		name   string
		change func(*engine.Job)
	}{
		{"empty ID", func(j *engine.Job) { j.ID = "" }},
		{"ID with a slash", func(j *engine.Job) { j.ID = "../" + j.ID }},
		{"ID with a space", func(j *engine.Job) { j.ID = "a b" }},
		{"long ID", func(j *engine.Job) { j.ID = strings.Repeat("x", 129) }},
		{"no command", func(j *engine.Job) { j.Command = nil }},
		{"ID of a directory", func(j *engine.Job) { j.ID = ".." }},
		{"NUL byte", func(j *engine.Job) { j.Env = []string{"NAME=a\x00b"} }},
		{"negative cores", func(j *engine.Job) { j.Resources.Cores = -1 }},
		{"bad environment", func(j *engine.Job) { j.Env = []string{"NOVALUE"} }},
		{"negative task", func(j *engine.Job) { j.Runs = []engine.Run{{Task: -1, Attempt: 1}} }},
		{"attempt 0", func(j *engine.Job) { j.Runs = []engine.Run{{}} }},
	} {
		j := s.job(t, 1, "exit:0")
		test.change(&j)
		if err := e.Submit(t.Context(), j); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
}

func (s *suite) impossible(t *testing.T, e engine.Engine) {
	slots, _ := engine.Slots(e, engine.Resources{})
	if slots < 2 {
		t.Fatalf("%d slots, want at least 2", slots)
	}
	for _, r := range []engine.Resources{{Cores: slots + 1}, {Memory: 1 << 60}} {
		j := s.job(t, 1, "exit:0")
		j.Resources = r
		if err := e.Submit(t.Context(), j); !errors.Is(err, engine.ErrCannotRun) {
			t.Errorf("%+v: %v, want ErrCannotRun", r, err)
		}
		if n, _ := engine.Slots(e, r); n != 0 {
			t.Errorf("%+v: %d slots, want 0", r, n)
		}
		s.gone(t, e, j.ID)
	}
}

func (s *suite) notStarted(t *testing.T, e engine.Engine) {
	both(t, func(t *testing.T, resident bool) {
		j := s.job(t, 10)
		j.Command = []string{"/no/such/program", "x"}
		j.Resident = resident
		submit(t, e, j)
		for _, ev := range Wait(t, e, j.ID, 10) {
			if ev.State != engine.Exited || ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "/no/such/program") {
				t.Errorf("%+v, want it not started, with the program's name", ev)
			}
		}
	})
}

func (s *suite) many(t *testing.T, e engine.Engine) {
	j := s.job(t, s.Many)
	j.Resident = true
	start := time.Now()
	submit(t, e, j)
	for r, ev := range Wait(t, e, j.ID, s.Many) {
		if ev.Cause != "" {
			t.Fatalf("%v: %+v", r, ev)
		}
	}
	t.Logf("%d runs in %v", s.Many, time.Since(start))
}

// concurrent does everything at once, for the race detector.
func (s *suite) concurrent(t *testing.T, e engine.Engine) {
	var all sync.WaitGroup
	for i := range 6 {
		j := s.job(t, 8, "print:{task}", "on:3:exit:3")
		j.Resident = i%2 == 0
		j.Priority = i % 3
		all.Go(func() {
			if err := e.Submit(t.Context(), j); err != nil {
				t.Error(err)
				return
			}
			more := j
			more.Runs = []engine.Run{{Task: 3, Attempt: 2}}
			if err := e.Submit(t.Context(), more); err != nil {
				t.Error(err)
			}
			switch i {
			case 0:
				if err := e.Cancel(t.Context(), j.ID); err != nil {
					t.Error(err)
				}
			case 1:
				if err := e.Delete(t.Context(), j.ID); err != nil {
					t.Error(err)
				}
				return
			}
			final := 0
			for ev, err := range e.Watch(t.Context(), j.ID) {
				if err != nil {
					t.Error(err)
					return
				}
				if ev.State < engine.Exited {
					continue
				}
				if l, ok := e.(engine.Logger); ok {
					if r, err := l.Logs(t.Context(), j.ID, ev.Run, true); err != nil {
						t.Error(err)
					} else {
						r.Close()
					}
				}
				if final++; final == 9 {
					return
				}
			}
		})
	}
	all.Wait()
}

func (s *suite) closed(t *testing.T, _ engine.Engine) {
	e := s.open(t)
	j := s.job(t, 2, "sleep:1h")
	submit(t, e, j)
	Until(t, e, j.ID, running(1))
	ended := make(chan error, 1)
	go func() {
		var last error
		for _, err := range e.Watch(context.Background(), j.ID) {
			last = err
		}
		ended <- last
	}()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, engine.ErrClosed) {
		t.Errorf("watch after Close: %v, want ErrClosed", err)
	}
	if err := e.Submit(t.Context(), j); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("submit after Close: %v, want ErrClosed", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	after := s.open(t)
	if err := after.Delete(t.Context(), j.ID); err != nil {
		t.Error(err)
	}
}

// running is a condition for Until: n runs are.
func running(n int) func(map[engine.Run]engine.Event) bool {
	return func(got map[engine.Run]engine.Event) bool {
		count := 0
		for _, ev := range got {
			if ev.State == engine.Running {
				count++
			}
		}
		return count >= n
	}
}
