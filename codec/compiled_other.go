//go:build !go1.26 || go1.27

package codec

import (
	"reflect"
	"unsafe"
)

// newArray allocates n zero values of the type of p.
func newArray(p *program, n int) unsafe.Pointer {
	return reflect.MakeSlice(reflect.SliceOf(p.typ), n, n).UnsafePointer()
}

// compiled knows nothing of other versions of Go: types in interfaces then have to be reached or registered.
func compiled(string) []reflect.Type { return nil }
