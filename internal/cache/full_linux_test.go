package cache_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/cache"
	"golang.org/x/sys/unix"
)

// TestFullDisk has room for one blob and a half.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	runtime.LockOSThread() // for good: only this goroutine sees the mount
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace of our own (needs root): %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot make mounts private: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := mem(t)
	content := noise(2 << 20)
	get := func(i int) (string, error) {
		content[0] = byte(i)
		key := fmt.Sprint("v", i)
		if _, err := s.Get(t.Context(), key); err != nil {
			put(t, s, key, content)
		}
		return c.File(t.Context(), s, key, hash(content), int64(len(content)))
	}
	first, err := get(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(1)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") || !strings.Contains(err.Error(), dir) {
		t.Errorf("File on a full disk = %v, want no space left on %s", err, dir)
	}
	wantNothingHalfMade(t, c)
	wantThere(t, first)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(first, old, old); err != nil {
		t.Fatal(err)
	}
	second, err := get(1) // in place of the first, which nobody uses any more
	if err != nil {
		t.Fatal(err)
	}
	wantThere(t, second)
}
