package codec

import (
	"fmt"
	"reflect"
	"sync"
)

func mismatch(format string, args ...any) error {
	return fmt.Errorf("codec: %w: %s", ErrMismatch, fmt.Sprintf(format, args...))
}

// registered holds what Register was given.
var registered struct {
	sync.RWMutex
	types  map[reflect.Type]bool
	errors map[string]error // by the name that travels
	names  map[error]string
}

// Register makes known what a program cannot find by itself. There is seldom need for it: every type of the
// program that is ever put into an interface or behind a pointer is known, and so are errors held by
// package-level variables, as long as writer and reader are of one build. An error that is registered keeps its
// identity between builds, too: it travels as its type and its text.
func Register(v any) {
	registered.Lock()
	defer registered.Unlock()
	t := reflect.TypeOf(v)
	if t == nil {
		panic("codec: Register of nil")
	}
	if registered.types == nil {
		registered.types = map[reflect.Type]bool{}
		registered.errors = map[string]error{}
		registered.names = map[error]string{}
	}
	registered.types[t] = true
	if err, ok := v.(error); ok && t.Kind() == reflect.Pointer {
		name := t.String() + ": " + err.Error()
		if old, taken := registered.errors[name]; taken && old != err {
			panic("codec: Register of two errors as " + name)
		}
		registered.errors[name] = err
		registered.names[err] = name
	}
}

// Reach makes known the type t and all types it is made of. Encode, Decode, Check and Fingerprint do so with
// theirs.
func Reach(t reflect.Type) { programOf(t) }

// wanted is what a message says about a type.
type wanted struct {
	str      string // as of reflect.Type.String
	pkg      string
	named    bool
	fp       [16]byte
	distance uint64
	exact    bool // distance means something: the sender is of this build
}

func (w *wanted) matches(t reflect.Type) bool {
	return t.String() == w.str && t.PkgPath() == w.pkg && (t.Name() != "") == w.named
}

// find looks for the type among those of this program. Names are not unique (types local to functions), hence
// the fingerprint, and among those that agree in it, too, the distance.
func (w *wanted) find() (reflect.Type, error) {
	var same, named []reflect.Type
	add := func(t reflect.Type) {
		if !w.matches(t) {
			return
		}
		for _, u := range named {
			if u == t {
				return
			}
		}
		named = append(named, t)
		if Fingerprint(t) == w.fp {
			same = append(same, t)
		}
	}
	if w.named {
		// The compiler emits *T with every T that has a name, and lists types without one.
		for _, t := range compiled("*" + w.str) {
			add(t.Elem())
		}
	} else {
		for _, t := range compiled(w.str) {
			add(t)
		}
	}
	if len(same) == 0 {
		w.others(add)
	}
	switch {
	case len(named) == 0:
		return nil, mismatch("the message holds a %s (of package %q), which this program does not have", clip(w.str), clip(w.pkg))
	case len(same) == 0:
		fp := Fingerprint(named[0])
		return nil, mismatch("the message holds a %s (%x), which is another type here (%x)", clip(w.str), w.fp[:4], fp[:4])
	case len(same) == 1:
		return same[0], nil
	}
	if w.exact {
		for _, t := range same {
			if distance(t) == w.distance {
				return t, nil
			}
		}
	}
	return nil, mismatch("the message holds a %s, and this program has %d of that name", clip(w.str), len(same))
}

// others goes through the types that were registered or reached.
func (w *wanted) others(add func(reflect.Type)) {
	var found []reflect.Type
	programs.Range(func(t, _ any) bool {
		if w.matches(t.(reflect.Type)) {
			found = append(found, t.(reflect.Type))
		}
		return true
	})
	registered.RLock()
	for t := range registered.types {
		if w.matches(t) {
			found = append(found, t)
		}
	}
	registered.RUnlock()
	for _, t := range found {
		add(t)
	}
}
