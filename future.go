package clusterless

import (
	"context"
	"fmt"
	"io"
	"reflect"

	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/store"
)

// A Future is the handle on the result of one call. It may be copied and used at once.
type Future[Out any] struct {
	s    *Session
	t    *track.Tracker
	call int
}

func (f Future[Out]) job() *Job[Out] { return &Job[Out]{&AnyJob{s: f.s, t: f.t}} }

// Name is the name of the call's job.
func (f Future[Out]) Name() string { return f.t.Job.ID }

// Get waits for the call and returns its result.
func (f Future[Out]) Get(ctx context.Context) (Out, error) { return f.job().Result(ctx, f.call) }

// Try returns the result if the call has finished, and [ErrNotReady] at once if it has not.
func (f Future[Out]) Try(ctx context.Context) (Out, error) { return f.job().Try(ctx, f.call) }

// Take is Get, and removes the result from the store: a second Take is [ErrTaken].
func (f Future[Out]) Take(ctx context.Context) (Out, error) { return f.job().Take(ctx, f.call) }

// Ref returns a reference to the result, for the input of another call.
func (f Future[Out]) Ref() Ref[Out] { return f.job().Ref(f.call) }

// Files waits for the call and returns the files that it returned.
func (f Future[Out]) Files(ctx context.Context) ([]File, error) { return f.job().Files(ctx, f.call) }

// Log opens what the call's process wrote to stdout and stderr.
func (f Future[Out]) Log(ctx context.Context, follow bool) (io.ReadCloser, error) {
	return f.job().Log(ctx, f.call, follow)
}

// Cancel ends the call.
func (f Future[Out]) Cancel(ctx context.Context) error { return f.job().Cancel(ctx) }

// Delete cancels the call and removes its job.
func (f Future[Out]) Delete(ctx context.Context) error { return f.job().Delete(ctx) }

// release removes the job of a call that only its caller knew of.
func (f Future[Out]) release() {
	if f.t.Ledger.Manifest.Temporary {
		f.s.release(f.t)
	}
}

// attachCall returns the future of a call of any job.
func attachCall[Out any](ctx context.Context, s *Session, d plan.Dep) (Future[Out], error) {
	t, err := s.tracker(ctx, d.Job)
	if err != nil {
		return Future[Out]{}, err
	}
	if err := checkOut[Out](t); err != nil {
		return Future[Out]{}, err
	}
	return Future[Out]{s, t, d.Call}, nil
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }

func sourceOf(items []plan.Item, head any) io.Reader {
	return store.Source(func(w io.Writer) error { _, err := plan.WritePack(w, items, head); return err })
}

// Broadcast puts a value into the store, once, and returns a reference to it for the inputs of calls. The same value is
// not sent twice: its name in the store is the hash of its bytes. Tasks do not wait for what a broadcast value refers to, so
// a Ref in it to a call that has not finished is an error ([ErrNotReady]). The value must not change meanwhile.
func Broadcast[T any](ctx context.Context, s *Session, v T) (Ref[T], error) {
	ref, err := s.broadcast(ctx, &v)
	if err != nil {
		return Ref[T]{}, fmt.Errorf("clusterless: broadcast %s: %w", typeName[T](), err)
	}
	return Ref[T]{ref, s}, nil
}
