package cache

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Workers do not run on Windows; this is so that a client builds there.

var errLocked = errors.New("locked by another process")

func tryLock(*os.File) error { return fmt.Errorf("lock: %w", errors.ErrUnsupported) }

func identity(os.FileInfo) (dev, ino uint64) { return 0, 0 }

func waitForWriters(string) {}

func lastUse(info os.FileInfo) time.Time { return info.ModTime() }

func bootID() string { return "0" }

// Map reads a file into memory.
func Map(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cache: map: %w", err)
	}
	return b, nil
}

// Unmap does nothing.
func Unmap([]byte) error { return nil }

// Reset drops what was written to a mapping, where the system can: not on this one.
func Reset([]byte) error { return errors.ErrUnsupported }
