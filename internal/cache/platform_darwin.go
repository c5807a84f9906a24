package cache

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const mapNoReserve = unix.MAP_NORESERVE

// Reset drops what was written to a mapping, where the system can: not on this one.
func Reset([]byte) error { return errors.ErrUnsupported }

// waitForWriters: macOS lets a file be executed that is open for writing.
func waitForWriters(string) {}

func lastUse(info os.FileInfo) time.Time {
	st := info.Sys().(*syscall.Stat_t)
	if used := time.Unix(st.Atimespec.Unix()); used.After(info.ModTime()) {
		return used
	}
	return info.ModTime()
}

// bootID changes when the machine starts.
func bootID() string {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "0"
	}
	return fmt.Sprintf("%x", tv.Sec)
}
