// Package cache is a node's own copy of what its workers read from the store again and again: broadcast values,
// included files, programs. A blob is fetched, and its content verified, once per node, however many processes ask
// for it at the same time and whichever of them are killed meanwhile.
//
// # Layout
//
//	files/<sha256>                              copies of blobs
//	made/<boot>-<name>                          what Make made
//	seen/<boot>-<sha256>-<device>-<inode>-…     empty: this very file was verified
//	….lock, ….part                              a file that is being made
//
// Nothing is forced to stable storage. Instead, what was verified or made counts until the machine starts again
// (boot): a file that a crash may have torn is verified once more, or made again.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

// DefaultLimit is how many bytes a cache holds if [Limit] does not say otherwise.
const DefaultLimit = 16 << 30

// Grace is how long a file stays at least after File or Make returned its path. Who opened or mapped it by then
// keeps it as long as they like; who did not asks again.
const Grace = 10 * time.Minute

// A Cache is a directory on a disk of the node. All processes of the node may use it at once, and all goroutines.
type Cache struct {
	dir   string
	boot  string
	limit int64
}

// An Option changes how a Cache works.
type Option func(*Cache)

// Limit bounds the bytes of the files in the cache; 0 is no bound. What was not used for longest goes first, but
// nothing that was used within [Grace], so the bound can be exceeded that long. It is looked at before a file is
// added. When the disk is full, everything but that goes.
func Limit(bytes int64) Option { return func(c *Cache) { c.limit = bytes } }

// Open opens the cache in dir, which must be on a local disk, and makes the directory, for this user only, if it is
// not there.
func Open(dir string, opts ...Option) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: open: %w", err)
	}
	c := &Cache{dir: dir, boot: bootID(), limit: DefaultLimit}
	for _, o := range opts {
		o(c)
	}
	for _, sub := range subdirs {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("cache: open %s: %w", dir, err)
		}
	}
	return c, nil
}

var subdirs = []string{"files", "made", "seen"}

// Dir returns the directory of the cache.
func (c *Cache) Dir() string { return c.dir }

// File returns the path of a local file with the content of a blob, verified to have that size and that SHA-256 in
// hexadecimal. If the store has files on this machine, it is that very file; else it is a copy, with mode 0444. A
// copy stays for [Grace] at least. The file must not be written to.
//
// A blob with another content is an error that wraps store.ErrDamaged. A copy that was damaged on this node's disk
// is fetched again.
func (c *Cache) File(ctx context.Context, s store.Store, key, sha256hex string, size int64) (string, error) {
	b := blob{s: s, key: key, sha256: sha256hex, size: size}
	if !isSHA256(sha256hex) || size < 0 {
		return "", fmt.Errorf("cache: %s has no SHA-256 %q of %d bytes", key, sha256hex, size)
	}
	path, ok, err := store.File(ctx, s, key)
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	if ok {
		if err := c.verify(ctx, path, b); err != nil {
			return "", fmt.Errorf("cache: %w", err)
		}
		return path, nil
	}
	path, err = c.copyOf(ctx, b)
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	return path, nil
}

// blob is what is asked for.
type blob struct {
	s      store.Store
	key    string
	sha256 string
	size   int64
}

// copyOf returns the path of a verified copy.
func (c *Cache) copyOf(ctx context.Context, b blob) (string, error) {
	path := filepath.Join(c.dir, "files", b.sha256)
	for try := 0; ; try++ {
		before, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = c.once(ctx, path, 0o444, b.size, func(f *os.File) error { return fetch(ctx, b, f) })
			if err != nil {
				return "", err
			}
			c.markSeen(path, b)
			return path, nil
		}
		if err == nil {
			err = c.verify(ctx, path, b)
		}
		switch {
		case err == nil:
			used(path)
			return path, nil
		case errors.Is(err, fs.ErrNotExist): // evicted meanwhile
		case errors.Is(err, store.ErrDamaged):
			if now, e := os.Lstat(path); e == nil && os.SameFile(before, now) {
				os.Remove(path)
			}
		default:
			return "", err
		}
		if try == 3 {
			return "", fmt.Errorf("the copy in %s does not last: %w", path, err)
		}
	}
}

// Make returns the path of a file that write wrote, once per node and start of the machine; name says what is in
// it, and must be a segment of a key. Where write fails, so does Make, and the next caller tries again. The file has
// mode 0444, or 0555 if exec, and can be executed at once. It stays for [Grace] at least.
//
// A program that is kept compressed in the store is unpacked like this; write may call File.
func (c *Cache) Make(ctx context.Context, name string, exec bool, write func(w io.Writer) error) (string, error) {
	if err := store.CheckKey(name); err != nil || strings.Contains(name, "/") {
		return "", fmt.Errorf("cache: make %q: not a segment of a key", name)
	}
	mode := fs.FileMode(0o444)
	if exec {
		mode = 0o555
	}
	path := filepath.Join(c.dir, "made", c.boot+"-"+name)
	if _, err := os.Lstat(path); err == nil {
		used(path)
		return path, nil
	}
	if err := c.once(ctx, path, mode, 1, func(f *os.File) error { return write(f) }); err != nil {
		return "", fmt.Errorf("cache: make %s: %w", name, err)
	}
	return path, nil
}

// once makes the file path by fill, unless it is there: of all who call it at the same time, one does, and the
// others wait. It takes over from a process that was killed. size is about how large the file will be, at least 1 if
// room is to be made for it.
func (c *Cache) once(ctx context.Context, path string, mode fs.FileMode, size int64, fill func(f *os.File) error) error {
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if size > 0 && c.limit > 0 {
		c.evict(size, c.limit)
	}
	err = build(path, mode, fill)
	if errors.Is(err, syscall.ENOSPC) && c.evict(size, 0) {
		err = build(path, mode, fill)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w (free space for the node's cache in %s, or choose another directory for it)", err, c.dir)
	}
	return err
}

// build makes the file path by way of a temporary one. The caller holds its lock.
func build(path string, mode fs.FileMode, fill func(f *os.File) error) error {
	part := path + ".part"
	os.Remove(part) // of one who was killed
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		os.Remove(part)
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if mode&0o111 != 0 {
		waitForWriters(part)
	}
	return os.Rename(part, path)
}

// lock takes the lock of that name, which all processes of the node know, and returns what lets it go. The lock of a
// process that dies is free.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	wait := time.Millisecond
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		switch err := tryLock(f); {
		case err == nil:
			// The lock file goes with the lock. Whoever opened it before it went holds nothing.
			if sameAs(f, name) {
				return func() {
					os.Remove(name)
					f.Close()
				}, nil
			}
			f.Close()
			continue
		case !errors.Is(err, errLocked):
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		f.Close()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("wait for another process that makes %s: %w", strings.TrimSuffix(name, ".lock"), ctx.Err())
		}
		wait = min(wait*3/2+1, 25*time.Millisecond)
	}
}

// sameAs reports whether f is the file that is called name.
func sameAs(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
