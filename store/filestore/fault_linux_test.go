package filestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/store"
	"golang.org/x/sys/unix"
)

// mount makes a directory on a file system of its own of a megabyte, which only the test's goroutine sees.
func mount(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace of our own (needs root): %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot make mounts private: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := mount(t)
	s := open(t, dir)
	put(t, s, "before", "x")
	content := make([]byte, 4<<20)
	for name, put := range map[string]func() error{
		"writer-to": func() error { return s.Put(t.Context(), "too/large", bytes.NewReader(content)) },
		"reader": func() error {
			return s.Put(t.Context(), "too/large", struct{ *strings.Reader }{strings.NewReader(string(content))})
		},
	} {
		err := put()
		wantFault(t, "Put on a full disk from a "+name, err, syscall.ENOSPC, s.URL(), "too/large", "no space left", "free space")
		wantNothingLeft(t, dir)
	}
	wantKeys(t, s, "before")
	put(t, s, "after", "there is room for this")
	wantKeys(t, s, "after", "before")
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := mount(t)
	put(t, open(t, dir), "before", "x")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot remount: %v", err)
	}
	s := open(t, dir)
	err := s.Put(t.Context(), "k", strings.NewReader("x"))
	wantFault(t, "Put", err, syscall.EROFS, s.URL(), "k", "read-only")
	if err := s.Delete(t.Context(), "before"); err == nil {
		t.Error("Delete on a read-only file system succeeded")
	}
	if got, err := store.ReadAll(t.Context(), s, "before"); string(got) != "x" {
		t.Errorf("ReadAll = %q, %v", got, err)
	}
	wantKeys(t, s, "before")
}

func TestDirectoryOfAnother(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "public", "x")
	if os.Getuid() == 0 {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // not the store's own directory
			t.Fatal(err)
		}
		runtime.LockOSThread() // only this thread becomes nobody
		if err := unix.Setfsuid(65534); err != nil {
			t.Skipf("cannot become nobody: %v", err)
		}
		t.Cleanup(func() { unix.Setfsuid(0) })
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	err := s.Put(t.Context(), "k", strings.NewReader("x"))
	wantFault(t, "Put", err, fs.ErrPermission, s.URL(), "k", "another user")
	if got, err := store.ReadAll(t.Context(), s, "public"); string(got) != "x" {
		t.Errorf("ReadAll = %q, %v", got, err)
	}
}

// TestFileSizeLimit needs a process of its own for its limit.
func TestFileSizeLimit(t *testing.T) {
	const env = "FILESTORE_TEST_LIMITED"
	if dir := os.Getenv(env); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		err := s.Put(t.Context(), "too/large", bytes.NewReader(make([]byte, 4<<20)))
		wantFault(t, "Put past the limit", err, syscall.EFBIG, s.URL(), "too/large")
		wantNothingLeft(t, dir)
		wantKeys(t, s)
		return
	}
	cmd := exec.CommandContext(t.Context(), testBinary(t), "-test.run=^TestFileSizeLimit$")
	cmd.Env = append(os.Environ(), env+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestKilledWriter kills a process in the middle of a Put.
func TestKilledWriter(t *testing.T) {
	const env = "FILESTORE_TEST_WRITER"
	if dir := os.Getenv(env); dir != "" {
		s := open(t, dir)
		s.Put(t.Context(), "k", struct{ *os.File }{os.Stdin}) // of which half comes
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), testBinary(t), "-test.run=^TestKilledWriter$")
	cmd.Env = append(os.Environ(), env+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	half := func() (found string) {
		names, _ := filepath.Glob(filepath.Join(dir, ",tmp", "*", "*"))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Size() > 0 {
				found = name
			}
		}
		return found
	}
	for deadline := time.Now().Add(time.Minute); half() == "" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	left := half()
	if left == "" {
		t.Fatal("the writer was not killed in the middle")
	}
	s := open(t, dir)
	wantKeys(t, s)
	put(t, s, "k", "the key is free")
	wantNothingLeft(t, dir) // Open has removed it, since its process is gone
}

func testBinary(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func wantFault(t *testing.T, what string, err, cause error, words ...string) {
	t.Helper()
	if !errors.Is(err, cause) {
		t.Errorf("%s: %v, want an error that wraps %v", what, err, cause)
		return
	}
	if store.IsTransient(err) {
		t.Errorf("%s: %v is transient, want permanent", what, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", what, err, w)
		}
	}
}
