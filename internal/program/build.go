package program

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// MainFile is the source file of the main function that called the caller, at whatever depth, or in a test of its TestMain; "" if it
// is not on this machine, or is not known, as in a program that was built with -trimpath.
func MainFile() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(1, pc)])
	for {
		f, more := frames.Next()
		if f.Function == "main.main" || strings.HasSuffix(f.Function, ".TestMain") {
			if _, err := os.Stat(f.File); err == nil {
				return f.File
			}
		}
		if !more {
			return ""
		}
	}
}

// For returns an executable of this program for a platform: this one, if it is for it; else what File names, if it is not "";
// else one that is built from source, whose main function is in the file mainFile. dir keeps what was built, by the hash of this
// program, so that it is built once. warn is told of what may be wrong with it.
func (s *Self) For(ctx context.Context, p Platform, file, mainFile, dir string, warn func(string)) (*Self, error) {
	if file != "" {
		return s.ready(p, file)
	}
	if p.fits(Here()) {
		return s, nil
	}
	hash, err := s.Hash()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-for-%s", hash, strings.ReplaceAll(p.String(), "/", "-")))
	if _, err := os.Stat(path); err != nil {
		if err := s.build(ctx, p, mainFile, path, warn); err != nil {
			return nil, fmt.Errorf("this program is for %s and is to run on %s: %w", Here(), p, err)
		}
	}
	return at(path, p), nil
}

// ready is an executable that somebody has built.
func (s *Self) ready(p Platform, file string) (*Self, error) {
	have, path, err := inspect(file)
	if err != nil {
		return nil, fmt.Errorf("ready-made program: %w", err)
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Path != "" && path != "" && info.Path != path {
		return nil, fmt.Errorf("ready-made program %s: it was built from %s, and this one from %s", file, path, info.Path)
	}
	if !p.fits(have) {
		return nil, fmt.Errorf("ready-made program %s: it is for %s, and is to run on %s", file, have, p)
	}
	file, err = filepath.Abs(file)
	return at(file, have), err
}

// inspect says what an executable is for, and from which package it was built.
func inspect(file string) (p Platform, path string, err error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return p, "", err
	}
	p = Platform{OS: setting(info, "GOOS"), Arch: setting(info, "GOARCH")}
	p.Level = setting(info, levels[p.Arch])
	return p, info.Path, nil
}

// advice is how a person can help.
func advice(p Platform) string {
	env := "GOOS=" + p.OS + " GOARCH=" + p.Arch
	if p.Level != "" {
		env += " " + levels[p.Arch] + "=" + p.Level
	}
	return "build it yourself (" + env + " go build), and name the file with the option Program, CLUSTERLESS_PROGRAM or program in clusterless.toml"
}

// build makes an executable with the go command, from the source that this program was built from and with the same settings.
func (s *Self) build(ctx context.Context, p Platform, mainFile, path string, warn func(string)) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("it does not say what it was built from: %s", advice(p))
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("there is no Go toolchain in PATH to build it with: install one, or %s", advice(p))
	}
	b := builder{goCommand: goCommand, info: info, to: p, pkg: strings.TrimSuffix(info.Path, ".test"), test: strings.HasSuffix(mainFile, "_test.go")}
	if mainFile != "" {
		b.dir = filepath.Dir(mainFile)
	}
	if info.Path == "command-line-arguments" { // go run FILE
		b.pkg = "."
	}
	if out, err := b.run(ctx, "list", "-f", "{{.Dir}}", b.pkg); err != nil {
		return fmt.Errorf("its source is not here (go list %s in %s: %s): run it where its source is, or %s", b.pkg, b.where(), out, advice(p))
	}
	if newer := b.newer(ctx, s.path); newer != "" {
		warn(fmt.Sprintf("%s has changed since this program was built: build it again, or what runs elsewhere is another program", newer))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), "build-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	exe := filepath.Join(tmp, "program")
	if out, err := b.run(ctx, b.args(exe)...); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("it cannot be built there (%v): %s: mend that, or %s", err, out, advice(p))
	}
	return os.Rename(exe, path)
}

// A builder runs the go command.
type builder struct {
	goCommand string
	info      *debug.BuildInfo
	to        Platform
	pkg       string
	test      bool   // the program is a test
	dir       string // of the main package; "" if it is not known: the working directory
}

func (b *builder) where() string {
	if b.dir != "" {
		return b.dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return "the working directory"
	}
	return dir
}

// args are those of the build. Settings that need cgo, as the race detector, are left out.
func (b *builder) args(exe string) []string {
	args := []string{"build"}
	if b.test {
		args = []string{"test", "-c"}
	}
	args = append(args, "-o", exe, "-buildvcs=false")
	for _, name := range []string{"-tags", "-ldflags", "-gcflags", "-asmflags"} {
		if v := setting(b.info, name); v != "" {
			args = append(args, name+"="+v)
		}
	}
	if setting(b.info, "-trimpath") == "true" {
		args = append(args, "-trimpath")
	}
	return append(args, b.pkg)
}

// env is this process's, for the other platform.
func (b *builder) env() []string {
	var env []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != levels[b.to.Arch] {
			env = append(env, v)
		}
	}
	env = append(env, "GOOS="+b.to.OS, "GOARCH="+b.to.Arch)
	if b.to.Level != "" {
		env = append(env, levels[b.to.Arch]+"="+b.to.Level)
	}
	if v := setting(b.info, "GOEXPERIMENT"); v != "" {
		env = append(env, "GOEXPERIMENT="+v)
	}
	if os.Getenv("CGO_ENABLED") == "" { // cgo needs a C compiler for the other platform, which who has one says
		cgo := "0"
		if b.to.OS == runtime.GOOS && b.to.Arch == runtime.GOARCH {
			cgo = cmp.Or(setting(b.info, "CGO_ENABLED"), cgo)
		}
		env = append(env, "CGO_ENABLED="+cgo)
	}
	return env
}

// run runs the go command, and returns the end of what it says if it fails.
func (b *builder) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, b.goCommand, args...)
	cmd.Dir, cmd.Env = b.dir, b.env()
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	const most = 2000
	text := strings.TrimSpace(string(out))
	if err != nil && len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text, err
}

// newer is a source file of the program's own module that is younger than its executable; "" if there is none.
func (b *builder) newer(ctx context.Context, exe string) string {
	built, err := os.Stat(exe)
	if err != nil {
		return ""
	}
	const files = `{{if .Module}}{{if .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	out, err := b.run(ctx, "list", "-deps", "-f", files, b.pkg)
	if err != nil {
		return ""
	}
	for file := range strings.Lines(out) {
		file = strings.TrimSpace(file)
		if info, err := os.Stat(file); err == nil && info.ModTime().After(built.ModTime()) {
			return file
		}
	}
	return ""
}
