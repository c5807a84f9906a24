package vet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// taskArg is the argument of a call of Define or Setup that runs in workers.
func taskArg(name string, call *ast.CallExpr) ast.Expr {
	i := 0
	if name == "Define" {
		i = 1
	}
	if i >= len(call.Args) { // several values of one call
		return nil
	}
	return call.Args[i]
}

// sites finds the calls of Define in a piece of code, and returns the functions that it gives to Setup. start says that
// the code runs as the package is initialised.
func (c *checker) sites(node ast.Node, start bool) (setups []ast.Expr) {
	var above []ast.Node
	ast.Inspect(node, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		if call, ok := n.(*ast.CallExpr); ok {
			name, id := c.ours(call)
			fn := taskArg(name, call)
			switch {
			case fn == nil:
			case name == "Setup":
				setups = append(setups, fn)
			case name == "Define":
				d := &defined{call: call, ident: id, sure: start && !conditional(append(above, n))}
				if v := c.TypesInfo.Types[call.Args[0]].Value; v != nil && v.Kind() == constant.String {
					d.name = constant.StringVal(v)
				}
				c.defined = append(c.defined, d)
			}
		}
		above = append(above, n)
		return true
	})
	return setups
}

// conditional reports whether the last of the nodes, each of which stands in the one before, may not be run when the
// first is, or more than once.
func conditional(nodes []ast.Node) bool {
	for i, n := range nodes[:len(nodes)-1] {
		switch n := n.(type) {
		case *ast.IfStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.ForStmt, *ast.RangeStmt, *ast.BinaryExpr:
			return true
		case *ast.FuncLit:
			if i == 0 {
				return true
			}
			if call, ok := nodes[i-1].(*ast.CallExpr); !ok || call.Fun != n {
				return true
			}
		}
	}
	return false
}

// names reports names that are malformed or taken.
func (c *checker) names() {
	taken := map[string]string{} // name: where
	for _, path := range slices.Sorted(maps.Keys(c.deps)) {
		for _, d := range c.deps[path].Defined {
			if d.Name == "" || !d.Sure {
				continue
			}
			if at, ok := taken[d.Name]; ok && c.Pkg.Name() == "main" {
				c.Reportf(c.Files[0].Name.Pos(), "two packages of this program define function %q: at %s and at %s: the program panics as it starts", d.Name, at, d.At)
			}
			taken[d.Name] = d.At
		}
	}
	for _, d := range c.defined {
		if c.TypesInfo.Types[d.call.Args[0]].Value == nil {
			continue
		}
		pos := d.call.Args[0].Pos()
		if why := malformed(d.name); why != "" {
			c.Reportf(pos, "name of a function: %s", why)
			continue
		}
		if !d.sure {
			continue
		}
		if at, ok := taken[d.name]; ok {
			c.Reportf(pos, "the name %q is taken by the function defined at %s: the program panics as it starts", d.name, at)
			continue
		}
		taken[d.name] = c.place(d.call.Pos()).at
	}
}

// malformed says what is wrong with the name of a function, as Define does.
func malformed(name string) string {
	if name == "" || len(name) > 64 {
		return "want 1 to 64 characters"
	}
	const good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if i := strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(good, r) }); i >= 0 {
		return "want letters, digits, '-', '_' and '.'"
	}
	return ""
}

// capture is a local variable that a function literal uses and its surroundings have.
type capture struct {
	v   *types.Var
	pos token.Pos // of the first use
}

func (c *checker) captures(lit *ast.FuncLit) (all []capture) {
	seen := map[*types.Var]bool{}
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		v, ok := c.TypesInfo.Uses[id].(*types.Var)
		if !ok || v.IsField() || v.Pkg() != c.Pkg || c.Pkg.Scope().Lookup(v.Name()) == v || seen[v] || lit.Pos() <= v.Pos() && v.Pos() < lit.End() {
			return true
		}
		seen[v] = true
		all = append(all, capture{v, id.Pos()})
		return true
	})
	return all
}
