package cache

import (
	"encoding/binary"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reset drops what was written to a mapping: it has the content of the file again. b is what [Map] returned, whole.
// Nobody may use the mapping meanwhile. After an error, which locked memory is on Linux before 5.18, what was written may still be there.
func Reset(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if dropCopies(b) == nil {
		return nil
	}
	return discard(b)
}

// watchFrom is the size from which it is worth while to watch what is written to a mapping.
const watchFrom = 4 << 20

// dropCopies drops only the pages that were written to: dropping all of a large mapping makes its next user pay for
// thousands of page faults.
func dropCopies(b []byte) error {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return err
	}
	defer f.Close()
	p := pagemap{f, os.Getpagesize()}
	if len(b) < watchFrom || blind.Load() {
		return p.drop(b)
	}
	if err := p.written(b, p.drop); err != nil {
		return p.drop(b)
	}
	return nil
}

// A pagemap is /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst of Linux).
type pagemap struct {
	f    *os.File
	page int
}

// drop drops the copies of pages in b. The pagemap has 8 bytes for each page; of a private mapping, a page that is there
// (bit 63) or swapped out (62) and does not belong to the file (61) is a copy. To know this of a page, the kernel looks at
// what it knows of that page, which is 100 ns of waiting for memory.
func (p pagemap) drop(b []byte) error {
	const here, swapped, file = 1 << 63, 1 << 62, 1 << 61
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b))) / uintptr(p.page)
	pages := (len(b) + p.page - 1) / p.page
	buf := make([]byte, 8*min(pages, 8192))
	from := -1 // first of a run of changed pages
	drop := func(to int) error {
		if from < 0 {
			return nil
		}
		run := b[from*p.page : min(to*p.page, len(b))]
		from = -1
		return discard(run)
	}
	for at := 0; at < pages; {
		n := min(len(buf)/8, pages-at)
		if _, err := p.f.ReadAt(buf[:8*n], 8*int64(first+uintptr(at))); err != nil {
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

// discard drops pages, also of memory that is locked, which takes Linux 5.18.
func discard(b []byte) error {
	const dontNeedLocked = 24 // MADV_DONTNEED_LOCKED
	if unix.Madvise(b, dontNeedLocked) == nil {
		return nil
	}
	return unix.Madvise(b, unix.MADV_DONTNEED)
}

// From Linux 6.7 on the kernel notes by itself which pages are written to, in the page tables, where that is quick to
// read: a mapping is registered with a userfaultfd that protects its pages but tells nobody when they are written to, and
// PAGEMAP_SCAN says which pages are not protected, and protects them again (the same document; linux/fs.h,
// linux/userfaultfd.h). A container may forbid it, as Docker's default does.
const (
	pagemapScan    = 0xc0606610 // PAGEMAP_SCAN
	scanProtect    = 1 << 0     // PM_SCAN_WP_MATCHING
	scanRegistered = 1 << 1     // PM_SCAN_CHECK_WPASYNC: EPERM for a mapping that is not registered
	pageWritten    = 1 << 1     // PAGE_IS_WRITTEN

	faultUserOnly  = 1          // UFFD_USER_MODE_ONLY
	faultAPI       = 0xc018aa3f // UFFDIO_API
	faultVersion   = 0xaa       // UFFD_API
	faultProtect   = 1 << 0     // UFFD_FEATURE_PAGEFAULT_FLAG_WP
	faultAsync     = 1 << 15    // UFFD_FEATURE_WP_ASYNC
	faultRegister  = 0xc020aa00 // UFFDIO_REGISTER
	faultModeWrite = 1 << 1     // UFFDIO_REGISTER_MODE_WP
)

// written calls f with the parts of b that were touched for the first time or written to since it was called last, and perhaps
// with others.
func (p pagemap) written(b []byte, f func([]byte) error) error {
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	end := start + uint64((len(b)+p.page-1)/p.page*p.page)
	found := new([256]struct{ start, end, categories uint64 })
	var pin runtime.Pinner // its address is given to the kernel as a number
	defer pin.Unpin()
	pin.Pin(found)
	for at := start; at < end; {
		arg := struct {
			size, flags, start, end, walkEnd, vec, vecLen, maxPages uint64
			inverted, mask, anyOf, returned                         uint64
		}{size: 96, flags: scanProtect | scanRegistered, start: at, end: end,
			vec: uint64(uintptr(unsafe.Pointer(found))), vecLen: uint64(len(found)), mask: pageWritten, returned: pageWritten}
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, p.f.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno == unix.EPERM && at == start {
			if err := watch(start, end); err != nil {
				blind.Store(true)
				return err
			}
			n, _, errno = unix.Syscall(unix.SYS_IOCTL, p.f.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		}
		if errno != 0 {
			blind.Store(true)
			return errno
		}
		for _, r := range found[:n] {
			if err := f(b[r.start-start : min(r.end-start, uint64(len(b)))]); err != nil {
				return err
			}
		}
		if arg.walkEnd <= at {
			return unix.EIO
		}
		at = arg.walkEnd
	}
	return nil
}

// blind says that the kernel does not do it.
var blind atomic.Bool

var watcher = sync.OnceValues(func() (uintptr, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|faultUserOnly, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	arg := struct{ version, features, ioctls uint64 }{faultVersion, faultProtect | faultAsync, 0}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, faultAPI, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		unix.Close(int(fd))
		return 0, errno
	}
	return fd, nil
})

// watch registers a mapping, until it ends.
func watch(start, end uint64) error {
	fd, err := watcher()
	if err != nil {
		return err
	}
	arg := struct{ start, len, mode, ioctls uint64 }{start, end - start, faultModeWrite, 0}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, faultRegister, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return errno
	}
	return nil
}
