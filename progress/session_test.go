package progress_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/progress"
)

// The test binary is also the worker.
func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

var twice = clusterless.Define("twice", func(_ context.Context, i int) (int, error) { return 2 * i, nil })

// numbers makes, or attaches to, a job of n calls in a session of its own.
func numbers(t *testing.T, n int, dir string, display clusterless.Option) {
	t.Helper()
	ctx := t.Context()
	s, err := clusterless.Open(ctx, display, clusterless.Dir(dir), clusterless.Slots(2))
	if err != nil {
		t.Fatal(err)
	}
	job, err := twice.On(s, clusterless.Name("numbers"), clusterless.OrAttach(true)).Map(ctx, make([]int, n))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Results(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestJobsOfASession(t *testing.T) {
	var out bytes.Buffer
	numbers(t, 50, t.TempDir(), progress.JSON(&out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last struct {
		Event, Job, Func string
		Total, Done      int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	want := last
	want.Event, want.Job, want.Func, want.Total, want.Done = "end", "numbers", "twice", 50, 50
	if last != want {
		t.Errorf("got the last line %+v, want %+v", last, want)
	}
}

// Who attaches to a job is told so, since what it gives now is not what comes of it.
func TestAttachedIsSaid(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	for range 2 {
		numbers(t, 5, dir, progress.New(&out, progress.Lines).Option())
	}
	if got := out.String(); strings.Count(got, "numbers: attached; made by ") != 1 || !strings.Contains(got, "; 5 of 5\n") || strings.Contains(got, "another build") {
		t.Errorf("got %q", got)
	}
}
