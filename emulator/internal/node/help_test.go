//go:build linux

package node_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// longEnough is how long a test waits for what must happen.
const longEnough = time.Minute

// asRoot is to be root with all that it may on a machine of its own, which it may not in most containers.
var asRoot = os.Geteuid() == 0 && exec.Command("unshare", "--mount", "--net", "true").Run() == nil

// public makes a directory that all users may pass, which those of t are not.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// config is that of a node with everything that the user of the test can have.
func config(t *testing.T) node.Config {
	t.Helper()
	c := node.Config{
		ID: node.NewID(true), Dir: filepath.Join(public(t), "node"), Address: node.LoopbackAddress(4711),
		Account: "account", AccountURL: "http://127.0.0.1:1/", Pool: "pool", Dedicated: true,
		RetryWait: time.Millisecond,
		Log:       slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if asRoot {
		c.MountPoint = filepath.Join(public(t), "tasks")
	}
	return c
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", b)
	return len(b), nil
}

func open(t *testing.T, c node.Config) *node.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	defer cancel()
	n, err := node.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func newNode(t *testing.T) *node.Node {
	t.Helper()
	return open(t, config(t))
}

// run runs a task that succeeds, and returns what it wrote.
func run(t *testing.T, n *node.Node, task node.Task) string {
	t.Helper()
	r := n.Run(t.Context(), task)
	out, errs := output(t, n, task)
	if r.Failure != nil || r.Lost {
		t.Fatalf("%s: %v, lost %v\n%s%s", task.CommandLine, r.Failure, r.Lost, out, errs)
	}
	if errs != "" {
		t.Errorf("stderr: %s", errs)
	}
	return out
}

func output(t *testing.T, n *node.Node, task node.Task) (out, errs string) {
	t.Helper()
	dir := "workitems/" + task.Job + "/job-1/" + task.ID
	if task.Kind == node.KindStart {
		dir = "startup"
	}
	return read(t, n, dir+"/stdout.txt"), read(t, n, dir+"/stderr.txt")
}

// read reads a file of a node; "" if there is none.
func read(t *testing.T, n *node.Node, name string) string {
	t.Helper()
	tree, err := n.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	f, _, err := tree.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	m, _ := f.Read(b)
	return string(b[:m])
}

func shell(job, id, script string) node.Task {
	return node.Task{Job: job, ID: id, CommandLine: "/bin/sh -c '" + script + "'"}
}

// begin runs a task and waits until a condition is met; the function it returns waits for the result.
func begin(t *testing.T, ctx context.Context, n *node.Node, task node.Task, met func() bool) func() node.Result {
	t.Helper()
	done := make(chan node.Result, 1)
	go func() { done <- n.Run(ctx, task) }()
	result := func() node.Result {
		t.Helper()
		select {
		case r := <-done:
			return r
		case <-time.After(longEnough):
			t.Fatal("the task does not end")
		}
		panic("not reached")
	}
	wait(t, "the task's doing", func() bool {
		select {
		case r := <-done:
			out, errs := output(t, n, task)
			t.Fatalf("the task ended: %+v\n%s%s", r, out, errs)
		default:
		}
		return met()
	})
	return result
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// pid waits for a file of a node with the number of a process.
func pid(t *testing.T, n *node.Node, name string) (number int) {
	t.Helper()
	wait(t, name, func() bool {
		var err error
		number, err = strconv.Atoi(strings.TrimSpace(read(t, n, name)))
		return err == nil
	})
	return number
}

func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func code(r node.Result) string {
	if r.Failure == nil {
		return ""
	}
	return r.Failure.Code
}

// mountSmall mounts a disk of one megabyte.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// zeros serves so many bytes of 0.
func zeros(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	}
}

// removed has what was taken out of a tree deleted.
func removed(t *testing.T) func(finish func() error, err error) {
	return func(finish func() error, err error) {
		t.Helper()
		if err == nil {
			err = finish()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
