package clusterless

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// A Remote is a Func on a session. It may be copied and used at once.
type Remote[In, Out any] struct {
	d    *definition[In, Out]
	s    *Session
	opts []Option
}

// Call makes one call as a task, and waits for its result.
func (r Remote[In, Out]) Call(ctx context.Context, in In) (Out, error) {
	f, err := r.Go(ctx, in)
	if err != nil {
		var zero Out
		return zero, err
	}
	v, err := f.Get(ctx)
	if err == nil { // else its log may be of interest until the session closes
		f.release()
	}
	return v, err
}

// Go makes one call as a task, and returns at once: when the input is stored and the engine has accepted the task.
func (r Remote[In, Out]) Go(ctx context.Context, in In) (Future[Out], error) {
	t, err := r.submit(ctx, slices.Values([]In{in}), 1)
	if err != nil {
		return Future[Out]{}, err
	}
	return Future[Out]{r.s, t, 0}, nil
}

// Map makes one job of a call for each input, and returns when all inputs are stored; calls are made meanwhile. What
// the inputs point to may be changed afterwards.
func (r Remote[In, Out]) Map(ctx context.Context, ins []In) (*Job[Out], error) {
	t, err := r.submit(ctx, slices.Values(ins), len(ins))
	if err != nil {
		return nil, err
	}
	return &Job[Out]{&AnyJob{s: r.s, t: t}}, nil
}

// MapSeq is Map for inputs that are too many to be held at once: it takes them from the iterator as calls are made, no
// more than some hundred MB ahead of the calls, and returns after the first. The iterator runs in another goroutine, and is ahead of
// what is sent: what an input points to must not change after it was yielded. If ctx ends before the iterator does, the job is
// left cut off: what was sent is worked on, and Wait says [ErrCut].
func (r Remote[In, Out]) MapSeq(ctx context.Context, ins iter.Seq[In]) (*Job[Out], error) {
	t, err := r.submit(ctx, ins, -1)
	if err != nil {
		return nil, err
	}
	return &Job[Out]{&AnyJob{s: r.s, t: t}}, nil
}

// check says what keeps the handle from working.
func (r Remote[In, Out]) check() error {
	if err := r.d.check(); err != nil {
		return err
	}
	if r.s == nil {
		return fmt.Errorf("clusterless: %s: On was given no session: open one with Open", r.d.name)
	}
	return nil
}

func (r Remote[In, Out]) submit(ctx context.Context, ins iter.Seq[In], n int) (*track.Tracker, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.s.submit(ctx, r.spec(ins, n))
}

// spec describes a job to the session, which knows no types. n is the number of inputs, -1 for an iterator to be run
// beside.
func (r Remote[In, Out]) spec(ins iter.Seq[In], n int) spec {
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	s := spec{fn: r.d.name, in: in, out: out, flatIn: n != 1 && flat(in), flatOut: flat(out), n: n, def: r.d.opts, on: r.opts}
	size := 1
	if s.flatIn {
		size = max(1, min(4096, (64<<10)/max(1, int(in.Size()))))
	}
	batches := func(context.Context) iter.Seq2[[]In, error] { return chunks(ins, size) }
	if n < 0 {
		batches = func(ctx context.Context) iter.Seq2[[]In, error] { return gather(ctx, ins, size) }
	}
	s.messages = func(ctx context.Context) iter.Seq[message] {
		return func(yield func(message) bool) {
			for b, err := range batches(ctx) {
				m := message{n: len(b), err: err}
				switch {
				case len(b) == 0: // send what is there
				case s.flatIn:
					m.encode = func(e *codec.Encoder, w io.Writer) error { _, err := e.Encode(w, &b); return err }
				default:
					m.encode = func(e *codec.Encoder, w io.Writer) error { _, err := e.Encode(w, &b[0]); return err }
				}
				if !yield(m) {
					return
				}
			}
		}
	}
	return s
}

// chunks yields what seq yields in slices of up to size.
func chunks[T any](seq iter.Seq[T], size int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		var batch []T
		for v := range seq {
			if batch = append(batch, v); len(batch) == size {
				b := batch
				batch = nil
				if !yield(b, nil) {
					return
				}
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// A message is one or more inputs, encoded as one; with none it says that those before should be sent.
type message struct {
	n      int
	encode func(e *codec.Encoder, w io.Writer) error
	deps   []plan.Dep // beside those found while encoding
	err    error      // that ends the inputs before their time
}

// spec is a job to be.
type spec struct {
	fn              string
	in, out         reflect.Type
	flatIn, flatOut bool
	n               int // inputs, -1 if not known
	messages        func(ctx context.Context) iter.Seq[message]
	reduce          bool
	job             string // its name, if it is made up already
	priority        int    // added
	tracker         func(*track.Tracker)
	def, on         []Option
}

// checkN says what is wrong with a number of calls.
func checkN(n int) error {
	if n > 1<<31-2 {
		return fmt.Errorf("%d calls are more than a job can have", n)
	}
	return nil
}
