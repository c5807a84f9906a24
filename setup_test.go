package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
)

var errSetup = errors.New("no licence")

// The hooks of the test binary do what the environment of the job's processes says.
var (
	_ = clusterless.Setup(func(context.Context) error { return setUp("first", os.Getenv("TEST_SETUP")) })
	_ = clusterless.Setup(func(context.Context) error { return setUp("second", os.Getenv("TEST_SETUP_2")) })
)

func setUp(hook, what string) error {
	if log := os.Getenv("TEST_SETUP_LOG"); log != "" {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(f, "%s %d\n", hook, os.Getpid())
	}
	switch what {
	case "error":
		return fmt.Errorf("%s hook: %w", hook, errSetup)
	case "panic":
		panic("hook of the test")
	case "goexit":
		runtime.Goexit()
	case "helper":
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		helper = cmd.Process.Pid
	}
	return nil
}

var helper int // process that a hook started

var pidOf = clusterless.Define("test.pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })

func TestSetupRunsOnceInEachProcess(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	opts := []clusterless.Option{clusterless.Env("TEST_SETUP_LOG", g.file("log")), clusterless.Span(1)}
	pids := map[int]bool{}
	for range 3 {
		job := must(pidOf.On(s, opts...).Map(ctx, upTo(10)))(t)
		for _, pid := range must(job.Results(ctx))(t) {
			pids[pid] = true
		}
	}
	job := must(pidOf.On(s, append(opts, clusterless.Isolated(true))...).Map(ctx, upTo(3)))(t)
	for _, pid := range must(job.Results(ctx))(t) {
		pids[pid] = true
	}
	var want []string
	for pid := range pids {
		want = append(want, fmt.Sprint("first ", pid), fmt.Sprint("second ", pid))
	}
	lines := strings.Split(strings.TrimSpace(string(must(os.ReadFile(g.file("log")))(t))), "\n")
	for i, l := range lines {
		if after, ok := strings.CutPrefix(l, "second "); ok && !slices.Contains(lines[:i], "first "+after) {
			t.Errorf("the second hook ran before the first: %q", lines)
		}
	}
	slices.Sort(want)
	slices.Sort(lines)
	if len(pids) < 4 || !slices.Equal(lines, want) {
		t.Errorf("hooks ran as %q; want %q, once in each process that made calls", lines, want)
	}
}

func TestSetupThatFailsFailsTheCalls(t *testing.T) {
	ctx, s := within(t), open(t)
	for _, c := range []struct{ name, how, want string }{
		{"TEST_SETUP", "error", "worker set-up: first hook: no licence"},
		{"TEST_SETUP_2", "error", "worker set-up: second hook: no licence"},
		{"TEST_SETUP", "panic", "worker set-up: panic: hook of the test"},
		{"TEST_SETUP", "goexit", "worker set-up: runtime.Goexit was called"},
	} {
		job := must(pidOf.On(s, clusterless.Env(c.name, c.how)).Map(ctx, upTo(5)))(t)
		failed, err := job.Wait(ctx)
		if !slices.Equal(failed, []int{0, 1, 2, 3, 4}) || err != nil {
			t.Errorf("%s=%s: failed %v, %v; want all", c.name, c.how, failed, err)
		}
		for i := range 5 {
			_, err := job.Result(ctx, i)
			wantErr(t, err, nil, fmt.Sprintf("call %d of job", i), c.want)
			if c.how == "error" {
				wantErr(t, err, errSetup)
			}
			if c.how == "panic" && !strings.Contains(err.Error(), "setup_test.go:") {
				t.Errorf("the error has no stack: %v", err)
			}
		}
	}
	// Other processes are not concerned.
	must(pidOf.On(s).Call(ctx, 0))(t)
}

// A call is over when it returns: what it started and left is ended. What a hook started stays for its calls.
func TestHelpersOfSetupStay(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(kids.On(s, clusterless.Env("TEST_SETUP", "helper"), clusterless.Span(10)).Map(ctx, upTo(10)))(t)
	previous := 0
	for i, k := range must(job.Results(ctx))(t) {
		if k.Helper == 0 || !k.HelperLives {
			t.Errorf("call %d: the process that the hook started has ended", i)
		}
		if previous != 0 && k.PreviousLives {
			t.Errorf("call %d: a process that call %d left lives on", i, i-1)
		}
		previous = k.Child
	}
}

type family struct {
	Helper, Child              int
	HelperLives, PreviousLives bool
}

var lastChild int

var kids = clusterless.Define("test.kids", func(context.Context, int) (family, error) {
	f := family{Helper: helper, HelperLives: alive(helper), PreviousLives: lastChild != 0 && alive(lastChild)}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		return f, err
	}
	f.Child, lastChild = cmd.Process.Pid, cmd.Process.Pid
	return f, nil
})

func alive(pid int) bool { return exists(fmt.Sprintf("/proc/%d", pid)) }
