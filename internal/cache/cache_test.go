package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
	"github.com/clusterless-go/clusterless/store/memstore"
)

func TestFileOfAStoreWithFiles(t *testing.T) {
	s, err := filestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content := noise(300_000)
	sum := put(t, s, "values/v", content)
	c := open(t)
	path, err := c.File(t.Context(), s, "values/v", sum, 300_000)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := s.File(t.Context(), "values/v"); path != want {
		t.Errorf("File = %s, want the store's own %s", path, want)
	}

	// That the file was verified is remembered, also by others: a change that shows in nothing but the content is
	// not noticed.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	other, err := cache.Open(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.File(t.Context(), s, "values/v", sum, 300_000); err != nil {
		t.Errorf("File of a verified file: %v; it was read again", err)
	}
	// Any other change is.
	if err := os.Chtimes(path, time.Time{}, info.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = other.File(t.Context(), s, "values/v", sum, 300_000)
	wantDamaged(t, err, "values/v")
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the store's own file was removed: %v", err)
	}
	_, err = other.File(t.Context(), s, "values/v", sum, 299_999)
	wantDamaged(t, err, "values/v")
	_, err = other.File(t.Context(), s, "values/none", sum, 300_000)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("File of a missing blob: %v, want fs.ErrNotExist", err)
	}
	wantNothingHalfMade(t, c)
}

// TestSeen: a file that was hashed while it was written is not read again.
func TestSeen(t *testing.T) {
	s, err := filestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content := noise(300_000)
	sum := put(t, s, "values/v", content)
	c := open(t)
	c.Seen(t.Context(), s, "values/v", sum, 300_000)
	path, _ := s.File(t.Context(), "values/v")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.File(t.Context(), s, "values/v", sum, 300_000); err != nil {
		t.Errorf("File of a seen file: %v; it was read", err)
	}
	_, err = open(t).File(t.Context(), s, "values/v", sum, 300_000)
	wantDamaged(t, err, "values/v")
}

func TestFileCopies(t *testing.T) {
	for _, size := range []int{0, 1, 100_000, 9<<20 + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := &counting{Store: mem(t)}
			content := noise(size)
			sum := put(t, s, "values/v", content)
			c := open(t)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					path, err := c.File(t.Context(), s, "values/v", sum, int64(size))
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
						t.Errorf("the copy has %d bytes, %v; right content: %t", len(got), err, bytes.Equal(got, content))
					}
					if info, err := os.Stat(path); err != nil || info.Mode() != 0o444 {
						t.Errorf("the copy has mode %v, %v, want 0444", info.Mode(), err)
					}
				})
			}
			wg.Wait()
			if n := s.gets.Load(); n != 1 {
				t.Errorf("the blob was fetched %d times, want once", n)
			}
			wantNothingHalfMade(t, c)
		})
	}
}

// TestFileInParts fetches ranges at once, which end in any order.
func TestFileInParts(t *testing.T) {
	s := mem(t)
	content := noise(30 << 20)
	sum := put(t, s, "v", content)
	path, err := open(t).File(t.Context(), s, "v", sum, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the copy differs: %d bytes, %v", len(got), err)
	}
}

func TestDamagedBlob(t *testing.T) {
	s := mem(t)
	content := noise(9 << 20)
	sum := put(t, s, "values/good", content)
	content[len(content)-1]++
	put(t, s, "values/bad", content)
	put(t, s, "values/short", content[:1000])
	c := open(t)
	for range 2 {
		_, err := c.File(t.Context(), s, "values/bad", sum, int64(len(content)))
		wantDamaged(t, err, "values/bad")
	}
	if _, err := c.File(t.Context(), s, "values/short", sum, int64(len(content))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("File of a blob that is too short: %v, want io.ErrUnexpectedEOF", err)
	}
	wantNothingHalfMade(t, c)
	if _, err := c.File(t.Context(), s, "values/good", sum, int64(len(content))); err != nil {
		t.Errorf("File of a good blob with the same content: %v", err)
	}
	for _, bad := range []string{"", "xyz", strings.ToUpper(sum), "../" + sum[3:]} {
		if _, err := c.File(t.Context(), s, "values/good", bad, 1); err == nil {
			t.Errorf("File with the hash %q succeeded", bad)
		}
	}
}

func TestDamagedCopyIsFetchedAgain(t *testing.T) {
	s := mem(t)
	content := noise(100_000)
	sum := put(t, s, "v", content)
	c := open(t)
	for _, harm := range []func(t *testing.T, path string){
		damage,
		func(t *testing.T, path string) {
			if err := os.Truncate(path, 10); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path, err := c.File(t.Context(), s, "v", sum, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, 0o600)
		harm(t, path)
		path, err = c.File(t.Context(), s, "v", sum, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("the copy is still damaged: %d bytes, %v", len(got), err)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Make(t.Context(), "slow", false, func(w io.Writer) error {
		cancel()
		_, err := c.Make(ctx, "slow", false, func(io.Writer) error { t.Error("made twice"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Make while another is at it, with a cancelled context: %v, want context.Canceled", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMake(t *testing.T) {
	c := open(t)
	cause := errors.New("cannot write")
	if _, err := c.Make(t.Context(), "x", false, func(w io.Writer) error { w.Write([]byte("half")); return cause }); !errors.Is(err, cause) {
		t.Errorf("Make = %v, want %v", err, cause)
	}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := c.Make(t.Context(), "x", false, func(w io.Writer) error {
				made.Add(1)
				_, err := w.Write([]byte("whole"))
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
				t.Errorf("made %q, %v, want whole", got, err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times, want once", made.Load())
	}
	for _, name := range []string{"", "..", "a/b"} {
		if _, err := c.Make(t.Context(), name, false, func(io.Writer) error { return nil }); err == nil {
			t.Errorf("Make(%q) succeeded", name)
		}
	}
	wantNothingHalfMade(t, c)
}

// TestMadeProgramRunsAtOnce makes programs while other goroutines start processes, which inherit descriptors for a
// moment.
func TestMadeProgramRunsAtOnce(t *testing.T) {
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skip(err)
	}
	c := open(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 15 {
				path, err := c.Make(t.Context(), fmt.Sprintf("true-%d-%d", g, i), true, func(w io.Writer) error {
					_, err := w.Write(program)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				if out, err := exec.Command(path).CombinedOutput(); err != nil {
					t.Errorf("run %s: %v\n%s", path, err, out)
				}
			}
		})
	}
	wg.Wait()
}

func TestLimit(t *testing.T) {
	s := mem(t)
	c := open(t, cache.Limit(250_000))
	file := func(i int) string {
		content := append(noise(99_999), byte(i))
		key := fmt.Sprint("v", i)
		if _, err := store.ReadAll(t.Context(), s, key); err != nil {
			put(t, s, key, content)
		}
		path, err := c.File(t.Context(), s, key, hash(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	age := func(path string, by time.Duration) {
		old := time.Now().Add(-by)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	a, b := file(0), file(1)
	mapping, err := cache.Map(a)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Unmap(mapping)
	d := file(2)
	wantThere(t, a, b, d) // over the limit, but all in use

	age(a, 3*time.Hour)
	age(b, 2*time.Hour)
	if again := file(1); again != b {
		t.Errorf("File again = %s, want %s", again, b)
	}
	e := file(3)
	wantThere(t, b, d, e) // b is older than d by its age, but was used since
	if _, err := os.Stat(a); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file unused for longest is still there: %v", err)
	}
	if want := append(noise(99_999), 0); !bytes.Equal(mapping, want) {
		t.Error("a mapping lost its content when its file was removed")
	}
	wantThere(t, file(0)) // comes back
}

func open(t testing.TB, opts ...cache.Option) *cache.Cache {
	t.Helper()
	c, err := cache.Open(filepath.Join(t.TempDir(), "cache"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mem(t testing.TB) *memstore.Store {
	t.Cleanup(func() { memstore.Forget(t.Name()) })
	return memstore.Open(t.Name())
}

// counting counts how often a blob is opened. It has no optional methods.
type counting struct {
	store.Store
	gets atomic.Int32
}

func (c *counting) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key)
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func put(t testing.TB, s store.Store, key string, content []byte) (sum string) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return hash(content)
}

// damage changes a byte in the middle of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	os.Chmod(path, 0o600)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 5000); err != nil {
		t.Fatal(err)
	}
	b[0]++
	if _, err := f.WriteAt(b, 5000); err != nil {
		t.Fatal(err)
	}
}

func wantDamaged(t *testing.T, err error, key string) {
	t.Helper()
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), key) {
		t.Errorf("File of a damaged blob: %v, want store.ErrDamaged that names %s", err, key)
	}
}

func wantThere(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
}

func wantNothingHalfMade(t *testing.T, c *cache.Cache) {
	t.Helper()
	err := filepath.WalkDir(c.Dir(), func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".part") || strings.HasSuffix(path, ".lock") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
