//go:build unix

package cache

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Map maps a file into memory, privately: the slice may be written to, which the file and other mappings of it do
// not see, and costs a copy of each page that is touched. It takes microseconds, whatever the size; pages are read
// when they are first touched. The mapping outlives the file's deletion and ends with [Unmap], after which no slice
// into it may be used.
func Map(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cache: map: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cache: map: %w", err)
	}
	size := info.Size()
	if size == 0 {
		return []byte{}, nil // which mmap refuses
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("cache: map %s: %d bytes are more than fit into memory", path, size)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|mapNoReserve)
	if err != nil {
		return nil, fmt.Errorf("cache: map %s: %w", path, err)
	}
	return b, nil
}

// Unmap ends a mapping. b is what Map returned, whole.
func Unmap(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return unix.Munmap(b)
}
