package cache

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapNoReserve: pages that nobody writes to need no memory set aside for their copies.
const mapNoReserve = unix.MAP_NORESERVE

// Reset drops what was written to a mapping: it has the content of the file again. b is what [Map] returned, whole.
// Nobody may use the mapping meanwhile.
func Reset(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if resetChanged(b) == nil {
		return nil
	}
	return unix.Madvise(b, unix.MADV_DONTNEED)
}

// resetChanged drops only the pages that were written to: dropping all of a large mapping makes its next user pay for
// thousands of page faults. /proc/self/pagemap has 8 bytes for each page; of a private mapping, a page that is there (bit
// 63) or swapped out (62) and does not belong to the file (61) is a copy (Documentation/admin-guide/mm/pagemap.rst).
func resetChanged(b []byte) error {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return err
	}
	defer f.Close()
	const here, swapped, file = 1 << 63, 1 << 62, 1 << 61
	page := os.Getpagesize()
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b))) / uintptr(page)
	pages := (len(b) + page - 1) / page
	buf := make([]byte, 8*min(pages, 8192))
	from := -1 // first of a run of changed pages
	drop := func(to int) error {
		if from < 0 {
			return nil
		}
		run := b[from*page : min(to*page, len(b))]
		from = -1
		return unix.Madvise(run, unix.MADV_DONTNEED)
	}
	for at := 0; at < pages; {
		n := min(len(buf)/8, pages-at)
		if _, err := f.ReadAt(buf[:8*n], 8*int64(first+uintptr(at))); err != nil {
			return err
		}
		for i := range n {
			e := binary.NativeEndian.Uint64(buf[8*i:])
			changed := e&(here|swapped) != 0 && e&file == 0
			switch {
			case changed && from < 0:
				from = at + i
			case !changed && from >= 0:
				if err := drop(at + i); err != nil {
					return err
				}
			}
		}
		at += n
	}
	return drop(pages)
}

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
