//go:build unix

package filestore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const blobMode = 0o444

// place gives tmp the name path if that is free; fs.ErrExist otherwise.
func place(tmp, path string) error {
	err := unix.Link(tmp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		// An NFS client sends a request again when the answer is lost, and then hears that its own link is in the
		// way (link(2), BUGS). Only this link can have given the file a second name.
		var st unix.Stat_t
		if unix.Lstat(tmp, &st) == nil && st.Nlink > 1 {
			return nil
		}
		return err
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EMLINK):
		switch e := renameExclusive(tmp, path); {
		case e == nil, errors.Is(e, fs.ErrExist), errors.Is(e, fs.ErrNotExist):
			return e
		}
		return &os.LinkError{Op: "link", Old: tmp, New: path, Err: errNoLinks}
	}
	return &os.LinkError{Op: "link", Old: tmp, New: path, Err: err}
}

var errNoLinks = errors.New("the file system has neither hard links nor a rename that refuses to replace; choose a directory on another one")

// rmdir removes a directory if it is empty. os.Remove would try to unlink it first.
func rmdir(dir string) error { return unix.Rmdir(dir) }

func isQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }

// isStale: an NFS server lost track of the file for now.
func isStale(err error) bool { return errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.EAGAIN) }

func pathOf(urlPath string) string { return urlPath }

// stat looks at a file of a directory, without the way to the directory, which takes most of the time of os.Lstat.
func stat(d *os.File, e fs.DirEntry) (size int64, modified time.Time, err error) {
	var st unix.Stat_t
	for {
		err = unix.Fstatat(int(d.Fd()), e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != unix.EINTR {
			break
		}
	}
	return st.Size, time.Unix(st.Mtim.Unix()), err
}
