package cache

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mapNoReserve: pages that nobody writes to need no memory set aside for their copies.
const mapNoReserve = unix.MAP_NORESERVE

// waitForWriters waits until no process has the file open for writing. A child that another goroutine forked while
// we wrote inherits our descriptor until it executes its program, and as long nobody can execute the file (ETXTBSY,
// golang.org/issue/22315). A read lease is granted only when there is no writer.
func waitForWriters(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); !errors.Is(err, unix.EAGAIN) {
			return // granted, and given back by Close; or not a thing on this file system
		}
	}
}

func lastUse(info os.FileInfo) time.Time {
	st := info.Sys().(*syscall.Stat_t)
	if used := time.Unix(st.Atim.Unix()); used.After(info.ModTime()) {
		return used
	}
	return info.ModTime()
}

// bootID changes when the machine starts.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(id) < 8 {
		return "0"
	}
	return strings.ToLower(string(id[:8]))
}
