// Package filestore keeps the blobs of a [store.Store] as files below a directory, which may be on a file system
// that machines share. It is made for speed on one machine and for correctness on all: a blob is written to a
// temporary file and then linked to its place with link(2), which fails when the name is taken, also between the
// clients of an NFS server.
//
// # Layout
//
// The blob of key a/b/c is the file a,/b,/c: directories end in a comma, which no key contains, so that the keys a
// and a/b can both be there. The files that are being written are in ",tmp/0" to ",tmp/15". Blobs have mode 0444 less
// the umask. What does not look like this is left alone. Directories that [Store.Delete] empties are removed.
//
// A writer that is killed leaves a file in ",tmp"; [Open] and [Store.Sweep] remove those whose process on this machine is
// gone, and those that nobody has written to for a day.
//
// # Limits
//
// On a file system that ignores case (the default of macOS and Windows), keys that differ in case only are one
// key. On one without hard links (exFAT, some FUSE) a blob is put in place by a rename that refuses to replace;
// where there is none of that either, Put fails and says so. An NFS client that just looked for a key in vain may not
// see it for up to a minute after another machine put it, unless the mount has the option lookupcache=positive.
// Whoever may write to the directory can replace blobs: a store is as trusted as its writers.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

func init() {
	store.Register("file", func(_ context.Context, u *url.URL) (store.Store, error) { return fromURL(u) })
}

// tmpDir is where blobs are written, in one of its shards. Directories of blobs have a letter before their comma.
//
// Ext4 places a new file's inode near its directory, and passes one by one over the inodes there that were freed in
// the last minutes (recently_deleted in fs/ext4/ialloc.c): after 10,000 deletions a creation was measured to take
// 1 ms in place of 50 us. The shards are in different places of the disk, and a Store that finds its shard slow goes
// to another one.
const (
	tmpDir    = ",tmp"
	tmpShards = 16
	slowShard = 300 * time.Microsecond // to create a file
)

// staleAfter is how long nobody must have written to a temporary file for it to be taken as left over.
const staleAfter = 24 * time.Hour

// A Store keeps its blobs below a directory. Besides [store.Store] it is a [store.Ranger], a [store.Filer] and
// a [store.Namer].
type Store struct {
	root  string // absolute
	tmp   string
	shard atomic.Uint32 // of tmp
	url   string
	sync  bool
}

var (
	_ store.Ranger = (*Store)(nil)
	_ store.Filer  = (*Store)(nil)
	_ store.Namer  = (*Store)(nil)
)

// An Option changes how a Store works.
type Option func(*Store)

// Sync makes Put return only when the blob is on stable storage, so that it outlives a crash of the machine. It
// costs one to several milliseconds a Put. The option is part of the URL: workers that reopen the store sync too.
func Sync() Option { return func(s *Store) { s.sync = true } }

// Open opens the store in dir and makes the directory, for this user only, if it is not there. A directory that
// can only be read is no error until something is put.
func Open(dir string, opts ...Option) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: open %s: %w", dir, err)
	}
	s := &Store{root: root, tmp: filepath.Join(root, tmpDir)}
	s.shard.Store(rand.Uint32N(tmpShards))
	for _, o := range opts {
		o(s)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(root)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path // C:/dir
	}
	if s.sync {
		u.RawQuery = "sync=1"
	}
	s.url = u.String()

	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, s.fail("open", "", err)
	}
	s.removeStale()
	return s, nil
}

// fromURL opens file:///absolute/path?sync=1.
func fromURL(u *url.URL) (*Store, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, fmt.Errorf("filestore: host %q in a file URL; write file:///absolute/path", u.Host)
	}
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return nil, errors.New("filestore: not an absolute path; write file:///absolute/path")
	}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("filestore: malformed parameters; sync=1 is the only one")
	}
	var opts []Option
	for name, values := range params {
		switch {
		case name == "sync" && values[0] == "1":
			opts = append(opts, Sync())
		case name == "sync" && values[0] == "0":
		default:
			return nil, fmt.Errorf("filestore: unknown parameter %q, or value of it; sync=1 is the only one", name)
		}
	}
	return Open(pathOf(u.Path), opts...)
}

// URL returns file: and the absolute path of the directory.
func (s *Store) URL() string { return s.url }

// Get opens the blob. The reader is also an io.ReaderAt, io.Seeker and io.WriterTo.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	f, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// GetRange opens a part of the blob, as [store.Ranger] says.
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	f, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, s.fail("get", key, err)
	}
	if n < 0 {
		n = info.Size() - off
	}
	if off < 0 || n < 0 || off > info.Size()-n {
		f.Close()
		return nil, s.fail("get", key, fmt.Errorf("bytes %d to %d of %d: %w", off, off+n, info.Size(), io.ErrUnexpectedEOF))
	}
	return &section{*io.NewSectionReader(f, off, n), f}, nil
}

// section is a part of a file that closes the file; it tells its Size.
type section struct {
	io.SectionReader
	io.Closer
}

func (s *Store) open(ctx context.Context, key string) (*os.File, error) {
	path, err := s.path(ctx, key)
	if err != nil {
		return nil, s.fail("get", key, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, s.fail("get", key, s.missing(err))
	}
	return f, nil
}

// File returns the path of the blob's file.
func (s *Store) File(ctx context.Context, key string) (string, error) {
	path, err := s.path(ctx, key)
	if err != nil {
		return "", s.fail("get", key, err)
	}
	if _, err := os.Lstat(path); err != nil {
		return "", s.fail("get", key, s.missing(err))
	}
	return path, nil
}

// Delete removes the blob, and the directories above it that are empty then.
func (s *Store) Delete(ctx context.Context, key string) error {
	path, err := s.path(ctx, key)
	if err != nil {
		return s.fail("delete", key, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.fail("delete", key, err)
	}
	// A directory that is not empty refuses. One that a Put is about to use is made again by that Put.
	for dir := filepath.Dir(path); len(dir) > len(s.root); dir = filepath.Dir(dir) {
		if rmdir(dir) != nil {
			break
		}
	}
	return nil
}

// path checks the key and returns where its blob is.
func (s *Store) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := store.CheckKey(key); err != nil {
		return "", err
	}
	return s.pathFor(key), nil
}

func (s *Store) pathFor(key string) string {
	p := make([]byte, 0, len(s.root)+len(key)+8)
	p = append(p, s.root...)
	p = append(p, filepath.Separator)
	for i := range len(key) {
		if key[i] == '/' {
			p = append(p, ',', filepath.Separator)
		} else {
			p = append(p, key[i])
		}
	}
	return string(p)
}

// errGone is not fs.ErrNotExist: it is not the key that is missing.
var errGone = errors.New("the directory of the store is gone; somebody removed it while it was in use")

// missing tells a missing blob from a missing store.
func (s *Store) missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Lstat(s.root); errors.Is(e, fs.ErrNotExist) {
			return errGone
		}
		return fs.ErrNotExist
	}
	return err
}

// fail makes the error of a method.
func (s *Store) fail(op, key string, err error) error {
	e := &store.Error{Store: s.url, Op: op, Key: key, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		e.Advice = "free space on its file system or choose another directory"
	case isQuota(err):
		e.Advice = "your quota on its file system is used up: free space or choose another directory"
	case errors.Is(err, syscall.EROFS):
		e.Advice = "its file system is mounted read-only: choose another directory"
	case errors.Is(err, fs.ErrPermission):
		e.Advice = "the directory belongs to another user or is protected: change that or choose another one"
	case isStale(err):
		e.Err = store.Transient(err)
	}
	return e
}

// Sweep removes what writers that were killed have left. It is safe at any time.
func (s *Store) Sweep() { s.removeStale() }

// removeStale removes what killed writers left. It does what it can: the next Open tries again.
func (s *Store) removeStale() {
	shards, err := os.ReadDir(s.tmp)
	if err != nil {
		return
	}
	for _, shard := range shards {
		dir := filepath.Join(s.tmp, shard.Name())
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if abandoned(f.Name()) || time.Since(info.ModTime()) > staleAfter {
				os.Remove(filepath.Join(dir, f.Name()))
			}
		}
	}
}
