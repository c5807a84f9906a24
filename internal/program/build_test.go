package program_test

import (
	"context"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/internal/program"
)

func TestPlatform(t *testing.T) {
	for s, want := range map[string]program.Platform{
		"linux/amd64": {OS: "linux", Arch: "amd64"}, "linux/amd64/v3": {OS: "linux", Arch: "amd64", Level: "v3"}, "darwin/arm64": {OS: "darwin", Arch: "arm64"},
	} {
		if got, err := program.ParsePlatform(s); err != nil || got != want || got.String() != s {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "linux", "linux/", "/amd64", "linux/amd64/", "linux/amd64/v3/x", "linux/wasm/v1"} {
		if p, err := program.ParsePlatform(s); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
	if here := program.Here(); here.OS != runtime.GOOS || here.Arch != runtime.GOARCH {
		t.Errorf("here is %v", here)
	}
}

// client is a program that has itself built for a platform: client PLATFORM FILE DIR. It prints where the executable is.
const client = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/clusterless-go/clusterless/internal/program"
)

var stamp string

func main() { work() }

func work() {
	p, err := program.ParsePlatform(os.Args[1])
	if err != nil {
		panic(err)
	}
	exe, err := program.Find().For(context.Background(), p, os.Args[2], program.MainFile(), os.Args[3], func(s string) { fmt.Println("warning:", s) })
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	hash, err := exe.Hash()
	fmt.Println(exe.Path(), exe.Platform, hash, err, tagged, stamp)
}
`

// project is a module with that program, outside of this one, which it finds through a workspace as users of a clone do.
func project(t *testing.T) (dir string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	// A package of another module may not import ours that are internal: so the program lies below the root, where Go does not look.
	dir, err = os.MkdirTemp(filepath.Join(root, "internal", "program"), "_test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{"main.go": client, "tag_on.go": "//go:build special\n\npackage main\n\nconst tagged = true\n", "tag_off.go": "//go:build !special\n\npackage main\n\nconst tagged = false\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A program builds itself for other platforms, with the settings that it was built with, once.
func TestBuild(t *testing.T) {
	dir, bin, kept := project(t), t.TempDir(), t.TempDir()
	exe := filepath.Join(bin, "client")
	command(t, dir, "go", "build", "-buildvcs=false", "-tags=special", "-ldflags=-X main.stamp=mine", "-o", exe, ".")
	elsewhere := t.TempDir()
	for _, platform := range []string{"darwin/arm64"} { // which "make platforms" has built packages for
		got := command(t, elsewhere, exe, platform, "", kept)
		path, rest, _ := strings.Cut(got, " ")
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %s: %v", platform, got, err)
			continue
		}
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		if set["GOOS"]+"/"+set["GOARCH"] != platform || set["-tags"] != "special" || set["-ldflags"] != "-X main.stamp=mine" || set["CGO_ENABLED"] != "0" || !strings.HasPrefix(rest, platform+" ") {
			t.Errorf("%s: %s: built with %v", platform, got, set)
		}
		// It is there now: neither source nor toolchain is needed.
		t.Setenv("PATH", elsewhere)
		if again := command(t, elsewhere, exe, platform, "", kept); again != got {
			t.Errorf("%s: again %s, first %s", platform, again, got)
		}
		t.Setenv("PATH", path0)
		// A file that is named is taken as it is, if it is for the platform.
		if named := command(t, elsewhere, exe, platform, path, kept); !strings.HasPrefix(named, path+" "+platform) {
			t.Errorf("%s: named: %s", platform, named)
		}
		if wrong := command(t, elsewhere, exe, "plan9/386", path, kept); !strings.Contains(wrong, "it is for "+platform) {
			t.Errorf("for plan9: %s", wrong)
		}
	}
	if here := command(t, elsewhere, exe, program.Here().String(), "", kept); !strings.Contains(here, "/exe ") {
		t.Errorf("for this platform: %s, want the program itself", here)
	}
	if left, err := filepath.Glob(filepath.Join(kept, "build-*")); len(left) > 0 || err != nil {
		t.Errorf("left over: %q, %v", left, err)
	}
}

var path0 = os.Getenv("PATH")

func TestCannotBuild(t *testing.T) {
	dir, bin, elsewhere := project(t), t.TempDir(), t.TempDir()
	exe := filepath.Join(bin, "client")
	command(t, dir, "go", "build", "-buildvcs=false", "-o", exe, ".")
	expect := func(what, dir, file string, wants ...string) {
		t.Helper()
		got := command(t, dir, exe, "darwin/arm64", file, t.TempDir())
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s\nwant %q", what, got, want)
			}
		}
	}
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir + "-moved") })
	expect("no source", elsewhere, "", "its source is not here", "GOOS=darwin GOARCH=arm64 go build", "CLUSTERLESS_PROGRAM")
	if err := os.Rename(dir+"-moved", dir); err != nil {
		t.Fatal(err)
	}
	expect("no such file", elsewhere, "gone", "gone")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	expect("another program", elsewhere, self, "it was built from")
	t.Setenv("PATH", elsewhere)
	expect("no toolchain", dir, "", "this program is for "+program.Here().String()+" and is to run on darwin/arm64", "no Go toolchain in PATH", "CLUSTERLESS_PROGRAM")
	t.Setenv("PATH", path0)
	if err := os.WriteFile(filepath.Join(dir, "bad_darwin.go"), []byte("package main\n\nvar x int = \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("source that does not compile there", dir, "", "cannot be built there", "bad_darwin.go:3", "warning: "+filepath.Join(dir, "bad_darwin.go")+" has changed since")
}

// The test itself knows where its source is, and what built it.
func TestMainFile(t *testing.T) {
	if file := program.MainFile(); file != "" {
		t.Errorf("called by no main function: %s", file)
	}
	if _, ok := debug.ReadBuildInfo(); !ok {
		t.Error("no build information")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := program.Find().For(ctx, program.Platform{OS: "darwin", Arch: "arm64"}, "", "", t.TempDir(), func(string) {})
	if err == nil {
		t.Error("built although nobody waits for it")
	}
}

// A program that was cut off where nodes find it, as on a disk that was full, is brought there again.
func TestInstallAgain(t *testing.T) {
	self := program.Find()
	dir := t.TempDir()
	path, err := self.Install(dir)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := self.Install(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(path); err != nil || again.Size() != whole.Size() || again.Mode() != whole.Mode() {
		t.Errorf("%+v, %v; want %+v", again, err, whole)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := self.Install(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("a whole one is brought again: %v", err)
	}
}
