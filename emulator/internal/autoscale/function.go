package autoscale

import (
	"math"
	"slices"
)

// A function is one of the language; its methods are in sample.go.
type function struct {
	usage string
	// result is the type it gives for arguments of these types, invalid when they do not fit.
	result func(args []kind) kind
	// apply computes it; the string says what is wrong with the values.
	apply func(r *run, args []value) (value, string)
}

var functions = map[string]function{
	"avg":   aggregate("avg", 1, func(v []float64) float64 { return sum(v) / float64(len(v)) }),
	"len":   aggregate("len", 0, func(v []float64) float64 { return float64(len(v)) }),
	"max":   aggregate("max", 1, slices.Max[[]float64]),
	"min":   aggregate("min", 1, slices.Min[[]float64]),
	"norm":  aggregate("norm", 0, norm),
	"range": aggregate("range", 1, func(v []float64) float64 { return slices.Max(v) - slices.Min(v) }),
	"std":   aggregate("std", 2, std),
	"sum":   aggregate("sum", 0, sum),

	"ceil":  componentwise("ceil", math.Ceil),
	"floor": componentwise("floor", math.Floor),
	"lg":    componentwise("lg", math.Log2),
	"ln":    componentwise("ln", math.Log),
	"log":   componentwise("log", math.Log10),
	"round": componentwise("round", math.Round),

	"percentile": {"percentile(doubleVec v, double p)", exactly(double, doubleVec, double), percentile},
	"rand":       {"rand()", exactly(double), func(r *run, _ []value) (value, string) { return r.env.Rand(), "" }},
	"stop":       {"stop()", exactly(nothing), func(r *run, _ []value) (value, string) { r.stopped = true; return nil, "" }},
	"time":       {"time(string dateTime=\"\")", timeResult, timeOf},
	"val":        {"val(doubleVec v, double i)", exactly(double, doubleVec, double), val},
	"vec":        {"vec(doubleVecList)", listResult(doubleVec), func(_ *run, args []value) (value, string) { return flatten(args), "" }},
}

// aggregate is a function of all numbers in its arguments, of which it needs a least count.
func aggregate(name string, least int, f func([]float64) float64) function {
	return function{name + "(doubleVecList)", listResult(double), func(_ *run, args []value) (value, string) {
		v := flatten(args)
		if len(v) < least {
			return nil, name + " has too few values to work on"
		}
		return f(v), ""
	}}
}

// componentwise is a function of a number, or of each number in a list.
func componentwise(name string, f func(float64) float64) function {
	usage := name + "(double) or " + name + "(doubleVecList)"
	result := func(args []kind) kind {
		switch {
		case len(args) == 1 && (args[0] == double || args[0] == unknown):
			return args[0]
		default:
			return listResult(doubleVec)(args)
		}
	}
	return function{usage, result, func(_ *run, args []value) (value, string) {
		if x, ok := args[0].(float64); ok && len(args) == 1 {
			return f(x), ""
		}
		v := flatten(args)
		for i, x := range v {
			v[i] = f(x)
		}
		return v, ""
	}}
}

// listResult takes a doubleVecList: numbers and vectors in any mixture, at least one.
func listResult(result kind) func([]kind) kind {
	return func(args []kind) kind {
		for _, k := range args {
			if k != double && k != doubleVec && k != unknown {
				return invalid
			}
		}
		if len(args) == 0 {
			return invalid
		}
		return result
	}
}

// exactly takes arguments of these types.
func exactly(result kind, params ...kind) func([]kind) kind {
	return func(args []kind) kind {
		if !slices.EqualFunc(args, params, func(a, p kind) bool { return a == p || a == unknown }) {
			return invalid
		}
		return result
	}
}

// flatten makes one vector of a doubleVecList; it is the caller's to change.
func flatten(args []value) []float64 {
	n := 0
	for _, a := range args {
		n += size(a)
	}
	all := make([]float64, 0, n)
	for _, a := range args {
		switch a := a.(type) {
		case float64:
			all = append(all, a)
		case []float64:
			all = append(all, a...)
		}
	}
	return all
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

func norm(v []float64) float64 {
	var squares float64
	for _, x := range v {
		squares += x * x
	}
	return math.Sqrt(squares)
}

// std is the deviation of a sample.
func std(v []float64) float64 {
	mean := sum(v) / float64(len(v))
	var squares float64
	for _, x := range v {
		squares += (x - mean) * (x - mean)
	}
	return math.Sqrt(squares / float64(len(v)-1))
}

// percentile takes the nearest rank.
func percentile(_ *run, args []value) (value, string) {
	v, p := slices.Sorted(slices.Values(args[0].([]float64))), args[1].(float64)
	if len(v) == 0 {
		return nil, "the vector is empty"
	}
	if !(p >= 0 && p <= 100) {
		return nil, "a percentile is from 0 to 100, not " + formatDouble(p)
	}
	rank := int(math.Ceil(p / 100 * float64(len(v))))
	return v[max(rank, 1)-1], ""
}

func val(_ *run, args []value) (value, string) {
	v, i := args[0].([]float64), args[1].(float64)
	if !(i > -1 && i < float64(len(v))) {
		return nil, "the vector has no element " + formatDouble(i)
	}
	return v[int(i)], ""
}

func timeResult(args []kind) kind {
	if len(args) == 0 {
		return timestamp
	}
	return exactly(timestamp, text)(args)
}

func timeOf(r *run, args []value) (value, string) {
	if len(args) == 0 || args[0].(string) == "" {
		return r.env.Now, ""
	}
	t, ok := parseTime(args[0].(string))
	if !ok {
		return nil, "\"" + args[0].(string) + "\" is no time in W3C-DTF, like 2006-01-02T15:04:05Z, nor in RFC 1123"
	}
	return t, ""
}

// size is how many numbers a value holds.
func size(v value) int {
	if v, ok := v.([]float64); ok {
		return len(v)
	}
	return 1
}
