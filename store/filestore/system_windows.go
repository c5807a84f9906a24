package filestore

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A file that may not be written to cannot be deleted on Windows.
const blobMode = 0o600

// place gives tmp the name path if that is free; fs.ErrExist otherwise.
func place(tmp, path string) error { return os.Link(tmp, path) }

func rmdir(dir string) error { return os.Remove(dir) }

func isQuota(error) bool { return false }

func isStale(error) bool { return false }

// pathOf turns /C:/dir into C:\dir.
func pathOf(urlPath string) string { return filepath.FromSlash(strings.TrimPrefix(urlPath, "/")) }

func stat(_ *os.File, e fs.DirEntry) (size int64, modified time.Time, err error) {
	info, err := e.Info()
	if err != nil {
		return 0, time.Time{}, err
	}
	return info.Size(), info.ModTime(), nil
}
