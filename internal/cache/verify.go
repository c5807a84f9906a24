package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/clusterless-go/clusterless/store"
)

// verify checks that the file at path is the blob: by a look at the records, or by reading it and making a record.
func (c *Cache) verify(ctx context.Context, path string, b blob) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Size() != b.size {
		return &store.Error{Store: b.s.URL(), Op: "verify", Key: b.key,
			Err: fmt.Errorf("%w: %s has %d bytes, not %d", store.ErrDamaged, path, info.Size(), b.size)}
	}
	record := c.record(info, b)
	if _, err := os.Lstat(record); err == nil {
		return nil
	}
	return c.once(ctx, record, 0o444, 0, func(*os.File) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if err := hashUpTo(ctx, h, f, 0, b.size); err != nil {
			return &store.Error{Store: b.s.URL(), Op: "verify", Key: b.key, Err: err}
		}
		return b.check(h)
	})
}

// markSeen makes the record of a file that was verified while it was written. It may fail: then the file is
// verified again.
func (c *Cache) markSeen(path string, b blob) {
	if info, err := os.Lstat(path); err == nil && info.Size() == b.size {
		if f, err := os.OpenFile(c.record(info, b), os.O_WRONLY|os.O_CREATE, 0o444); err == nil {
			f.Close()
		}
	}
}

// Seen notes that a blob, if the store has files on this machine, was hashed while this process wrote it: File need not
// read it again. It may fail: then File does.
func (c *Cache) Seen(ctx context.Context, s store.Store, key, sha256hex string, size int64) {
	if path, ok, err := store.File(ctx, s, key); err == nil && ok && isSHA256(sha256hex) {
		c.markSeen(path, blob{s: s, key: key, sha256: sha256hex, size: size})
	}
}

// record is the name of the file that says that this very file has this content. Whoever changes the file without
// changing the time of its change means to deceive, and could as well make the record.
func (c *Cache) record(info os.FileInfo, b blob) string {
	dev, ino := identity(info)
	return filepath.Join(c.dir, "seen", fmt.Sprintf("%s-%s-%x-%x-%x-%x", c.boot, b.sha256, dev, ino, info.Size(), info.ModTime().UnixNano()))
}

func (b blob) check(h hash.Hash) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != b.sha256 {
		return store.Damaged(b.s.URL(), b.key, got, b.sha256)
	}
	return nil
}

// hashUpTo hashes the bytes of f from off to end.
func hashUpTo(ctx context.Context, h hash.Hash, f io.ReaderAt, off, end int64) error {
	buf := make([]byte, min(1<<20, end-off))
	for off < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		if err != nil && off < end {
			return err
		}
	}
	return nil
}

// fetch downloads the blob into f, in parts at once, and hashes it meanwhile.
func fetch(ctx context.Context, b blob, f *os.File) error {
	t := &trail{f: f, size: b.size, done: map[int64]int64{}}
	t.more.L = &t.mu
	h := sha256.New()
	var hashErr error
	var wg sync.WaitGroup
	wg.Go(func() { hashErr = t.follow(ctx, h) })
	err := store.CopyParallel(ctx, b.s, b.key, b.size, t, store.Parallel{})
	t.end()
	wg.Wait()
	if err != nil {
		return err
	}
	if hashErr != nil {
		return &store.Error{Store: b.s.URL(), Op: "verify", Key: b.key, Err: hashErr}
	}
	return b.check(h)
}

// trail is a file that is written in parts in any order, and hashed from its beginning as far as it is complete. The
// hash reads the file again, which is still in memory.
type trail struct {
	f    *os.File
	size int64

	mu       sync.Mutex
	more     sync.Cond
	complete int64           // up to here
	done     map[int64]int64 // what is written beyond: beginning to end
	ended    bool
}

func (t *trail) WriteAt(p []byte, off int64) (int, error) {
	n, err := t.f.WriteAt(p, off)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 {
		t.done[off] = off + int64(n)
	}
	for end, ok := t.done[t.complete]; ok; end, ok = t.done[t.complete] {
		delete(t.done, t.complete)
		t.complete = end
	}
	t.more.Signal()
	return n, err
}

func (t *trail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.more.Signal()
}

// follow hashes what is complete until everything is, or nothing more comes.
func (t *trail) follow(ctx context.Context, h hash.Hash) error {
	for off := int64(0); ; {
		t.mu.Lock()
		// Small steps would only make this wake up more often.
		for !t.ended && t.complete < t.size && t.complete-off < 1<<20 {
			t.more.Wait()
		}
		end, ended := t.complete, t.ended || t.complete >= t.size
		t.mu.Unlock()
		if err := hashUpTo(ctx, h, t.f, off, end); err != nil {
			return err
		}
		off = end
		if ended {
			return nil
		}
	}
}
