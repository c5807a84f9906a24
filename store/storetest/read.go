package storetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/store"
)

func testRanges(t *testing.T, s store.Store) {
	content := noise(100_000)
	put(t, s, "k", content)
	put(t, s, "empty", nil)
	for _, c := range []struct {
		key    string
		off, n int64
	}{
		{"k", 0, 0}, {"k", 0, 1}, {"k", 0, -1}, {"k", 0, 100_000}, {"k", 1, 99_999}, {"k", 50_000, 10}, {"k", 99_999, 1}, {"k", 99_999, -1},
		{"k", 100_000, 0}, {"k", 100_000, -1}, {"k", 12_345, 67_890}, {"empty", 0, 0}, {"empty", 0, -1},
	} {
		want := content
		if c.key == "empty" {
			want = nil
		}
		want = want[c.off:]
		if c.n >= 0 {
			want = want[:c.n]
		}
		r, err := store.GetRange(t.Context(), s, c.key, c.off, c.n)
		if err != nil {
			t.Errorf("GetRange(%s, %d, %d): %v", c.key, c.off, c.n, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("GetRange(%s, %d, %d) = %s, %v, want %s", c.key, c.off, c.n, show(got), err, show(want))
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for _, c := range [][2]int64{{0, 100_001}, {100_000, 1}, {100_001, 0}, {100_001, -1}, {99_000, 2000}, {1 << 40, 1}, {1, 1<<63 - 1}} {
		r, err := store.GetRange(t.Context(), s, "k", c[0], c[1])
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("GetRange(k, %d, %d) = %v, want io.ErrUnexpectedEOF", c[0], c[1], err)
		}
	}
	if _, err := store.GetRange(t.Context(), s, "k", -1, 1); err == nil {
		t.Error("GetRange(k, -1, 1) succeeded")
	}
}

func testParallel(t *testing.T, s store.Store) {
	content := noise(3<<20 + 17)
	put(t, s, "k", content)
	for _, p := range []store.Parallel{{}, {Readers: 1, Part: 1 << 20}, {Readers: 5, Part: 100_001}, {Readers: 100, Part: 1 << 20}} {
		for _, n := range []int{0, 1, 1 << 20, len(content)} {
			got := make([]byte, n)
			if err := store.ReadParallel(t.Context(), s, "k", got, p); err != nil || !bytes.Equal(got, content[:n]) {
				t.Errorf("ReadParallel of %d bytes, %+v: %v, right content: %t", n, p, err, bytes.Equal(got, content[:n]))
			}
			w := &memory{b: make([]byte, n)}
			if err := store.CopyParallel(t.Context(), s, "k", int64(n), w, p); err != nil || !bytes.Equal(w.b, content[:n]) {
				t.Errorf("CopyParallel of %d bytes, %+v: %v, right content: %t", n, p, err, bytes.Equal(w.b, content[:n]))
			}
		}
		err := store.ReadParallel(t.Context(), s, "k", make([]byte, len(content)+1), p)
		wantError(t, "ReadParallel of more than there is", err, io.ErrUnexpectedEOF, s.URL(), "k")
		err = store.CopyParallel(t.Context(), s, "k", int64(len(content)+1), &memory{b: make([]byte, len(content)+1)}, p)
		wantError(t, "CopyParallel of more than there is", err, io.ErrUnexpectedEOF, s.URL(), "k")
	}
}

// memory is an io.WriterAt of a fixed size.
type memory struct {
	mu sync.Mutex
	b  []byte
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off+int64(len(p)) > int64(len(m.b)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.b[off:], p), nil
}

func testOpenAt(t *testing.T, s store.Store) {
	content := noise(50_000)
	put(t, s, "k", content)
	put(t, s, "k/below", nil)
	r, err := store.OpenAt(t.Context(), s, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Size() != int64(len(content)) {
		t.Errorf("Size() = %d, want %d", r.Size(), len(content))
	}
	var wg sync.WaitGroup
	for w := range int64(4) {
		wg.Go(func() {
			off := w * 12_000
			got, err := io.ReadAll(io.NewSectionReader(r, off, 20_000))
			if want := content[off:min(off+20_000, 50_000)]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("ReadAt %d: %s, %v, want %s", off, show(got), err, show(want))
			}
		})
	}
	wg.Wait()
}

func testFile(t *testing.T, s store.Store) {
	content := noise(10_000)
	put(t, s, "a/file", content)
	path, ok, err := store.File(t.Context(), s, "a/file")
	if err != nil {
		t.Fatalf("File: %v", err)
	}
	if !ok {
		t.Log("the store has no files on this machine")
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file %s has %s, %v, want %s", path, show(got), err, show(content))
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Delete(t.Context(), "a/file"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
		t.Errorf("an open file has %s, %v, after its blob was deleted, want %s", show(got), err, show(content))
	}
}
