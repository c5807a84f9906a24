package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

type model struct {
	Name  string
	Speed []float64
	depth int
}

type shot struct {
	Model clusterless.Ref[model]
	At    int
	Write float64 // is written to Speed[At] after it was read, if it is not 0
}

var look = clusterless.Define("test.look", func(ctx context.Context, in shot) (string, error) {
	m, err := in.Model.Get(ctx)
	if err != nil {
		return "", err
	}
	got := fmt.Sprintf("%s %d %g %d", m.Name, m.depth, m.Speed[in.At], len(m.Speed))
	if in.Write != 0 {
		m.Speed[in.At] = in.Write
		other, err := in.Model.Get(ctx)
		if err != nil {
			return "", err
		}
		got += fmt.Sprintf(" wrote %g beside %g", m.Speed[in.At], other.Speed[in.At])
	}
	return got, nil
})

func newModel(n int) model {
	m := model{"marmousi", make([]float64, n), 7}
	for i := range m.Speed {
		m.Speed[i] = float64(i) / 2
	}
	return m
}

func TestBroadcast(t *testing.T) {
	for _, n := range []int{4, 1 << 17} { // small ones are read, large ones mapped
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, s := within(t), open(t)
			m := newModel(n)
			ref := must(clusterless.Broadcast(ctx, s, m))(t)
			clear(m.Speed) // no longer matters
			here := must(ref.Get(ctx))(t)
			if want := newModel(n); here.Name != want.Name || here.depth != 7 || !slices.Equal(here.Speed, want.Speed) {
				t.Errorf("on the client: got %s, %d, %d numbers; want what was broadcast", here.Name, here.depth, len(here.Speed))
			}
			var ins []shot
			for range 20 {
				ins = append(ins, shot{ref, 3, 11}, shot{ref, 3, 0})
			}
			// One process, one task, so that writes of a call would be seen by the next.
			job := must(look.On(s, clusterless.Span(len(ins))).Map(ctx, ins))(t)
			for i, got := range must(job.Results(ctx))(t) {
				want := fmt.Sprintf("marmousi 7 1.5 %d", n)
				if i%2 == 0 {
					want += " wrote 11 beside 1.5"
				}
				if got != want {
					t.Errorf("call %d: got %q; want %q", i, got, want)
				}
			}
		})
	}
}

// ownCopy changes what it got and returns it. The first try of a call fails, after it changed it.
var ownCopy = clusterless.Define("test.owncopy", func(ctx context.Context, r clusterless.Ref[[]float64]) ([]float64, error) {
	x, err := r.Get(ctx)
	if err != nil {
		return nil, err
	}
	for i := range x {
		x[i]++
	}
	if task, _ := clusterless.Current(ctx); task.Try == 1 {
		return nil, errors.New("once more")
	}
	return x, nil
})

// TestBroadcastChangedAndReturned: a result that is memory of a broadcast value is what the call made of it, and neither the
// next call nor a second try sees that.
func TestBroadcastChangedAndReturned(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), open(t, clusterless.Slots(1), clusterless.RetryErrors(1), clusterless.Backoff(time.Millisecond))
	for _, n := range []int{100, 50_000, 1_000_000} { // read; mapped, small result; mapped, large result
		ref := must(clusterless.Broadcast(ctx, s, make([]float64, n)))(t)
		for range 2 {
			x := must(ownCopy.On(s).Call(ctx, ref))(t)
			if len(x) != n || x[0] != 1 || x[n-1] != 1 {
				t.Errorf("%d numbers plus 1: got %d from %v to %v", n, len(x), x[0], x[len(x)-1])
			}
		}
	}
}

func TestBroadcastOfTheSameIsOne(t *testing.T) {
	ctx, s := within(t), open(t)
	a := must(clusterless.Broadcast(ctx, s, newModel(5)))(t)
	b := must(clusterless.Broadcast(ctx, s, newModel(5)))(t)
	c := must(clusterless.Broadcast(ctx, s, newModel(6)))(t)
	if a != b {
		t.Errorf("the same value twice: %v and %v; want equal Refs", a, b)
	}
	if a == c {
		t.Errorf("different values: both %v", a)
	}
	all := s.Broadcasts()
	if len(all) != 2 || all[0].String() != a.String() || all[1].String() != c.String() {
		t.Errorf("Broadcasts: got %v; want %v and %v", all, a, c)
	}
	if !strings.HasPrefix(a.String(), "broadcast value ") || a.IsZero() {
		t.Errorf("got %q", a)
	}
}

func TestClearForgetsBroadcasts(t *testing.T) {
	ctx, s := within(t), open(t)
	ref := must(clusterless.Broadcast(ctx, s, newModel(5)))(t)
	if err := s.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if all := s.Broadcasts(); len(all) != 0 {
		t.Errorf("Broadcasts: got %v; want none", all)
	}
	_, err := ref.Get(ctx)
	wantErr(t, err, fs.ErrNotExist)
	_, err = look.On(s).Call(ctx, shot{Model: ref})
	wantErr(t, err, fs.ErrNotExist, "broadcast it again")
	again := must(clusterless.Broadcast(ctx, s, newModel(5)))(t)
	if got := must(look.On(s).Call(ctx, shot{Model: again, At: 4}))(t); got != "marmousi 7 2 5" {
		t.Errorf("after another broadcast: got %q", got)
	}
}

func TestRefToNothing(t *testing.T) {
	ctx, s := within(t), open(t)
	var none clusterless.Ref[model]
	if !none.IsZero() || none.String() != "no value" {
		t.Errorf("got %q", none)
	}
	_, err := none.Get(ctx)
	wantErr(t, err, nil, "refers to nothing")
	_, err = look.On(s).Call(ctx, shot{})
	wantErr(t, err, nil, "refers to nothing")
}

func TestBroadcastOfWhatCannotTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := clusterless.Broadcast(ctx, s, anyBox{make(chan int)})
	wantErr(t, err, clusterless.ErrCannotTravel, "broadcast clusterless_test.anyBox", "cannot send a channel", ".V")
	if all := s.Broadcasts(); len(all) != 0 {
		t.Errorf("Broadcasts: got %v; want none", all)
	}
}

func TestRefsBoundToASession(t *testing.T) {
	ctx, s := within(t), open(t)
	ref := must(clusterless.Broadcast(ctx, s, 42))(t)
	b := must(ref.MarshalBinary())(t)
	var loose clusterless.Ref[int]
	if err := loose.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	_, err := loose.Get(ctx)
	wantErr(t, err, nil, "Bind")
	if v, err := clusterless.Bind(s, loose).Get(ctx); v != 42 || err != nil {
		t.Errorf("bound: got %d, %v; want 42", v, err)
	}
}

var hand = clusterless.Define("test.hand", func(_ context.Context, r clusterless.Ref[int]) (clusterless.Ref[int], error) { return r, nil })

var get = clusterless.Define("test.get", func(ctx context.Context, r clusterless.Ref[int]) (int, error) { return r.Get(ctx) })

// A Ref that went through a task works on the client and in other calls.
func TestRefsAsResults(t *testing.T) {
	ctx, s := within(t), open(t)
	ref := must(clusterless.Broadcast(ctx, s, 42))(t)
	back := must(hand.On(s).Call(ctx, ref))(t)
	if v, err := back.Get(ctx); v != 42 || err != nil {
		t.Errorf("got %d, %v; want 42", v, err)
	}
	if v, err := get.On(s).Call(ctx, back); v != 42 || err != nil {
		t.Errorf("in a task: got %d, %v; want 42", v, err)
	}
	// A Ref to a Ref, each a call.
	f := must(square.On(s).Go(ctx, 9))(t)
	g := must(hand.On(s).Go(ctx, f.Ref()))(t)
	inner := must(g.Ref().Get(ctx))(t)
	if v, err := inner.Get(ctx); v != 81 || err != nil {
		t.Errorf("got %d, %v; want 81", v, err)
	}
}

type sum struct {
	Refs []clusterless.Ref[int]
	More map[string]*clusterless.Ref[int]
	Any  any
	Plus int
	Say  string
}

var add = clusterless.Define("test.add", func(ctx context.Context, in sum) (int, error) {
	if in.Say != "" {
		if err := os.WriteFile(in.Say, nil, 0o666); err != nil {
			return 0, err
		}
	}
	total := in.Plus
	refs := slices.Clone(in.Refs)
	for _, r := range in.More {
		refs = append(refs, *r)
	}
	if r, ok := in.Any.(clusterless.Ref[int]); ok {
		refs = append(refs, r)
	}
	for _, r := range refs {
		v, err := r.Get(ctx)
		if err != nil {
			return 0, err
		}
		total += v
	}
	return total, nil
})

func TestFuturesAsArguments(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	a := must(walk.On(s).Go(ctx, step{Say: g.file("began"), Await: g.file("go"), Value: 1}))(t)
	// A chain, a diamond, and Refs in all places, all made before the first has ended.
	b := must(add.On(s).Go(ctx, sum{Refs: []clusterless.Ref[int]{a.Ref()}, Plus: 10, Say: g.file("b")}))(t)
	c := must(add.On(s).Go(ctx, sum{Any: a.Ref(), Plus: 100}))(t)
	br := b.Ref()
	d := must(add.On(s).Go(ctx, sum{Refs: []clusterless.Ref[int]{c.Ref(), c.Ref()}, More: map[string]*clusterless.Ref[int]{"b": &br}, Plus: 1000}))(t)
	e := d
	for range 20 {
		e = must(add.On(s).Go(ctx, sum{Refs: []clusterless.Ref[int]{e.Ref()}, Plus: 1}))(t)
	}
	g.seen(t, "began")
	for name, f := range map[string]clusterless.Future[int]{"b": b, "c": c, "d": d, "e": e} {
		if v, err := f.Try(ctx); !errors.Is(err, clusterless.ErrNotReady) {
			t.Errorf("%s: got %d, %v before what it needs has ended", name, v, err)
		}
	}
	if exists(g.file("b")) {
		t.Error("b began before what it needs had ended")
	}
	g.open(t, "go")
	for name, c := range map[string]struct {
		f    clusterless.Future[int]
		want int
	}{"a": {a, 1}, "b": {b, 11}, "c": {c, 101}, "d": {d, 1213}, "e": {e, 1233}} {
		if v, err := c.f.Get(ctx); v != c.want || err != nil {
			t.Errorf("%s: got %d, %v; want %d", name, v, err, c.want)
		}
	}
	// Of a call that ended long ago.
	if v, err := add.On(s).Call(ctx, sum{Refs: []clusterless.Ref[int]{d.Ref()}}); v != 1213 || err != nil {
		t.Errorf("afterwards: got %d, %v; want 1213", v, err)
	}
	if v, err := d.Ref().Get(ctx); v != 1213 || err != nil {
		t.Errorf("on the client: got %d, %v; want 1213", v, err)
	}
}

func TestResultsOfAJobAsArguments(t *testing.T) {
	ctx, s := within(t), open(t)
	squares := must(square.On(s).Map(ctx, upTo(500)))(t)
	all := must(add.On(s).Go(ctx, sum{Refs: squares.Refs()}))(t)
	var ins []sum
	for i := range 500 {
		ins = append(ins, sum{Refs: []clusterless.Ref[int]{squares.Ref(i)}, Plus: i})
	}
	each := must(add.On(s).Map(ctx, ins))(t)
	if v, err := all.Get(ctx); v != 499*500*999/6 || err != nil {
		t.Errorf("sum of squares: got %d, %v; want %d", v, err, 499*500*999/6)
	}
	for i, v := range must(each.Results(ctx))(t) {
		if v != i*i+i {
			t.Errorf("result %d: got %d; want %d", i, v, i*i+i)
		}
	}
	if st := must(each.Stats(ctx))(t); st.Calls != 500 {
		t.Errorf("stats: %d calls; want 500", st.Calls)
	}
}

// Only the calls that need a slow one wait for it.
func TestCallsWaitOnlyForWhatTheyNeed(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	slow := must(walk.On(s).Go(ctx, step{Await: g.file("go"), Value: 1000}))(t)
	ins := make([]sum, 50)
	for i := range ins {
		ins[i].Plus = i
	}
	ins[20].Refs = []clusterless.Ref[int]{slow.Ref()}
	job := must(add.On(s).Map(ctx, ins))(t)
	n := 0
	for call, r := range job.Completed(ctx) {
		want := call
		if call == 20 {
			want += 1000
		}
		if r.Value != want || r.Err != nil {
			t.Errorf("call %d: got %d, %v; want %d", call, r.Value, r.Err, want)
		}
		if n++; n == 49 {
			if st := job.Status(); st.Waiting != 1 || st.Done != 49 {
				t.Errorf("status: %+v; want 49 done and 1 waiting", st)
			}
			g.open(t, "go")
		}
	}
	if n != 50 {
		t.Errorf("%d calls came; want 50", n)
	}
}

func TestFailedDependencies(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	bad := must(walk.On(s).Go(ctx, step{Await: g.file("go"), Err: "the pump is dry"}))(t)
	good := must(square.On(s).Go(ctx, 2))(t)
	first := must(add.On(s).Go(ctx, sum{Refs: []clusterless.Ref[int]{good.Ref(), bad.Ref()}, Say: g.file("ran")}))(t)
	second := must(add.On(s).Go(ctx, sum{Refs: []clusterless.Ref[int]{first.Ref()}, Say: g.file("ran")}))(t)
	job := must(add.On(s).Map(ctx, []sum{{Plus: 1}, {Refs: []clusterless.Ref[int]{bad.Ref()}}, {Plus: 3}}))(t)
	g.open(t, "go")
	for name, f := range map[string]clusterless.Future[int]{"first": first, "second": second} {
		_, err := f.Get(ctx)
		wantErr(t, err, clusterless.ErrDependency, "needs the result of call 0 of job", "the pump is dry")
		var te *clusterless.TaskError
		if !errors.As(err, &te) || te.Kind != clusterless.ErrDependency {
			t.Errorf("%s: got %#v; want a TaskError of kind ErrDependency", name, err)
		}
	}
	got, err := job.Results(ctx)
	if !slices.Equal(got, []int{1, 0, 3}) {
		t.Errorf("job: got %v; want [1 0 3]", got)
	}
	wantErr(t, err, clusterless.ErrDependency, "call 1 of job")
	// Also when it had failed before the call was made.
	_, err = add.On(s).Call(ctx, sum{Refs: []clusterless.Ref[int]{bad.Ref()}, Say: g.file("ran")})
	wantErr(t, err, clusterless.ErrDependency, "the pump is dry")
	if exists(g.file("ran")) {
		t.Error("a call ran though what it needs had failed")
	}
}

// The error of what a call needed is still what it was.
func TestFailedDependencyKeepsItsError(t *testing.T) {
	ctx, s := within(t), open(t)
	bad := must(walk.On(s).Go(ctx, step{Err: "the pump is dry"}))(t)
	_, err := get.On(s).Call(ctx, bad.Ref())
	wantErr(t, err, clusterless.ErrDependency)
	wantErr(t, err, errStep)
}

func TestDependencyThatIsCancelledOrDeleted(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	a := must(walk.On(s).Go(ctx, step{Say: g.file("a"), Await: g.file("never")}))(t)
	needsA := must(get.On(s).Go(ctx, a.Ref()))(t)
	g.seen(t, "a")
	if err := a.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := needsA.Get(ctx)
	wantErr(t, err, clusterless.ErrDependency, "cancelled")

	b := must(walk.On(s).Go(ctx, step{Say: g.file("b"), Await: g.file("never")}))(t)
	needsB := must(get.On(s).Go(ctx, b.Ref()))(t)
	g.seen(t, "b")
	if err := b.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = needsB.Get(soon)
	wantErr(t, err, clusterless.ErrDependency)

	_, err = get.On(s).Call(ctx, b.Ref())
	wantErr(t, err, clusterless.ErrDependency, "no job of this name")
}

// Once what a call needed has been made after all, so can the call.
func TestRetryAfterADependencyFailed(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	flaky := must(once.On(s).Map(ctx, []string{g.file("tried")}))(t)
	needs := must(get.On(s).Map(ctx, []clusterless.Ref[int]{flaky.Ref(0)}))(t)
	if failed, err := needs.Wait(ctx); !slices.Equal(failed, []int{0}) || err != nil {
		t.Fatalf("got %v, %v; want call 0 to fail", failed, err)
	}
	for _, job := range []*clusterless.Job[int]{flaky, needs} {
		if n, err := job.Retry(ctx); n != 1 || err != nil {
			t.Fatalf("Retry: got %d, %v; want 1", n, err)
		}
		if failed, err := job.Wait(ctx); len(failed) != 0 || err != nil {
			t.Fatalf("after Retry: %v, %v", failed, err)
		}
	}
	if v, err := needs.Result(ctx, 0); v != 17 || err != nil {
		t.Errorf("got %d, %v; want 17", v, err)
	}
}

// once fails until its file is there, and makes it.
var once = clusterless.Define("test.once", func(_ context.Context, file string) (int, error) {
	if exists(file) {
		return 17, nil
	}
	return 0, errors.Join(errors.New("first time"), errStep, os.WriteFile(file, nil, 0o666))
})

func TestTake(t *testing.T) {
	ctx, s := within(t), open(t)
	f := must(square.On(s).Go(ctx, 5))(t)
	if v, err := f.Take(ctx); v != 25 || err != nil {
		t.Fatalf("got %d, %v; want 25", v, err)
	}
	_, err := f.Take(ctx)
	wantErr(t, err, clusterless.ErrTaken)
	_, err = f.Get(ctx)
	wantErr(t, err, clusterless.ErrTaken)
	_, err = f.Try(ctx)
	wantErr(t, err, clusterless.ErrTaken)
	_, err = f.Ref().Get(ctx)
	wantErr(t, err, clusterless.ErrTaken)
	_, err = get.On(s).Call(ctx, f.Ref())
	wantErr(t, err, nil)
}

func TestTakeFromAJob(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s, clusterless.Span(10)).Map(ctx, upTo(10)))(t)
	must(job.Wait(ctx))(t)
	for i := range 9 {
		if v, err := job.Take(ctx, i); v != i*i || err != nil {
			t.Fatalf("take %d: got %d, %v", i, v, err)
		}
	}
	if v, err := job.Result(ctx, 9); v != 81 || err != nil {
		t.Errorf("result 9, which was not taken: got %d, %v", v, err)
	}
	for round, taken := range []int{9, 10} {
		n := 0
		for call, r := range job.Completed(ctx) {
			if call < taken {
				if !errors.Is(r.Err, clusterless.ErrTaken) {
					t.Errorf("round %d: Completed: call %d, which was taken: got %d, %v; want ErrTaken", round, call, r.Value, r.Err)
				}
			} else if r.Value != call*call || r.Err != nil {
				t.Errorf("round %d: Completed: call %d, which was not taken: got %d, %v", round, call, r.Value, r.Err)
			}
			n++
		}
		if n != 10 {
			t.Errorf("round %d: %d calls came", round, n)
		}
		if round == 0 {
			if v, err := job.Take(ctx, 9); v != 81 || err != nil {
				t.Fatalf("take 9: got %d, %v", v, err)
			}
		}
	}
	// Statistics and the list of failed calls need no results.
	if st, err := job.Stats(ctx); st.Calls != 10 || err != nil {
		t.Errorf("Stats: %d calls, %v; want 10", st.Calls, err)
	}
	if failed, err := job.Wait(ctx); len(failed) != 0 || err != nil {
		t.Errorf("Wait: %v, %v", failed, err)
	}
	if err := job.Delete(ctx); err != nil {
		t.Error(err)
	}
}

func TestTakenIsTakenInOtherSessions(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	job := must(square.On(s, clusterless.Span(2), clusterless.Name("taken")).Map(ctx, upTo(4)))(t)
	must(job.Wait(ctx))(t)
	for _, i := range []int{0, 2, 3} { // one of a task, and all of another
		must(job.Take(ctx, i))(t)
	}
	other := openIn(t, dir)
	again := must(clusterless.Attach[int](ctx, other, "taken"))(t)
	for _, i := range []int{0, 2, 3} {
		_, err := again.Result(ctx, i)
		wantErr(t, err, clusterless.ErrTaken, fmt.Sprintf("call %d", i))
		_, err = again.Take(ctx, i)
		wantErr(t, err, clusterless.ErrTaken)
	}
	if v, err := again.Take(ctx, 1); v != 1 || err != nil {
		t.Errorf("take 1: got %d, %v; want 1", v, err)
	}
}

func TestTakeOfAFailedCallTakesNothing(t *testing.T) {
	ctx, s := within(t), open(t)
	f := must(walk.On(s).Go(ctx, step{Err: "dry"}))(t)
	for range 2 {
		_, err := f.Take(ctx)
		wantErr(t, err, errStep)
	}
}

func TestOnlyOneOfManyTakes(t *testing.T) {
	ctx, s := within(t), open(t)
	f := must(square.On(s).Go(ctx, 5))(t)
	const n = 16
	got := make(chan error, n)
	for range n {
		go func() {
			v, err := f.Take(ctx)
			if err == nil && v != 25 {
				err = fmt.Errorf("took %d", v)
			}
			got <- err
		}()
	}
	took := 0
	for range n {
		switch err := <-got; {
		case err == nil:
			took++
		case !errors.Is(err, clusterless.ErrTaken):
			t.Errorf("got %v; want ErrTaken", err)
		}
	}
	if took != 1 {
		t.Errorf("%d took it; want 1", took)
	}
}

// A Ref inside of a broadcast value is followed like any other.
func TestRefInABroadcast(t *testing.T) {
	ctx, s := within(t), open(t)
	f := must(square.On(s).Go(ctx, 9))(t)
	must(f.Get(ctx))(t)
	list := must(clusterless.Broadcast(ctx, s, []clusterless.Ref[int]{f.Ref(), must(clusterless.Broadcast(ctx, s, 5))(t)}))(t)
	here := must(list.Get(ctx))(t)
	if v, err := here[0].Get(ctx); v != 81 || err != nil {
		t.Errorf("on the client: got %d, %v; want 81", v, err)
	}
	if v, err := addList.On(s).Call(ctx, list); v != 86 || err != nil {
		t.Errorf("in a task: got %d, %v; want 86", v, err)
	}
}

var addList = clusterless.Define("test.addlist", func(ctx context.Context, list clusterless.Ref[[]clusterless.Ref[int]]) (total int, err error) {
	refs, err := list.Get(ctx)
	for _, r := range refs {
		v, e := r.Get(ctx)
		total, err = total+v, errors.Join(err, e)
	}
	return total, err
})

var getLate = clusterless.Define("test.getlate", func(_ context.Context, r clusterless.Ref[int]) (int, error) {
	return r.Get(context.Background())
})

func TestRefNeedsTheContextOfItsCall(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := getLate.On(s).Call(ctx, must(clusterless.Broadcast(ctx, s, 5))(t))
	wantErr(t, err, nil, "want the context that the function was called with")
}
