package autoscale

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Env is what a formula sees of its pool.
type Env struct {
	Now     time.Time // what time() is, and what samples are counted back from
	Samples Source    // nil: there are none
	// Current has what a variable is now, by its name with the dollar sign; a formula gets it where it uses the
	// variable as a number. For a variable that is not here that is its last sample. A service gives the counts of
	// nodes.
	Current map[string]float64
	// The targets and the option that the pool has: what a formula reads, and keeps where it sets nothing.
	TargetDedicatedNodes   int
	TargetLowPriorityNodes int
	NodeDeallocationOption string         // empty: requeue
	Rand                   func() float64 // for rand(), from 0 to 1; nil: a random source
}

// Result is what the pool is to become, and what the service says of the evaluation.
type Result struct {
	TargetDedicatedNodes   int
	TargetLowPriorityNodes int
	NodeDeallocationOption string // requeue, terminate, taskcompletion or retaineddata
	Text                   string // all variables: $TargetDedicatedNodes=1;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;x=1
}

// maxWork bounds how many numbers the vectors of one evaluation have together, as a formula could double one a hundred
// times.
const maxWork = 1 << 18

// errStopped ends an evaluation well.
var errStopped = errors.New("stop() was called")

// Evaluate computes the formula once. The error is an *Error; the result is never nil, and with an error it has the
// targets of env, which then stay.
func (f *Formula) Evaluate(env Env) (*Result, error) {
	env.Now = env.Now.UTC().Truncate(100 * time.Nanosecond)
	if env.NodeDeallocationOption == "" {
		env.NodeDeallocationOption = deallocationOptions[0]
	}
	if env.Rand == nil {
		env.Rand = rand.Float64
	}
	r := &run{env: env, set: map[string]value{}}
	for _, s := range f.statements {
		if err := r.statement(s); err == errStopped {
			break
		} else if err != nil {
			for name := range writable {
				delete(r.set, name)
			}
			return r.result(), err
		}
	}
	return r.result(), nil
}

// A run is one evaluation.
type run struct {
	env     Env
	set     map[string]value // what the formula has set
	stopped bool
	work    int
}

func (r *run) result() *Result {
	res := &Result{
		TargetDedicatedNodes:   int(r.variable(targetDedicated).(float64)),
		TargetLowPriorityNodes: int(r.variable(targetLowPriority).(float64)),
		NodeDeallocationOption: r.variable(deallocationOption).(string),
	}
	parts := []string{
		targetDedicated + "=" + format(float64(res.TargetDedicatedNodes)),
		targetLowPriority + "=" + format(float64(res.TargetLowPriorityNodes)),
		deallocationOption + "=" + res.NodeDeallocationOption,
	}
	for _, name := range slices.Sorted(maps.Keys(r.set)) {
		if _, ok := writable[name]; !ok {
			parts = append(parts, name+"="+format(r.set[name]))
		}
	}
	res.Text = strings.Join(parts, ";")
	return res
}

// variable is a variable of the service that a formula may set: what it set, under either name, or what the pool has.
func (r *run) variable(name string) value {
	for newer, old := range older {
		if name == old {
			name = newer
		}
	}
	if v, ok := r.set[name]; ok {
		return v
	}
	if v, ok := r.set[older[name]]; ok {
		return v
	}
	switch name {
	case targetDedicated:
		return float64(r.env.TargetDedicatedNodes)
	case targetLowPriority:
		return float64(r.env.TargetLowPriorityNodes)
	}
	return r.env.NodeDeallocationOption
}

func (r *run) statement(s statement) error {
	v, err := r.value(s.x)
	if err != nil || s.target.text == "" {
		return err
	}
	if err := assignable(s.target, kindOf(v)); err != nil {
		return err
	}
	if s.target.text == deallocationOption {
		if err := deallocation(s.target.at, v); err != nil {
			return err
		}
	} else if _, ok := writable[s.target.text]; ok {
		if x := v.(float64); !(x > -1 && x <= math.MaxInt32) {
			return evalErrorf(s.target.at, "%s cannot be %s", s.target.text, formatDouble(x))
		}
	}
	r.set[s.target.text] = v
	return nil
}

func (r *run) value(n node) (value, error) {
	switch n := n.(type) {
	case literal:
		return n.value, nil
	case name:
		return r.name(n)
	case member:
		x, err := r.value(n.x)
		if err != nil {
			return nil, err
		}
		if err := hasMember(n, kindOf(x)); err != nil {
			return nil, err
		}
		return float64(timeMembers[n.field](x.(time.Time))), nil
	case call:
		return r.call(n)
	case unary:
		x, err := r.value(n.x)
		if err != nil {
			return nil, err
		}
		o, err := n.operation(kindOf(x))
		if err != nil {
			return nil, err
		}
		return r.apply(n.at, o, x, x)
	case binary:
		return r.binary(n)
	case conditional:
		c, err := r.value(n.c)
		if err != nil {
			return nil, err
		}
		if err := n.condition(kindOf(c)); err != nil {
			return nil, err
		}
		if c.(float64) != 0 {
			return r.value(n.a)
		}
		return r.value(n.b)
	}
	return nil, nil
}

func (r *run) name(n name) (value, error) {
	if _, ok := writable[n.text]; ok {
		return r.variable(n.text), nil
	}
	if v, ok := constants[n.text]; ok {
		return v, nil
	}
	if variable, ok := sampledNames[n.text]; ok {
		return r.number(n.at, variable)
	}
	if v, ok := r.set[n.text]; ok {
		return v, nil
	}
	return nil, unset(n)
}

func (r *run) call(n call) (value, error) {
	args := make([]value, len(n.args))
	kinds := make([]kind, len(n.args))
	work := 0
	for i, a := range n.args {
		v, err := r.value(a)
		if err != nil {
			return nil, err
		}
		args[i], kinds[i] = v, kindOf(v)
		work += size(v)
	}
	if err := r.spend(n.at, work); err != nil {
		return nil, err
	}
	if n.x != nil {
		variable, _, err := n.method(kinds)
		if err != nil {
			return nil, err
		}
		return methods[n.function].apply(r, n.at, variable, args)
	}
	if _, err := n.result(kinds); err != nil {
		return nil, err
	}
	v, wrong := functions[n.function].apply(r, args)
	if wrong != "" {
		return nil, evalErrorf(n.at, "%s", wrong)
	}
	if r.stopped {
		return nil, errStopped
	}
	return v, nil
}

func (r *run) binary(n binary) (value, error) {
	l, err := r.value(n.l)
	if err != nil {
		return nil, err
	}
	if n.op == "&&" || n.op == "||" {
		if err := n.logical(kindOf(l)); err != nil {
			return nil, err
		}
		if yes := l.(float64) != 0; yes == (n.op == "||") {
			return truth(yes), nil
		}
		x, err := r.value(n.r)
		if err != nil {
			return nil, err
		}
		if err := n.logical(kindOf(x)); err != nil {
			return nil, err
		}
		return truth(x.(float64) != 0), nil
	}
	x, err := r.value(n.r)
	if err != nil {
		return nil, err
	}
	o, err := n.operation(kindOf(l), kindOf(x))
	if err != nil {
		return nil, err
	}
	return r.apply(n.at, o, l, x)
}

func (r *run) apply(at position, o operation, l, x value) (value, error) {
	if err := r.spend(at, size(l)); err != nil {
		return nil, err
	}
	v, wrong := o.apply(l, x)
	if wrong != "" {
		return nil, evalErrorf(at, "%s", wrong)
	}
	return v, nil
}

// spend counts work of n numbers.
func (r *run) spend(at position, n int) error {
	if r.work += n; r.work > maxWork {
		return evalErrorf(at, "the formula works on too many numbers: its vectors have more than %d together", maxWork)
	}
	return nil
}
