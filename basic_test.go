package clusterless_test

import (
	"context"
	"slices"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var square = clusterless.Define("test.square", func(_ context.Context, x int) (int, error) { return x * x, nil })

func TestCallHereAndOnASession(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	here, err := square.Call(ctx, 7)
	if err != nil || here != 49 {
		t.Fatalf("here: got %d, %v; want 49", here, err)
	}
	there, err := square.On(s).Call(ctx, 7)
	if err != nil || there != 49 {
		t.Fatalf("as a task: got %d, %v; want 49", there, err)
	}
}

func TestMapKeepsOrder(t *testing.T) {
	ctx := context.Background()
	s := open(t)
	var ins, want []int
	for i := range 5000 {
		ins, want = append(ins, i), append(want, i*i)
	}
	job, err := square.On(s).Map(ctx, ins)
	if err != nil {
		t.Fatal(err)
	}
	got, err := job.Results(ctx)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %d results, %v; want the squares of 0 to 4999", len(got), err)
	}
}
