package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
)

// Limit returns s with at most n operations at once, in this process; the others wait for their turn, or for the
// end of their context. A reader counts until it is closed, so who holds n of them and asks for another waits for
// ever. A List counts while it fetches, not while its caller looks at what it yielded.
//
// The result has the optional methods of s. n must be positive.
func Limit(s Store, n int) Store {
	if n <= 0 {
		panic("store: Limit of less than one operation")
	}
	return &limited{s, make(chan struct{}, n)}
}

type limited struct {
	s     Store
	turns chan struct{}
}

func (l *limited) URL() string { return l.s.URL() }

func (l *limited) enter(ctx context.Context, op, key string) error {
	select {
	case l.turns <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &Error{Store: l.s.URL(), Op: op, Key: key, Err: ctx.Err()}
	}
}

func (l *limited) leave() { <-l.turns }

func (l *limited) Put(ctx context.Context, key string, r io.Reader) error {
	if err := l.enter(ctx, "put", key); err != nil {
		return err
	}
	defer l.leave()
	return l.s.Put(ctx, key, r)
}

func (l *limited) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return l.reader(ctx, key, func() (io.ReadCloser, error) { return l.s.Get(ctx, key) })
}

func (l *limited) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if _, ok := l.s.(Ranger); !ok {
		return nil, errors.ErrUnsupported
	}
	return l.reader(ctx, key, func() (io.ReadCloser, error) { return nativeRange(ctx, l.s, key, off, n) })
}

// reader opens a reader in turn and lets go of the turn when it is closed.
func (l *limited) reader(ctx context.Context, key string, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	if err := l.enter(ctx, "get", key); err != nil {
		return nil, err
	}
	r, err := open()
	if err != nil {
		l.leave()
		return nil, err
	}
	return &limitedReader{r, sync.OnceFunc(l.leave)}, nil
}

type limitedReader struct {
	io.ReadCloser
	leave func()
}

func (r *limitedReader) Size() int64 { return readerSize(r.ReadCloser) }

// WriteTo keeps the direct way that the driver's reader may have.
func (r *limitedReader) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.ReadCloser) }

func (r *limitedReader) Close() error {
	defer r.leave()
	return r.ReadCloser.Close()
}

func (l *limited) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := l.enter(ctx, "list", prefix); err != nil {
			yield(Info{}, err)
			return
		}
		in := true
		defer func() {
			if in {
				l.leave()
			}
		}()
		for info, err := range l.s.List(ctx, prefix) {
			l.leave()
			in = false
			if !yield(info, err) || err != nil {
				return
			}
			if err := l.enter(ctx, "list", prefix); err != nil {
				yield(Info{}, err)
				return
			}
			in = true
		}
	}
}

func (l *limited) Delete(ctx context.Context, key string) error {
	if err := l.enter(ctx, "delete", key); err != nil {
		return err
	}
	defer l.leave()
	return l.s.Delete(ctx, key)
}

func (l *limited) File(ctx context.Context, key string) (string, error) {
	f, ok := l.s.(Filer)
	if !ok {
		return "", errors.ErrUnsupported
	}
	if err := l.enter(ctx, "get", key); err != nil {
		return "", err
	}
	defer l.leave()
	return f.File(ctx, key)
}

func (l *limited) PutNamed(ctx context.Context, r io.Reader, key func() string) error {
	if _, ok := l.s.(Namer); !ok {
		return errors.ErrUnsupported
	}
	if err := l.enter(ctx, "put", ""); err != nil {
		return err
	}
	defer l.leave()
	return PutNamed(ctx, l.s, r, key)
}
