package codec

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// Forms of a type definition, after the kinds of reflect, which stand for themselves.
const (
	defNamed  = 'N' // string, package path, fingerprint, distance
	defLookup = 'L' // as defNamed, for types without a name that reflect cannot make
	defAny    = 'E'
	defError  = 'R'
	defPtr    = 'P'
	defSlice  = 'S'
	defArray  = 'A'
	defMap    = 'M'
	defChan   = 'C'
	defFunc   = 'F'
	defStruct = 'T'
)

const maxDefinitionDepth = 64

var anyType = reflect.TypeFor[any]()

// definition returns the bytes that tell another process which type this is.
func (p *program) definition() ([]byte, error) {
	p.lazy.defOnce.Do(func() { p.lazy.def, p.lazy.defErr = define(nil, p.typ, 0) })
	return p.lazy.def, p.lazy.defErr
}

func define(b []byte, t reflect.Type, depth int) ([]byte, error) {
	if depth > maxDefinitionDepth {
		return nil, fmt.Errorf("cannot send a %s: the type is nested too deeply", clip(t.String()))
	}
	depth++
	switch {
	case t == anyType:
		return append(b, defAny), nil
	case t == errorType:
		return append(b, defError), nil
	case t.Name() != "" && t.PkgPath() == "":
		return append(b, byte(t.Kind())), nil
	case t.Name() != "":
		return defineLookup(b, defNamed, t)
	}
	var err error
	switch t.Kind() {
	case reflect.Pointer:
		return define(append(b, defPtr), t.Elem(), depth)
	case reflect.Slice:
		return define(append(b, defSlice), t.Elem(), depth)
	case reflect.Array:
		return define(binary.AppendUvarint(append(b, defArray), uint64(t.Len())), t.Elem(), depth)
	case reflect.Map:
		if b, err = define(append(b, defMap), t.Key(), depth); err != nil {
			return nil, err
		}
		return define(b, t.Elem(), depth)
	case reflect.Chan:
		return define(append(b, defChan, byte(t.ChanDir())), t.Elem(), depth)
	case reflect.Func:
		b = append(b, defFunc, 0)
		if t.IsVariadic() {
			b[len(b)-1] = 1
		}
		b = binary.AppendUvarint(b, uint64(t.NumIn()))
		b = binary.AppendUvarint(b, uint64(t.NumOut()))
		for i := range t.NumIn() {
			if b, err = define(b, t.In(i), depth); err != nil {
				return nil, err
			}
		}
		for i := range t.NumOut() {
			if b, err = define(b, t.Out(i), depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Struct:
		if len(compiled(t.String())) > 0 || t.NumField() > 0 && !makeable(t) {
			return defineLookup(b, defLookup, t)
		}
		b = binary.AppendUvarint(append(b, defStruct), uint64(t.NumField()))
		for i := range t.NumField() {
			f := t.Field(i)
			b = appendText(b, f.Name)
			b = appendText(b, f.PkgPath)
			b = appendText(b, string(f.Tag))
			if b, err = define(b, f.Type, depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Interface:
		return defineLookup(b, defLookup, t)
	}
	return nil, fmt.Errorf("cannot send a %s", t)
}

// makeable reports whether reflect.StructOf makes t.
func makeable(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous || !f.IsExported() {
			return false
		}
	}
	return true
}

func defineLookup(b []byte, form byte, t reflect.Type) ([]byte, error) {
	fp := Fingerprint(t)
	b = append(b, form)
	b = appendText(b, t.String())
	b = appendText(b, t.PkgPath())
	b = append(b, fp[:]...)
	return binary.LittleEndian.AppendUint64(b, distance(t)), nil
}

// distance tells apart types that agree in everything else, such as local types of two functions: it is that
// of the type's descriptor from a fixed one, the same in all processes of a build.
func distance(t reflect.Type) uint64 {
	return uint64(uintptr(rtypeOf(t)) - uintptr(rtypeOf(timeType)))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// definitions caches what definitions stand for; bounded, as they come from outside.
var definitions struct {
	sync.RWMutex
	types map[definitionKey]reflect.Type
}

type definitionKey struct {
	def       string
	sameBuild bool
}

const maxDefinitions = 1 << 14

// typeOfDefinition finds or makes the type that a definition stands for. Nothing in b is trusted: a type is
// either one of this program that agrees in name and fingerprint, or made by package reflect.
func typeOfDefinition(b []byte, sameBuild bool) (t reflect.Type, err error) {
	definitions.RLock()
	t, ok := definitions.types[definitionKey{string(b), sameBuild}]
	definitions.RUnlock()
	if ok {
		return t, nil
	}
	defer func() {
		if r := recover(); r != nil { // reflect panics on types that cannot be
			err = corrupt("definition of a type: %v", r)
		}
	}()
	r := definer{b: b, sameBuild: sameBuild}
	t = r.read(0)
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.b) > 0 || t == nil:
		return nil, corrupt("definition of a type")
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Invalid:
		return nil, corrupt("a value of type %s", t)
	}
	definitions.Lock()
	if definitions.types == nil {
		definitions.types = map[definitionKey]reflect.Type{}
	}
	if len(definitions.types) < maxDefinitions {
		definitions.types[definitionKey{string(b), sameBuild}] = t
	}
	definitions.Unlock()
	return t, nil
}

type definer struct {
	b         []byte
	sameBuild bool
	err       error
}

// fail notes the first error and returns nil.
func (r *definer) fail(err error) reflect.Type {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
	return nil
}

func (r *definer) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(corrupt("definition of a type is too short"))
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *definer) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *definer) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(corrupt("definition of a type is too short"))
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *definer) text() string { return string(r.take(r.uvarint())) }

var basicTypes = [...]reflect.Type{
	reflect.Bool: reflect.TypeFor[bool](), reflect.String: reflect.TypeFor[string](),
	reflect.Int: reflect.TypeFor[int](), reflect.Int8: reflect.TypeFor[int8](), reflect.Int16: reflect.TypeFor[int16](),
	reflect.Int32: reflect.TypeFor[int32](), reflect.Int64: reflect.TypeFor[int64](),
	reflect.Uint: reflect.TypeFor[uint](), reflect.Uint8: reflect.TypeFor[uint8](), reflect.Uint16: reflect.TypeFor[uint16](),
	reflect.Uint32: reflect.TypeFor[uint32](), reflect.Uint64: reflect.TypeFor[uint64](), reflect.Uintptr: reflect.TypeFor[uintptr](),
	reflect.Float32: reflect.TypeFor[float32](), reflect.Float64: reflect.TypeFor[float64](),
	reflect.Complex64: reflect.TypeFor[complex64](), reflect.Complex128: reflect.TypeFor[complex128](),
	reflect.UnsafePointer: reflect.TypeFor[unsafe.Pointer](),
}

func (r *definer) read(depth int) reflect.Type {
	if depth > maxDefinitionDepth {
		return r.fail(corrupt("definition of a type is nested too deeply"))
	}
	depth++
	switch form := r.byte(); form {
	case defAny:
		return anyType
	case defError:
		return errorType
	case defNamed, defLookup:
		w := wanted{str: r.text(), pkg: r.text(), named: form == defNamed}
		copy(w.fp[:], r.take(16))
		if d := r.take(8); d != nil && r.sameBuild {
			w.distance, w.exact = binary.LittleEndian.Uint64(d), true
		}
		if r.err != nil {
			return nil
		}
		t, err := w.find()
		if err != nil {
			return r.fail(err)
		}
		return t
	case defPtr:
		if t := r.read(depth); t != nil {
			return reflect.PointerTo(t)
		}
	case defSlice:
		if t := r.read(depth); t != nil {
			return reflect.SliceOf(t)
		}
	case defArray:
		n := r.uvarint()
		if t := r.read(depth); t != nil {
			if n > 1<<40 || t.Size() > 0 && n > 1<<40/uint64(t.Size()) {
				return r.fail(corrupt("an array of %d %s", n, t))
			}
			return reflect.ArrayOf(int(n), t)
		}
	case defMap:
		k := r.read(depth)
		if v := r.read(depth); k != nil && v != nil {
			return reflect.MapOf(k, v)
		}
	case defChan:
		dir := reflect.ChanDir(r.byte())
		if t := r.read(depth); t != nil {
			return reflect.ChanOf(dir, t)
		}
	case defFunc:
		return r.function(depth)
	case defStruct:
		return r.structure(depth)
	default:
		if int(form) < len(basicTypes) && basicTypes[form] != nil {
			return basicTypes[form]
		}
		return r.fail(corrupt("definition of a type of form %d", form))
	}
	return nil
}

func (r *definer) function(depth int) reflect.Type {
	variadic := r.byte() == 1
	nin, nout := r.uvarint(), r.uvarint()
	types := func(n uint64) (ts []reflect.Type) {
		for i := uint64(0); i < n && r.err == nil; i++ {
			ts = append(ts, r.read(depth))
		}
		return ts
	}
	in, out := types(nin), types(nout)
	if r.err != nil {
		return nil
	}
	return reflect.FuncOf(in, out, variadic)
}

func (r *definer) structure(depth int) reflect.Type {
	n := r.uvarint()
	var fields []reflect.StructField
	for i := uint64(0); i < n && r.err == nil; i++ {
		f := reflect.StructField{Name: r.text(), PkgPath: r.text(), Tag: reflect.StructTag(r.text())}
		f.Type = r.read(depth)
		fields = append(fields, f)
	}
	if r.err != nil {
		return nil
	}
	return reflect.StructOf(fields)
}
