package codec

import (
	"reflect"
	"strings"
	"unsafe"
)

// The layouts below are those of the gc compiler; init checks them where a wrong guess would corrupt memory.

type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// ifaceWords is an interface: a type descriptor (interfaces without methods) or a method table, and the value.
type ifaceWords struct {
	tab, data unsafe.Pointer
}

var zeroSized struct{}

func rtypeOf(t reflect.Type) unsafe.Pointer { return (*ifaceWords)(unsafe.Pointer(&t)).data }

// typeAt makes a reflect.Type of a type descriptor.
func typeAt(rtype unsafe.Pointer) reflect.Type {
	var x any
	(*ifaceWords)(unsafe.Pointer(&x)).tab = rtype
	return reflect.TypeOf(x)
}

// isDirect reports whether an interface holds values of t themselves (types that are one pointer) instead of a
// pointer to them.
func isDirect(t reflect.Type) bool {
	if t.Kind() == reflect.Interface || t.Size() != unsafe.Sizeof(uintptr(0)) {
		return false
	}
	x := reflect.Zero(t).Interface()
	return (*ifaceWords)(unsafe.Pointer(&x)).data == nil
}

// pointerTo makes an any that holds a pointer to the value of type t at v.
func pointerTo(t reflect.Type, v unsafe.Pointer) any { return reflect.NewAt(t, v).Interface() }

// dirty allocates n bytes that may hold anything and hold no pointers. Clearing megabytes that are overwritten
// at once would cost as much as moving them.
func dirty(n int) unsafe.Pointer {
	var b strings.Builder
	b.Grow(n)
	return unsafe.Pointer(unsafe.StringData(b.String()))
}

func bytesAt(p unsafe.Pointer, n int) []byte { return unsafe.Slice((*byte)(p), n) }
