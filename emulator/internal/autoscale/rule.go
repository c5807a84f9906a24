package autoscale

import (
	"slices"
	"strings"
)

// This file has the rules that Check and Evaluate share: each says of one expression whether its parts fit together.

func unset(n name) error { return evalErrorf(n.at, "the variable %s has no value", n.text) }

// assignable says whether a variable may be set to a value of a kind.
func assignable(n name, k kind) error {
	if _, ok := sampledNames[n.text]; ok {
		return evalErrorf(n.at, "%s is read-only", n.text)
	}
	if _, ok := constants[n.text]; ok {
		return evalErrorf(n.at, "%s is a constant", n.text)
	}
	if k == nothing {
		return evalErrorf(n.at, "there is no value to set %s to", n.text)
	}
	if want, ok := writable[n.text]; ok && k != want && k != unknown {
		return evalErrorf(n.at, "%s cannot be set to a %v, only to a %v", n.text, k, want)
	}
	return nil
}

// deallocation says whether v is a word for $NodeDeallocationOption.
func deallocation(at position, v value) error {
	if s, ok := v.(string); ok && !slices.Contains(deallocationOptions, s) {
		return evalErrorf(at, "%s is %s, not %q", deallocationOption, strings.Join(deallocationOptions, ", "), s)
	}
	return nil
}

func hasMember(n member, x kind) error {
	if _, ok := timeMembers[n.field]; !ok || x != timestamp && x != unknown {
		return evalErrorf(n.at, "a %v has no member %s", x, n.field)
	}
	return nil
}

// result is the kind that a call of a function gives.
func (n call) result(args []kind) (kind, error) {
	f, ok := functions[n.function]
	if !ok {
		return invalid, evalErrorf(n.at, "there is no function %s", n.function)
	}
	k := f.result(args)
	if k == invalid {
		return invalid, n.misuse(f.usage, args)
	}
	return k, nil
}

// method finds the method that is called, and the kind that it gives.
func (n call) method(args []kind) (variable string, k kind, err error) {
	of, _ := n.x.(name)
	variable, ok := sampledNames[of.text]
	if !ok {
		return "", invalid, evalErrorf(n.at, "only a variable with samples, like $PendingTasks, has a method %s", n.function)
	}
	m, ok := methods[n.function]
	if !ok {
		return "", invalid, evalErrorf(n.at, "%s has no method %s", of.text, n.function)
	}
	if k = m.result(args); k == invalid {
		return "", invalid, n.misuse(m.usage, args)
	}
	return variable, k, nil
}

func (n call) misuse(usage string, args []kind) error {
	names := make([]string, len(args))
	for i, k := range args {
		names[i] = k.String()
	}
	return evalErrorf(n.at, "%s(%s) is not %s", n.function, strings.Join(names, ", "), usage)
}

func (n unary) operation(x kind) (operation, error) {
	o, ok := unaryOperation(n.op, x)
	if !ok {
		return o, evalErrorf(n.at, "operator '%s' is not for a %v", n.op, x)
	}
	return o, nil
}

func (n binary) operation(l, r kind) (operation, error) {
	o, ok := binaryOperation(n.op, l, r)
	if !ok {
		return o, evalErrorf(n.at, "operator '%s' is not for a %v and a %v", n.op, l, r)
	}
	return o, nil
}

// logical says whether k may be a side of && or ||.
func (n binary) logical(k kind) error {
	if k != double && k != unknown {
		return evalErrorf(n.at, "operator '%s' is for a double and a double, not a %v", n.op, k)
	}
	return nil
}

// condition says whether k may decide.
func (n conditional) condition(k kind) error {
	if k != double && k != unknown {
		return evalErrorf(n.at, "a condition is a double, not a %v", k)
	}
	return nil
}
