//go:build !windows

package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// Things that a program seldom does, and that must not hang, crash or harm others.

var oddGet = clusterless.Define("odd.get", func(ctx context.Context, r clusterless.Ref[int]) (int, error) { return r.Get(ctx) })

// oddGated waits for a file, and fails with another.
type oddGated struct{ Gate, Fail string }

var oddWait = clusterless.Define("odd.wait", func(ctx context.Context, in oddGated) (int, error) {
	if _, err := os.Stat(in.Fail); err == nil {
		return 0, errors.New("told to fail")
	}
	for {
		if _, err := os.Stat(in.Gate); err == nil {
			return 7, nil
		}
		time.Sleep(2 * time.Millisecond)
	}
})

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A Ref to a call that its job does not have fails what depends on it, also while that job still runs.
func TestRefToNoCall(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t, clusterless.Slots(4))
	gate := filepath.Join(t.TempDir(), "gate")
	job := must(oddWait.On(s).Map(ctx, []oddGated{{Gate: gate}, {Gate: gate}}))(t)
	next := make(chan int)
	seq := must(square.On(s).MapSeq(ctx, func(yield func(int) bool) {
		yield(3)
		<-next // nothing, once it is closed
	}))(t)
	refs := []clusterless.Ref[int]{job.Ref(-1), job.Ref(2), job.Ref(1000), seq.Ref(-1), seq.Ref(1)}
	dep := must(oddGet.On(s).Map(ctx, refs))(t)
	for call := range 4 {
		_, err := dep.Result(ctx, call)
		if !errors.Is(err, clusterless.ErrDependency) || !strings.Contains(err.Error(), "there is no call") {
			t.Errorf("%v: got %v; want ErrDependency that says that there is no such call", refs[call], err)
		}
	}
	if v, err := seq.Result(ctx, 0); v != 9 || err != nil {
		t.Errorf("call 0 of the iterator: %d, %v", v, err)
	}
	if _, err := dep.Try(ctx, 4); !errors.Is(err, clusterless.ErrNotReady) {
		t.Errorf("%v, which may still come: %v, want ErrNotReady", refs[4], err)
	}
	close(next)
	if _, err := dep.Result(ctx, 4); !errors.Is(err, clusterless.ErrDependency) || !strings.Contains(err.Error(), "there is no call 1") {
		t.Errorf("%v, when the inputs have ended: %v, want ErrDependency", refs[4], err)
	}
	touch(t, gate)
	must(job.Results(ctx))(t)
}

// Calls that are made again wait once more for those that they depend on.
func TestRetryWaitsForDependency(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t)
	gate, fail := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "fail")
	touch(t, fail)
	first := must(oddWait.On(s).Map(ctx, []oddGated{{gate, fail}}))(t)
	then := must(oddGet.On(s).Map(ctx, []clusterless.Ref[int]{first.Ref(0)}))(t)
	if _, err := then.Results(ctx); !errors.Is(err, clusterless.ErrDependency) {
		t.Fatalf("got %v; want ErrDependency", err)
	}
	if n, err := then.Retry(ctx); n != 1 || err != nil {
		t.Fatalf("Retry = %d, %v", n, err)
	}
	if _, err := then.Results(ctx); !errors.Is(err, clusterless.ErrDependency) {
		t.Errorf("after a retry of what depends only: %v; want ErrDependency", err)
	}
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	for _, retry := range []func(context.Context) (int, error){first.Retry, then.Retry} {
		if n, err := retry(ctx); n != 1 || err != nil {
			t.Fatalf("Retry = %d, %v", n, err)
		}
	}
	if st := then.Status(); st.Waiting != 1 || st.Done != 0 {
		t.Errorf("%d calls wait and %d are done; want the one to wait", st.Waiting, st.Done)
	}
	touch(t, gate)
	if v, err := then.Results(ctx); err != nil || !slices.Equal(v, []int{7}) {
		t.Errorf("got %v, %v; want 7", v, err)
	}
}

// A damaged commit is the failure of its own calls, which can be made again; the others' results are there.
func TestDamagedCommitAlone(t *testing.T) {
	t.Parallel()
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	want := []int{1, 4, 9, 16, 25}
	must(must(square.On(s, clusterless.Name("harmed"), clusterless.Span(1)).Map(ctx, []int{1, 2, 3, 4, 5}))(t).Results(ctx))(t)
	s.Close()
	harmed := faultBlobs(t, dir, "harmed", "out")[2]
	st := must(os.Stat(harmed))(t)
	faultDamage(t, harmed, st.Size()-20, 1)

	s = openIn(t, dir)
	job := must(clusterless.Attach[int](ctx, s, "harmed"))(t)
	for call, r := range faultOutcomes(t, ctx, job) {
		if call == 2 && !errors.Is(r.Err, clusterless.ErrDamaged) || call != 2 && (r.Err != nil || r.Value != want[call]) {
			t.Errorf("call %d: %d, %v", call, r.Value, r.Err)
		}
	}
	if failed, err := job.Wait(ctx); err != nil || !slices.Equal(failed, []int{2}) {
		t.Errorf("Wait = %v, %v; want 2", failed, err)
	}
	if n, err := job.Retry(ctx); n != 1 || err != nil {
		t.Fatalf("Retry = %d, %v", n, err)
	}
	for range 2 {
		if v, err := job.Results(ctx); err != nil || !slices.Equal(v, want) {
			t.Errorf("after Retry: %v, %v", v, err)
		}
		s.Close()
		s = openIn(t, dir)
		job = must(clusterless.Attach[int](ctx, s, "harmed"))(t)
	}
}

// oddHook marshals itself, but not always.
type oddHook struct{ X int }

func (h oddHook) MarshalBinary() ([]byte, error) {
	switch h.X {
	case 3:
		return nil, errors.New("three cannot travel")
	case 8:
		runtime.Goexit()
	}
	return []byte{byte(h.X)}, nil
}

func (h *oddHook) UnmarshalBinary(b []byte) error {
	if h.X = int(b[0]); h.X == 5 {
		return errors.New("five cannot arrive")
	}
	return nil
}

var (
	oddHookOut = clusterless.Define("odd.hookout", func(_ context.Context, x int) (oddHook, error) { return oddHook{x}, nil })
	oddHookIn  = clusterless.Define("odd.hookin", func(_ context.Context, h oddHook) (int, error) { return h.X, nil })
)

// A value that cannot travel is the failure of its own call, not of those beside it.
func TestHookFailsAlone(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t)
	out := must(oddHookOut.On(s, clusterless.Span(8)).Map(ctx, []int{0, 1, 2, 3, 4, 6, 7}))(t)
	_, err := oddHookOut.On(s).Call(ctx, 8)
	wantErr(t, err, nil, "runtime.Goexit")
	in := must(oddHookIn.On(s, clusterless.Span(8)).Map(ctx, []oddHook{{0}, {1}, {2}, {5}, {4}, {6}, {7}}))(t)
	for i, want := range []int{0, 1, 2, -1, 4, 6, 7} {
		v, err := out.Result(ctx, i)
		if want < 0 && !errors.Is(err, clusterless.ErrCannotTravel) || want >= 0 && (err != nil || v.X != want) {
			t.Errorf("result %d: %v, %v; want %d", i, v, err, want)
		}
		w, err := in.Result(ctx, i)
		if want < 0 && !errors.Is(err, clusterless.ErrCannotTravel) || want >= 0 && (err != nil || w != want) {
			t.Errorf("input %d: %v, %v; want %d", i, w, err, want)
		}
	}
}

// An iterator that ends its goroutine has not come to its end.
func TestIteratorGoexit(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t)
	job := must(square.On(s).MapSeq(ctx, func(yield func(int) bool) {
		yield(2)
		runtime.Goexit()
	}))(t)
	if v, err := job.Results(ctx); !errors.Is(err, clusterless.ErrCut) || !strings.Contains(err.Error(), "Goexit") || !slices.Equal(v, []int{4}) {
		t.Errorf("got %v, %v; want 4 and ErrCut that names Goexit", v, err)
	}
}

// oddStore takes no inputs of a reduction but the first.
type oddStore struct{ *filestore.Store }

func (s oddStore) Put(ctx context.Context, key string, r io.Reader) error {
	if strings.HasPrefix(key, "jobs/odd.sum-") && strings.Contains(key, "/in/") {
		return errors.New("no room for it")
	}
	return s.Store.Put(ctx, key, r)
}

var oddSum = clusterless.Define("odd.sum", clusterless.Sum[int])

// A reduction whose calls cannot be sent ends, and says why.
func TestReduceCannotSend(t *testing.T) {
	t.Parallel()
	ctx, dir := within(t), t.TempDir()
	files := must(filestore.Open(filepath.Join(dir, "store")))(t)
	s := openIn(t, dir, clusterless.WithStore(oddStore{files}))
	job := must(square.On(s).Map(ctx, make([]int, 100)))(t)
	must(job.Results(ctx))(t)
	if _, err := job.Reduce(ctx, oddSum.On(s)); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "no room for it") {
		t.Errorf("got %v; want the error of the store", err)
	}
}

// A submit that Close comes in between of is told so.
func TestCloseAnyTime(t *testing.T) {
	t.Parallel()
	ctx, dir := within(t), t.TempDir()
	for i := range 20 {
		s := must(clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2)))(t)
		done := make(chan error, 2)
		go func() {
			job, err := square.On(s, clusterless.Name(fmt.Sprintf("job-%d", i))).Map(ctx, make([]int, 30))
			if err == nil {
				_, err = job.Reduce(ctx, oddSum.On(s))
			}
			done <- err
		}()
		go func() {
			job, err := square.On(s).MapSeq(ctx, func(yield func(int) bool) {
				for x := 0; x < 100_000 && yield(x); x++ {
				}
			})
			if err == nil {
				_, err = job.Results(ctx)
			}
			done <- err
		}()
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, clusterless.ErrClosed) {
				t.Errorf("after Close: %.300v; want ErrClosed", err)
			}
		}
	}
}

type oddError struct{ Text []byte }

func (e *oddError) Error() string { return string(e.Text) }

// oddFail fails with an error of n bytes, by a panic if n is negative.
var oddFail = clusterless.Define("odd.fail", func(_ context.Context, n int) (int, error) {
	if n < 0 {
		panic(strings.Repeat("é", -n/2))
	}
	return 0, fmt.Errorf("%w and %w", &oddError{[]byte(strings.Repeat("é", n/2))}, io.ErrUnexpectedEOF)
})

// An error of any size comes back, but not all of it.
func TestLargeError(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t)
	for _, n := range []int{1000, 100_000, 20_000_001, -1000, -20_000_000} {
		_, err := oddFail.On(s).Call(ctx, n)
		var e *clusterless.TaskError
		if !errors.As(err, &e) {
			t.Fatalf("%d: got %.200v", n, err)
		}
		text, size := err.Error(), len(e.Panic)+len(e.Stack)+len(e.Err.Error())
		if n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) || n < 0 && !errors.Is(err, clusterless.ErrPanic) {
			t.Errorf("%d: errors.Is does not see what the error is: %.200v", n, err)
		}
		if !strings.Contains(text, strings.Repeat("é", 400)) || len(text) > 70_000 || size > 300_000 {
			t.Errorf("%d: error of %d bytes, %d with the rest", n, len(text), size)
		}
		if large := max(n, -n) > 10_000; large != strings.Contains(text, "bytes in all") {
			t.Errorf("%d: error says that it was cut: %v; it ends in %q", n, !large, text[len(text)-100:])
		}
	}
}
