package mpi

import (
	"fmt"
	"math"
	"reflect"
	"unsafe"
)

// Number is what messages are made of: slices of these types, and of types made from them.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 |
		~float32 | ~float64 | ~complex64 | ~complex128
}

// typeOf is the library's datatype for T.
func typeOf[T Number](c *Comm) uintptr { return c.w.lib.Type(reflect.TypeFor[T]().Kind()) }

func sizeOf[T Number]() int {
	var v T
	return int(unsafe.Sizeof(v))
}

// data is the address of the first element. Where it is used the conversion to uintptr follows in the argument list.
func data[T Number](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// check says what is wrong with the length of a buffer: counts are C ints.
func check[T Number](s []T) error {
	if len(s) > math.MaxInt32 {
		return fmt.Errorf("mpi: a buffer of %d elements: the library counts to %d: send it in pieces: %w", len(s), math.MaxInt32, ErrCount)
	}
	return nil
}
