package clusterless_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var ifThere = clusterless.Define("test.if.there", func(_ context.Context, in struct {
	File string
	I    int
}) (int, error) {
	if _, err := os.Stat(in.File); err != nil && in.I%5 == 0 {
		return 0, errors.New("not there yet")
	}
	return in.I, nil
})

// What a call became when it was made again is what every process sees, in whatever order it reads the commits.
func TestRetriedCallsAreSeenByAll(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	file := filepath.Join(t.TempDir(), "file")
	ins := make([]struct {
		File string
		I    int
	}, 20)
	want := make([]int, 20)
	for i := range ins {
		ins[i].File, ins[i].I, want[i] = file, i, i
	}
	job := must(ifThere.On(s, clusterless.Name("again"), clusterless.Span(1)).Map(ctx, ins))(t)
	if failed := must(job.Wait(ctx))(t); !slices.Equal(failed, []int{0, 5, 10, 15}) {
		t.Fatalf("calls %v failed", failed)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := must(job.Retry(ctx))(t); n != 4 {
		t.Fatalf("%d calls are made again, want 4", n)
	}
	if failed := must(job.Wait(ctx))(t); len(failed) > 0 {
		t.Fatalf("calls %v failed again", failed)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s := openIn(t, dir)
		look := must(s.Look(ctx, "again"))(t)
		if st := look.Status(); st.Failed != 0 || st.Done != 20 {
			t.Errorf("Look: %d of %d failed", st.Failed, st.Done)
		}
		got, err := must(clusterless.Attach[int](ctx, s, "again"))(t).Results(ctx)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Attach: %v, %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
