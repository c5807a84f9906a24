package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// within is a context that keeps a test from hanging for ever.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// must takes what a function returned, and ends the test if that is an error: must(os.Open(name))(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantErr checks that an error is there, is what it should be, if is is not nil, and says the texts.
func wantErr(t testing.TB, err, is error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error; want one with %q", texts)
		return
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("got error %v; want one that is %v", err, is)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got error %q; want %q in it", err, text)
		}
	}
}

// until waits for what comes about beside.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// A gate holds up calls until the test opens it.
type gate struct{ dir string }

func newGate(t testing.TB) gate { return gate{t.TempDir()} }

func (g gate) file(name string) string { return filepath.Join(g.dir, name) }

// open lets through the calls that wait for the name, now and later.
func (g gate) open(t testing.TB, name string) {
	t.Helper()
	if err := os.WriteFile(g.file(name), nil, 0o666); err != nil {
		t.Fatal(err)
	}
}

// seen waits until a call has said the name.
func (g gate) seen(t testing.TB, name string) {
	t.Helper()
	until(t, "a call says "+name, func() bool { return exists(g.file(name)) })
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A step is the input of a call that does what a test wants at the time it wants it.
type step struct {
	Say   string // file that is made at the start
	Await string // file that is waited for then
	Value int
	Err   string // error that is returned, if any
}

var errStep = errors.New("a step went wrong")

func doStep(ctx context.Context, in step) (int, error) {
	if in.Say != "" {
		if err := os.WriteFile(in.Say, nil, 0o666); err != nil {
			return 0, err
		}
	}
	for in.Await != "" && !exists(in.Await) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	if in.Err != "" {
		return 0, fmt.Errorf("%s: %w", in.Err, errStep)
	}
	return in.Value, nil
}

var walk = clusterless.Define("test.step", doStep)

// child runs the test binary again, as another program in which only one test runs, and returns what that printed.
func child(t testing.TB, test string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), append(env, "TEST_CHILD="+test)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// residentOf runs a test as child does, and returns how many MB of memory it had at most, as it says by "resident: KB".
func residentOf(t testing.TB, test string) int {
	t.Helper()
	out, err := child(t, test)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, rest, ok := strings.Cut(out, "resident: ")
	kb, err := strconv.Atoi(strings.Fields(rest + " none")[0])
	if !ok || err != nil {
		t.Fatalf("no size in the output of the program:\n%s", out)
	}
	t.Logf("resident: %d MB at most", kb>>10)
	return kb >> 10
}

// onlyAsChild reports whether a test that is the other side of child was started by that.
func onlyAsChild(t *testing.T) bool { return os.Getenv("TEST_CHILD") == t.Name() }

// raced says that the race detector is at work, which needs more memory.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// appendLine adds a line to a file; lines counts them.
func appendLine(file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("line\n")
	return err
}

func lines(t testing.TB, file string) int {
	t.Helper()
	return strings.Count(string(must(os.ReadFile(file))(t)), "\n")
}
