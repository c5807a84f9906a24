package store_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
	"github.com/clusterless-go/clusterless/store/memstore"
	"github.com/clusterless-go/clusterless/store/storetest"
)

func TestRetryAndLimitOverFiles(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := filestore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return store.Retry(store.Limit(s, 3), store.Policy{})
	})
}

func TestLimitAndRetryOverMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return store.Limit(store.Retry(mem(t), store.Policy{}), 3)
	})
}

// TestDecoratorsOverPlainStore: what the store cannot do, they cannot either, and the helpers do it by other means.
func TestDecoratorsOverPlainStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return store.Limit(store.Retry(struct{ store.Store }{mem(t)}, store.Policy{}), 3)
	})
}

func TestFileThroughDecorators(t *testing.T) {
	files, err := filestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    store.Store
		want bool
	}{{"files", files, true}, {"memory", mem(t), false}} {
		s := store.Limit(store.Retry(c.s, store.Policy{}), 1)
		put(t, s, "k", "x")
		path, ok, err := store.File(t.Context(), s, "k")
		if ok != c.want || (path != "") != c.want || err != nil {
			t.Errorf("File of %s = %q, %t, %v, want %t", c.name, path, ok, err, c.want)
		}
	}
}

func mem(t testing.TB) *memstore.Store {
	t.Cleanup(func() { memstore.Forget(t.Name()) })
	return memstore.Open(t.Name())
}

func put(t testing.TB, s store.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), key, store.Source(func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})); err != nil {
		t.Fatal(err)
	}
}

var errAway = errors.New("the store is away")

// flaky is a store whose next operations fail.
type flaky struct {
	store.Store

	mu    sync.Mutex
	fails int   // so many operations
	err   error // with this error
	late  bool  // a Put commits before it fails
	after int64 // a reader, after so many bytes of its own; a List after so many keys
	calls int
}

func (f *flaky) step() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.fails > 0 {
		f.fails--
		return f.err
	}
	return nil
}

func (f *flaky) Put(ctx context.Context, key string, r io.Reader) error {
	err := f.step()
	switch {
	case err == nil:
		return f.Store.Put(ctx, key, r)
	case f.late:
		if err := f.Store.Put(ctx, key, r); err != nil {
			return err
		}
	default:
		io.CopyN(io.Discard, r, 3)
	}
	return err
}

func (f *flaky) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := f.Store.Get(ctx, key)
	return f.reader(r, err)
}

func (f *flaky) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := store.GetRange(ctx, f.Store, key, off, n)
	return f.reader(r, err)
}

func (f *flaky) reader(r io.ReadCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	cause := f.step()
	if cause != nil && f.after == 0 {
		r.Close()
		return nil, cause
	}
	return &flakyReader{r, f.after, cause}, nil
}

type flakyReader struct {
	io.ReadCloser
	left int64
	err  error // nil: none
}

func (r *flakyReader) Read(p []byte) (int, error) {
	if r.err == nil {
		return r.ReadCloser.Read(p)
	}
	if r.left == 0 {
		return 0, r.err
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

func (f *flaky) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		err := f.step()
		n := int64(0)
		for info, e := range f.Store.List(ctx, prefix) {
			if n++; err != nil && n > f.after {
				yield(store.Info{}, err)
				return
			}
			if !yield(info, e) {
				return
			}
		}
	}
}

func (f *flaky) Delete(ctx context.Context, key string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}
