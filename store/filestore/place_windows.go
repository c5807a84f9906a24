package filestore

import (
	"os"
	"path/filepath"
	"strings"
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
