package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is the root of the module, from here.
const top = "../.."

// A file is a Go file of the module. It counts whatever system it is for.
type file struct {
	name string // from the root
	test bool
	set  *token.FileSet
	ast  *ast.File
}

// walk calls f for each file that belongs in the repository.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(top), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (base[0] == '.' && base != ".ci" || slices.Contains([]string{"bin", "out", "node_modules", "testdata"}, base)) {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// parse reads all Go files, by directory.
func parse(t *testing.T) map[string][]*file {
	t.Helper()
	all := map[string][]*file{}
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		f := &file{name: name, test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet()}
		src, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if f.ast, err = parser.ParseFile(f.set, name, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
		all[path.Dir(name)] = append(all[path.Dir(name)], f)
	})
	return all
}

// homes are directories that somebody's machine has and another's does not.
var homes = regexp.MustCompile(`(^|[^\w.])(/home/\w|/Users/\w|/root/\w|[A-Z]:\\Users\\)`)

func TestNothingKnowsWhereItLies(t *testing.T) {
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	here := []string{root}
	if home, err := os.UserHomeDir(); err == nil && filepath.Dir(home) != home {
		here = append(here, home)
	}
	walk(t, func(name string) {
		b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(b, 0) >= 0 || name == "internal/archtest/source_test.go" {
			return
		}
		for i, line := range bytes.Split(b, []byte("\n")) {
			if m := homes.Find(line); m != nil {
				t.Errorf("%s:%d: %s: a directory of one machine", name, i+1, m)
			}
			for _, dir := range here {
				if bytes.Contains(line, []byte(dir+"/")) {
					t.Errorf("%s:%d: %s: the directory that this checkout or its user has", name, i+1, dir)
				}
			}
		}
	})
}

func TestDependenciesHaveReasons(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(top, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "require" {
			f = f[1:]
		}
		if len(f) != 2 || !strings.HasPrefix(f[1], "v") { // one with a comment is indirect
			continue
		}
		if !strings.Contains(string(doc), "`"+f[0]+"`") {
			t.Errorf("docs/dependencies.md does not say why there is %s", f[0])
		}
	}
}
