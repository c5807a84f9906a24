package clusterless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// A Ref is a typed reference to a value in the store: one that was broadcast, or the result of a call, finished or not.
// It is small. Put it into the input of a call, and the call gets at the value with Get, without the value passing
// through the client; a call that refers to one that has not finished starts when that has, and fails if that fails.
// It can be copied, compared (two broadcasts of the same value are equal) and sent anywhere.
type Ref[T any] struct {
	ref plan.Ref
	s   *Session
}

// referrer is what all Refs have in common.
type referrer interface{ reference() plan.Ref }

var refType = reflect.TypeFor[referrer]()

// binder lets a Ref that was decoded work on the session that decoded it.
type binder interface{ bind(*Session) }

func (r Ref[T]) reference() plan.Ref { return r.ref }
func (r *Ref[T]) bind(s *Session)    { r.s = s }

// IsZero reports whether the Ref refers to nothing.
func (r Ref[T]) IsZero() bool { return r.ref == plan.Ref{} }

// String names what it refers to.
func (r Ref[T]) String() string {
	switch {
	case r.IsZero():
		return "no value"
	case r.ref.SHA != "":
		return fmt.Sprintf("broadcast value %.12s (%d bytes)", r.ref.SHA, r.ref.Size)
	}
	return fmt.Sprintf("result of call %d of job %s", r.ref.Call, r.ref.Job)
}

// MarshalBinary is used when a Ref is sent; it leaves out the session.
func (r Ref[T]) MarshalBinary() ([]byte, error) { return json.Marshal(r.ref) }

// UnmarshalBinary reads what MarshalBinary wrote.
func (r *Ref[T]) UnmarshalBinary(b []byte) error { return json.Unmarshal(b, &r.ref) }

// Get returns the value. In a task a broadcast value is there once for the node; slices of numbers in it that are 16 KiB
// and larger are memory of their own for each Get, mapped from the node's copy: writing to them is fine, and is seen by
// nobody else. It lasts until the call ends: then the memory is another call's, so a goroutine that goes on after its call must
// not touch it. On the client Get waits for a call that has not finished, and copies.
func (r Ref[T]) Get(ctx context.Context) (v T, err error) {
	switch {
	case r.IsZero():
		return v, errors.New("clusterless: Get of a Ref that refers to nothing")
	case callOf(ctx) != nil:
		err = callOf(ctx).Load(ctx, r.ref, &v)
	case inWorker:
		err = errors.New("want the context that the function was called with")
	case r.s == nil:
		err = errors.New("it belongs to no session: bind it with Bind")
	case r.ref.SHA != "":
		err = r.s.value(ctx, r.ref, &v)
	default:
		var f Future[T]
		if f, err = attachCall[T](ctx, r.s, r.ref.Dep); err == nil {
			v, err = f.Get(ctx)
		}
	}
	if err != nil {
		return v, fmt.Errorf("clusterless: get %v: %w", r, err)
	}
	return v, nil
}

// Bind returns a Ref that was decoded elsewhere (from a file, by other means than a session) for use on a session.
func Bind[T any](s *Session, r Ref[T]) Ref[T] { return Ref[T]{r.ref, s} }

// decoder reads results on the client.
func (s *Session) decoder() *codec.Decoder {
	return &codec.Decoder{OnUnmarshal: func(ptr any) error {
		if b, ok := ptr.(binder); ok {
			b.bind(s)
		}
		return nil
	}}
}
