// Package memstore keeps the blobs of a [store.Store] in the memory of the process. It is for tests: a store ends
// with its process, and other processes that open its URL get an empty one.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

func init() {
	store.Register("mem", func(_ context.Context, u *url.URL) (store.Store, error) {
		name, err := url.PathUnescape(u.Opaque)
		if name == "" || err != nil {
			return nil, errors.New("memstore: no name; write mem:name")
		}
		return Open(name), nil
	})
}

var (
	openMu sync.Mutex
	opened = map[string]*Store{}
)

// A Store is a map of blobs. Besides [store.Store] it is a [store.Ranger].
type Store struct {
	name string

	mu    sync.RWMutex
	blobs map[string]blob
}

type blob struct {
	data    []byte // never changed
	created time.Time
}

var _ store.Ranger = (*Store)(nil)

// Open returns the store of that name, and makes it when the process first asks for it. It stays until the process
// ends, or until [Forget].
func Open(name string) *Store {
	openMu.Lock()
	defer openMu.Unlock()
	s := opened[name]
	if s == nil {
		s = &Store{name: name, blobs: map[string]blob{}}
		opened[name] = s
	}
	return s
}

// Forget lets the memory of the store of that name go. Who still has the Store keeps it; Open makes a new one.
func Forget(name string) {
	openMu.Lock()
	defer openMu.Unlock()
	delete(opened, name)
}

// URL returns mem:name.
func (s *Store) URL() string {
	return (&url.URL{Scheme: "mem", Opaque: url.PathEscape(s.name)}).String()
}

// Put keeps what r has. Where several put the same key at once, the first that is finished wins.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := check(ctx, key); err != nil {
		return s.fail("put", key, err)
	}
	s.mu.RLock()
	_, taken := s.blobs[key]
	s.mu.RUnlock()
	if taken {
		return s.fail("put", key, fs.ErrExist)
	}
	w := writer{ctx: ctx}
	_, err := io.Copy(&w, r)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return s.fail("put", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.blobs[key]; taken {
		return s.fail("put", key, fs.ErrExist)
	}
	s.blobs[key] = blob{data: w.buf.Bytes(), created: time.Now()}
	return nil
}

// writer is a buffer that takes nothing more when its context ends.
type writer struct {
	ctx context.Context
	buf bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

// Get opens the blob.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.GetRange(ctx, key, 0, -1)
}

// GetRange opens a part of the blob, as [store.Ranger] says.
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, key); err != nil {
		return nil, s.fail("get", key, err)
	}
	s.mu.RLock()
	b, ok := s.blobs[key]
	s.mu.RUnlock()
	if !ok {
		return nil, s.fail("get", key, fs.ErrNotExist)
	}
	size := int64(len(b.data))
	if n < 0 {
		n = size - off
	}
	if off < 0 || n < 0 || off > size-n {
		return nil, s.fail("get", key, fmt.Errorf("bytes %d to %d of %d: %w", off, off+n, size, io.ErrUnexpectedEOF))
	}
	return reader{bytes.NewReader(b.data[off : off+n])}, nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// List yields the blobs that were there when it was called, in key order.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		var infos []store.Info
		s.mu.RLock()
		for key, b := range s.blobs {
			if strings.HasPrefix(key, prefix) {
				infos = append(infos, store.Info{Key: key, Size: int64(len(b.data)), Created: b.created})
			}
		}
		s.mu.RUnlock()
		slices.SortFunc(infos, func(a, b store.Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range infos {
			if err := ctx.Err(); err != nil {
				yield(store.Info{}, s.fail("list", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(store.Info{}, s.fail("list", prefix, err))
		}
	}
}

// Delete removes the blob. Readers that have it open keep it.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return s.fail("delete", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, key)
	return nil
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.CheckKey(key)
}

func (s *Store) fail(op, key string, err error) error {
	return &store.Error{Store: s.URL(), Op: op, Key: key, Err: err}
}
