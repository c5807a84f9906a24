//go:build linux || darwin

package filestore

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestRenameExclusive is about the way that file systems without hard links take.
func TestRenameExclusive(t *testing.T) {
	dir := t.TempDir()
	from, to := dir+"/from", dir+"/to"
	for _, path := range []string{from, to} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := renameExclusive(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("to a name that is taken: %v, want fs.ErrExist", err)
	}
	if got, err := os.ReadFile(to); string(got) != to {
		t.Errorf("the file was replaced: %q, %v", got, err)
	}
	if err := renameExclusive(from, dir+"/none/to"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a directory that is not there: %v, want fs.ErrNotExist", err)
	}
	if err := renameExclusive(from, dir+"/free"); err != nil {
		t.Errorf("to a free name: %v", err)
	}
}
