package vet

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// program looks at a whole program, from its main function.
func (c *checker) program() {
	main := c.mainFunc()
	if main == nil {
		return
	}
	// What main does before Main or Init happens in workers, too.
	before, after := newEffect(), newEffect()
	for _, s := range main.Body.List {
		e := c.through(c.scan(s))
		if after.starts || e.starts {
			after.add(e, token.NoPos)
		} else {
			before.add(e, token.NoPos)
		}
	}
	if !after.starts {
		return
	}
	everywhere, setups := newEffect(), newEffect()
	everywhere.add(c.start, token.NoPos)
	everywhere.add(before, token.NoPos)
	setups.add(c.setups, token.NoPos)
	flags := maps.Clone(c.flags)
	for _, s := range c.deps {
		everywhere.add(s.Start.effect(), token.NoPos)
		setups.add(s.Setups.effect(), token.NoPos)
		for _, u := range s.Flags {
			flags[u.What] = place{at: u.At}
		}
	}
	c.late(main, everywhere, after)
	c.captured(main)
	told := map[place]bool{}
	c.eachDefined(func(name, at string, here bool, e effect) {
		for _, v := range slices.Sorted(maps.Keys(e.reads)) {
			read := e.reads[v]
			flag, isFlag := flags[v]
			set, isSet := after.writes[v]
			_, there := everywhere.writes[v]
			_, prepared := setups.writes[v]
			_, self := e.writes[v]
			if prepared || self {
				continue
			}
			pos, how := set.pos, ""
			switch {
			case isFlag:
				pos, how = flag.pos, "is a flag"
			case isSet && !there && !e.guards[v]:
				how = "is set by main (" + set.at + ")"
			default:
				continue
			}
			if here || !pos.IsValid() {
				pos = read.pos
			}
			if !pos.IsValid() { // neither is in this package
				pos = main.Name.Pos()
			}
			if p := (place{pos, v}); told[p] {
				continue
			} else {
				told[p] = true
			}
			value := "has the value that the initialisation of its package gave it"
			if isFlag {
				value = "has its default"
			}
			c.Reportf(pos, "%s %s, and function %s (%s) reads it (%s), which runs in workers: there it %s: put it into the input, or set it in a function given to Setup",
				c.short(v), how, name, at, read.at, value)
		}
	})
}

func (c *checker) mainFunc() *ast.FuncDecl {
	for _, f := range c.Files {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "main" && d.Body != nil {
				return d
			}
		}
	}
	return nil
}

// eachDefined goes through the functions of the program: their names, where they are defined, whether that is here, and
// what they do.
func (c *checker) eachDefined(f func(name, at string, here bool, e effect)) {
	quoted := func(name string) string {
		if name == "" {
			return "with a computed name"
		}
		return `"` + name + `"`
	}
	for _, d := range c.defined {
		f(quoted(d.name), c.place(d.call.Pos()).at, true, d.effect)
	}
	for _, path := range slices.Sorted(maps.Keys(c.deps)) {
		for _, d := range c.deps[path].Defined {
			f(quoted(d.Name), d.At, false, d.Effect.effect())
		}
	}
}

// short names a variable as this package does.
func (c *checker) short(v string) string {
	if name, ok := strings.CutPrefix(v, c.Pkg.Path()+"."); ok && !strings.Contains(name, "/") {
		return name
	}
	return v[strings.LastIndexByte(v, '/')+1:]
}

// late reports calls of Define and Setup that only main gets to, behind Main or Init.
func (c *checker) late(main *ast.FuncDecl, everywhere, after effect) {
	for _, k := range slices.Sorted(maps.Keys(after.defines)) {
		if _, ok := everywhere.defines[k]; ok {
			continue
		}
		p := after.defines[k]
		if !p.pos.IsValid() {
			p.pos = main.Name.Pos()
		}
		c.Reportf(p.pos, "Define or Setup (%s) is called behind clusterless.Main or Init: it panics, since workers do not get there: call it to initialise a variable of a package", p.at)
	}
}

// captured reports functions given to Define in main that capture its variables. Elsewhere that is no mistake: what the
// initialisation of packages makes of them is the same in all processes.
func (c *checker) captured(main *ast.FuncDecl) {
	for _, d := range c.defined {
		lit, ok := ast.Unparen(d.call.Args[1]).(*ast.FuncLit)
		if !ok {
			continue
		}
		for _, v := range c.captures(lit) {
			if main.Pos() <= d.call.Pos() && d.call.Pos() < main.End() {
				c.Reportf(v.pos, "the function given to Define captures %s, a variable of main: in a worker, which has no arguments, it is what main makes of it there: put it into the input", v.v.Name())
			}
		}
	}
}
