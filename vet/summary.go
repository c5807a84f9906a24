package vet

import (
	"fmt"
	"go/token"
	"maps"
	"slices"
)

// summary is what is known of a package, for those that import it. Its lists are sorted, so that the same package has the
// same bytes.
type summary struct {
	Funcs         []Effect // those that do something
	Start, Setups Effect
	Defined       []Defined
	Flags         []Use
}

// AFact marks it as a fact of package analysis.
func (*summary) AFact() {}

func (s *summary) String() string {
	return fmt.Sprintf("%d functions given to Define, %d that work on variables of packages", len(s.Defined), len(s.Funcs))
}

// Effect is the effect of a function, or other code.
type Effect struct {
	Name                   string
	Reads, Writes, Defines []Use
	Guards                 []string
	Starts                 bool
}

// Use is a variable, or a call of Define, and where it is used.
type Use struct{ What, At string }

// Defined is a function given to Define.
type Defined struct {
	Name, At string
	Sure     bool
	Effect   Effect
}

func (c *checker) summary() *summary {
	s := &summary{Start: export("", c.start), Setups: export("", c.setups), Flags: uses(c.flags)}
	for _, name := range slices.Sorted(maps.Keys(c.funcs)) {
		if e := export(name, c.funcs[name].effect); len(e.Reads)+len(e.Writes)+len(e.Defines) > 0 || e.Starts {
			s.Funcs = append(s.Funcs, e)
		}
	}
	for _, d := range c.defined {
		s.Defined = append(s.Defined, Defined{d.name, c.place(d.call.Pos()).at, d.sure, export("", d.effect)})
	}
	return s
}

func export(name string, e effect) Effect {
	return Effect{name, uses(e.reads), uses(e.writes), uses(e.defines), slices.Sorted(maps.Keys(e.guards)), e.starts}
}

func uses(m map[string]place) (all []Use) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, Use{k, m[k].at})
	}
	return all
}

// imported is the effect of a function of another package.
func (c *checker) imported(name string) (effect, bool) {
	for _, s := range c.deps {
		if i, ok := slices.BinarySearchFunc(s.Funcs, name, func(e Effect, name string) int { return compare(e.Name, name) }); ok {
			return s.Funcs[i].effect(), true
		}
	}
	return effect{}, false
}

func compare(a, b string) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

func (e *Effect) effect() effect {
	out := newEffect()
	for _, l := range []struct {
		to   map[string]place
		from []Use
	}{{out.reads, e.Reads}, {out.writes, e.Writes}, {out.defines, e.Defines}} {
		for _, u := range l.from {
			l.to[u.What] = place{token.NoPos, u.At}
		}
	}
	for _, g := range e.Guards {
		out.guards[g] = true
	}
	out.starts = e.Starts
	return out
}
