package codec

import (
	"reflect"
	"unsafe"
)

// mapCoder writes and reads the entries of maps of one type.
type mapCoder interface {
	encode(s *enc, p *program, m unsafe.Pointer) (n int)
	decode(d *dec, p *program, m unsafe.Pointer, n int)
}

// mapCoderFor picks a coder. Maps with strings or integers as keys and strings, numbers or interfaces as values
// are handled as the plain Go map of the same memory layout and hash: map[Name]Kelvin as map[string]uint64.
func mapCoderFor(t reflect.Type) mapCoder {
	elem := 0
	switch e := t.Elem(); {
	case e.Kind() == reflect.String:
		elem = 's'
	case e.Kind() == reflect.Interface && e.NumMethod() == 0:
		elem = 'a'
	case isScalar(e, 8):
		elem = '8'
	}
	if hookOf(t.Key()) != nil || hookOf(t.Elem()) != nil {
		return anyMap{}
	}
	switch k := t.Key(); {
	case k.Kind() == reflect.String && elem == 's':
		return plainMap[string, string]{}
	case k.Kind() == reflect.String && elem == 'a':
		return plainMap[string, any]{}
	case k.Kind() == reflect.String && elem == '8':
		return plainMap[string, uint64]{}
	case isInteger(k, 8) && elem == 's':
		return plainMap[uint64, string]{}
	case isInteger(k, 8) && elem == '8':
		return plainMap[uint64, uint64]{}
	case isInteger(k, 4) && elem == 's':
		return plainMap[uint32, string]{}
	case isInteger(k, 4) && elem == '8':
		return plainMap[uint32, uint64]{}
	}
	return anyMap{}
}

func isInteger(t reflect.Type, size uintptr) bool {
	return t.Size() == size && t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr
}

func isScalar(t reflect.Type, size uintptr) bool {
	return isInteger(t, size) || t.Size() == size && (t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32)
}

type plainMap[K comparable, V any] struct{}

func (plainMap[K, V]) encode(s *enc, p *program, m unsafe.Pointer) (n int) {
	var k K
	var v V
	for k, v = range *(*map[K]V)(unsafe.Pointer(&m)) {
		s.entry(p, unsafe.Pointer(&k), unsafe.Pointer(&v))
		n++
	}
	return n
}

func (plainMap[K, V]) decode(d *dec, p *program, m unsafe.Pointer, n int) {
	to := *(*map[K]V)(unsafe.Pointer(&m))
	var k, zeroK K
	var v, zeroV V
	for range n {
		k, v = zeroK, zeroV
		d.entry(p, unsafe.Pointer(&k), unsafe.Pointer(&v))
		to[k] = v
	}
	if len(to) != n {
		d.corrupt("a map has a key twice")
	}
}

type anyMap struct{}

func (anyMap) encode(s *enc, p *program, m unsafe.Pointer) (n int) {
	k, v := reflect.New(p.key.typ), reflect.New(p.elem.typ)
	it := reflect.NewAt(p.typ, unsafe.Pointer(&m)).Elem().MapRange()
	for it.Next() {
		k.Elem().SetIterKey(it)
		v.Elem().SetIterValue(it)
		s.entry(p, k.UnsafePointer(), v.UnsafePointer())
		n++
	}
	return n
}

func (anyMap) decode(d *dec, p *program, m unsafe.Pointer, n int) {
	to := reflect.NewAt(p.typ, unsafe.Pointer(&m)).Elem()
	k, v := reflect.New(p.key.typ), reflect.New(p.elem.typ)
	mayPanic := !p.key.hashable()
	for range n {
		k.Elem().SetZero()
		v.Elem().SetZero()
		d.entry(p, k.UnsafePointer(), v.UnsafePointer())
		if mayPanic && !k.Elem().Comparable() {
			d.corrupt("a map has a key that cannot be compared")
		}
		to.SetMapIndex(k.Elem(), v.Elem())
	}
	if to.Len() != n {
		d.corrupt("a map has a key twice")
	}
}

// hashable reports whether every value of the type can be the key of a map.
func (p *program) hashable() bool {
	switch p.op {
	case opIface:
		return false
	case opStruct:
		for _, s := range p.steps {
			if !s.p.hashable() {
				return false
			}
		}
	case opArray:
		return p.elem.hashable()
	case opHook:
		return !holdsInterface(p.typ)
	}
	return true
}

func holdsInterface(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Array:
		return holdsInterface(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsInterface(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
