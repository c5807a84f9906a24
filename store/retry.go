package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"time"
)

// A Policy says how often and when [Retry] tries again. The zero Policy is a good one.
type Policy struct {
	Attempts int           // tries in all; 0 means 6, 1 no second try
	Base     time.Duration // longest wait before the second try; it doubles from try to try; 0 means 100 ms
	Max      time.Duration // longest wait at all; 0 means 10 s
}

// A Rewinder is a source for Put that can start over.
type Rewinder interface {
	// Rewind makes the next Read, or WriteTo, begin where the first one began.
	Rewind() error
}

// Retry returns s with second tries of what fails by a transient error (see [IsTransient]). The wait before each is
// random between nothing and a bound that doubles, so that a thousand workers do not come back together.
//
//   - Get and GetRange: also a reader that breaks off is opened again where it stopped. Tries are counted anew
//     whenever it gets further.
//   - List goes on after the last key it had.
//   - Put is tried again only if r is a [Rewinder] or an io.Seeker; else its error says that it was not.
//
// An attempt of a Put may commit and yet fail, when the answer is lost; the next one then finds its own blob in the
// way. So when an attempt that is not the first gets fs.ErrExist, the blob is read and compared with r: equal bytes
// are success. Hence, after such a failure only, two writers of equal bytes may both hear that they succeeded;
// writers that must know who was first put something of their own into the blob.
//
// The result has the optional methods of s, tried again likewise.
func Retry(s Store, p Policy) Store {
	if p.Attempts == 0 {
		p.Attempts = 6
	}
	if p.Base == 0 {
		p.Base = 100 * time.Millisecond
	}
	if p.Max == 0 {
		p.Max = 10 * time.Second
	}
	return &retrying{s, p}
}

type retrying struct {
	s Store
	p Policy
}

func (t *retrying) URL() string { return t.s.URL() }

// do runs f until it succeeds, fails for good, or was tried often enough. f gets the number of the attempt, from 0.
func (t *retrying) do(ctx context.Context, f func(attempt int) error) error {
	for attempt := 0; ; attempt++ {
		err := f(attempt)
		if err == nil || !IsTransient(err) {
			return err
		}
		if err := t.wait(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// wait sleeps after attempt, counted from 0, failed with cause; an error is the end of trying.
func (t *retrying) wait(ctx context.Context, attempt int, cause error) error {
	if attempt+1 >= t.p.Attempts {
		if attempt == 0 {
			return cause
		}
		return fmt.Errorf("%w (tried %d times)", cause, attempt+1)
	}
	bound := t.p.Max
	if attempt < 30 && t.p.Base<<attempt < bound && t.p.Base<<attempt > 0 {
		bound = t.p.Base << attempt
	}
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(max(bound, 1)))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w, while waiting to try again after: %w", ctx.Err(), cause)
	}
}

func (t *retrying) Put(ctx context.Context, key string, r io.Reader) error {
	rewind := rewinder(r)
	return t.put(ctx, key, rewind, func(attempt int) error {
		err := t.s.Put(ctx, key, r)
		if attempt > 0 && errors.Is(err, fs.ErrExist) {
			return t.settle(ctx, key, r, rewind, err)
		}
		return err
	})
}

// PutNamed need not find out whose a blob is that is in the way: by its name, it has the same content.
func (t *retrying) PutNamed(ctx context.Context, r io.Reader, key func() string) error {
	if _, ok := t.s.(Namer); !ok {
		return errors.ErrUnsupported
	}
	return t.put(ctx, "", rewinder(r), func(int) error { return PutNamed(ctx, t.s, r, key) })
}

// put makes attempts with a source that may be able to start over.
func (t *retrying) put(ctx context.Context, key string, rewind func() error, try func(attempt int) error) error {
	return t.do(ctx, func(attempt int) error {
		if attempt > 0 {
			if err := rewind(); err != nil {
				return &Error{Store: t.s.URL(), Op: "put", Key: key, Err: fmt.Errorf("start over with the source: %w", err)}
			}
		}
		err := try(attempt)
		if IsTransient(err) && rewind == nil {
			return permanent{err}
		}
		return err
	})
}

// permanent is a transient error that cannot be helped all the same.
type permanent struct{ error }

func (p permanent) Error() string {
	return p.error.Error() + " (not tried again: the source cannot start over)"
}
func (p permanent) Unwrap() error { return p.error }
func (permanent) Transient() bool { return false }

// settle finds out whose the blob is that was in the way of a further attempt.
func (t *retrying) settle(ctx context.Context, key string, r io.Reader, rewind func() error, exist error) error {
	if err := rewind(); err != nil {
		return exist
	}
	blob, err := t.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return exist // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("%w; whether it is ours: %w", exist, err)
	}
	defer blob.Close()
	switch err := compare(blob, r); {
	case err == nil:
		return nil
	case errors.Is(err, errDiffer):
		return exist
	default:
		return fmt.Errorf("%w; whether it is ours: %w", exist, err)
	}
}

var errDiffer = errors.New("contents differ")

// compare reads want, from its WriterTo if it has one, and got side by side.
func compare(got, want io.Reader) error {
	if _, err := io.Copy(&comparer{got: got}, want); err != nil {
		return err
	}
	switch n, err := io.ReadFull(got, make([]byte, 1)); {
	case n > 0:
		return errDiffer
	case err != io.EOF:
		return err
	}
	return nil
}

// comparer takes only what got yields too.
type comparer struct {
	got io.Reader
	buf [32 << 10]byte
}

func (c *comparer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := c.buf[:min(len(c.buf), len(p)-n)]
		if _, err := io.ReadFull(c.got, part); err == io.EOF || err == io.ErrUnexpectedEOF {
			return n, errDiffer
		} else if err != nil {
			return n, err
		}
		if !bytes.Equal(part, p[n:n+len(part)]) {
			return n, errDiffer
		}
		n += len(part)
	}
	return n, nil
}

// rewinder returns what makes r start over, or nil.
func rewinder(r io.Reader) func() error {
	switch r := r.(type) {
	case Rewinder:
		return r.Rewind
	case io.Seeker:
		start, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil // a pipe is an *os.File too
		}
		return func() error {
			_, err := r.Seek(start, io.SeekStart)
			return err
		}
	}
	return nil
}

func (t *retrying) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r := &resuming{t: t, ctx: ctx, key: key, size: -1}
	r.open = func() (io.ReadCloser, error) {
		if r.off == 0 {
			return t.s.Get(ctx, key)
		}
		return GetRange(ctx, t.s, key, r.off, -1)
	}
	return r.start()
}

func (t *retrying) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r := &resuming{t: t, ctx: ctx, key: key, size: n}
	r.open = func() (io.ReadCloser, error) {
		if n < 0 {
			return nativeRange(ctx, t.s, key, off+r.off, n)
		}
		return nativeRange(ctx, t.s, key, off+r.off, n-r.off)
	}
	return r.start()
}

// resuming is a reader that opens its blob again where it broke off.
type resuming struct {
	t    *retrying
	ctx  context.Context // of the Get, which the reader is part of
	key  string
	open func() (io.ReadCloser, error) // from off on

	r       io.ReadCloser // nil while it is broken off
	off     int64         // bytes read
	size    int64         // -1: not known
	attempt int           // failures since the last byte
}

func (r *resuming) start() (io.ReadCloser, error) {
	err := r.t.do(r.ctx, func(int) (err error) {
		r.r, err = r.open()
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.size < 0 {
		r.size = readerSize(r.r)
	}
	return r, nil
}

func (r *resuming) Size() int64 { return r.size }

func (r *resuming) Read(p []byte) (int, error) {
	for {
		var n int
		var err error
		if r.r == nil {
			r.r, err = r.open()
			if err != nil {
				r.r = nil
			}
		}
		if err == nil {
			n, err = r.r.Read(p)
		}
		r.off += int64(n)
		if n > 0 {
			r.attempt = 0
		}
		if err == nil || err == io.EOF || !IsTransient(err) {
			return n, err
		}
		if r.r != nil {
			r.r.Close()
			r.r = nil
		}
		if n > 0 {
			return n, nil
		}
		if err := r.t.wait(r.ctx, r.attempt, err); err != nil {
			return 0, err
		}
		r.attempt++
	}
}

func (r *resuming) Close() error {
	if r.r == nil {
		return nil
	}
	return r.r.Close()
}

func (t *retrying) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last, attempt := "", 0
		for {
			var failure error
			for info, err := range t.s.List(ctx, prefix) {
				if err != nil {
					failure = err
					break
				}
				if last != "" && info.Key <= last {
					continue
				}
				last, attempt = info.Key, 0
				if !yield(info, nil) {
					return
				}
			}
			if failure == nil {
				return
			}
			if IsTransient(failure) {
				failure = t.wait(ctx, attempt, failure)
				attempt++
			}
			if failure != nil {
				yield(Info{}, failure)
				return
			}
		}
	}
}

func (t *retrying) Delete(ctx context.Context, key string) error {
	return t.do(ctx, func(int) error { return t.s.Delete(ctx, key) })
}

func (t *retrying) File(ctx context.Context, key string) (path string, err error) {
	f, ok := t.s.(Filer)
	if !ok {
		return "", errors.ErrUnsupported
	}
	err = t.do(ctx, func(int) (err error) {
		path, err = f.File(ctx, key)
		return err
	})
	return path, err
}
