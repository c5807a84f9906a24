package clusterless_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var odd = clusterless.Define("test.odd", func(_ context.Context, x int) (int, error) {
	if x%2 == 0 {
		return -1, fmt.Errorf("%d is even: %w", x, errStep)
	}
	return x, nil
})

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestMapOfNothing(t *testing.T) {
	ctx, s := within(t), open(t)
	for name, in := range map[string][]int{"nil": nil, "empty": {}} {
		job := must(square.On(s).Map(ctx, in))(t)
		if job.Len() != 0 {
			t.Errorf("%s: Len is %d", name, job.Len())
		}
		if got, err := job.Results(ctx); len(got) != 0 || err != nil {
			t.Errorf("%s: results %v, %v; want none", name, got, err)
		}
		if failed, err := job.Wait(ctx); len(failed) != 0 || err != nil {
			t.Errorf("%s: Wait: %v, %v", name, failed, err)
		}
		for call := range job.Completed(ctx) {
			t.Errorf("%s: call %d completed", name, call)
		}
		if st := job.Status(); !st.Over || st.Total != 0 {
			t.Errorf("%s: status %+v; want it over", name, st)
		}
	}
}

func TestMapOfOne(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s).Map(ctx, []int{12}))(t)
	if got, err := job.Results(ctx); !slices.Equal(got, []int{144}) || err != nil {
		t.Errorf("got %v, %v; want [144]", got, err)
	}
}

func TestMapReturnsTheResultsOfCallsThatWorked(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(odd.On(s).Map(ctx, upTo(20)))(t)
	got, err := job.Results(ctx)
	for i, v := range got {
		if want := i * (i % 2); v != want {
			t.Errorf("result %d is %d; want %d", i, v, want)
		}
	}
	if len(got) != 20 {
		t.Errorf("got %d results; want 20, with zeros for failed calls", len(got))
	}
	wantErr(t, err, errStep, "10 calls failed", "call 0 of job", "0 is even", "call 8 of job", "and 5 more")
	if strings.Contains(err.Error(), "10 is even") {
		t.Errorf("the error names more than five calls: %v", err)
	}
	var all *clusterless.JobError
	if !errors.As(err, &all) || len(all.Errs) != 10 {
		t.Fatalf("got %T; want a JobError of 10", err)
	}
	for i, e := range all.Errs {
		var te *clusterless.TaskError
		if !errors.As(e, &te) || te.Call != 2*i {
			t.Errorf("error %d is %v; want that of call %d", i, e, 2*i)
		}
	}
	failed, err := job.Wait(ctx)
	if want := []int{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}; !slices.Equal(failed, want) || err != nil {
		t.Errorf("Wait: got %v, %v; want %v", failed, err, want)
	}
}

func TestCompletedYieldsEachCallOnceAndAgain(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(odd.On(s).Map(ctx, upTo(3000)))(t)
	for round := range 2 {
		seen := make([]int, 3000)
		for call, r := range job.Completed(ctx) {
			seen[call]++
			if call%2 == 1 && (r.Value != call || r.Err != nil) || call%2 == 0 && !errors.Is(r.Err, errStep) {
				t.Fatalf("round %d: call %d: got %d, %v", round, call, r.Value, r.Err)
			}
			if r.Node == "" || r.Attempts != 1 {
				t.Fatalf("round %d: call %d: node %q, attempts %d", round, call, r.Node, r.Attempts)
			}
		}
		for call, n := range seen {
			if n != 1 {
				t.Fatalf("round %d: call %d came %d times", round, call, n)
			}
		}
	}
	n := 0
	for range job.Completed(ctx) {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("after a break: %d calls came", n)
	}
}

func TestCompletedEndsWithItsContext(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	job := must(walk.On(s).Map(ctx, []step{{Value: 1}, {Await: g.file("go"), Value: 2}}))(t)
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	var calls []int
	for call := range job.Completed(ended) {
		calls = append(calls, call)
		cancel()
	}
	if !slices.Equal(calls, []int{0}) {
		t.Errorf("got calls %v; want only 0", calls)
	}
	if got, err := job.Results(ended); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Results: got %v, %v; want no results and context.Canceled", got, err)
	}
	g.open(t, "go")
	if got, err := job.Results(ctx); !slices.Equal(got, []int{1, 2}) || err != nil {
		t.Errorf("afterwards: got %v, %v", got, err)
	}
}

var reverse = clusterless.Define("test.reverse", func(_ context.Context, b []byte) ([]byte, error) {
	slices.Reverse(b)
	return b, nil
})

// Inputs and results from nothing to more than what is kept in memory before it is written.
func TestMapOfLargeAndSmall(t *testing.T) {
	ctx, s := within(t), open(t)
	var ins, want [][]byte
	for i, size := range []int{0, 1, 100 << 10, 255 << 10, 256 << 10, 257 << 10, 3 << 20, 10, 9 << 20, 5} {
		b := bytes.Repeat([]byte{byte(i), 2, 3}, size/3+1)[:size]
		r := slices.Clone(b)
		slices.Reverse(r)
		ins, want = append(ins, b), append(want, r)
	}
	job := must(reverse.On(s).Map(ctx, ins))(t)
	for _, b := range ins { // what was given to Map is the caller's again
		clear(b)
	}
	got := must(job.Results(ctx))(t)
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("result %d: %d bytes that differ from the %d wanted", i, len(got[i]), len(want[i]))
		}
	}
}

func TestResultAndOutcomeOfOneCall(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(odd.On(s).Map(ctx, upTo(10)))(t)
	if v, err := job.Result(ctx, 7); v != 7 || err != nil {
		t.Errorf("result 7: got %d, %v", v, err)
	}
	v, err := job.Result(ctx, 4)
	if v != 0 {
		t.Errorf("result 4, which failed: got %d; want 0", v)
	}
	wantErr(t, err, errStep, "test.odd: call 4 of job ", "4 is even")
	r := must(job.Outcome(ctx, 7))(t)
	if r.Value != 7 || r.Err != nil || r.Node == "" || r.Attempts != 1 || r.Elapsed <= 0 {
		t.Errorf("outcome 7: got %+v", r)
	}
	if r := must(job.Outcome(ctx, 4))(t); !errors.Is(r.Err, errStep) {
		t.Errorf("outcome 4: got %+v", r)
	}
	for _, call := range []int{-1, 10, 1 << 40} {
		_, err := job.Result(ctx, call)
		wantErr(t, err, nil, "calls 0 to 9", fmt.Sprint(call))
	}
}

var taskOf = clusterless.Define("test.taskof", func(ctx context.Context, _ int) (int, error) {
	task, _ := clusterless.Current(ctx)
	return task.Task, nil
})

func TestSpanFixesTheCallsOfATask(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, c := range []struct{ n, span int }{{10, 1}, {10, 3}, {10, 10}, {10, 1000}, {100, 7}} {
		job := must(taskOf.On(s, clusterless.Span(c.span)).Map(ctx, upTo(c.n)))(t)
		for i, task := range must(job.Results(ctx))(t) {
			if task != i/c.span {
				t.Errorf("%d calls in spans of %d: call %d was made by task %d; want %d", c.n, c.span, i, task, i/c.span)
			}
		}
	}
}

func TestManySmallCallsShareTasks(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(taskOf.On(s).Map(ctx, upTo(20000)))(t)
	tasks := map[int]bool{}
	for _, task := range must(job.Results(ctx))(t) {
		tasks[task] = true
	}
	if len(tasks) > 1000 {
		t.Errorf("20000 calls that do nothing made %d tasks; want far fewer", len(tasks))
	}
}

// A call that takes long must not hold up the results of its neighbours, wherever it stands.
func TestAStragglerDoesNotHoldUpItsNeighbours(t *testing.T) {
	const n = 2000
	for _, at := range []int{0, 1, n / 2, n - 1} {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			ctx, s, g := within(t), open(t), newGate(t)
			ins := make([]step, n)
			for i := range ins {
				ins[i].Value = i
			}
			ins[at].Await = g.file("go")
			job := must(walk.On(s).Map(ctx, ins))(t)
			seen := 0
			for call, r := range job.Completed(ctx) {
				if r.Err != nil || r.Value != call {
					t.Fatalf("call %d: got %d, %v", call, r.Value, r.Err)
				}
				if seen++; seen == n-1 {
					if exists(g.file("go")) || call == at {
						t.Errorf("the straggler ended before the others")
					}
					g.open(t, "go")
				}
			}
			if seen != n {
				t.Errorf("%d calls came; want %d", seen, n)
			}
		})
	}
}

func TestMapSeq(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, n := range []int{0, 1, 2, 10000} {
		job := must(square.On(s).MapSeq(ctx, slices.Values(upTo(n))))(t)
		got, err := job.Results(ctx)
		if len(got) != n || err != nil {
			t.Errorf("%d inputs: got %d results, %v", n, len(got), err)
		}
		for i, v := range got {
			if v != i*i {
				t.Fatalf("%d inputs: result %d is %d; want %d", n, i, v, i*i)
			}
		}
		if job.Len() != n {
			t.Errorf("%d inputs: Len is %d afterwards", n, job.Len())
		}
	}
}

// slowly yields inputs one by one, as they are given to the channel, and says when it was ended.
func slowly(ch chan int, ended *atomic.Bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		defer ended.Store(true)
		for v := range ch {
			if !yield(v) {
				return
			}
		}
	}
}

func TestMapSeqResultsComeBeforeTheIteratorEnds(t *testing.T) {
	ctx, s := within(t), open(t)
	ch := make(chan int, 1)
	var ended atomic.Bool
	ch <- 3
	job := must(square.On(s).MapSeq(ctx, slowly(ch, &ended)))(t)
	for i, x := range []int{3, 5, 7} {
		if v, err := job.Result(ctx, i); v != x*x || err != nil {
			t.Fatalf("result %d: got %d, %v; want %d", i, v, err, x*x)
		}
		if ended.Load() {
			t.Fatal("the iterator has ended")
		}
		if job.Len() != -1 {
			t.Errorf("Len is %d while inputs come; want -1", job.Len())
		}
		if st := job.Status(); st.Total != -1 || st.Sent != i+1 || st.Done != i+1 || st.Over {
			t.Errorf("status after %d inputs: %+v", i+1, st)
		}
		if refs := job.Refs(); len(refs) != i+1 {
			t.Errorf("%d Refs after %d inputs", len(refs), i+1)
		}
		if _, err := job.Try(ctx, i+1); !errors.Is(err, clusterless.ErrNotReady) {
			t.Errorf("Try of a call that may come: %v; want ErrNotReady", err)
		}
		if i < 2 {
			ch <- []int{5, 7}[i]
		}
	}
	close(ch)
	if got, err := job.Results(ctx); !slices.Equal(got, []int{9, 25, 49}) || err != nil {
		t.Errorf("results: got %v, %v", got, err)
	}
}

func TestMapSeqCutOffByItsContext(t *testing.T) {
	ctx, s := within(t), open(t)
	ch := make(chan int, 2)
	var ended atomic.Bool
	feed, cancel := context.WithCancelCause(ctx)
	why := errors.New("no more of that")
	ch <- 2
	job := must(square.On(s).MapSeq(feed, slowly(ch, &ended)))(t)
	if v, err := job.Result(ctx, 0); v != 4 || err != nil {
		t.Fatalf("result 0: got %d, %v", v, err)
	}
	cancel(why)
	failed, err := job.Wait(ctx)
	wantErr(t, err, clusterless.ErrCut, "1 calls")
	wantErr(t, err, why)
	if len(failed) != 0 {
		t.Errorf("failed calls: %v; want none", failed)
	}
	got, err := job.Results(ctx)
	wantErr(t, err, clusterless.ErrCut)
	if !slices.Equal(got, []int{4}) {
		t.Errorf("results: got %v; want [4]", got)
	}
	ch <- 3 // lets the iterator see that nobody takes more
	until(t, "the iterator ends", ended.Load)
}

func TestMapSeqEndsWithItsSession(t *testing.T) {
	ctx := within(t)
	s := must(clusterless.Open(ctx, clusterless.Dir(t.TempDir()), clusterless.Slots(1)))(t)
	ch := make(chan int, 2)
	var ended atomic.Bool
	ch <- 2
	job := must(square.On(s).MapSeq(ctx, slowly(ch, &ended)))(t)
	must(job.Result(ctx, 0))(t)
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("Close waits for an iterator that waits for more")
	}
	_, err := job.Results(ctx)
	wantErr(t, err, nil)
	ch <- 3
	until(t, "the iterator ends", ended.Load)
}

func TestMapSeqWithAnIteratorThatPanics(t *testing.T) {
	for name, first := range map[string]bool{"at once": false, "after a result": true} {
		t.Run(name, func(t *testing.T) {
			ctx, s := within(t), open(t)
			goOn := make(chan bool)
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("MapSeq panicked: %v", p)
				}
			}()
			job, err := square.On(s).MapSeq(ctx, func(yield func(int) bool) {
				if first {
					yield(6)
					<-goOn
				}
				panic("iterator of the test")
			})
			if !first && err != nil { // as good as a job that is cut off
				wantErr(t, err, nil, "iterator of the test")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if first {
				if v, err := job.Result(ctx, 0); v != 36 || err != nil {
					t.Errorf("result 0: got %d, %v; want 36", v, err)
				}
				close(goOn)
			}
			_, err = job.Wait(ctx)
			wantErr(t, err, clusterless.ErrCut, "iterator of the test")
		})
	}
}

func TestMapSeqWithAnInputThatCannotTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	goOn := make(chan bool)
	job := must(anyEcho.On(s).MapSeq(ctx, func(yield func(anyBox) bool) {
		if yield(anyBox{1}) {
			<-goOn
			yield(anyBox{make(chan int)})
		}
	}))(t)
	if v, err := job.Result(ctx, 0); v != (anyBox{1}) || err != nil {
		t.Errorf("result 0: got %v, %v", v, err)
	}
	close(goOn)
	_, err := job.Wait(ctx)
	wantErr(t, err, clusterless.ErrCut, "input 1", "cannot send a channel")
	wantErr(t, err, clusterless.ErrCannotTravel)
}

// A million inputs must not be in memory at once, nor their results.
func TestMapSeqOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if mb := residentOf(t, "TestMillionAsChild"); mb > 200 && !raced() {
		t.Errorf("the client used %d MB; want less than 200", mb)
	}
}

func TestMillionAsChild(t *testing.T) {
	if !onlyAsChild(t) {
		return
	}
	n := 1_000_000
	if raced() {
		n /= 10
	}
	ctx, s := within(t), open(t)
	job := must(square.On(s).MapSeq(ctx, func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}))(t)
	sum := must(clusterless.Fold(ctx, job, 0, func(sum, x int) (int, error) { return sum + x, nil }))(t)
	if want := (n - 1) * n * (2*n - 1) / 6; sum != want || job.Len() != n {
		t.Errorf("sum of %d squares is %d; want %d", job.Len(), sum, want)
	}
	fmt.Printf("resident: %d\n", peak(t))
}

// peak is the largest resident size of this process so far, in KiB.
func peak(t testing.TB) int {
	t.Helper()
	b := must(os.ReadFile("/proc/self/status"))(t)
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	if !ok {
		t.Skip("this system does not say")
	}
	return must(strconv.Atoi(strings.Fields(rest)[0]))(t)
}

func TestMapAtOnceFromManyGoroutines(t *testing.T) {
	ctx, s := within(t), open(t)
	const n = 20
	errs := make(chan error, n)
	for k := range n {
		go func() {
			job, err := square.On(s).Map(ctx, upTo(50+k))
			if err != nil {
				errs <- err
				return
			}
			got, err := job.Results(ctx)
			for i, v := range got {
				if v != i*i {
					err = errors.Join(err, fmt.Errorf("job %d: result %d is %d", k, i, v))
				}
			}
			if len(got) != 50+k {
				err = errors.Join(err, fmt.Errorf("job %d: %d results", k, len(got)))
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
