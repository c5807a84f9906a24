package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

// Put stores r. A taken key is found out before r is read, where it is taken already. What r writes itself, by
// io.WriterTo, goes to the file without a copy; an *os.File is copied by the kernel.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	path, err := s.path(ctx, key)
	if err != nil {
		return s.fail("put", key, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return s.fail("put", key, fs.ErrExist)
	}
	return s.put(ctx, key, r, func() (string, error) { return path, nil })
}

// PutNamed stores r under a key that is known when r was read, as [store.Namer] says.
func (s *Store) PutNamed(ctx context.Context, r io.Reader, key func() string) error {
	return s.put(ctx, "", r, func() (string, error) {
		k := key()
		path, err := s.path(ctx, k)
		if err != nil {
			return "", fmt.Errorf("%s: %w", k, err)
		}
		return path, nil
	})
}

// put writes r to a temporary file and gives that its name.
func (s *Store) put(ctx context.Context, key string, r io.Reader, path func() (string, error)) error {
	f, err := s.create()
	if err != nil {
		return s.fail("put", key, err)
	}
	// This also runs when r panics.
	defer func() {
		f.Close()
		os.Remove(f.Name())
	}()
	if err := s.fill(ctx, f, r); err != nil {
		return s.fail("put", key, err)
	}
	p, err := path()
	if err != nil {
		return s.fail("put", key, err)
	}
	if err := s.commit(ctx, f.Name(), p); err != nil {
		return s.fail("put", key, err)
	}
	return nil
}

// create makes a new temporary file.
func (s *Store) create() (*os.File, error) {
	for {
		dir := s.tmp + string(filepath.Separator) + strconv.FormatUint(uint64(s.shard.Load()), 10)
		name := dir + string(filepath.Separator) + writerName() + strconv.FormatUint(rand.Uint64(), 36)
		start := time.Now()
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, blobMode)
		switch {
		case err == nil:
			if time.Since(start) > slowShard {
				s.shard.Store(rand.Uint32N(tmpShards))
			}
			return f, nil
		case errors.Is(err, fs.ErrExist):
		case errors.Is(err, fs.ErrNotExist):
			if err := s.makeTmp(dir); err != nil {
				return nil, s.gone(err)
			}
		default:
			return nil, err
		}
	}
}

// makeTmp makes a directory for temporary files.
func (s *Store) makeTmp(dir string) error {
	switch err := os.Mkdir(s.tmp, 0o700); {
	case err == nil:
		spread(s.tmp)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// fill writes all of r to f and closes it. A network file system may tell of a full disk only when it is closed,
// so this comes before the commit.
func (s *Store) fill(ctx context.Context, f *os.File, r io.Reader) error {
	w := &writer{ctx: ctx, f: f}
	var err error
	switch r := r.(type) {
	case *os.File: // its WriteTo would hide what lets the kernel copy
		_, err = w.ReadFrom(r)
	case io.WriterTo:
		_, err = r.WriteTo(w)
	default:
		_, err = w.ReadFrom(r)
	}
	if w.err != nil { // also when r kept it to itself
		err = w.err
	}
	if err != nil {
		return err
	}
	if s.sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

// commit gives the finished file its name, unless the name is taken.
func (s *Store) commit(ctx context.Context, tmp, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The directory is made when it turns out to be missing. A Delete may take it away again before the next try,
	// but that needs a Delete each time.
	for range 1000 {
		err := place(tmp, path)
		switch {
		case err == nil:
			if s.sync {
				return syncDir(filepath.Dir(path))
			}
			return nil
		case errors.Is(err, fs.ErrExist):
			return fs.ErrExist
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if _, err := os.Lstat(tmp); err != nil {
			return s.gone(err)
		}
		if err := s.mkdirs(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return store.Transient(errors.New("directories are removed faster than they can be made"))
}

// mkdirs makes dir and what is missing above it, but not the root of the store.
func (s *Store) mkdirs(dir string) error {
	if len(dir) <= len(s.root) {
		_, err := os.Lstat(s.root)
		return s.gone(err)
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.mkdirs(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	switch {
	case err == nil && s.sync:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist): // the latter: a Delete was faster; commit tries again
		return nil
	}
	return err
}

// gone replaces the errors that mean that the store was removed under way.
func (s *Store) gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	return err
}

// syncDir puts the names in dir on stable storage.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: not a thing on this file system
		return err
	}
	return nil
}

// stride is how much is written between two looks at the context.
const stride = 16 << 20

// writer writes to a file until its context ends.
type writer struct {
	ctx context.Context
	f   *os.File
	err error // the first
}

func (w *writer) Write(p []byte) (n int, err error) {
	for {
		if w.err == nil {
			w.err = w.ctx.Err()
		}
		if w.err != nil {
			return n, w.err
		}
		m, err := w.f.Write(p[:min(len(p), stride)])
		n += m
		p = p[m:]
		if err != nil {
			w.err = err
			return n, err
		}
		if len(p) == 0 {
			return n, nil
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// ReadFrom copies all of r: an *os.File within the kernel, where that can, the rest through a buffer.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if src, ok := r.(*os.File); ok {
		for {
			if err := w.ctx.Err(); err != nil {
				return n, err
			}
			m, err := w.f.ReadFrom(io.LimitReader(src, stride))
			n += m
			if err != nil || m < stride {
				return n, err
			}
		}
	}
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	for {
		m, rerr := r.Read(buf[:])
		if m > 0 || rerr == nil {
			k, err := w.Write(buf[:m])
			n += int64(k)
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}
