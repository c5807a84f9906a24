package clusterless_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

func TestWaitAndFailed(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	ins := []step{{Value: 1}, {Err: "first"}, {Await: g.file("go"), Err: "last"}, {Value: 4}}
	job := must(walk.On(s).Map(ctx, ins))(t)
	_, err := job.Result(ctx, 1)
	wantErr(t, err, errStep, "first")
	failed := must(job.Failed(ctx))(t)
	if len(failed) != 1 || !errors.Is(failed[1], errStep) {
		t.Errorf("failed so far: %v; want call 1", failed)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = job.Wait(ended)
	wantErr(t, err, context.Canceled, "clusterless: wait for job "+job.Name())
	g.open(t, "go")
	if calls, err := job.Wait(ctx); !slices.Equal(calls, []int{1, 2}) || err != nil {
		t.Errorf("Wait: got %v, %v; want [1 2]", calls, err)
	}
	failed = must(job.Failed(ctx))(t)
	if len(failed) != 2 {
		t.Errorf("failed: %v; want 1 and 2", failed)
	}
	wantErr(t, failed[2], errStep, "last", "call 2 of job "+job.Name())
}

func TestRetryMakesFailedCallsOnceMore(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	var files []string
	for i := range 6 {
		files = append(files, g.file(strconv.Itoa(i)))
		if i%2 == 0 {
			g.open(t, strconv.Itoa(i)) // does not fail
		}
	}
	job := must(once.On(s).Map(ctx, files))(t)
	if failed := must(job.Wait(ctx))(t); !slices.Equal(failed, []int{1, 3, 5}) {
		t.Fatalf("failed: %v; want 1, 3, 5", failed)
	}
	if n, err := job.Retry(ctx); n != 3 || err != nil {
		t.Fatalf("Retry: got %d, %v; want 3", n, err)
	}
	if failed, err := job.Wait(ctx); len(failed) > 0 || err != nil {
		t.Errorf("after Retry: failed %v, %v", failed, err)
	}
	if got, err := job.Results(ctx); !slices.Equal(got, []int{17, 17, 17, 17, 17, 17}) || err != nil {
		t.Errorf("results: %v, %v", got, err)
	}
	n := 0
	for call, r := range job.Completed(ctx) {
		if n++; r.Value != 17 || r.Err != nil {
			t.Errorf("Completed: call %d: %d, %v", call, r.Value, r.Err)
		}
	}
	if n != 6 {
		t.Errorf("Completed: %d calls; want each once", n)
	}
	if n, err := job.Retry(ctx); n != 0 || err != nil {
		t.Errorf("Retry with nothing to do: got %d, %v", n, err)
	}
	if st := job.Status(); st.Done != 6 || st.Failed != 0 || !st.Over {
		t.Errorf("status: %+v", st)
	}
}

func TestRetryThatFailsAgain(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(odd.On(s).Map(ctx, upTo(4)))(t)
	for range 3 {
		if failed := must(job.Wait(ctx))(t); !slices.Equal(failed, []int{0, 2}) {
			t.Fatalf("failed: %v; want 0 and 2", failed)
		}
		if n, err := job.Retry(ctx); n != 2 || err != nil {
			t.Fatalf("Retry: got %d, %v; want 2", n, err)
		}
	}
	_, err := job.Results(ctx)
	wantErr(t, err, errStep, "2 calls failed")
}

func TestRetryOfAJobThatRuns(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	job := must(walk.On(s).Map(ctx, []step{{Await: g.file("go")}, {Err: "x"}}))(t)
	_, err := job.Result(ctx, 1)
	wantErr(t, err, errStep)
	_, err = job.Retry(ctx)
	wantErr(t, err, nil, "clusterless: retry failed calls of job "+job.Name(), "not finished")
	g.open(t, "go")
	must(job.Wait(ctx))(t)
}

func TestCancel(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	ins := []step{{Value: 1}, {Say: g.file("began"), Await: g.file("never")}}
	for i := range 50 {
		ins = append(ins, step{Say: g.file(fmt.Sprint("late", i)), Await: g.file("never")})
	}
	job := must(walk.On(s, clusterless.Span(1)).Map(ctx, ins))(t)
	must(job.Result(ctx, 0))(t)
	g.seen(t, "began")
	for range 2 { // a second one is no error
		if err := job.Cancel(ctx); err != nil {
			t.Fatal(err)
		}
	}
	_, err := job.Wait(ctx)
	wantErr(t, err, clusterless.ErrCancelled)
	if v, err := job.Result(ctx, 0); v != 1 || err != nil {
		t.Errorf("result 0: got %d, %v; want it kept", v, err)
	}
	_, err = job.Result(ctx, 1)
	wantErr(t, err, clusterless.ErrCancelled, "call 1 of job "+job.Name())
	var te *clusterless.TaskError
	if !errors.As(err, &te) || te.Kind != clusterless.ErrCancelled {
		t.Errorf("got %#v; want a TaskError of kind ErrCancelled", err)
	}
	got, err := job.Results(ctx)
	wantErr(t, err, clusterless.ErrCancelled, "51 calls failed")
	if len(got) != len(ins) || got[0] != 1 {
		t.Errorf("results: %v", got)
	}
	if st := job.Status(); !st.Over || !errors.Is(st.Err, clusterless.ErrCancelled) {
		t.Errorf("status: %+v", st)
	}
	_, err = job.Retry(ctx)
	wantErr(t, err, clusterless.ErrCancelled)
	if exists(g.file("late49")) {
		t.Error("a call that waited was made")
	}
	// The slots are free again.
	if v, err := square.On(s).Call(ctx, 3); v != 9 || err != nil {
		t.Errorf("another call: got %d, %v", v, err)
	}
	// A job that has ended stays what it is.
	done := must(square.On(s).Map(ctx, upTo(3)))(t)
	must(done.Wait(ctx))(t)
	if err := done.Cancel(ctx); err != nil {
		t.Error(err)
	}
	if got, err := done.Results(ctx); !slices.Equal(got, []int{0, 1, 4}) || err != nil {
		t.Errorf("a job that had ended: got %v, %v", got, err)
	}
}

func TestDelete(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s, g := openIn(t, dir), newGate(t)
	running := must(walk.On(s, clusterless.Name("x.running")).Map(ctx, []step{{Say: g.file("began"), Await: g.file("never")}}))(t)
	done := must(writer.On(s, clusterless.Name("x.done"), clusterless.Return("*")).Map(ctx, []write{{Files: map[string]string{"a": "1"}}}))(t)
	other := must(square.On(s, clusterless.Name("y")).Map(ctx, upTo(3)))(t)
	must(done.Wait(ctx))(t)
	g.seen(t, "began")
	waiting := make(chan error, 1)
	go func() { _, err := running.Wait(ctx); waiting <- err }()

	_, err := s.DeletePrefix(ctx, "")
	wantErr(t, err, nil, "prefix is empty")
	names := must(s.DeletePrefix(ctx, "x."))(t)
	if !slices.Equal(names, []string{"x.done", "x.running"}) {
		t.Errorf("deleted %q; want x.done and x.running", names)
	}
	wantErr(t, <-waiting, nil)
	for _, name := range names {
		_, err := clusterless.Attach[int](ctx, s, name)
		wantErr(t, err, clusterless.ErrNoJob)
	}
	jobs := must(s.Jobs(ctx, ""))(t)
	if len(jobs) != 1 || jobs[0].Name != "y" {
		t.Errorf("jobs: %+v; want only y", jobs)
	}
	if left := find(t, dir, "x."); len(left) > 0 {
		t.Errorf("left of the deleted jobs: %q", left)
	}
	if got, err := other.Results(ctx); !slices.Equal(got, []int{0, 1, 4}) || err != nil {
		t.Errorf("the other job: got %v, %v", got, err)
	}
	if err := s.Delete(ctx, "never.was"); err != nil {
		t.Errorf("a job that is not there: %v", err)
	}
	wantErr(t, s.Delete(ctx, "../store"), nil, "clusterless: delete")
	// Deleted from elsewhere.
	if err := openIn(t, dir).Delete(ctx, "y"); err != nil {
		t.Fatal(err)
	}
	if len(must(s.Jobs(ctx, ""))(t)) != 0 {
		t.Error("y is still there")
	}
}

// find returns the files below dir that have the text in their path.
func find(t testing.TB, dir, text string) (found []string) {
	t.Helper()
	var walk func(string)
	walk = func(d string) {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			name := d + "/" + e.Name()
			if e.IsDir() {
				walk(name)
			} else if strings.Contains(strings.TrimPrefix(name, dir), text) {
				found = append(found, name)
			}
		}
	}
	walk(dir)
	return found
}

func TestJobs(t *testing.T) {
	ctx, s := within(t), open(t)
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) != 0 {
		t.Errorf("at the start: %+v", jobs)
	}
	began := time.Now().Add(-time.Second)
	for _, name := range []string{"b.2", "a", "b.1"} {
		must(square.On(s, clusterless.Name(name)).Map(ctx, upTo(3)))(t)
	}
	temporary := must(odd.On(s).Map(ctx, upTo(3)))(t)
	var names []string
	for _, j := range must(s.Jobs(ctx, ""))(t) {
		names = append(names, j.Name)
		if j.Temporary != (j.Name == temporary.Name()) || j.Created.Before(began) || j.Created.After(time.Now()) || j.By == "" || j.Func == "" {
			t.Errorf("got %+v", j)
		}
	}
	if !slices.Equal(names, []string{"a", "b.1", "b.2", temporary.Name()}) {
		t.Errorf("got %q; want them by name", names)
	}
	if jobs := must(s.Jobs(ctx, "b."))(t); len(jobs) != 2 || jobs[0].Name != "b.1" || jobs[1].Name != "b.2" {
		t.Errorf("with a prefix: %+v", jobs)
	}
	if !strings.HasPrefix(temporary.Name(), "test.odd-") {
		t.Errorf("made-up name %q; want it to begin with that of the function", temporary.Name())
	}
}

var nap = clusterless.Define("test.nap", func(_ context.Context, ms int) (int, error) {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	if ms == 7 {
		return 0, errStep
	}
	return ms, nil
})

func TestStats(t *testing.T) {
	ctx, s := within(t), open(t)
	before := time.Now().Add(-time.Millisecond)
	job := must(nap.On(s, clusterless.Span(1)).Map(ctx, []int{1, 1, 7, 60, 2}))(t)
	must(job.Wait(ctx))(t)
	st := must(job.Stats(ctx))(t)
	if st.Job != job.Name() || st.Calls != 5 || st.Failed != 1 || st.Retries != 0 {
		t.Errorf("got %+v", st)
	}
	if st.Created.Before(before) || st.Started.Before(st.Created) || st.Ended.Before(st.Started) || st.Ended.After(time.Now()) {
		t.Errorf("times: created %v, started %v, ended %v", st.Created, st.Started, st.Ended)
	}
	q := st.Quantiles
	if !slices.IsSorted(q[:]) || q[0] < time.Millisecond || q[5] < 60*time.Millisecond || q[2] >= 60*time.Millisecond {
		t.Errorf("quantiles: %v", q)
	}
	if st.Busy < 71*time.Millisecond || st.Busy > st.Ended.Sub(st.Started)*2+time.Second {
		t.Errorf("busy: %v", st.Busy)
	}
	calls, busy := 0, time.Duration(0)
	for node, u := range st.Nodes {
		calls, busy = calls+u.Calls, busy+u.Busy
		if node == "" || u.Processes < 1 || u.Processes > 2 {
			t.Errorf("node %q: %+v", node, u)
		}
	}
	if len(st.Nodes) != 1 || calls != 5 || busy != st.Busy {
		t.Errorf("nodes: %+v", st.Nodes)
	}
	for _, want := range []string{"5 calls, 1 failed, 0 retries", "median", "node "} {
		if !strings.Contains(st.String(), want) {
			t.Errorf("%q is not in %q", want, st)
		}
	}
	none := must(must(nap.On(s).Map(ctx, nil))(t).Stats(ctx))(t)
	if none.Calls != 0 || !none.Started.IsZero() || none.String() == "" {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestStatus(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	ins := []step{{Value: 1}, {Err: "x"}, {Say: g.file("began"), Await: g.file("go")}}
	job := must(walk.On(s, clusterless.Span(1)).Map(ctx, ins))(t)
	g.seen(t, "began")
	must(job.Result(ctx, 0))(t)
	job.Result(ctx, 1)
	until(t, "one task runs", func() bool { return job.Status().Running == 1 })
	st := job.Status()
	want := clusterless.JobStatus{Job: job.Name(), Func: "test.step", Total: 3, Sent: 3, Done: 2, Failed: 1, Running: 1, Created: st.Created, Last: st.Last}
	if st != want || st.Created.IsZero() || st.Last.Before(st.Created) {
		t.Errorf("got %+v; want %+v", st, want)
	}
	g.open(t, "go")
	must(job.Wait(ctx))(t)
	if st := job.Status(); !st.Over || st.Done != 3 || st.Running != 0 || st.Err != nil {
		t.Errorf("at the end: %+v", st)
	}
}

func TestObserve(t *testing.T) {
	ctx := within(t)
	var mu sync.Mutex
	seen := map[string][]clusterless.JobStatus{}
	busy := map[string]bool{}
	s := open(t, clusterless.Observe(func(st clusterless.JobStatus) {
		mu.Lock()
		if busy[st.Job] {
			t.Errorf("two calls at once for %s", st.Job)
		}
		busy[st.Job] = true
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		busy[st.Job] = false
		seen[st.Job] = append(seen[st.Job], st)
	}))
	good := must(square.On(s).Map(ctx, upTo(2000)))(t)
	bad := must(odd.On(s).Map(ctx, upTo(10)))(t)
	g := newGate(t)
	stopped := must(walk.On(s).Map(ctx, []step{{Say: g.file("began"), Await: g.file("never")}}))(t)
	must(good.Wait(ctx))(t)
	must(bad.Wait(ctx))(t)
	g.seen(t, "began")
	if err := stopped.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]clusterless.JobStatus{good.Name(): {Total: 2000, Done: 2000}, bad.Name(): {Total: 10, Done: 10, Failed: 5}, stopped.Name(): {Total: 1}} {
		var all []clusterless.JobStatus
		until(t, "the end of "+name+" is told", func() bool {
			mu.Lock()
			defer mu.Unlock()
			all = slices.Clone(seen[name])
			return len(all) > 0 && all[len(all)-1].Over
		})
		for i, st := range all {
			if i > 0 && (st.Done < all[i-1].Done || all[i-1].Over) {
				t.Errorf("%s: %+v came after %+v", name, st, all[i-1])
			}
		}
		if st := all[len(all)-1]; st.Total != want.Total || st.Done != want.Done || st.Failed != want.Failed || (st.Err != nil) != (name == stopped.Name()) {
			t.Errorf("%s: at the end %+v", name, st)
		}
	}
}

var printer = clusterless.Define("test.print", func(ctx context.Context, in step) (int, error) {
	fmt.Println("out", in.Value)
	fmt.Fprintln(os.Stderr, "err", in.Value)
	v, err := doStep(ctx, in)
	fmt.Println("end", in.Value)
	return v, err
})

func TestLog(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(printer.On(s, clusterless.Span(1)).Map(ctx, []step{{Value: 0}, {Value: 1}, {Value: 2}, {Value: 3}}))(t)
	must(job.Wait(ctx))(t)
	for i := range 4 {
		for _, follow := range []bool{false, true} {
			r := must(job.Log(ctx, i, follow))(t)
			got := string(must(io.ReadAll(r))(t))
			r.Close()
			if want := fmt.Sprintf("out %d\nerr %[1]d\nend %[1]d\n", i); got != want {
				t.Errorf("log of call %d: got %q; want %q", i, got, want)
			}
		}
	}
	_, err := job.Log(ctx, 4, false)
	wantErr(t, err, nil, "clusterless: log of call 4 of job "+job.Name())
}

func TestLogWhileTheCallRuns(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	f := must(printer.On(s).Go(ctx, step{Value: 8, Say: g.file("began"), Await: g.file("go")}))(t)
	g.seen(t, "began")
	r := must(f.Log(ctx, true))(t)
	defer r.Close()
	lines := bufio.NewReader(r)
	for _, want := range []string{"out 8\n", "err 8\n"} {
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	now := must(f.Log(ctx, false))(t)
	if got := string(must(io.ReadAll(now))(t)); got != "out 8\nerr 8\n" {
		t.Errorf("without following: got %q", got)
	}
	now.Close()
	g.open(t, "go")
	if rest, err := io.ReadAll(lines); string(rest) != "end 8\n" || err != nil {
		t.Errorf("the rest: got %q, %v; want the reading to end with the call", rest, err)
	}
	// Following ends with its context too.
	f2 := must(printer.On(s).Go(ctx, step{Value: 9, Say: g.file("again"), Await: g.file("never")}))(t)
	g.seen(t, "again")
	ended, cancel := context.WithCancel(ctx)
	r2 := must(f2.Log(ended, true))(t)
	defer r2.Close()
	cancel()
	if _, err := io.ReadAll(r2); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: got %v; want context.Canceled", err)
	}
}

func TestLogOfACallThatHasNotBegun(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	a := must(walk.On(s).Go(ctx, step{Await: g.file("go"), Value: 3}))(t)
	b := must(get.On(s).Go(ctx, a.Ref()))(t)
	_, err := b.Log(ctx, false)
	wantErr(t, err, clusterless.ErrNotReady)
	g.open(t, "go")
	must(b.Get(ctx))(t)
}

// begun reads the order in which calls began.
func begun(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

type entry struct {
	Log, Text, Await string
}

var enter = clusterless.Define("test.enter", func(ctx context.Context, in entry) (int, error) {
	f, err := os.OpenFile(in.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintln(f, in.Text)
	f.Close()
	if err != nil {
		return 0, err
	}
	return doStep(ctx, step{Await: in.Await})
})

// On one slot the calls of a job begin in the order of the inputs.
func TestCallsBeginInOrder(t *testing.T) {
	ctx, g := within(t), newGate(t)
	s := open(t, clusterless.Slots(1))
	var ins []entry
	var want []string
	for i := range 200 {
		ins, want = append(ins, entry{Log: g.file("log"), Text: strconv.Itoa(i)}), append(want, strconv.Itoa(i))
	}
	must(must(enter.On(s).Map(ctx, ins))(t).Wait(ctx))(t)
	if got := begun(t, g.file("log")); !slices.Equal(got, want) {
		t.Errorf("calls began as %v", got)
	}
}

// holdSlot takes the only slot until it is let go.
func holdSlot(t testing.TB, ctx context.Context, s *clusterless.Session, g gate) (letGo func()) {
	t.Helper()
	f := must(walk.On(s).Go(ctx, step{Say: g.file("held"), Await: g.file("free")}))(t)
	g.seen(t, "held")
	return func() {
		g.open(t, "free")
		must(f.Get(ctx))(t)
	}
}

func TestPriority(t *testing.T) {
	ctx, g := within(t), newGate(t)
	s := open(t, clusterless.Slots(1), clusterless.Span(1))
	letGo := holdSlot(t, ctx, s, g)
	var jobs []*clusterless.Job[int]
	for _, p := range []int{0, 5, -3, 2} {
		ins := slices.Repeat([]entry{{Log: g.file("log"), Text: strconv.Itoa(p)}}, 2) // as many as are handed to the engine at once
		jobs = append(jobs, must(enter.On(s, clusterless.Priority(p)).Map(ctx, ins))(t))
	}
	letGo()
	for _, j := range jobs {
		must(j.Wait(ctx))(t)
	}
	want := strings.Fields("5 5 2 2 0 0 -3 -3")
	if got := begun(t, g.file("log")); !slices.Equal(got, want) {
		t.Errorf("calls began as %v; want %v", got, want)
	}
}

// Jobs of the same priority share the slots evenly, however many calls they have and whoever came first.
func TestFairness(t *testing.T) {
	ctx, g := within(t), newGate(t)
	s := open(t, clusterless.Slots(1), clusterless.Span(1))
	letGo := holdSlot(t, ctx, s, g)
	long := must(enter.On(s).Map(ctx, slices.Repeat([]entry{{Log: g.file("log"), Text: "long"}}, 60)))(t)
	short := must(enter.On(s).Map(ctx, slices.Repeat([]entry{{Log: g.file("log"), Text: "short"}}, 10)))(t)
	letGo()
	must(short.Wait(ctx))(t)
	must(long.Wait(ctx))(t)
	got := begun(t, g.file("log"))
	last := len(got) - 1
	for got[last] != "short" {
		last--
	}
	longs := 0
	for _, text := range got[:last] {
		if text == "long" {
			longs++
		}
	}
	if len(got) != 70 || longs < 5 || longs > 30 {
		t.Errorf("%d calls of the long job began before the last of the 10 of the short one; want about 10: %v", longs, got)
	}
}

// A call that is made while a job of many calls runs does not wait for all of it.
func TestACallGetsItsTurnBesideALongJob(t *testing.T) {
	ctx, g := within(t), newGate(t)
	s := open(t, clusterless.Slots(1))
	ins := make([]entry, 3000)
	for i := range ins {
		ins[i] = entry{Log: g.file("log"), Text: "x"}
	}
	long := must(enter.On(s).Map(ctx, ins))(t)
	until(t, "the long job has begun", func() bool { return long.Status().Done > 0 })
	if v, err := square.On(s).Call(ctx, 6); v != 36 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	if st := long.Status(); st.Over {
		t.Log("the long job was over before the call; the test has shown nothing")
	}
	must(long.Wait(ctx))(t)
}
