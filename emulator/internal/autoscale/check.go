package autoscale

import (
	"cmp"
	"slices"
)

// Check finds what can be found wrong with a formula before it runs: its form, names that nothing has set, and types
// that do not fit. The error is an *Error. It needs no samples, so what depends on their number or on values shows
// only at an evaluation.
func Check(formula string) error {
	f, err := Parse(formula)
	if err != nil {
		return err
	}
	c := checker{}
	for _, s := range f.statements {
		if err := c.statement(s); err != nil {
			return err
		}
	}
	return nil
}

// checker has the kinds of the user's variables that are set.
type checker map[string]kind

func (c checker) statement(s statement) error {
	k, err := c.kind(s.x)
	if err != nil || s.target.text == "" {
		return err
	}
	if err := assignable(s.target, k); err != nil {
		return err
	}
	if option, ok := s.x.(literal); ok && s.target.text == deallocationOption {
		if err := deallocation(s.target.at, option.value); err != nil {
			return err
		}
	}
	c[s.target.text] = k
	return nil
}

func (c checker) kind(n node) (kind, error) {
	switch n := n.(type) {
	case literal:
		return kindOf(n.value), nil
	case name:
		return c.name(n)
	case member:
		x, err := c.kind(n.x)
		if err != nil {
			return invalid, err
		}
		return double, hasMember(n, x)
	case call:
		args, err := c.kinds(n.args)
		if err != nil {
			return invalid, err
		}
		if n.x != nil {
			_, k, err := n.method(args)
			return k, err
		}
		if k, err := n.result(args); err != nil || n.function != "time" || len(n.args) == 0 {
			return k, err
		}
		if s, ok := n.args[0].(literal); ok {
			if _, wrong := timeOf(&run{}, []value{s.value}); wrong != "" {
				return invalid, evalErrorf(n.at, "%s", wrong)
			}
		}
		return timestamp, nil
	case unary:
		x, err := c.kind(n.x)
		if err != nil || x == unknown {
			return unknown, err
		}
		o, err := n.operation(x)
		return o.result, err
	case binary:
		k, err := c.kinds([]node{n.l, n.r})
		if err != nil || slices.Contains(k, unknown) {
			return unknown, err
		}
		if n.op == "&&" || n.op == "||" {
			return double, cmp.Or(n.logical(k[0]), n.logical(k[1]))
		}
		o, err := n.operation(k[0], k[1])
		return o.result, err
	case conditional:
		k, err := c.kinds([]node{n.c, n.a, n.b})
		if err != nil {
			return invalid, err
		}
		if k[1] != k[2] {
			return unknown, n.condition(k[0])
		}
		return k[1], n.condition(k[0])
	}
	return invalid, nil
}

func (c checker) kinds(nodes []node) (kinds []kind, err error) {
	for _, n := range nodes {
		k, err := c.kind(n)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func (c checker) name(n name) (kind, error) {
	if k, ok := writable[n.text]; ok {
		return k, nil
	}
	if v, ok := constants[n.text]; ok {
		return kindOf(v), nil
	}
	if _, ok := sampledNames[n.text]; ok {
		return double, nil
	}
	if k, ok := c[n.text]; ok {
		return k, nil
	}
	return invalid, unset(n)
}
