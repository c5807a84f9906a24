//go:build !windows

package clusterless_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// faultBuild builds testdata/fault/prog with a version in it.
func faultBuild(t *testing.T, version, path string) string {
	t.Helper()
	cmd := exec.Command("go", "build", "-ldflags=-s -w -X main.version="+version, "-o", path, "./testdata/fault/prog")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return path
}

// faultProg runs such a program, and returns what it printed.
func faultProg(t *testing.T, prog, mode, dir string, env []string, args ...string) (values []string, text string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, prog, args...)
	cmd.Env = append(os.Environ(), "FAULT_MODE="+mode, "CLUSTERLESS_DIR="+dir)
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v: %s", mode, err, out.String())
	}
	text = out.String()
	if _, after, ok := strings.Cut(text, "RESULT "); ok {
		line, _, _ := strings.Cut(after, "\n")
		var r struct {
			Values []string
			Err    string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		values = r.Values
		text += "\n" + r.Err
	}
	return values, text, cmd.ProcessState.ExitCode()
}

// Mistakes of a program: each is named, with what to do about it.
func TestFaultProgram(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	prog := faultBuild(t, "one", filepath.Join(bin, "one"))
	main := "make clusterless.Main the whole of func main, or clusterless.Init its first statement"
	for _, c := range []struct {
		mode, env string
		args      []string
		values    []string
		code      int
		says      []string
	}{
		{"duplicate", "", nil, nil, 2, []string{`Define("twice")`, "main.go:42", "the name is taken by the definition at", "main.go:41"}},
		{"bad-name", "", nil, nil, 2, []string{`"no spaces"`, "main.go:44", "want letters, digits"}},
		{"channel", "", nil, nil, 2, []string{`Define("channel")`, "main.go:46", "channel"}},
		{"late", "", nil, nil, 9, []string{`Define("late")`, "main.go:9", "after Main or Init", "variables of packages"}},
		{"", "FAULT_GHOST=1", nil, []string{"0"}, 0, []string{`"ghost"`, "does not define", `["which"]`, "package level"}},
		{"no-main", "", nil, nil, 0, []string{"Open before Main or Init", main}},
		{"open-first", "", nil, nil, 0, []string{"Open before Main or Init", main}},
		{"flags-first", "", []string{"-do", "submit"}, nil, 0, []string{"workers do not start", "usage: prog -do submit", "exit status 2", "clusterless.Main or clusterless.Init first"}},
		{"stuck-first", "", []string{"-do", "submit"}, nil, 0, []string{"workers do not start", "I wait for something", "within 2s", "clusterless.Main or clusterless.Init first"}},
		{"busy-first", "", []string{"-do", "submit"}, []string{"one", "one", "one", "one"}, 0, []string{"some work first"}},
		{"", "", []string{"-do", "submit"}, []string{"one", "one", "one", "one"}, 0, nil},
	} {
		t.Run(c.mode+c.env, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			values, text, code := faultProg(t, prog, c.mode, dir, []string{c.env}, c.args...)
			if code != c.code || !slices.Equal(values, c.values) && len(c.values)+len(strings.Join(values, "")) > 0 {
				t.Errorf("exit code %d, values %q; want %d, %q: %s", code, values, c.code, c.values, text)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q: %s", want, text)
				}
			}
			if left := workersOf(dir); len(left) != 0 {
				t.Errorf("workers %v are left", left)
			}
		})
	}
}

// A program whose workers come past Main and reach Open must not start workers of workers. Here an engine starts a
// program as a worker that never calls Main.
func TestFaultWorkerReachesOpen(t *testing.T) {
	t.Parallel()
	prog := faultBuild(t, "one", filepath.Join(t.TempDir(), "one"))
	_, text, code := faultProg(t, prog, "no-main", t.TempDir(), []string{"CLUSTERLESS_WORKER=1"})
	if code != 78 || !strings.Contains(text, "started as a worker, but reached clusterless.Open") || !strings.Contains(text, "clusterless.Main") {
		t.Errorf("exit code %d: %s", code, text)
	}
}

var faultOpens = clusterless.Define("fault.opens", func(ctx context.Context, dir string) (string, error) {
	s, err := clusterless.Open(ctx, clusterless.Dir(dir))
	if err == nil {
		s.Close()
	}
	return fmt.Sprint(err), nil
})

func TestFaultOpenInATask(t *testing.T) {
	t.Parallel()
	v, err := faultOpens.On(open(t)).Call(faultCtx(t), t.TempDir())
	if err != nil || !strings.Contains(v, "a task cannot submit jobs") {
		t.Errorf("Open in a task: %q, %v", v, err)
	}
}

// A job that one build made and another attaches to is finished by the build that made it.
func TestFaultBinaryChanged(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	prog := filepath.Join(bin, "prog")
	other := filepath.Join(bin, "other")
	var build sync.WaitGroup
	build.Go(func() { faultBuild(t, "old", prog) })
	build.Go(func() { faultBuild(t, "new", other) })
	build.Wait()
	if t.Failed() {
		t.FailNow()
	}
	old, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}

	begin := func(dir, gate string) {
		t.Helper()
		cmd := exec.Command(prog, "-do", "submit", "-job", "one", "-n", "4", "-gate", gate)
		cmd.Env = append(os.Environ(), "CLUSTERLESS_DIR="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		faultEventually(t, "the program is in the store, and the first call committed", func() bool {
			out, _ := filepath.Glob(filepath.Join(dir, "store", "jobs,", "one,", "out,", "*"))
			programs, _ := filepath.Glob(filepath.Join(dir, "store", "programs,", "*"))
			return len(out) > 0 && len(programs) > 0
		})
		faultKill(t, cmd)
	}
	install := func(b []byte) {
		t.Helper()
		os.Remove(prog)
		if err := os.WriteFile(prog, b, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}

	dir, gate := t.TempDir(), filepath.Join(bin, "gate")
	dir2 := t.TempDir()
	begin(dir, gate)
	begin(dir2, gate)
	install(fresh)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	values, text, _ := faultProg(t, prog, "", dir, nil, "-do", "attach", "-job", "one")
	if !slices.Equal(values, []string{"old", "old", "old", "old"}) {
		t.Errorf("the job was not finished by the build that made it: %q: %s", values, text)
	}
	values, text, _ = faultProg(t, prog, "", dir, nil, "-do", "submit", "-job", "two")
	if !slices.Equal(values, []string{"new", "new", "new", "new"}) {
		t.Errorf("a new job of the new build: %q: %s", values, text)
	}

	// Without the old build in the store: said so at once, and nothing is made by the wrong one.
	programs, _ := filepath.Glob(filepath.Join(dir2, "store", "programs,", "*"))
	for _, p := range programs {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	values, text, _ = faultProg(t, prog, "", dir2, nil, "-do", "attach", "-job", "one")
	if slices.Contains(values, "new") {
		t.Errorf("the wrong build made calls: %q", values)
	}
	for _, want := range []string{"another build of this program", "not in the store", "attach with that build, or delete the job"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %s", want, text)
		}
	}
	// With that build it goes on.
	install(old)
	values, text, _ = faultProg(t, prog, "", dir2, nil, "-do", "attach", "-job", "one")
	if !slices.Equal(values, []string{"old", "old", "old", "old"}) {
		t.Errorf("with the old build again: %q: %s", values, text)
	}

	// A damaged program is not run.
	dir3 := t.TempDir()
	os.Remove(gate)
	begin(dir3, gate)
	os.WriteFile(gate, nil, 0o600)
	install(fresh)
	programs, _ = filepath.Glob(filepath.Join(dir3, "store", "programs,", "*"))
	if len(programs) != 1 {
		t.Fatalf("%d programs in the store", len(programs))
	}
	faultDamage(t, programs[0], 100000, 0x40)
	values, text, _ = faultProg(t, prog, "", dir3, nil, "-do", "attach", "-job", "one")
	if len(values) > 1 && values[1] != "" || !strings.Contains(text, "damaged") || !strings.Contains(text, filepath.Base(programs[0])) {
		t.Errorf("with a damaged program: %q, %s; want an error that names it", values, text)
	}
}

// faultHolder has a field that cannot travel, sometimes.
type faultHolder struct {
	Name  string
	Inner struct{ Any any }
}

var faultHold = clusterless.Define("fault.hold", func(_ context.Context, h faultHolder) (faultHolder, error) {
	if h.Name == "back" {
		h.Inner.Any = make(chan int)
	}
	return h, nil
})

// What cannot travel is an error that names the path, before anything is sent; a result that cannot is the call's.
func TestFaultCannotTravel(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock()
	for _, c := range []struct {
		v    any
		says string
	}{{make(chan int), "channel"}, {func() {}, "func"}, {[]any{1, map[string]any{"x": make(chan int)}}, "channel"}, {&mu, "lock"}} {
		h := faultHolder{}
		h.Inner.Any = c.v
		for _, ins := range [][]faultHolder{{h}, {{Name: "fine"}, h}} {
			_, err := faultHold.On(s).Map(ctx, ins)
			if !errors.Is(err, clusterless.ErrCannotTravel) {
				t.Errorf("input with %T: got %v, want ErrCannotTravel", c.v, err)
			}
			wantInError(t, err, "fault.hold", fmt.Sprintf("input %d", len(ins)-1), "Inner.Any", c.says)
		}
		if _, err := clusterless.Broadcast(ctx, s, h); !errors.Is(err, clusterless.ErrCannotTravel) {
			t.Errorf("broadcast of %T: got %v, want ErrCannotTravel", c.v, err)
		}
	}
	jobs, err := s.Jobs(ctx, "")
	if err != nil || len(jobs) != 0 {
		t.Errorf("jobs that could not be sent left %v, %v", jobs, err)
	}
	job, err := faultHold.On(s).Map(ctx, []faultHolder{{Name: "a"}, {Name: "back"}, {Name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	e := taskErr(t, all[1].Err, 1, clusterless.ErrCannotTravel)
	wantInError(t, e, "result", "Inner.Any", "channel")
	if all[0].Err != nil || all[2].Err != nil || all[0].Value.Name != "a" || all[2].Value.Name != "c" {
		t.Errorf("its neighbours: %+v, %+v", all[0], all[2])
	}
}
