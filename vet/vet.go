// Package vet finds mistakes in programs that use clusterless, before they run: what a worker will not see of what main
// did, types that cannot travel, names that are taken, definitions that workers do not get to. `clusterless vet` runs it,
// and so does go vet with that command as its -vettool.
//
// It would rather miss a mistake than report what is none: it follows functions that are named, in all packages of the
// program, but neither interfaces nor values of functions.
package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer is the check, for any driver of package analysis.
var Analyzer = &analysis.Analyzer{
	Name: "clusterless",
	Doc: `report mistakes in the use of clusterless

A function given to Define runs in a worker: the program started once more, with no arguments, in which package
initialisation has run, and main only as far as clusterless.Main or Init. The analyzer reports

  - variables of packages that main sets behind that point, and flags, where such a function reads them;
  - functions given to Define in main that capture local variables;
  - Define and Setup where only main gets to them, behind Main or Init;
  - inputs and results of types that cannot be sent: channels, functions, contexts, open files and the like;
  - names of functions that are malformed or taken.

The same holds for functions given to mpi.Define, whose ranks are workers too.`,
	URL:       "https://pkg.go.dev/" + root + "/vet",
	Run:       run,
	FactTypes: []analysis.Fact{new(summary)},
}

// root is the import path of the package whose use is checked.
const root = "github.com/clusterless-go/clusterless"

// standard reports whether a package is one of Go's own, none of which can know of clusterless.
func standard(path string, module *analysis.Module) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && (module == nil || module.Path == "" || module.Path == "std") && path != "command-line-arguments"
}

// opaque reports whether a package is a part of clusterless itself, whose variables are its own affair.
func opaque(path string) bool {
	return path == root || strings.HasPrefix(path, root+"/") && !strings.HasPrefix(path, root+"/examples/")
}

func run(p *analysis.Pass) (any, error) {
	main := p.Pkg.Name() == "main"
	if !main && (standard(p.Pkg.Path(), p.Module) || opaque(p.Pkg.Path())) {
		return nil, nil
	}
	c := newChecker(p)
	c.names()
	for _, d := range c.defined {
		c.types(d)
	}
	if main {
		c.program()
	} else {
		p.ExportPackageFact(c.summary())
	}
	return nil, nil
}

// checker looks at one package.
type checker struct {
	*analysis.Pass
	deps    map[string]*summary  // of packages that this one imports, directly or not
	funcs   map[string]*function // declared here, by types.Func.FullName
	start   effect               // of package initialisation
	setups  effect               // of functions given to Setup
	defined []*defined           // functions given to Define, in the order of the source
	flags   map[string]place     // variables that flags are read into
	written map[string]bool      // variables that something here assigns to
}

// defined is a call of Define.
type defined struct {
	call  *ast.CallExpr
	ident *ast.Ident // Define
	name  string     // "" if it is not constant
	sure  bool       // it is called whenever the package is initialised, once
	effect
}

// place is where something is: in this package, and for people.
type place struct {
	pos token.Pos
	at  string
}

func (c *checker) place(pos token.Pos) place {
	at := c.Fset.Position(pos)
	return place{pos, filepath.Base(at.Filename) + ":" + strconv.Itoa(at.Line)}
}

// ours returns the name of the function of package clusterless that is called, and where the call has it. The Define of
// package mpi, which takes the same arguments and gives them to the other, is Define, too.
func (c *checker) ours(call *ast.CallExpr) (string, *ast.Ident) {
	f, id := c.callee(call)
	if f == nil || f.Pkg() == nil || f.Signature().Recv() != nil {
		return "", nil
	}
	if path := f.Pkg().Path(); path != root && (path != root+"/mpi" || f.Name() != "Define") {
		return "", nil
	}
	return f.Name(), id
}

// callee is the function that is called, if it is named.
func (c *checker) callee(call *ast.CallExpr) (*types.Func, *ast.Ident) {
	fun := ast.Unparen(call.Fun)
	switch x := fun.(type) { // with its types
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	var id *ast.Ident
	switch x := fun.(type) {
	case *ast.Ident:
		id = x
	case *ast.SelectorExpr:
		id = x.Sel
	default:
		return nil, nil
	}
	f, _ := c.TypesInfo.Uses[id].(*types.Func)
	return f, id
}
