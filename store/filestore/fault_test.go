package filestore_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/store"
)

// TestDirectoryGone removes the directory of a store while it is in use.
func TestDirectoryGone(t *testing.T) {
	dir := t.TempDir() + "/store"
	s := open(t, dir)
	put(t, s, "a/b", "x")
	err := s.Put(t.Context(), "a/c", store.Source(func(w io.Writer) error {
		_, err := w.Write([]byte("y"))
		return errors.Join(err, os.RemoveAll(dir))
	}))
	wantGone(t, "Put", err)
	wantGone(t, "Put", s.Put(t.Context(), "a/c", strings.NewReader("y")))
	_, err = s.Get(t.Context(), "a/b")
	wantGone(t, "Get", err)
	_, err = s.File(t.Context(), "a/b")
	wantGone(t, "File", err)
	for _, prefix := range []string{"", "a/"} {
		var last error
		for _, err := range s.List(t.Context(), prefix) {
			last = err
		}
		wantGone(t, "List", last)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory came back: %v", err)
	}
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Errorf("Delete = %v, want nil: the blob is gone", err)
	}
	// One that is made anew is a new store.
	again := open(t, dir)
	put(t, again, "a/c", "z")
	wantKeys(t, s, "a/c")
}

// TestTemporaryDirectoryGone: a cleaner of old files took it, or the files in it.
func TestTemporaryDirectoryGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.RemoveAll(dir + "/,tmp"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "x")
	err := s.Put(t.Context(), "l", store.Source(func(w io.Writer) error { return os.RemoveAll(dir + "/,tmp") }))
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		t.Errorf("Put whose temporary file was removed: %v, want another error", err)
	}
	wantKeys(t, s, "k")
}

func wantGone(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "directory of the store is gone") {
		t.Errorf("%s after the directory was removed: %v, want an error that says so and is not fs.ErrNotExist", what, err)
	}
}

// TestDamagedBlob changes a blob behind the store's back.
func TestDamagedBlob(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "values/v", "content")
	const sum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" // sha256 of content
	if err := store.VerifySHA256(t.Context(), s, "values/v", sum); err != nil {
		t.Errorf("VerifySHA256 of a good blob: %v", err)
	}
	path, err := s.File(t.Context(), "values/v")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("c0ntent"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = store.VerifySHA256(t.Context(), s, "values/v", sum)
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "values/v") {
		t.Errorf("VerifySHA256 of a damaged blob: %v, want store.ErrDamaged that names the key", err)
	}
}
