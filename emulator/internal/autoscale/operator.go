package autoscale

import (
	"cmp"
	"math"
	"time"
)

// An operation is what one operator does to operands of two types.
type operation struct {
	result kind
	apply  func(l, r value) (value, string) // the string says what is wrong
}

type operands struct{ l, r kind }

// arithmetic is the guide's table of operators that give a number, a time or a vector of numbers.
var arithmetic = map[string]map[operands]operation{
	"+": {
		{double, double}:             doubles(add),
		{doubleVec, double}:          spread(add),
		{doubleVec, doubleVec}:       pairwise(add),
		{timeinterval, timeinterval}: ranged(timeinterval, interval.add),
		{timeinterval, timestamp}:    ranged(timestamp, func(d interval, t time.Time) (time.Time, bool) { return after(t, d) }),
		{timestamp, timeinterval}:    ranged(timestamp, after),
	},
	"-": {
		{double, double}:             doubles(subtract),
		{doubleVec, double}:          spread(subtract),
		{doubleVec, doubleVec}:       pairwise(subtract),
		{timeinterval, timeinterval}: ranged(timeinterval, func(t, u interval) (interval, bool) { return t.add(-u) }),
		{timestamp, timestamp}:       ranged(timeinterval, func(t, u time.Time) (interval, bool) { return between(t, u), true }),
	},
	"*": {
		{double, double}:       doubles(multiply),
		{doubleVec, double}:    spread(multiply),
		{doubleVec, doubleVec}: pairwise(multiply),
		{double, timeinterval}: ranged(timeinterval, func(x float64, t interval) (interval, bool) { return t.scale(x) }),
		{timeinterval, double}: ranged(timeinterval, interval.scale),
	},
	"/": {
		{double, double}:       doubles(divide),
		{doubleVec, double}:    spread(divide),
		{doubleVec, doubleVec}: pairwise(divide),
		{timeinterval, double}: ranged(timeinterval, func(t interval, x float64) (interval, bool) { return t.scale(1 / x) }),
	},
}

func add(a, b float64) float64      { return a + b }
func subtract(a, b float64) float64 { return a - b }
func multiply(a, b float64) float64 { return a * b }
func divide(a, b float64) float64   { return a / b }

// comparisons say which orders of the operands an operator is true for.
var comparisons = map[string]func(order int) bool{
	"<":  func(order int) bool { return order < 0 },
	"<=": func(order int) bool { return order <= 0 },
	"==": func(order int) bool { return order == 0 },
	">=": func(order int) bool { return order >= 0 },
	">":  func(order int) bool { return order > 0 },
	"!=": func(order int) bool { return order != 0 },
}

// binaryOperation is what op does to values of types l and r; && and || are not here, as they may not need their right
// side.
func binaryOperation(op string, l, r kind) (operation, bool) {
	if o, ok := arithmetic[op][operands{l, r}]; ok {
		return o, true
	}
	is, ok := comparisons[op]
	if !ok || l != r {
		return operation{}, false
	}
	switch l {
	case double:
		return compare(func(a, b float64) bool {
			if math.IsNaN(a) || math.IsNaN(b) {
				return op == "!="
			}
			return is(cmp.Compare(a, b))
		}), true
	case text:
		return compare(func(a, b string) bool { return is(cmp.Compare(a, b)) }), true
	case timestamp:
		return compare(func(a, b time.Time) bool { return is(a.Compare(b)) }), true
	case timeinterval:
		return compare(func(a, b interval) bool { return is(cmp.Compare(a, b)) }), true
	}
	return operation{}, false
}

// unaryOperation is what op does to a value of type x, given as both operands.
func unaryOperation(op string, x kind) (operation, bool) {
	switch {
	case op == "-" && x == double:
		return doubles(func(a, _ float64) float64 { return -a }), true
	case op == "!" && x == double:
		return doubles(func(a, _ float64) float64 { return truth(a == 0) }), true
	case op == "-" && x == timeinterval:
		return ranged(timeinterval, func(t, _ interval) (interval, bool) { return -t, true }), true
	}
	return operation{}, false
}

func doubles(f func(a, b float64) float64) operation {
	return operation{double, func(l, r value) (value, string) { return f(l.(float64), r.(float64)), "" }}
}

func spread(f func(a, b float64) float64) operation {
	return operation{doubleVec, func(l, r value) (value, string) {
		v := make([]float64, len(l.([]float64)))
		for i, x := range l.([]float64) {
			v[i] = f(x, r.(float64))
		}
		return v, ""
	}}
}

func pairwise(f func(a, b float64) float64) operation {
	return operation{doubleVec, func(l, r value) (value, string) {
		a, b := l.([]float64), r.([]float64)
		if len(a) != len(b) {
			return nil, "the vectors have different lengths"
		}
		v := make([]float64, len(a))
		for i := range a {
			v[i] = f(a[i], b[i])
		}
		return v, ""
	}}
}

func compare[T any](f func(a, b T) bool) operation {
	return operation{double, func(l, r value) (value, string) { return truth(f(l.(T), r.(T))), "" }}
}

// ranged is an operation whose result may not exist.
func ranged[L, R, V any](result kind, f func(L, R) (V, bool)) operation {
	return operation{result, func(l, r value) (value, string) {
		v, ok := f(l.(L), r.(R))
		if !ok {
			return nil, "the result is out of range"
		}
		return v, ""
	}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
