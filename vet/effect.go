package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// effect is what code does to the variables of packages, itself and through the functions that it names. Variables are
// named by the path of their package, a dot and their name.
type effect struct {
	reads, writes map[string]place
	defines       map[string]place // calls of Define and Setup, by where they are
	guards        map[string]bool  // variables that are compared with nil
	starts        bool             // it gets to Main or Init
}

func newEffect() effect {
	return effect{reads: map[string]place{}, writes: map[string]place{}, defines: map[string]place{}, guards: map[string]bool{}}
}

// add takes in the effect of something that is named at pos, or that stands in this package itself, with pos 0. It
// reports whether that was news.
func (e *effect) add(f effect, pos token.Pos) bool {
	before := len(e.reads) + len(e.writes) + len(e.defines) + len(e.guards)
	starts := e.starts
	for _, m := range []struct{ to, from map[string]place }{{e.reads, f.reads}, {e.writes, f.writes}, {e.defines, f.defines}} {
		for k, p := range m.from {
			if _, ok := m.to[k]; ok {
				continue
			}
			if pos.IsValid() {
				p.pos = pos
			}
			m.to[k] = p
		}
	}
	maps.Copy(e.guards, f.guards)
	e.starts = e.starts || f.starts
	return len(e.reads)+len(e.writes)+len(e.defines)+len(e.guards) != before || e.starts != starts
}

// function is one that is declared in the package.
type function struct {
	effect                      // complete gives it that of the functions that it names
	names  map[string]token.Pos // and where first
}

func newChecker(p *analysis.Pass) *checker {
	c := &checker{Pass: p, deps: map[string]*summary{}, funcs: map[string]*function{}, start: newEffect(), setups: newEffect(), flags: map[string]place{},
		written: map[string]bool{}}
	for _, f := range p.AllPackageFacts() {
		if s, ok := f.Fact.(*summary); ok && f.Package != p.Pkg {
			c.deps[f.Package.Path()] = s
		}
	}
	var inits []*function
	var setups []ast.Expr
	for _, file := range p.Files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Body == nil {
					continue
				}
				f := c.scan(d.Body)
				if d.Recv == nil && d.Name.Name == "init" {
					inits = append(inits, f)
				} else if obj, ok := p.TypesInfo.Defs[d.Name].(*types.Func); ok {
					c.funcs[obj.FullName()] = f
				}
				setups = append(setups, c.sites(d.Body, d.Recv == nil && d.Name.Name == "init")...)
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, s := range d.Specs {
					inits = append(inits, c.declared(s.(*ast.ValueSpec)))
					setups = append(setups, c.sites(s, true)...)
				}
			}
		}
	}
	c.forget()
	c.complete()
	for _, f := range inits {
		c.start.add(c.through(f), token.NoPos)
	}
	for _, d := range c.defined {
		d.effect = c.through(c.scan(d.call.Args[1]))
	}
	for _, f := range setups {
		c.setups.add(c.through(c.scan(f)), token.NoPos)
	}
	return c
}

// declared is the effect of the declaration of variables. What has a value of a basic type from the start counts as not
// set: the value of a number or a string is hardly meant to differ between processes.
func (c *checker) declared(s *ast.ValueSpec) *function {
	f := &function{effect: newEffect(), names: map[string]token.Pos{}}
	for _, v := range s.Values {
		g := c.scan(v)
		f.add(g.effect, token.NoPos)
		maps.Copy(f.names, g.names)
	}
	for i, id := range s.Names {
		v, ok := c.TypesInfo.Defs[id].(*types.Var)
		if !ok || len(s.Values) == 0 || id.Name == "_" {
			continue
		}
		if _, basic := v.Type().Underlying().(*types.Basic); !basic {
			f.writes[nameOf(v)] = c.place(id.Pos())
		}
		if len(s.Values) != len(s.Names) {
			continue
		}
		if call, ok := ast.Unparen(s.Values[i]).(*ast.CallExpr); ok && c.isFlag(call) && isPointer(v.Type()) {
			c.flags[nameOf(v)] = c.place(id.Pos())
		}
	}
	return f
}

func isPointer(t types.Type) bool {
	_, ok := t.Underlying().(*types.Pointer)
	return ok
}

// isFlag reports whether a call makes a flag.
func (c *checker) isFlag(call *ast.CallExpr) bool {
	f, _ := c.callee(call)
	return f != nil && f.Pkg() != nil && (f.Pkg().Path() == "flag" || f.Pkg().Path() == "github.com/spf13/pflag")
}

// complete gives functions the effects of those that they name.
func (c *checker) complete() {
	for changed := true; changed; {
		changed = false
		for _, f := range c.funcs {
			for name, pos := range f.names {
				if g := c.funcs[name]; g != nil {
					changed = f.add(g.effect, token.NoPos) || changed
				} else if g, ok := c.imported(name); ok {
					changed = f.add(g, pos) || changed
				}
			}
		}
	}
}

// through is the effect of code with that of the functions that it names.
func (c *checker) through(f *function) effect {
	all := newEffect()
	all.add(f.effect, token.NoPos)
	for name, pos := range f.names {
		if g := c.funcs[name]; g != nil {
			all.add(g.effect, token.NoPos)
		} else if g, ok := c.imported(name); ok {
			all.add(g, pos)
		}
	}
	return all
}

// forget drops what is read here of variables that nobody can have set: they have no place in a summary.
func (c *checker) forget() {
	for _, f := range c.funcs {
		for v := range f.reads {
			name, here := strings.CutPrefix(v, c.Pkg.Path()+".")
			if _, flag := c.flags[v]; !flag && !c.written[v] && here && !token.IsExported(name) && c.Pkg.Scope().Lookup(name) != nil {
				delete(f.reads, v)
			}
		}
	}
}

// key tells apart places in all packages.
func (c *checker) key(n ast.Node) string { return c.Pkg.Path() + ":" + c.place(n.Pos()).at }

// nameOf names a variable of a package.
func nameOf(v *types.Var) string { return v.Pkg().Path() + "." + v.Name() }

// variable returns the variable of a package that an identifier stands for, if it is one that counts.
func (c *checker) variable(id *ast.Ident) *types.Var {
	v, ok := c.TypesInfo.Uses[id].(*types.Var)
	if !ok || v.Pkg() == nil || v.IsField() || v.Pkg().Scope().Lookup(v.Name()) != v {
		return nil
	}
	if v.Pkg() != c.Pkg && c.deps[v.Pkg().Path()] == nil {
		return nil
	}
	return v
}

// target returns the variable of a package to which, or to a part of which, x refers. It calls rest with what stands in x
// beside, such as indexes.
func (c *checker) target(x ast.Expr, rest func(ast.Expr)) *types.Var {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return c.variable(e)
		case *ast.SelectorExpr:
			if v := c.variable(e.Sel); v != nil {
				return v
			}
			x = e.X
		case *ast.IndexExpr:
			rest(e.Index)
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			rest(e)
			return nil
		}
	}
}

// scan finds what a piece of code does itself. Functions that it gives to Define and Setup are not a part of it.
func (c *checker) scan(node ast.Node) *function {
	f := &function{effect: newEffect(), names: map[string]token.Pos{}}
	note := func(m map[string]place, v *types.Var, pos token.Pos) {
		if _, ok := m[nameOf(v)]; !ok {
			m[nameOf(v)] = c.place(pos)
		}
	}
	var visit func(n ast.Node) bool
	ignore := func(ast.Expr) {}
	assign := func(x ast.Expr, rest func(ast.Expr)) {
		if v := c.target(x, rest); v != nil {
			note(f.writes, v, x.Pos())
			c.written[nameOf(v)] = true
		}
	}
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				switch n.Tok {
				case token.DEFINE:
				case token.ASSIGN: // the variable is not read, but what stands beside it is
					assign(x, func(y ast.Expr) { ast.Inspect(y, visit) })
				default:
					assign(x, ignore)
					ast.Inspect(x, visit)
				}
			}
			for _, x := range n.Rhs {
				ast.Inspect(x, visit)
			}
			return false
		case *ast.IncDecStmt:
			assign(n.X, ignore)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				for _, x := range []ast.Expr{n.Key, n.Value} {
					if x != nil {
						assign(x, ignore)
					}
				}
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				assign(n.X, ignore)
			}
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				for _, x := range [][2]ast.Expr{{n.X, n.Y}, {n.Y, n.X}} {
					if v := c.target(x[0], ignore); v != nil && c.TypesInfo.Types[x[1]].IsNil() {
						f.guards[nameOf(v)] = true
					}
				}
			}
		case *ast.CallExpr:
			switch name, _ := c.ours(n); name {
			case "Define", "Setup":
				f.defines[c.key(n)] = c.place(n.Pos())
				for _, x := range n.Args {
					if x != taskArg(name, n) {
						ast.Inspect(x, visit)
					}
				}
				return false
			case "Main", "Init":
				f.starts = true
			}
			if c.isFlag(n) {
				for _, x := range n.Args {
					if u, ok := ast.Unparen(x).(*ast.UnaryExpr); ok && u.Op == token.AND {
						if v := c.target(u.X, ignore); v != nil {
							note(c.flags, v, x.Pos())
						}
					}
				}
			}
		case *ast.Ident:
			if v := c.variable(n); v != nil {
				note(f.reads, v, n.Pos())
			} else if g, ok := c.TypesInfo.Uses[n].(*types.Func); ok {
				if _, ok := f.names[g.Origin().FullName()]; !ok {
					f.names[g.Origin().FullName()] = n.Pos()
				}
			}
		}
		return true
	}
	ast.Inspect(node, visit)
	return f
}
