package clusterless_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var copied = clusterless.Define("test.copied", func(_ context.Context, n int) ([]float64, error) {
	if n < 0 {
		return nil, errors.New("less than nothing")
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i)
	}
	return x, nil
})

var addUp = clusterless.Define("test.addup", func(ctx context.Context, r clusterless.Ref[[]float64]) (float64, error) {
	x, err := r.Get(ctx)
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum, err
})

var plusOne = clusterless.Define("test.plusone", func(_ context.Context, n int) (int, error) { return n + 1, nil })

func TestCopyTo(t *testing.T) {
	ctx, here, there := within(t), open(t), open(t)
	for _, n := range []int{10, 1 << 19} { // a commit that is read whole, and one that is not
		fut := must(copied.On(here).Go(ctx, n))(t) // not finished yet
		ref := must(fut.Ref().CopyTo(ctx, there))(t)
		again := must(fut.Ref().CopyTo(ctx, there))(t)
		if again != ref {
			t.Errorf("copied twice: %v and %v", ref, again)
		}
		if err := fut.Delete(ctx); err != nil { // the copy needs nothing of here
			t.Fatal(err)
		}
		if got := must(addUp.On(there).Call(ctx, ref))(t); got != float64(n)*float64(n-1)/2 {
			t.Errorf("the sum of the copy of %d numbers is %g", n, got)
		}
		back := must(ref.CopyTo(ctx, here))(t)
		if x := must(back.Get(ctx))(t); len(x) != n || x[n-1] != float64(n-1) {
			t.Errorf("copied back: %d numbers", len(x))
		}
	}
	if got := len(there.Broadcasts()); got != 2 {
		t.Errorf("%d values are held there, want 2", got)
	}
	flat := must(plusOne.On(here).Map(ctx, []int{1, 2, 3}))(t) // results that share a message
	if v := must(must(flat.Ref(1).CopyTo(ctx, there))(t).Get(ctx))(t); v != 3 {
		t.Errorf("copy of one of several small results: %d, want 3", v)
	}
	m := newModel(100)
	model := must(clusterless.Broadcast(ctx, here, m))(t)
	if got := must(must(model.CopyTo(ctx, there))(t).Get(ctx))(t); got.depth != 7 || !slices.Equal(got.Speed, m.Speed) {
		t.Errorf("copy of a broadcast value: %+v", got)
	}

	_, err := must(copied.On(here).Go(ctx, -1))(t).Ref().CopyTo(ctx, there)
	var failed *clusterless.TaskError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "less than nothing") {
		t.Errorf("copy of the result of a call that failed: %v", err)
	}
	holder := must(clusterless.Broadcast(ctx, here, shot{Model: model}))(t)
	if _, err := holder.CopyTo(ctx, there); err == nil || !strings.Contains(err.Error(), "holds Refs") {
		t.Errorf("copy of a value with a Ref in it: %v", err)
	}
	if _, err := must(clusterless.Broadcast(ctx, here, shot{At: 3}))(t).CopyTo(ctx, there); err != nil {
		t.Errorf("copy of a value that could have had a Ref in it: %v", err)
	}
	if _, err := (clusterless.Ref[int]{}).CopyTo(ctx, there); err == nil {
		t.Error("copy of nothing: no error")
	}
}
