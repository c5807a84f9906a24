package filestore_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
	"github.com/clusterless-go/clusterless/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

func TestURL(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space, ümlaut & 100%?")
	for _, s := range []*filestore.Store{open(t, dir), open(t, dir, filestore.Sync())} {
		again, err := store.Open(t.Context(), s.URL())
		if err != nil {
			t.Fatal(err)
		}
		if again.URL() != s.URL() {
			t.Errorf("the store at %s, opened again, says it is %s", s.URL(), again.URL())
		}
		key := fmt.Sprint("a/", strings.Count(s.URL(), "sync=1"))
		if err := again.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			t.Error(err)
		}
		if got, err := store.ReadAll(t.Context(), s, key); string(got) != "x" {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
	}
	for _, url := range []string{"file:relative", "file://host/dir", "file:///" + "tmp?sink=1", "file:", "file://", "file:///tmp?sync=yes"} {
		if s, err := store.Open(t.Context(), url); err == nil {
			t.Errorf("Open(%s) = %s, want an error", url, s.URL())
		}
	}
}

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "jobs/x", "1")
	put(t, s, "jobs/x/in/0", "2")
	for path, want := range map[string]string{"jobs,/x": "1", "jobs,/x,/in,/0": "2"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); string(got) != want {
			t.Errorf("%s has %q, %v, want %q", path, got, err, want)
		}
	}
	// What is not a blob is left alone.
	foreign := filepath.Join(dir, "jobs,", "notes on this.txt")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, "jobs/x", "jobs/x/in/0")
	for _, key := range []string{"jobs/x", "jobs/x/in/0"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "jobs,", "x,")); !os.IsNotExist(err) {
		t.Errorf("an emptied directory is still there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	wantNothingLeft(t, dir)
}

func TestBlobsAreReadOnly(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "k", "x")
	path, err := s.File(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o222 != 0 {
		t.Errorf("a blob has mode %v, want no write permission", info.Mode())
	}
}

// TestLeftovers opens a store in which writers were killed: one long ago, one just now, or it is still at work.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ",tmp", "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	old, recent := filepath.Join(dir, ",tmp", "7", "old"), filepath.Join(dir, ",tmp", "7", "recent")
	for _, path := range []string{old, recent} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	wantKeys(t, s)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("a file that nobody wrote to for a day: %v, want it removed", err)
	}
	if _, err := os.Stat(recent); err != nil {
		t.Errorf("a file that may be written to: %v, want it there", err)
	}
}

func TestPanicOfTheSource(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	func() {
		defer func() { recover() }()
		s.Put(t.Context(), "k", store.Source(func(w io.Writer) error {
			w.Write([]byte("half"))
			panic("the source panics")
		}))
	}()
	wantKeys(t, s)
	wantNothingLeft(t, dir)
}

// TestTakenKeyIsNotWritten puts a blob again, as every client does with its program.
func TestTakenKeyIsNotWritten(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "k", "x")
	err := s.Put(t.Context(), "k", store.Source(func(io.Writer) error { return errors.New("the source was read") }))
	if !errors.Is(err, os.ErrExist) {
		t.Errorf("Put of a taken key = %v, want fs.ErrExist", err)
	}
}

func open(t testing.TB, dir string, opts ...filestore.Option) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s store.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func wantKeys(t *testing.T, s store.Store, want ...string) {
	t.Helper()
	var got []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Errorf("List: %v", err)
		}
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
}

func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ",tmp", "*", "*"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range left {
		t.Errorf("a temporary file %s was left behind", path)
	}
}
