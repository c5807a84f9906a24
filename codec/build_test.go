package codec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/codec"
)

// The program of TestRebuild writes a message (program w FILE) or says what it reads (program r FILE), in one
// of the variants below.
const program = `package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/clusterless-go/clusterless/codec"
)

type Point struct { X, Y float64 }

type Shot struct {
	ID    int
	Any   any
	Errs  []error
}

var ErrMine = errors.New("mine")
var errTyped = &myError{5}
var version = "none"

type myError struct{ code int }

func (e *myError) Error() string { return fmt.Sprint("code ", e.code) }

//MORE

func main() {
	if len(os.Args) == 1 {
		fmt.Println(codec.Build())
		return
	}
	if os.Args[1] == "w" {
		f, err := os.Create(os.Args[2])
		if err != nil { panic(err) }
		s := Shot{7, inAny(), []error{ErrMine, fmt.Errorf("w: %w", ErrMine), io.EOF, errTyped}}
		if _, err := new(codec.Encoder).Encode(f, &s); err != nil { panic(err) }
		f.Close()
		return
	}
	f, err := os.Open(os.Args[2])
	if err != nil { panic(err) }
	var s Shot
	if err := new(codec.Decoder).Decode(f, &s); err != nil {
		fmt.Println("error:", err, errors.Is(err, codec.ErrMismatch))
		return
	}
	fmt.Println(s.ID, s.Any, s.Errs, s.Errs[0] == ErrMine, errors.Is(s.Errs[1], ErrMine), s.Errs[2] == io.EOF, s.Errs[3] == errTyped)
}

func inAny() any { return Point{1, 2} }
`

func TestRebuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	if runtime.GOOS == "windows" {
		t.Skip("names of executables")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.org/rebuild\n\ngo 1.26\n\nrequire github.com/clusterless-go/clusterless v0.0.0\n\nreplace github.com/clusterless-go/clusterless => "+root+"\n")
	build := func(name string, change *strings.Replacer, flags ...string) string {
		t.Helper()
		write(name+"/main.go", change.Replace(program))
		cmd := exec.Command("go", append(append([]string{"build", "-o", name + ".exe"}, flags...), "./"+name)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return filepath.Join(dir, name+".exe")
	}
	run := func(exe string, args ...string) string {
		t.Helper()
		out, err := exec.Command(exe, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", exe, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	msg := filepath.Join(dir, "message")
	plain := build("plain", strings.NewReplacer())
	run(plain, "w", msg)

	const value = "7 {1 2} [mine w: mine EOF code 5]"
	t.Run("same", func(t *testing.T) {
		if got, want := run(plain, "r", msg), value+" true true true true"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("position independent", func(t *testing.T) {
		exe := build("pie", strings.NewReplacer(), "-buildmode=pie")
		other := filepath.Join(dir, "pie-message")
		run(exe, "w", other)
		if got, want := run(exe, "r", other), value+" true true true true"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("stripped afterwards", func(t *testing.T) {
		strip, err := exec.LookPath("strip")
		if err != nil {
			t.Skip(err)
		}
		exe := filepath.Join(dir, "stripped.exe")
		run(strip, "-o", exe, plain)
		if got, want := run(exe, "r", msg), value+" true true true true"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("no build ID", func(t *testing.T) {
		one := build("anonymous", strings.NewReplacer(), "-ldflags=-buildid= -B none")
		if id := run(one); id != run(one) || id == run(plain) {
			t.Error("the identity is not that of the build")
		}
		other := filepath.Join(dir, "anonymous-message")
		run(one, "w", other)
		if got, want := run(one, "r", other), value+" true true true true"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("moved", func(t *testing.T) {
		exe := build("moved", strings.NewReplacer("//MORE", `var many = [...]error{errors.New("mine"), errors.New("mine2"), errors.New("mine")}
			type Other struct { Point; A, B any }
			func init() { if len(os.Args) > 10 { fmt.Println(many, any(Other{})) } }`))
		if run(exe) == run(plain) {
			t.Error("two builds have the same identity")
		}
		if got, want := run(exe, "r", msg), value+" false false true false"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("changed type", func(t *testing.T) {
		exe := build("changed", strings.NewReplacer("ID    int", "ID    int32"))
		if got := run(exe, "r", msg); !strings.Contains(got, "the message holds a main.Shot") || !strings.HasSuffix(got, "true") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("changed type in interface", func(t *testing.T) {
		exe := build("changed2", strings.NewReplacer("X, Y float64", "Y, X float64"))
		if got := run(exe, "r", msg); !strings.Contains(got, "main.Point") || !strings.Contains(got, "another type here") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("type in interface gone", func(t *testing.T) {
		exe := build("gone", strings.NewReplacer("func inAny() any { return Point{1, 2} }", "func inAny() any { return 1 }"))
		if got := run(exe, "r", msg); !strings.Contains(got, "main.Point") || !strings.Contains(got, "does not have") {
			t.Errorf("got %s", got)
		}
	})
}

func TestBuild(t *testing.T) {
	if a, b := codec.Build(), codec.Build(); a != b || len(a) != 32 || strings.Trim(a, "0") == "" {
		t.Errorf("got %q and %q", a, b)
	}
}
