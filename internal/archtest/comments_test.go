package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestExportsSayWhatTheyAre(t *testing.T) {
	all := parse(t)
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		var documented, code bool
		for _, f := range all[dir] {
			if f.test {
				continue
			}
			code = true
			documented = documented || f.ast.Doc != nil
			if strings.Contains("/"+dir, "/internal/") || f.ast.Name.Name == "main" {
				continue
			}
			for _, d := range f.ast.Decls {
				for _, name := range undocumented(d) {
					t.Errorf("%s: %s has no comment", f.set.Position(name.Pos()), name.Name)
				}
			}
		}
		if code && !documented {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// undocumented returns the exported names of a declaration that have no comment, of their own or of their group.
func undocumented(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		switch {
		case d.Doc != nil || !d.Name.IsExported():
		case d.Recv == nil:
			names = append(names, d.Name)
		case d.Name.Name == "Error" || d.Name.Name == "Unwrap": // whose meaning package errors gives
		case ast.IsExported(receiver(d.Recv.List[0].Type)):
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				if s.Doc != nil || s.Comment != nil || d.Doc != nil {
					continue
				}
				for _, n := range s.Names {
					if n.IsExported() {
						names = append(names, n)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of the type that a method belongs to.
func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.ParenExpr:
		return receiver(x.X)
	}
	return ""
}
