//go:build !((linux || darwin || freebsd || netbsd) && (amd64 || arm64 || riscv64 || loong64 || s390x))

package lib

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Here programs that use MPI build and submit tasks, but cannot be ranks.

func dlopen(string) (func(string) (uintptr, error), error) {
	return nil, fmt.Errorf("MPI is not called on %s/%s: run the ranks on Linux or macOS", runtime.GOOS, runtime.GOARCH)
}

// Call is never reached, since nothing is loaded.
func (l *Library) Call(Func, ...uintptr) int { panic("mpi: no library") }

func (l *Library) version([]byte, *int32) error { return ErrNone }

// Callback is never reached either.
func Callback(func(in, inout unsafe.Pointer, n int)) uintptr { panic("mpi: no library") }
