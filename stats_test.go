package clusterless_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// A trouble is a call that goes wrong, each time or until its file is there.
type trouble struct{ File, Kind string }

var troubled = clusterless.Define("test.troubled", func(ctx context.Context, in trouble) (int, error) {
	there := exists(in.File)
	if in.Kind == "error once" || in.Kind == "die once" {
		if err := os.WriteFile(in.File, nil, 0o666); err != nil {
			return 0, err
		}
	}
	if there {
		return 1, nil
	}
	switch in.Kind {
	case "error", "error once":
		return 0, errors.New("not there yet")
	case "die", "die once":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return 0, err
		}
		<-ctx.Done()
	}
	return 1, nil
})

// Who made a job, who attached to it and who only looks at it count the same, also while it runs.
func TestAllCountTheSame(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	ins := []trouble{{"", ""}, {g.file("1"), "error once"}, {g.file("2"), "die once"}, {g.file("3"), "die"}, {g.file("4"), "error"}}
	s := openIn(t, dir)
	job := must(troubled.On(s, clusterless.Name("troubled"), clusterless.Span(1), clusterless.RetryErrors(1), clusterless.Retries(2),
		clusterless.Backoff(time.Millisecond)).Map(ctx, ins))(t)
	beside := must(clusterless.Attach[int](ctx, openIn(t, dir), "troubled"))(t)
	look := must(openIn(t, dir).Look(ctx, "troubled"))(t)
	// Calls 1, 2 and 4 are tried twice, call 3 dies three times.
	want := clusterless.Stats{Job: "troubled", Calls: 5, Failed: 2, Retries: 5, Untimed: 1}
	for _, file := range []string{"", "4"} {
		if file != "" {
			g.open(t, file) // call 4 goes well when it is made again, call 3 dies three times more
			if n := must(job.Retry(ctx))(t); n != 2 {
				t.Fatalf("%d calls are made again; want 2", n)
			}
			want.Failed, want.Retries = 1, want.Retries+2+2
		}
		failed := must(job.Wait(ctx))(t)
		if len(failed) != want.Failed {
			t.Errorf("calls %v failed; want %d", failed, want.Failed)
		}
		until(t, "the attached one sees the end", func() bool {
			if file != "" { // for it the job was over
				if err := beside.Refresh(ctx); err != nil {
					t.Fatal(err)
				}
			}
			st, err := beside.Stats(ctx)
			return err == nil && st.Retries == want.Retries && st.Failed == want.Failed
		})
		if err := look.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		fresh := openIn(t, dir)
		later := must(fresh.Look(ctx, "troubled"))(t)
		attached := must(clusterless.Attach[int](ctx, fresh, "troubled"))(t)
		var first clusterless.Stats
		for i, view := range []struct {
			name string
			j    *clusterless.AnyJob
		}{{"made it", job.AnyJob}, {"attached", beside.AnyJob}, {"looked and looks again", look}, {"looks", later}, {"attached afterwards", attached.AnyJob}} {
			st := must(view.j.Stats(ctx))(t)
			if n := view.j.Status().Retries; n != st.Retries {
				t.Errorf("who %s: %d retries in Status, %d in Stats", view.name, n, st.Retries)
			}
			if st.Calls != want.Calls || st.Failed != want.Failed || st.Retries != want.Retries || st.Untimed != want.Untimed {
				t.Errorf("who %s: got %+v; want %+v", view.name, st, want)
			}
			st.Created, st.Started, st.Ended = st.Created.Round(0).UTC(), st.Started.UTC(), st.Ended.Round(0).UTC()
			if i == 0 {
				first = st
			} else if !reflect.DeepEqual(st, first) {
				t.Errorf("who %s: got\n%+v; who made it has\n%+v", view.name, st, first)
			}
		}
		// Calls that a client settled, for want of a worker, are nobody's.
		for node, u := range first.Nodes {
			if u.Calls != 4 || u.Busy != first.Busy {
				t.Errorf("node %q: %+v; want four calls, and all of the time %v", node, u, first.Busy)
			}
		}
	}
	if got, err := job.Results(ctx); !slices.Equal(got, []int{1, 1, 1, 0, 1}) || !errors.Is(err, clusterless.ErrCrashed) {
		t.Errorf("got %v, %v", got, err)
	}
}

// An attempt that failed is counted while the next one is on its way.
func TestLookCountsAttemptsThatFailed(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	s := openIn(t, dir)
	job := must(troubled.On(s, clusterless.Name("troubled"), clusterless.Backoff(time.Hour)).Map(ctx, []trouble{{g.file("never"), "die"}}))(t)
	until(t, "the call's process died", func() bool { return job.Status().Retries == 1 })
	other := openIn(t, dir)
	until(t, "that is written down", func() bool {
		j, err := other.Look(ctx, "troubled")
		return err == nil && j.Status().Retries == 1
	})
	st := must(must(other.Look(ctx, "troubled"))(t).Stats(ctx))(t)
	if st.Retries != 1 || st.Calls != 0 {
		t.Errorf("got %+v; want one retry, and no call that has ended", st)
	}
	if err := job.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
}
