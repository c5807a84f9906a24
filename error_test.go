package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

var errOwn = errors.New("a sentinel of the test")

// A pumpError is an error type with fields, one of them unexported, and a cause.
type pumpError struct {
	Litres int
	inside string
	cause  error
}

func (e *pumpError) Error() string {
	return fmt.Sprintf("pump with %d l of %s: %v", e.Litres, e.inside, e.cause)
}
func (e *pumpError) Unwrap() error { return e.cause }

// A codeError is one by value.
type codeError int

func (c codeError) Error() string { return fmt.Sprintf("code %d", int(c)) }

// A deafError cannot travel.
type deafError struct{ ch chan int }

func (e *deafError) Error() string { return "deaf" }
func (e *deafError) Unwrap() error { return errOwn }

// bad returns or panics with an error of the kind asked for.
var bad = clusterless.Define("test.bad", func(_ context.Context, kind string) (int, error) {
	fmt.Println("said by", kind)
	switch kind {
	case "eof":
		return 0, io.EOF
	case "not exist":
		_, err := os.Open("/no/such/file")
		return 0, err
	case "own":
		return 0, errOwn
	case "wrapped":
		return 0, fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", errOwn))
	case "joined":
		return 0, errors.Join(errOwn, fmt.Errorf("and %w", io.ErrUnexpectedEOF), codeError(3))
	case "type":
		return 0, fmt.Errorf("work: %w", &pumpError{5, "oil", errOwn})
	case "value":
		return 0, codeError(42)
	case "deaf":
		return 0, fmt.Errorf("it is %w", &deafError{make(chan int)})
	case "context":
		return 0, context.DeadlineExceeded
	case "panic":
		panic("words of the panic")
	case "panic error":
		panic(fmt.Errorf("thrown: %w", &pumpError{6, "tar", errOwn}))
	case "panic nil":
		panic(nil)
	case "index":
		return (make([]int, 1))[len(kind)], nil
	case "pointer":
		var p *pumpError
		return p.Litres, nil
	case "goexit":
		runtime.Goexit()
	case "silent":
		return 0, errors.New("")
	}
	return 1, nil
})

func TestErrorsTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, c := range []struct {
		kind  string
		is    []error
		text  string
		panic string
	}{
		{"eof", []error{io.EOF}, "EOF", ""},
		{"not exist", []error{fs.ErrNotExist, os.ErrNotExist}, "open /no/such/file: no such file or directory", ""},
		{"own", []error{errOwn}, "a sentinel of the test", ""},
		{"wrapped", []error{errOwn}, "outer: inner: a sentinel of the test", ""},
		{"joined", []error{errOwn, io.ErrUnexpectedEOF, codeError(3)}, "a sentinel of the test\nand unexpected EOF\ncode 3", ""},
		{"type", []error{errOwn}, "work: pump with 5 l of oil: a sentinel of the test", ""},
		{"value", []error{codeError(42)}, "code 42", ""},
		{"deaf", []error{errOwn}, "it is deaf", ""},
		{"context", []error{context.DeadlineExceeded}, "context deadline exceeded", ""},
		{"panic", []error{clusterless.ErrPanic}, "panic: words of the panic", "words of the panic"},
		{"panic error", []error{clusterless.ErrPanic, errOwn}, "panic: thrown: pump with 6 l of tar: a sentinel of the test", "thrown: pump with 6 l of tar: a sentinel of the test"},
		{"panic nil", []error{clusterless.ErrPanic}, "panic called with nil argument", "panic called with nil argument"},
		{"index", []error{clusterless.ErrPanic}, "index out of range [5] with length 1", "index out of range [5] with length 1"},
		{"pointer", []error{clusterless.ErrPanic}, "nil pointer dereference", "nil pointer dereference"},
		{"goexit", nil, "runtime.Goexit", ""},
		{"silent", nil, "", ""},
	} {
		t.Run(c.kind, func(t *testing.T) {
			v, err := bad.On(s).Call(ctx, c.kind)
			if v != 0 {
				t.Errorf("got %d beside the error", v)
			}
			wantErr(t, err, nil, "test.bad on ", c.text)
			for _, is := range c.is {
				if !errors.Is(err, is) {
					t.Errorf("%v is not %v", err, is)
				}
			}
			var te *clusterless.TaskError
			if !errors.As(err, &te) {
				t.Fatalf("got %T; want a TaskError", err)
			}
			if te.Func != "test.bad" || te.Call != 0 || te.Task != 0 || te.Attempt != 1 || te.Node == "" || !strings.HasPrefix(te.Job, "test.bad-") || te.ExitCode != 0 || te.Signal != "" {
				t.Errorf("got %+v", te)
			}
			if !strings.Contains(te.Panic, c.panic) || c.panic == "" && te.Panic != "" {
				t.Errorf("Panic is %q; want %q", te.Panic, c.panic)
			}
			if (te.Kind == clusterless.ErrPanic) != (c.panic != "") {
				t.Errorf("Kind is %v", te.Kind)
			}
			if c.panic != "" && (!strings.Contains(te.Stack, "error_test.go:") || strings.Contains(te.Stack, "worker/task.go")) {
				t.Errorf("the stack should begin and end in the function:\n%s", te.Stack)
			}
			if want := "said by " + c.kind + "\n"; te.Log != want {
				t.Errorf("Log is %q; want %q", te.Log, want)
			}
			if d := te.Detail(); !strings.HasPrefix(d, te.Error()) || !strings.Contains(d, "    said by "+c.kind) || !strings.Contains(d, "attempt 1") ||
				c.panic != "" && !strings.Contains(d, "error_test.go:") {
				t.Errorf("Detail:\n%s", d)
			}
		})
	}
}

func TestErrorTypesTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	for kind, want := range map[string]pumpError{"type": {5, "oil", errOwn}, "panic error": {6, "tar", errOwn}} {
		_, err := bad.On(s).Call(ctx, kind)
		var pe *pumpError
		if !errors.As(err, &pe) || *pe != want {
			t.Errorf("%s: got %+v; want %+v", kind, pe, want)
		}
	}
	_, err := bad.On(s).Call(ctx, "value")
	var code codeError
	if !errors.As(err, &code) || code != 42 {
		t.Errorf("value: got %v", err)
	}
	_, err = bad.On(s).Call(ctx, "not exist")
	var pe *fs.PathError
	if !errors.As(err, &pe) || pe.Path != "/no/such/file" || pe.Op != "open" {
		t.Errorf("not exist: got %+v", pe)
	}
	_, err = bad.On(s).Call(ctx, "index")
	var re runtime.Error
	if !errors.As(err, &re) {
		t.Errorf("index: got %v; want a runtime.Error in it", err)
	}
}

// A call that panics or leaves its goroutine must not hurt its neighbours in the same task.
func TestNeighboursOfBadCalls(t *testing.T) {
	ctx, s := within(t), open(t)
	kinds := []string{"fine", "panic", "fine", "goexit", "fine", "index", "goexit", "own", "fine"}
	job := must(bad.On(s, clusterless.Span(len(kinds))).Map(ctx, kinds))(t)
	failed := must(job.Wait(ctx))(t)
	if want := []int{1, 3, 5, 6, 7}; !slices.Equal(failed, want) {
		t.Errorf("failed: %v; want %v", failed, want)
	}
	for i, k := range kinds {
		if v, err := job.Result(ctx, i); k == "fine" && (v != 1 || err != nil) {
			t.Errorf("call %d: got %d, %v; want 1", i, v, err)
		}
	}
}

func TestRetryErrors(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	opts := []clusterless.Option{clusterless.RetryErrors(3), clusterless.Backoff(time.Millisecond)}
	job := must(once.On(s, opts...).Map(ctx, []string{g.file("a"), g.file("b")}))(t)
	for i := range 2 {
		r := must(job.Outcome(ctx, i))(t)
		if r.Value != 17 || r.Err != nil || r.Attempts != 2 {
			t.Errorf("call %d: got %+v; want 17 at the second attempt", i, r)
		}
	}
	if st := job.Status(); st.Retries != 2 || st.Failed != 0 {
		t.Errorf("status: %+v; want 2 retries", st)
	}
	never := must(bad.On(s, opts...).Map(ctx, []string{"own"}))(t)
	r := must(never.Outcome(ctx, 0))(t)
	if !errors.Is(r.Err, errOwn) || r.Attempts != 4 {
		t.Errorf("got %v after %d attempts; want 4", r.Err, r.Attempts)
	}
	again := must(whereAmI.On(s, opts...).Call(ctx, struct{}{}))(t)
	if again.Task.Try != 1 {
		t.Errorf("Try is %d", again.Task.Try)
	}
}

var sleepy = clusterless.Define("test.sleepy", func(ctx context.Context, in step) (int, error) {
	<-ctx.Done()
	return 0, fmt.Errorf("woken: %w", context.Cause(ctx))
})

func TestTimeout(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := sleepy.On(s, clusterless.Timeout(20*time.Millisecond)).Call(ctx, step{})
	wantErr(t, err, clusterless.ErrTimeout, "20ms", "woken: the call ran out of its time of 20ms")
	var te *clusterless.TaskError
	if !errors.As(err, &te) || te.Kind != clusterless.ErrTimeout {
		t.Errorf("got %+v", te)
	}
	// In time is in time; and the time is that of a call, not of its task.
	job := must(walk.On(s, clusterless.Timeout(20*time.Second), clusterless.Span(5)).Map(ctx, make([]step, 10)))(t)
	if failed, err := job.Wait(ctx); len(failed) > 0 || err != nil {
		t.Errorf("got %v, %v", failed, err)
	}
}

func TestLongOutputIsCutInErrors(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := chatter.On(s).Call(ctx, 5000)
	var te *clusterless.TaskError
	if !errors.As(err, &te) {
		t.Fatal(err)
	}
	if len(te.Log) > 8<<10 || !strings.HasSuffix(te.Log, "line 4999\n") || strings.Contains(te.Log, "line 0\n") || !strings.HasPrefix(te.Log, "line ") {
		t.Errorf("Log has %d bytes, from %q; want whole lines to the last", len(te.Log), te.Log[:min(20, len(te.Log))])
	}
}

// chatter prints lines and fails.
var chatter = clusterless.Define("test.chatter", func(_ context.Context, lines int) (int, error) {
	for i := range lines {
		fmt.Println("line", i)
	}
	return 0, errStep
})
