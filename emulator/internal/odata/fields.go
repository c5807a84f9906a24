package odata

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Fields are the properties that $filter may name, by their paths, as "executionInfo/exitCode".
type Fields[T any] map[string]Field[T]

// A Field is how a property of T is compared. Text, Number, Time and Bool make one.
type Field[T any] struct {
	kind kind
	test func(op op, v value) func(T) bool // of the property's kind; v is null for a comparison with null
	only []string
}

// Text is a property that is a string; the empty string is the same as none.
func Text[T any](get func(T) string) Field[T] {
	return Field[T]{kind: text, test: func(op op, v value) func(T) bool {
		if op == startsWith {
			return func(t T) bool { return strings.HasPrefix(get(t), v.text) }
		}
		return compare(op, v.kind == null, v.text, func(t T) (string, bool) { s := get(t); return s, s != "" })
	}}
}

// Number is a property that is an integer; get says false when there is none.
func Number[T any](get func(T) (int64, bool)) Field[T] {
	return Field[T]{kind: number, test: func(op op, v value) func(T) bool {
		return compare(op, v.kind == null, v.number, func(t T) (float64, bool) { n, ok := get(t); return float64(n), ok })
	}}
}

// Time is a property that is a time; the zero time is the same as none. It is compared to the tick of 100 ns, which is
// what JSON shows of it.
func Time[T any](get func(T) time.Time) Field[T] {
	return Field[T]{kind: moment, test: func(op op, v value) func(T) bool {
		return compare(op, v.kind == null, v.ticks, func(t T) (int64, bool) { m := get(t); return ticks(m), !m.IsZero() })
	}}
}

// Bool is a property that is true or false.
func Bool[T any](get func(T) bool) Field[T] {
	return Field[T]{kind: truth, test: func(op op, v value) func(T) bool {
		return compare(op, v.kind == null, int(v.number), func(t T) (int, bool) {
			if get(t) {
				return 1, true
			}
			return 0, true
		})
	}}
}

// Only limits the operators that may be used with the property, as "eq", "startswith". The service allows for example
// no order among states.
func (f Field[T]) Only(ops ...string) Field[T] {
	f.only = ops
	return f
}

func (f Field[T]) allows(o op) bool {
	if f.only != nil {
		return slices.Contains(f.only, o.String())
	}
	switch o {
	case equal, notEqual:
		return true
	case startsWith:
		return f.kind == text
	default:
		return f.kind != truth
	}
}

// compare tests a property against a literal. A property that is not there equals null and differs from all else; it is
// neither greater nor less than anything.
func compare[T any, V cmp.Ordered](op op, isNull bool, want V, get func(T) (V, bool)) func(T) bool {
	if isNull {
		switch op {
		case equal:
			return func(t T) bool { _, ok := get(t); return !ok }
		case notEqual:
			return func(t T) bool { _, ok := get(t); return ok }
		default:
			return func(T) bool { return false }
		}
	}
	switch op {
	case equal:
		return func(t T) bool { got, ok := get(t); return ok && got == want }
	case notEqual:
		return func(t T) bool { got, ok := get(t); return !ok || got != want }
	case greater:
		return func(t T) bool { got, ok := get(t); return ok && got > want }
	case greaterOrEqual:
		return func(t T) bool { got, ok := get(t); return ok && got >= want }
	case less:
		return func(t T) bool { got, ok := get(t); return ok && got < want }
	default: // lessOrEqual
		return func(t T) bool { got, ok := get(t); return ok && got <= want }
	}
}

// epoch is the year 1, from which .NET counts ticks, in seconds of Unix time.
const epoch = -62135596800

// ticks are the 100 ns since the year 1.
func ticks(t time.Time) int64 { return (t.Unix()-epoch)*1e7 + int64(t.Nanosecond())/100 }

type kind uint8

const (
	null kind = iota
	text
	number
	moment
	truth
)

func (k kind) String() string {
	return [...]string{"null", "a string", "a number", "a DateTime", "a Boolean"}[k]
}

// A value is a literal.
type value struct {
	kind   kind
	text   string
	number float64 // also of truth: 0 or 1
	ticks  int64
}

type op uint8

const (
	equal op = iota
	notEqual
	greater
	greaterOrEqual
	less
	lessOrEqual
	startsWith
)

var ops = [...]string{"eq", "ne", "gt", "ge", "lt", "le", "startswith"}

func (o op) String() string { return ops[o] }

// comparison finds the operator that stands between two operands.
func comparison(word string) (op, bool) {
	i := slices.Index(ops[:startsWith], word)
	return op(max(i, 0)), i >= 0
}

// turned is the operator for exchanged operands.
func (o op) turned() op {
	switch o {
	case greater:
		return less
	case greaterOrEqual:
		return lessOrEqual
	case less:
		return greater
	case lessOrEqual:
		return greaterOrEqual
	}
	return o
}
