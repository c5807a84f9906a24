package codec

import (
	"crypto/sha256"
	"reflect"
	"sort"
	"strconv"
)

// Fingerprint identifies the structure and the names of a type and all types it is made of, and which of them
// marshal themselves. It is the same in every program where these are the same. Every message carries that of
// its type.
func Fingerprint(t reflect.Type) [16]byte { return programOf(t).fingerprint() }

func (p *program) fingerprint() [16]byte {
	p.lazy.fpOnce.Do(func() {
		d := describer{seen: map[reflect.Type]int{}}
		d.describe(p.typ)
		sum := sha256.Sum256(d.text)
		copy(p.lazy.fp[:], sum[:])
	})
	return p.lazy.fp
}

type describer struct {
	text []byte
	seen map[reflect.Type]int
}

func (d *describer) add(s string) {
	d.text = strconv.AppendInt(d.text, int64(len(s)), 10)
	d.text = append(append(d.text, ':'), s...)
}

func (d *describer) describe(t reflect.Type) {
	if n, ok := d.seen[t]; ok {
		d.add("#" + strconv.Itoa(n))
		return
	}
	d.seen[t] = len(d.seen)
	d.add(t.Kind().String())
	if t.Name() != "" {
		d.add(t.PkgPath())
		d.add(t.Name())
	}
	p := programOf(t)
	if t.Implements(errorType) {
		d.add("error")
	} else if reflect.PointerTo(t).Implements(errorType) {
		d.add("*error")
	}
	switch p.op {
	case opHook, opList, opTime, opLocation, opLock, opRefuse:
		d.add("opaque") // changes inside do not change what travels
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		d.describe(t.Elem())
	case reflect.Array:
		d.add(strconv.Itoa(t.Len()))
		d.describe(t.Elem())
	case reflect.Map:
		d.describe(t.Key())
		d.describe(t.Elem())
	case reflect.Struct:
		d.add(strconv.Itoa(t.NumField()))
		for i := range t.NumField() {
			f := t.Field(i)
			d.add(f.Name)
			d.describe(f.Type)
		}
	case reflect.Interface:
		names := make([]string, t.NumMethod())
		for i := range names {
			names[i] = t.Method(i).Name
		}
		sort.Strings(names)
		for _, n := range names {
			d.add(n)
		}
	case reflect.Chan, reflect.Func:
		d.add(t.String())
	}
}
