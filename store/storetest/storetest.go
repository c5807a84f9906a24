// Package storetest is what a driver of package store must pass. The whole test of a driver is a call of [Run]; what
// is wrong in one driver becomes a case here.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clusterless-go/clusterless/store"
)

// Run tests a driver. open returns a new empty store each time it is called, and cleans up after itself with
// t.Cleanup. Run starts the test binary again to try the store from several processes: these come to Run by the same
// test and must find no different URL there, so a test that calls Run does nothing else before.
//
// Stores of scheme mem are known to belong to one process.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	if url := os.Getenv(envURL); url != "" {
		contend(t, url)
		return
	}
	cases := []struct {
		name string
		test func(t *testing.T, s store.Store)
	}{
		{"Sizes", testSizes},
		{"Sources", testSources},
		{"Taken", testTaken},
		{"Missing", testMissing},
		{"OneWins", testOneWins},
		{"SourceFails", testSourceFails},
		{"Named", testNamed},
		{"Cancel", testCancel},
		{"Keys", testKeys},
		{"KeyBelowKey", testKeyBelowKey},
		{"ListOrder", testListOrder},
		{"ListPrefix", testListPrefix},
		{"ListStops", testListStops},
		{"ListWhileChanging", testListWhileChanging},
		{"Delete", testDelete},
		{"DeleteBesidePut", testDeleteBesidePut},
		{"Ranges", testRanges},
		{"RangesByGet", func(t *testing.T, s store.Store) { testRanges(t, plain{s}) }},
		{"Parallel", testParallel},
		{"ParallelByGet", func(t *testing.T, s store.Store) { testParallel(t, plain{s}) }},
		{"OpenAt", testOpenAt},
		{"OpenAtByGet", func(t *testing.T, s store.Store) { testOpenAt(t, plain{s}) }},
		{"File", testFile},
		{"Reopen", testReopen},
		{"Processes", testProcesses},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// plain hides the optional interfaces of a store.
type plain struct{ store.Store }

// onlyReader hides everything but Read.
type onlyReader struct{ io.Reader }

// onlyWriterTo is a source that must not be read.
type onlyWriterTo struct {
	t     testing.TB
	parts [][]byte
}

func (o onlyWriterTo) Read([]byte) (int, error) {
	o.t.Error("Put called Read of a source that has WriteTo")
	return 0, io.ErrClosedPipe
}

func (o onlyWriterTo) WriteTo(w io.Writer) (n int64, err error) {
	for _, p := range o.parts {
		m, err := w.Write(p)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func testSizes(t *testing.T, s store.Store) {
	for _, size := range []int{0, 1, 511, 4096, 64<<10 + 1, 9<<20 + 3} {
		key := fmt.Sprintf("sizes/%d", size)
		want := noise(size)
		put(t, s, key, want)
		wantBlob(t, s, key, want)
		info := list(t, s, key)
		if len(info) != 1 || info[0].Size != int64(size) {
			t.Errorf("List(%s) = %v, want one blob of %d bytes", key, info, size)
		}
		if len(info) == 1 && info[0].Created.IsZero() {
			t.Errorf("List(%s): Created is zero", key)
		}
	}
}

func testSources(t *testing.T, s store.Store) {
	want := noise(1<<20 + 7)
	file := t.TempDir() + "/source"
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sources := map[string]io.Reader{
		"reader":     onlyReader{bytes.NewReader(want)},
		"small":      onlyReader{oneByte{bytes.NewReader(want[:1000])}},
		"writer-to":  onlyWriterTo{t, [][]byte{want[:3], want[3:3], want[3 : 512<<10], want[512<<10:]}},
		"no-writes":  onlyWriterTo{t, nil},
		"file":       f,
		"source":     store.Source(func(w io.Writer) error { _, err := w.Write(want); return err }),
		"end-with-n": &endWithData{want[:70000]},
	}
	contents := map[string][]byte{"small": want[:1000], "no-writes": nil, "end-with-n": want[:70000]}
	for name, r := range sources {
		if err := s.Put(t.Context(), "sources/"+name, r); err != nil {
			t.Errorf("Put from %s: %v", name, err)
			continue
		}
		content, ok := contents[name]
		if !ok {
			content = want
		}
		wantBlob(t, s, "sources/"+name, content)
	}
	// A source is read from where it stands.
	if _, err := f.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "sources/rest", f); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, s, "sources/rest", want[100:])
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// endWithData returns the last bytes together with io.EOF.
type endWithData struct{ left []byte }

func (e *endWithData) Read(p []byte) (int, error) {
	n := copy(p, e.left)
	e.left = e.left[n:]
	if len(e.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func testTaken(t *testing.T, s store.Store) {
	put(t, s, "k", []byte("first"))
	for _, second := range []string{"second", "first", ""} {
		err := s.Put(t.Context(), "k", strings.NewReader(second))
		wantError(t, "Put of a taken key", err, fs.ErrExist, s.URL(), "k")
	}
	wantBlob(t, s, "k", []byte("first"))
}

func testMissing(t *testing.T, s store.Store) {
	put(t, s, "dir/there", nil)
	for _, key := range []string{"missing", "dir/missing", "dir", "dir/there/below", "no/such/dir"} {
		_, err := s.Get(t.Context(), key)
		wantError(t, "Get", err, fs.ErrNotExist, s.URL(), key)
		_, err = store.GetRange(t.Context(), s, key, 0, 1)
		wantError(t, "GetRange", err, fs.ErrNotExist, s.URL(), key)
		_, err = store.ReadAll(t.Context(), s, key)
		wantError(t, "ReadAll", err, fs.ErrNotExist, s.URL(), key)
		_, err = store.OpenAt(t.Context(), s, key)
		wantError(t, "OpenAt", err, fs.ErrNotExist, s.URL(), key)
		err = store.ReadParallel(t.Context(), s, key, make([]byte, 1), store.Parallel{})
		wantError(t, "ReadParallel", err, fs.ErrNotExist, s.URL(), key)
		if f, ok := s.(store.Filer); ok {
			if _, err := f.File(t.Context(), key); !errors.Is(err, errors.ErrUnsupported) {
				wantError(t, "File", err, fs.ErrNotExist, s.URL(), key)
			}
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s) = %v, want nil for a key that is not there", key, err)
		}
	}
	wantKeys(t, s, "", "dir/there")
}

func testOneWins(t *testing.T, s store.Store) {
	const writers, keys = 16, 10
	var winners [keys]atomic.Int32
	var won [keys]int32
	var wg sync.WaitGroup
	for w := range int32(writers) {
		wg.Go(func() {
			for k := range keys {
				content := bytes.Repeat([]byte{byte(w)}, 10_000)
				err := s.Put(t.Context(), fmt.Sprintf("race/%d/out", k), onlyReader{bytes.NewReader(content)})
				switch {
				case err == nil:
					winners[k].Add(1)
					atomic.StoreInt32(&won[k], w)
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("Put in a race: %v, want fs.ErrExist", err)
				}
			}
		})
	}
	wg.Wait()
	for k := range keys {
		if n := winners[k].Load(); n != 1 {
			t.Errorf("key %d was put %d times, want once", k, n)
		}
		wantBlob(t, s, fmt.Sprintf("race/%d/out", k), bytes.Repeat([]byte{byte(won[k])}, 10_000))
	}
}

func testSourceFails(t *testing.T, s store.Store) {
	cause := errors.New("the source broke")
	half := noise(300 << 10)
	sources := map[string]io.Reader{
		"at-once":   onlyReader{&failing{nil, cause}},
		"half-way":  onlyReader{&failing{half, cause}},
		"writer-to": store.Source(func(w io.Writer) error { w.Write(half); return cause }),
	}
	for name, r := range sources {
		key := "fails/" + name
		err := s.Put(t.Context(), key, r)
		wantError(t, "Put from a source that fails "+name, err, cause, s.URL(), key)
		if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get after a Put that failed: %v, want fs.ErrNotExist", err)
		}
	}
	wantKeys(t, s, "")
	for name := range sources {
		put(t, s, "fails/"+name, half)
		wantBlob(t, s, "fails/"+name, half)
	}
}

// testNamed: a blob whose key is known when it was read, or errors.ErrUnsupported before anything was.
func testNamed(t *testing.T, s store.Store) {
	content, read := noise(1<<20), 0
	src := func() io.Reader {
		read = 0
		return store.Source(func(w io.Writer) (err error) { read, err = w.Write(content); return err })
	}
	named := func(key string) func() string {
		return func() string {
			if read != len(content) {
				t.Errorf("the key was asked for after %d of %d bytes", read, len(content))
			}
			return key
		}
	}
	err := store.PutNamed(t.Context(), s, src(), named("named/a"))
	if errors.Is(err, errors.ErrUnsupported) {
		if read != 0 {
			t.Errorf("PutNamed read %d bytes before it said that the store cannot", read)
		}
		return
	}
	if err != nil {
		t.Fatalf("PutNamed: %v", err)
	}
	wantBlob(t, s, "named/a", content)
	put(t, s, "named/b", []byte("first"))
	if err := store.PutNamed(t.Context(), s, src(), named("named/b")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("PutNamed of a key that is taken: %v, want fs.ErrExist", err)
	}
	if err := store.PutNamed(t.Context(), s, src(), named("../c")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("PutNamed of a bad key: %v, want fs.ErrInvalid", err)
	}
	cause := errors.New("the source broke")
	err = store.PutNamed(t.Context(), s, onlyReader{&failing{content, cause}}, func() string { return "named/d" })
	wantError(t, "PutNamed from a source that fails", err, cause, s.URL())
	wantBlob(t, s, "named/b", []byte("first"))
	wantKeys(t, s, "", "named/a", "named/b")
}

// failing yields data and then err.
type failing struct {
	data []byte
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	n := copy(p, f.data)
	f.data = f.data[n:]
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

// endless calls f before each read.
type endless struct{ f func() }

func (e endless) Read(p []byte) (int, error) { e.f(); return len(p), nil }

func testCancel(t *testing.T, s store.Store) {
	put(t, s, "there", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	err := s.Put(ctx, "cancelled/reader", endless{func() {
		if reads++; reads == 3 {
			cancel()
		}
	}})
	wantError(t, "Put that is cancelled under way", err, context.Canceled, s.URL(), "cancelled/reader")

	ctx, cancel = context.WithCancel(t.Context())
	part := make([]byte, 64<<10)
	err = s.Put(ctx, "cancelled/writer-to", store.Source(func(w io.Writer) error {
		for n := 0; ; n++ {
			if n == 3 {
				cancel()
			}
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}))
	wantError(t, "Put that is cancelled under way", err, context.Canceled, s.URL(), "cancelled/writer-to")

	ctx, cancel = context.WithCancel(t.Context())
	err = s.Put(ctx, "cancelled/end", store.Source(func(w io.Writer) error {
		_, err := w.Write(part)
		cancel()
		return err
	}))
	wantError(t, "Put that is cancelled after the last byte", err, context.Canceled, s.URL(), "cancelled/end")

	err = s.Put(ctx, "cancelled/before", bytes.NewReader(part))
	wantError(t, "Put", err, context.Canceled, s.URL(), "cancelled/before")
	_, err = s.Get(ctx, "there")
	wantError(t, "Get", err, context.Canceled, s.URL(), "there")
	_, err = store.GetRange(ctx, s, "there", 0, 1)
	wantError(t, "GetRange", err, context.Canceled, s.URL(), "there")
	err = s.Delete(ctx, "there")
	wantError(t, "Delete", err, context.Canceled, s.URL(), "there")
	var last error
	for _, err := range s.List(ctx, "") {
		last = err
	}
	wantError(t, "List", last, context.Canceled, s.URL())

	wantKeys(t, s, "", "there")
}

// noise returns bytes that do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1: byte(n), 2: byte(n >> 8)})
	r.Read(b)
	return b
}

func put(t *testing.T, s store.Store, key string, content []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(content)); err != nil {
		t.Fatalf("Put(%s): %v", key, err)
	}
}

// wantBlob reads a blob by Get, in odd pieces, and by ReadAll.
func wantBlob(t *testing.T, s store.Store, key string, want []byte) {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Errorf("Get(%s): %v", key, err)
		return
	}
	var got bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&got}, onlyReader{r}, make([]byte, 12345))
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("Get(%s) = %s, %v, want %s", key, show(got.Bytes()), err, show(want))
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close of Get(%s): %v", key, err)
	}
	if got, err := store.ReadAll(t.Context(), s, key); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAll(%s) = %s, %v, want %s", key, show(got), err, show(want))
	}
}

func show(b []byte) string {
	if len(b) <= 40 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q… (%d bytes)", b[:40], len(b))
}

// wantError checks that err wraps a cause and names things.
func wantError(t *testing.T, what string, err, cause error, names ...string) {
	t.Helper()
	if !errors.Is(err, cause) {
		t.Errorf("%s: error %v, want one that wraps %v", what, err, cause)
		return
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %q does not name %q", what, err, name)
		}
	}
}
