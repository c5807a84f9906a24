//go:build go1.26 && !go1.27

package codec

import (
	"reflect"
	"unsafe"
)

// typesByString and unsafe_NewArray are in the list of internals that the Go project keeps as they are because others use them
// (go.dev/issue/67401). The build constraint is for their results, which are to be looked at with
// each version.
//
//go:linkname typesByString reflect.typesByString
func typesByString(s string) []unsafe.Pointer

//go:linkname unsafeNewArray reflect.unsafe_NewArray
func unsafeNewArray(rtype unsafe.Pointer, n int) unsafe.Pointer

// newArray allocates n zero values of the type of p.
func newArray(p *program, n int) unsafe.Pointer { return unsafeNewArray(p.rtype, n) }

// compiled returns the unnamed types of this program with the given string: pointers, slices, arrays, maps,
// functions, channels, structs. Their descriptors were laid down by the compiler.
func compiled(s string) []reflect.Type {
	found := typesByString(s)
	types := make([]reflect.Type, len(found))
	for i, rtype := range found {
		types[i] = typeAt(rtype)
	}
	return types
}
