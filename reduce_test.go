package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var (
	sumInts   = clusterless.Define("test.sum", clusterless.Sum[int])
	sumFloats = clusterless.Define("test.sumfloats", clusterless.Sum[float64])
	sumSlices = clusterless.Define("test.sumslices", clusterless.SumSlices[float32])
	maxInt    = clusterless.Define("test.max", clusterless.Max[int])
	minInt    = clusterless.Define("test.min", clusterless.Min[int])

	text = clusterless.Define("test.text", func(_ context.Context, x int) (string, error) { return strconv.Itoa(x) + " ", nil })
	// join is associative, but not commutative.
	join = clusterless.Define("test.join", func(_ context.Context, all []string) (string, error) { return strings.Join(all, ""), nil })

	badJoin = clusterless.Define("test.badjoin", func(_ context.Context, all []string) (string, error) {
		if slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "13 ") }) {
			return "", fmt.Errorf("13 cannot be joined: %w", errStep)
		}
		return strings.Join(all, ""), nil
	})
	panicJoin = clusterless.Define("test.panicjoin", func(context.Context, []string) (string, error) { panic("join of the test") })

	echoFloat = clusterless.Define("test.float", func(_ context.Context, x float64) (float64, error) { return x, nil })
	fill      = clusterless.Define("test.fill", func(_ context.Context, x int) ([]float32, error) {
		all := make([]float32, 100_000)
		for i := range all {
			all[i] = float32(x)
		}
		return all, nil
	})
)

// addIntoFirst returns memory that it was lent.
var addIntoFirst = clusterless.Define("test.addintofirst", func(_ context.Context, all [][]float32) ([]float32, error) {
	for _, v := range all[1:] {
		for i, x := range v {
			all[0][i] += x
		}
	}
	return all[0], nil
})

// TestReduceInPlace: a reducer may write to the values that it gets, and return one; the results of the job stay as they are.
func TestReduceInPlace(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(fill.On(s).Map(ctx, upTo(20)))(t)
	for range 2 {
		sum := must(job.Reduce(ctx, addIntoFirst.On(s)))(t)
		if len(sum) != 100_000 || sum[0] != 190 || sum[99_999] != 190 {
			t.Errorf("sum of %d numbers from %v to %v, want 100000 of 190", len(sum), sum[0], sum[len(sum)-1])
		}
	}
	if v := must(job.Result(ctx, 7))(t); v[0] != 7 || v[99_999] != 7 {
		t.Errorf("result of call 7 is now %v to %v", v[0], v[99_999])
	}
}

func TestReduce(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, n := range []int{1, 2, 3, 7, 8, 9, 17, 64, 100, 1000} {
		job := must(square.On(s).Map(ctx, upTo(n)))(t)
		want := (n - 1) * n * (2*n - 1) / 6
		if got, err := job.Reduce(ctx, sumInts.On(s)); got != want || err != nil {
			t.Errorf("sum of %d: got %d, %v; want %d", n, got, err, want)
		}
		if got, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(true))); got != want || err != nil {
			t.Errorf("ordered sum of %d: got %d, %v; want %d", n, got, err, want)
		}
	}
}

func TestReduceInOrder(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, n := range []int{1, 2, 3, 8, 9, 16, 63, 64, 65, 100} {
		want := ""
		for i := range n {
			want += strconv.Itoa(i) + " "
		}
		job := must(text.On(s).Map(ctx, upTo(n)))(t)
		if got, err := job.Reduce(ctx, join.On(s, clusterless.Ordered(true))); got != want || err != nil {
			t.Errorf("%d texts: got %q, %v; want %q", n, got, err, want)
		}
		// In any order, each text comes once all the same.
		got, err := job.Reduce(ctx, join.On(s))
		words := strings.Fields(got)
		slices.SortFunc(words, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y })
		if !slices.Equal(words, strings.Fields(want)) || err != nil {
			t.Errorf("%d texts without order: got %q, %v", n, got, err)
		}
	}
}

// Floating-point sums depend on the order of additions; with Ordered they come out to the bit.
func TestReduceInOrderIsDeterministic(t *testing.T) {
	ctx, s := within(t), open(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	ins := make([]float64, 200)
	for i := range ins {
		ins[i] = rnd.NormFloat64() * math.Pow(10, float64(rnd.IntN(30)))
	}
	tree := slices.Clone(ins) // as documented: neighbours, eight at a time
	for len(tree) > 1 {
		var next []float64
		for c := range slices.Chunk(tree, 8) {
			sum, _ := clusterless.Sum(ctx, c)
			next = append(next, sum)
		}
		tree = next
	}
	for range 4 {
		job := must(echoFloat.On(s, clusterless.Span(1+rnd.IntN(30))).Map(ctx, ins))(t)
		got := must(job.Reduce(ctx, sumFloats.On(s, clusterless.Ordered(true))))(t)
		if math.Float64bits(got) != math.Float64bits(tree[0]) {
			t.Errorf("got %x; want %x", got, tree[0])
		}
	}
}

func TestReduceNothing(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s).Map(ctx, nil))(t)
	for _, ordered := range []bool{false, true} {
		_, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered)))
		wantErr(t, err, clusterless.ErrNothing)
	}
	acc := 5
	wantErr(t, job.ReduceInto(ctx, &acc, sumInts.On(s)), clusterless.ErrNothing)
	if acc != 5 {
		t.Errorf("ReduceInto changed the value to %d", acc)
	}
}

// Calls that failed are left out on request; with nothing left their errors are returned.
func TestReduceSkipFailed(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(odd.On(s, clusterless.Span(3)).Map(ctx, upTo(100)))(t)
	failed, err := job.Wait(ctx)
	if err != nil || len(failed) == 0 || len(failed) == 100 {
		t.Fatalf("%d calls failed, %v", len(failed), err)
	}
	want := 0
	for call := range 100 {
		if v, err := job.Result(ctx, call); err == nil {
			want += v
		}
	}
	for _, ordered := range []bool{false, true} {
		got, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered), clusterless.SkipFailed(true)))
		if err != nil || got != want {
			t.Errorf("ordered %v: got %d, %v; want %d", ordered, got, err, want)
		}
		none := must(odd.On(s).Map(ctx, []int{failed[0], failed[0]}))(t)
		_, err = none.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered), clusterless.SkipFailed(true)))
		var e *clusterless.TaskError
		if !errors.As(err, &e) {
			t.Errorf("ordered %v, all failed: %v", ordered, err)
		}
	}
}

func TestReduceInto(t *testing.T) {
	ctx, s := within(t), open(t)
	acc := 1000
	job := must(square.On(s).Map(ctx, upTo(10)))(t)
	for i := range 2 {
		if err := job.ReduceInto(ctx, &acc, sumInts.On(s)); err != nil || acc != 1000+285*(i+1) {
			t.Errorf("got %d, %v; want %d", acc, err, 1000+285*(i+1))
		}
	}
	// What is there comes first.
	words := "first "
	if err := must(text.On(s).Map(ctx, upTo(3)))(t).ReduceInto(ctx, &words, join.On(s, clusterless.Ordered(true))); err != nil || words != "first 0 1 2 " {
		t.Errorf("got %q, %v", words, err)
	}
	failing := must(odd.On(s).Map(ctx, upTo(10)))(t)
	wantErr(t, failing.ReduceInto(ctx, &acc, sumInts.On(s)), errStep)
	if acc != 1570 {
		t.Errorf("a reduction that failed changed the value to %d", acc)
	}
}

func TestReadyMadeReducers(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s).Map(ctx, []int{3, -9, 2, 5, 1, 0, 4, 4, 8, 7, 6}))(t)
	if v, err := job.Reduce(ctx, maxInt.On(s)); v != 81 || err != nil {
		t.Errorf("Max: got %d, %v; want 81", v, err)
	}
	if v, err := job.Reduce(ctx, minInt.On(s)); v != 0 || err != nil {
		t.Errorf("Min: got %d, %v; want 0", v, err)
	}
	images := must(fill.On(s).Map(ctx, upTo(20)))(t)
	got := must(images.Reduce(ctx, sumSlices.On(s)))(t)
	if len(got) != 100_000 || slices.ContainsFunc(got, func(x float32) bool { return x != 190 }) {
		t.Errorf("SumSlices: got %d numbers, the first %v; want 100000 of 190", len(got), got[:min(1, len(got))])
	}
	if first, err := images.Result(ctx, 1); len(first) != 100_000 || first[5] != 1 || err != nil {
		t.Errorf("a result was changed by the reduction: %v", err)
	}
	_, err := clusterless.SumSlices(ctx, [][]int{{1, 2}, {1, 2}, {1}})
	wantErr(t, err, nil, "slice 2 has 1 elements, the first has 2")
	_, err = clusterless.Max[int](ctx, nil)
	wantErr(t, err, clusterless.ErrNothing)
	_, err = clusterless.Min[float64](ctx, nil)
	wantErr(t, err, clusterless.ErrNothing)
}

// Values are combined while others are still computed; and what fails late fails the reduction.
func TestReduceBeginsBeforeAllLeavesHaveEnded(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	ins := make([]step, 17)
	for i := range ins {
		ins[i].Value = 1
	}
	ins[0].Await = g.file("go")
	job := must(walk.On(s).Map(ctx, ins))(t)
	type result struct {
		sum int
		err error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := job.Reduce(ctx, sumInts.On(s))
		done <- result{sum, err}
	}()
	until(t, "values are combined", func() bool {
		for _, j := range must(s.Jobs(ctx, sumInts.Name()))(t) {
			if a, err := clusterless.Attach[int](ctx, s, j.Name); err == nil && a.Status().Done > 0 {
				return true
			}
		}
		return false
	})
	select {
	case r := <-done:
		t.Fatalf("the reduction ended before its leaves: %+v", r)
	default:
	}
	g.open(t, "go")
	if r := <-done; r.sum != 17 || r.err != nil {
		t.Errorf("got %+v; want 17", r)
	}
}

func TestReduceWithFailedLeaves(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprint("ordered ", ordered), func(t *testing.T) {
			ctx, s := within(t), open(t)
			job := must(odd.On(s).Map(ctx, upTo(100)))(t)
			v, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered)))
			wantErr(t, err, errStep, "clusterless: reduce job "+job.Name(), "is even")
			var te *clusterless.TaskError
			if !errors.As(err, &te) || te.Func != "test.odd" || te.Job != job.Name() {
				t.Errorf("got %v; want the TaskErrors of the failed leaves", err)
			}
			if v != 0 {
				t.Errorf("got %d beside the error", v)
			}
			until(t, "the reduction is removed", func() bool { return len(must(s.Jobs(ctx, sumInts.Name()))(t)) == 0 })
		})
	}
}

func TestReduceWithAReducerThatFails(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprint("ordered ", ordered), func(t *testing.T) {
			ctx, s := within(t), open(t)
			job := must(text.On(s).Map(ctx, upTo(100)))(t)
			_, err := job.Reduce(ctx, badJoin.On(s, clusterless.Ordered(ordered)))
			wantErr(t, err, nil, "clusterless: reduce job "+job.Name(), "13 cannot be joined")
			wantErr(t, err, errStep)
			_, err = job.Reduce(ctx, panicJoin.On(s, clusterless.Ordered(ordered)))
			wantErr(t, err, clusterless.ErrPanic, "join of the test")
			until(t, "the reductions are removed", func() bool {
				return len(must(s.Jobs(ctx, badJoin.Name()))(t))+len(must(s.Jobs(ctx, panicJoin.Name()))(t)) == 0
			})
			// The results of the job are still there.
			if got, err := job.Results(ctx); len(got) != 100 || got[13] != "13 " || err != nil {
				t.Errorf("results afterwards: %d, %v", len(got), err)
			}
		})
	}
}

func TestReduceLeavesNothingBehind(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s).Map(ctx, upTo(50)))(t)
	must(job.Reduce(ctx, sumInts.On(s)))(t)
	must(job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(true))))(t)
	_, err := job.Reduce(ctx, sumInts.On(s, clusterless.Name("not.used")))
	wantErr(t, err, nil, "option Name")
	until(t, "only the reduced job is left", func() bool {
		jobs := must(s.Jobs(ctx, ""))(t)
		return len(jobs) == 1 && jobs[0].Name == job.Name()
	})
	if got, err := job.Results(ctx); len(got) != 50 || got[7] != 49 || err != nil {
		t.Errorf("results afterwards: %d, %v", len(got), err)
	}
}

func TestReduceEndsWithItsContext(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, ordered := range []bool{false, true} {
		g := newGate(t)
		ins := []step{{Value: 1}, {Value: 1}, {Value: 1}, {Say: g.file("began"), Await: g.file("go"), Value: 1}}
		job := must(walk.On(s).Map(ctx, ins))(t)
		ended, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		done := make(chan error, 1)
		go func() {
			_, err := job.Reduce(ended, sumInts.On(s, clusterless.Ordered(ordered)))
			done <- err
		}()
		g.seen(t, "began")
		why := errors.New("enough")
		cancel(why)
		wantErr(t, <-done, why)
		until(t, "the reduction is removed", func() bool { return len(must(s.Jobs(ctx, sumInts.Name()))(t)) == 0 })
		g.open(t, "go")
		if sum, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered))); sum != 4 || err != nil {
			t.Errorf("afterwards: got %d, %v; want 4", sum, err)
		}
	}
}

func TestReduceOfAnIterator(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, ordered := range []bool{false, true} {
		job := must(square.On(s).MapSeq(ctx, slices.Values(upTo(300))))(t)
		if sum, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(ordered))); sum != 299*300*599/6 || err != nil {
			t.Errorf("ordered %v: got %d, %v; want %d", ordered, sum, err, 299*300*599/6)
		}
	}
}

func TestReductionsAtOnce(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(square.On(s).Map(ctx, upTo(100)))(t)
	const n = 6
	errs := make(chan error, n)
	for i := range n {
		go func() {
			sum, err := job.Reduce(ctx, sumInts.On(s, clusterless.Ordered(i%2 == 0)))
			if err == nil && sum != 328350 {
				err = fmt.Errorf("sum is %d", sum)
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

func TestReduceOfACancelledJob(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	job := must(walk.On(s).Map(ctx, []step{{Value: 1}, {Value: 2}, {Say: g.file("began"), Await: g.file("never")}}))(t)
	g.seen(t, "began")
	if err := job.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := job.Reduce(ctx, sumInts.On(s))
	wantErr(t, err, clusterless.ErrCancelled)
}

func TestFold(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	// The first call ends last, and is folded last.
	job := must(walk.On(s).Map(ctx, []step{{Await: g.file("go"), Value: 1}, {Value: 2}, {Value: 3}}))(t)
	got, err := clusterless.Fold(ctx, job, []int(nil), func(acc []int, x int) ([]int, error) {
		if acc = append(acc, x); len(acc) == 2 {
			g.open(t, "go")
		}
		return acc, nil
	})
	if err != nil || len(got) != 3 || got[2] != 1 {
		t.Errorf("got %v, %v; want 1 at the end", got, err)
	}
	enough := errors.New("enough")
	_, err = clusterless.Fold(ctx, job, 0, func(int, int) (int, error) { return 0, enough })
	wantErr(t, err, enough, "clusterless: fold result of call ")
	failing := must(odd.On(s).Map(ctx, upTo(10)))(t)
	_, err = clusterless.Fold(ctx, failing, 0, func(acc, x int) (int, error) { return acc + x, nil })
	wantErr(t, err, errStep)
	none := must(square.On(s).Map(ctx, nil))(t)
	if v, err := clusterless.Fold(ctx, none, 7, func(acc, x int) (int, error) { return acc + x, nil }); v != 7 || err != nil {
		t.Errorf("of nothing: got %d, %v; want 7", v, err)
	}
}

func TestFoldEndsWithItsContext(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	job := must(walk.On(s).Map(ctx, []step{{Value: 2}, {Await: g.file("never")}}))(t)
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	v, err := clusterless.Fold(ended, job, 0, func(acc, x int) (int, error) { cancel(); return acc + x, nil })
	wantErr(t, err, context.Canceled)
	if v != 2 {
		t.Errorf("got %d; want what was folded, 2", v)
	}
	if err := job.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = clusterless.Fold(ctx, job, 0, func(acc, x int) (int, error) { return acc + x, nil })
	wantErr(t, err, clusterless.ErrCancelled)
}

var large = clusterless.Define("test.large", func(_ context.Context, x int) ([]byte, error) {
	b := make([]byte, 4<<20)
	for i := range b {
		b[i] = byte(x)
	}
	return b, nil
})

// The client holds one result at a time, however many there are.
func TestFoldInConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	if mb := residentOf(t, "TestFoldAsChild"); mb > 120 && !raced() {
		t.Errorf("the client used %d MB to fold 60 results of 4 MB; want less than 120", mb)
	}
}

func TestFoldAsChild(t *testing.T) {
	if !onlyAsChild(t) {
		return
	}
	ctx, s := within(t), open(t)
	job := must(large.On(s).Map(ctx, upTo(60)))(t)
	total := must(clusterless.Fold(ctx, job, 0, func(acc int, b []byte) (int, error) {
		if len(b) != 4<<20 || b[0] != b[len(b)-1] {
			return 0, errors.New("damaged")
		}
		return acc + int(b[77]), nil
	}))(t)
	if total != 59*60/2 {
		t.Errorf("got %d; want %d", total, 59*60/2)
	}
	fmt.Printf("resident: %d\n", peak(t))
}
