package enginetest

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Runs are attempt 1 of tasks 0 to n-1.
func Runs(n int) []engine.Run {
	runs := make([]engine.Run, n)
	for i := range runs {
		runs[i] = engine.Run{Task: i, Attempt: 1}
	}
	return runs
}

// Until watches a job until stop says so, and returns the latest state of every run.
func Until(t testing.TB, e engine.Engine, id string, stop func(map[engine.Run]engine.Event) bool) map[engine.Run]engine.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := map[engine.Run]engine.Event{}
	for ev, err := range e.Watch(ctx, id) {
		if err != nil {
			t.Fatalf("watch %s: %v", id, err)
		}
		if before := got[ev.Run]; before.State >= engine.Exited {
			t.Errorf("watch %s: %+v after the final %+v", id, ev, before)
		}
		got[ev.Run] = ev
		if stop(got) {
			return got
		}
	}
	t.Fatalf("watch %s: not as wanted within %v; %s", id, patience, summary(got))
	return nil
}

// Wait watches a job until n runs are final, and returns them.
func Wait(t testing.TB, e engine.Engine, id string, n int) map[engine.Run]engine.Event {
	t.Helper()
	final := map[engine.Run]bool{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := map[engine.Run]engine.Event{}
	for ev, err := range e.Watch(ctx, id) {
		if err != nil {
			t.Fatalf("watch %s: %v", id, err)
		}
		if final[ev.Run] {
			t.Errorf("watch %s: %+v after the final %+v", id, ev, got[ev.Run])
		}
		got[ev.Run] = ev
		if ev.State >= engine.Exited {
			if final[ev.Run] = true; len(final) == n {
				return got
			}
		}
	}
	t.Fatalf("watch %s: %d of %d runs final within %v; %s", id, len(final), n, patience, summary(got))
	return nil
}

// patience is how long the suite waits for what must happen. It is no measure of speed.
const patience = time.Minute

func summary(got map[engine.Run]engine.Event) string {
	s := fmt.Sprintf("%d runs seen", len(got))
	shown := 0
	for _, ev := range got {
		if shown++; shown > 5 {
			return s + ", ..."
		}
		s += fmt.Sprintf("; %+v", ev)
	}
	return s
}

// Log is the whole log of a run.
func Log(t testing.TB, e engine.Engine, id string, r engine.Run) string {
	t.Helper()
	l, err := engine.Logs(t.Context(), e, id, r, false)
	if err != nil {
		t.Fatalf("log of %s %v: %v", id, r, err)
	}
	defer l.Close()
	b, err := io.ReadAll(l)
	if err != nil {
		t.Fatalf("log of %s %v: %v", id, r, err)
	}
	return string(b)
}
