package mpi

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// Errors to test for with errors.Is.
var (
	// ErrNoLibrary: there is no MPI library, or no mpiexec, on the node.
	ErrNoLibrary = lib.ErrNone
	// ErrForeign: the node's library has neither Open MPI's nor MPICH's binary interface.
	ErrForeign = lib.ErrForeign
	// ErrCount: a buffer has a length that does not fit the operation.
	ErrCount = errors.New("wrong number of elements")
	// ErrTag: a tag is negative, or larger than the library allows (at least 32767).
	ErrTag = errors.New("invalid tag")
	// ErrRank: there is no such rank in the communicator.
	ErrRank = errors.New("invalid rank")
	// ErrOp: the operator does not work on numbers of this type.
	ErrOp = errors.New("invalid operator")
	// ErrTruncate: a message was longer than the buffer it was received in; the buffer's content is undefined.
	ErrTruncate = errors.New("message truncated")
	// ErrLonely: the rank found itself alone, since its library is not of the mpiexec that started it.
	ErrLonely = errors.New("library and mpiexec do not fit together")
)

// sentinels has the error for each class of the library that callers can tell apart.
var sentinels = map[int]error{lib.ClassCount: ErrCount, lib.ClassTag: ErrTag, lib.ClassRank: ErrRank, lib.ClassRoot: ErrRank,
	lib.ClassOp: ErrOp, lib.ClassTruncate: ErrTruncate}

// An Error is what the library said of a call. errors.Is sees the sentinels of this package in it.
type Error struct {
	Func string // in C: "MPI_Recv"
	Code int    // of the library
	Text string // the library's
	kind error
}

func (e *Error) Error() string { return fmt.Sprintf("mpi: %s: %s", e.Func, e.Text) }

// Unwrap returns one of the sentinels, or nil.
func (e *Error) Unwrap() error { return e.kind }

// error makes the error for a code.
func (w *world) error(f lib.Func, code int) error {
	e := &Error{Func: f.String(), Code: code, Text: fmt.Sprintf("error %d", code)}
	text := make([]byte, 1024) // MPI_MAX_ERROR_STRING is 256 or 512
	var class, n int32
	if w.lib.Call(lib.ErrorString, uintptr(code), uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&n))) == 0 {
		if i := bytes.IndexByte(text, 0); i >= 0 {
			text = text[:i]
		}
		e.Text = string(bytes.TrimSpace(text))
	}
	if w.lib.Call(lib.ErrorClass, uintptr(code), uintptr(unsafe.Pointer(&class))) == 0 {
		e.kind = sentinels[w.lib.Class(int(class))]
	}
	return e
}
