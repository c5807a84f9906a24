package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

// A Leg is a call of relay.
type Leg struct {
	Dir  string
	Wait bool
}

// relay notes that it was called, and waits until it may go on.
var relay = clusterless.Define("relay", func(ctx context.Context, leg Leg) (string, error) {
	task, _ := clusterless.Current(ctx)
	f, err := os.OpenFile(filepath.Join(leg.Dir, fmt.Sprint(task.Call)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(f, task.Node)
	f.Close()
	for leg.Wait {
		if _, err := os.Stat(filepath.Join(leg.Dir, "go")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return task.Node, nil
})

// The node of a task of several calls loses its power: Slurm starts the task on another one, and the calls that were finished
// are not made again.
func TestSlurmNodeDies(t *testing.T) {
	c := slurmtest.For(t)
	if !c.Namespaces() {
		t.Skip("as another user than root a node is no more than its slurmd")
	}
	s, err := clusterless.Open(t.Context(), clusterless.Engine("slurm:?poll=1s"), clusterless.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	job, err := relay.On(s, clusterless.Span(4)).Map(t.Context(), []Leg{{dir, false}, {dir, false}, {dir, true}, {dir, false}})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := job.Result(t.Context(), 1) // is there before the task has ended
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(t, dead, syscall.SIGKILL)
	c.Run(t, "scontrol", "update", "nodename="+dead, "state=down", "reason=test") // else it is noticed in half a minute
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(dir, "2")); err == nil && strings.Count(string(b), "\n") == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the task is not begun again: %+v", job.Status())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nodes, err := job.Results(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if nodes[0] != dead || nodes[1] != dead || nodes[2] == dead || nodes[3] == dead {
		t.Errorf("calls were made on %q, want the first two on %s, which died under the third", nodes, dead)
	}
	for call, want := range []int{1, 1, 2, 1} {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(call)))
		if got := strings.Count(string(b), "\n"); err != nil || got != want {
			t.Errorf("call %d was begun %d times, %v; want %d", call, got, err, want)
		}
	}
}

// Slurm does not answer when a job is cancelled: that is said, and who cancels it once more ends it.
func TestSlurmCancelUnheard(t *testing.T) {
	c := slurmtest.For(t)
	scancel, err := exec.LookPath("scancel")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\n[ -e " + bin + "/heard ] && exec " + scancel + " \"$@\"\necho 'Unable to contact slurm controller (connect failure)' >&2; exit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "scancel"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	s, err := clusterless.Open(t.Context(), clusterless.Engine("slurm:?poll=1s"), clusterless.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	job, err := relay.On(s, clusterless.Span(2)).Map(t.Context(), []Leg{{dir, false}, {dir, true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Result(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := job.Cancel(t.Context()); err == nil || !strings.Contains(err.Error(), "Unable to contact") {
		t.Errorf("cancelled: %v, want that Slurm did not answer", err)
	}
	if err := os.WriteFile(filepath.Join(bin, "heard"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := job.Cancel(t.Context()); err != nil {
		t.Errorf("cancelled once more: %v", err)
	}
	for end := time.Now().Add(time.Minute); c.Run(t, "squeue", "--noheader") != ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is still in the queue")
		}
	}
}
