package codec

import (
	"container/list"
	"reflect"
	"strings"
	"unsafe"
)

// Types of the standard library that hold pointers to themselves or into themselves. Such pointers would arrive
// as pointers to copies, so these types need a way of their own.
var (
	listType    = reflect.TypeFor[list.List]()
	builderType = reflect.TypeFor[strings.Builder]()
)

var anyProgram = programOf(anyType)

// list writes a list.List as the number of its values and the values.
func (s *enc) list(v unsafe.Pointer) {
	l := (*list.List)(v)
	values := make([]any, 0, l.Len())
	for e := l.Front(); e != nil; e = e.Next() {
		values = append(values, e.Value)
	}
	s.uvarint(uint64(len(values)))
	s.elements(anyProgram, unsafe.Pointer(unsafe.SliceData(values)), len(values))
}

func (d *dec) list(v unsafe.Pointer) {
	l := (*list.List)(v)
	*l = list.List{}
	n := d.uvarint()
	if n > maxLength {
		d.corrupt("a list of %d values", n)
	}
	d.owe(n)
	d.depth++
	for range n {
		var x any
		d.paid(1)
		d.value(anyProgram, unsafe.Pointer(&x))
		l.PushBack(x)
	}
	d.depth--
}

// selfPointer is the program of the pointer by which a strings.Builder notices that it was copied: always
// free to travel, as nil.
func selfPointer(t reflect.Type) *program {
	return &program{typ: t, op: opLock, size: t.Size(), min: 1, lock: func(unsafe.Pointer) bool { return true }}
}
