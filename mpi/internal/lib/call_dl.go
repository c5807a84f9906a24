//go:build (linux || darwin || freebsd || netbsd) && (amd64 || arm64 || riscv64 || loong64 || s390x)

package lib

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// dlopen loads a library for good. Its symbols are made global, since Open MPI loads parts of itself that need them.
func dlopen(path string) (func(name string) (uintptr, error), error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	return func(name string) (uintptr, error) { return purego.Dlsym(h, name) }, nil
}

// Call calls a function and returns its int result, 0 for success. Pointers are converted to uintptr in the arguments and
// nowhere else: that keeps what they point to in place and alive until the call returns. A result of C's type int leaves the upper half
// of the register undefined.
//
//go:uintptrescapes
func (l *Library) Call(f Func, args ...uintptr) int {
	r, _, _ := purego.SyscallN(l.fn[f], args...)
	return int(int32(r))
}

func (l *Library) version(text []byte, n *int32) error {
	if code := l.Call(GetVersion, uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(n))); code != 0 {
		return fmt.Errorf("%s: %v: error %d: %w", l.Path, GetVersion, code, ErrForeign)
	}
	return nil
}

// Callback makes a function for MPI_Op_create. There can be 2000 in the life of a process.
func Callback(f func(in, inout unsafe.Pointer, n int)) uintptr {
	return purego.NewCallback(func(in, inout unsafe.Pointer, n *int32, _ unsafe.Pointer) { f(in, inout, int(*n)) })
}
