package clusterless

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"slices"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// CopyTo copies the value to the store of another session, which may be of another account, region or cloud, and returns a
// Ref to it there, as [Broadcast] does. It waits for a call that has not finished. The value is not decoded and never whole in
// memory: a broadcast value is fetched by the other store itself where the two can do that; all else is streamed. (A value of a
// type that may hold Refs is decoded first: with Refs in it, it is refused, since these would refer to nothing there.) A value
// that is there already is not sent again. The value here stays.
//
//	ref, err := future.Ref().CopyTo(ctx, there)
func (r Ref[T]) CopyTo(ctx context.Context, there *Session) (Ref[T], error) {
	ref, err := r.copyTo(ctx, there)
	if err != nil {
		return Ref[T]{}, fmt.Errorf("clusterless: copy %v to %s: %w", r, there.store.URL(), err)
	}
	there.hold(ref)
	return Ref[T]{ref, there}, nil
}

func (r Ref[T]) copyTo(ctx context.Context, there *Session) (plan.Ref, error) {
	switch {
	case r.IsZero():
		return plan.Ref{}, errors.New("there is nothing to copy")
	case inWorker:
		return plan.Ref{}, errors.New("that is for clients: in a task, get the value and return it")
	case r.s == nil:
		return plan.Ref{}, errors.New("it belongs to no session: bind it with Bind")
	}
	for _, s := range []*Session{r.s, there} {
		if err := s.use(); err != nil {
			return plan.Ref{}, err
		}
		defer s.busy.Done()
	}
	if err := r.refuseRefs(ctx); err != nil {
		return plan.Ref{}, err
	}
	if r.ref.SHA == "" {
		return r.copyResult(ctx, there)
	}
	err := store.Copy(ctx, there.store, r.s.store, plan.ValueKey(r.ref.SHA))
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return r.ref, err
}

// copyResult copies the result of a call.
func (r Ref[T]) copyResult(ctx context.Context, there *Session) (ref plan.Ref, err error) {
	f, err := attachCall[T](ctx, r.s, r.ref.Dep)
	if err != nil {
		return ref, err
	}
	rec, err := f.t.Settled(ctx, f.call, true)
	if err != nil {
		return ref, err
	}
	if err := f.job().failure(ctx, f.call); err != nil {
		return ref, err
	}
	c, err := f.t.Commit(ctx, rec)
	if err != nil {
		return ref, err
	}
	defer c.Release()
	i := c.Pack.Find(f.call)
	if i < 0 {
		return ref, ErrDamaged
	}
	if f.t.Ledger.Manifest.FlatOut || f.t.Took() { // one of several small values in one message; or it may be gone
		v, err := f.Get(ctx)
		if err != nil {
			return ref, err
		}
		return there.broadcast(ctx, &v)
	}
	entry := c.Pack.Entries[i]
	_, memory := c.Pack.Message(i)
	message := store.Source(func(w io.Writer) error {
		if memory != nil {
			_, err := w.Write(memory)
			return err
		}
		b, err := store.GetRange(ctx, r.s.store, plan.OutKey(r.ref.Job, rec.Task, rec.Seq), entry.Off, entry.Len)
		if err != nil {
			return err
		}
		defer b.Close()
		_, err = io.Copy(w, b)
		return err
	})
	return there.putMessage(ctx, entry.Len, message)
}

// putMessage stores an encoded value under the hash of its bytes.
func (s *Session) putMessage(ctx context.Context, size int64, message *store.Written) (plan.Ref, error) {
	h := sha256.New()
	named := func() plan.Ref { return plan.Ref{SHA: hex.EncodeToString(h.Sum(nil)), Size: size} }
	hashed := store.Source(func(w io.Writer) error {
		h.Reset()
		_, err := message.WriteTo(hashing{w, h})
		return err
	})
	err := store.PutNamed(ctx, s.store, hashed, func() string { return plan.ValueKey(named().SHA) })
	switch {
	case err == nil:
		s.markSeen(ctx, named())
	case errors.Is(err, fs.ErrExist):
	case errors.Is(err, errors.ErrUnsupported): // it wants to know the name first
		if _, err := hashed.WriteTo(io.Discard); err != nil {
			return plan.Ref{}, err
		}
		if err := s.putValue(ctx, named().SHA, message); err != nil {
			return plan.Ref{}, err
		}
	default:
		return plan.Ref{}, err
	}
	return named(), nil
}

// hold notes a value that Clear is to remove.
func (s *Session) hold(ref plan.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.broadcasts, ref) {
		s.broadcasts = append(s.broadcasts, ref)
	}
}

// refuseRefs refuses a value with Refs in it.
func (r Ref[T]) refuseRefs(ctx context.Context) error {
	if !mayHoldRefs(reflect.TypeFor[T](), map[reflect.Type]bool{}) {
		return nil
	}
	v, err := r.Get(ctx)
	if err != nil {
		return err
	}
	_, err = (&codec.Encoder{OnMarshal: func(ptr any) error {
		if in, ok := ptr.(referrer); ok && in.reference() != (plan.Ref{}) {
			return errors.New("it holds Refs, which would refer to nothing there: copy those, and broadcast the value there with the new ones")
		}
		return nil
	}}).Encode(io.Discard, &v)
	return err
}

// mayHoldRefs reports whether a value of the type could have a Ref in it. known are types that were seen, also unfinished ones.
func mayHoldRefs(t reflect.Type, known map[reflect.Type]bool) bool {
	if known[t] {
		return false
	}
	known[t] = true
	if t.Implements(refType) {
		return true
	}
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return mayHoldRefs(t.Elem(), known)
	case reflect.Map:
		return mayHoldRefs(t.Key(), known) || mayHoldRefs(t.Elem(), known)
	case reflect.Struct:
		for i := range t.NumField() {
			if mayHoldRefs(t.Field(i).Type, known) {
				return true
			}
		}
	}
	return false
}
