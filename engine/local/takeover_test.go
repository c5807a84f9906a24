//go:build linux

package local_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/local"
)

// dead reports whether a process is gone, or a zombie of somebody who does not wait for it.
func dead(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

func allDead(lines []string) func() bool {
	return func() bool {
		for _, line := range lines {
			words := strings.Fields(line)
			if pid, _ := strconv.Atoi(words[len(words)-1]); !dead(pid) {
				return false
			}
		}
		return true
	}
}

// The client is killed while two of its four runs are running and one has ended. Its processes die with it, also
// those that left their group; another client that watched, and one that comes later, learn what was lost and run
// what they want.
func TestTakeover(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(t.TempDir(), "pids")
	kill := filepath.Join(t.TempDir(), "escaped")
	cmd := startClient(t, dir, "on:0:exit:5", "print:log of {task}.{attempt}", "append:"+pids+":{pid}", "on:1:escape:3600", "append:"+kill+":{pid}", "wait:"+dir+"/go")
	eventually(t, "two runs run", func() bool { return len(fileLines(kill)) == 2 })

	watching := open(t, local.Config{Dir: dir})
	enginetest.Until(t, watching, "killed", func(got map[engine.Run]engine.Event) bool {
		return got[engine.Run{Task: 0, Attempt: 1}].ExitCode == 5 && got[engine.Run{Task: 2, Attempt: 1}].State == engine.Running
	})
	// A submit for a job that a living client owns: remembered, and run once that is dead.
	// The command is that of the client that takes over: the dead one's may be gone with it.
	script := []string{"on:0:exit:5", "print:log of {task}.{attempt}", "append:" + pids + ":{pid}", "on:1:escape:3600", "append:" + kill + ":{pid}", "wait:" + dir + "/go"}
	job := engine.Job{ID: "killed", Command: enginetest.Command("", script...), Resident: true, Runs: []engine.Run{{Task: 1, Attempt: 1}}}
	submit(t, watching, job)
	time.Sleep(200 * time.Millisecond) // the journal is at most 50 ms old, unless the machine is busy
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	eventually(t, "the processes died with the client", allDead(fileLines(pids)))

	got := enginetest.Wait(t, watching, "killed", 4)
	for task, want := range []engine.State{engine.Exited, engine.Lost, engine.Lost, engine.Lost} {
		ev := got[engine.Run{Task: task, Attempt: 1}]
		if ev.State != want || want == engine.Lost && (ev.Cause != engine.CauseClient || !strings.Contains(ev.Reason, strconv.Itoa(cmd.Process.Pid))) {
			t.Errorf("task %d: %+v, want state %d and the client's pid", task, ev, want)
		}
	}
	log := enginetest.Log(t, watching, "killed", engine.Run{Task: 1, Attempt: 1})
	if !strings.HasPrefix(log, "log of 1.1\nchild ") {
		t.Fatalf("log of a lost run: %q", log)
	}
	if escaped := strings.Split(strings.TrimSpace(log), "\n")[1:]; !allDead(escaped)() {
		t.Errorf("a descendant that left its group has survived: %q", escaped)
	}
	left, err := os.ReadDir(filepath.Join(dir, "owners"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if name := file.Name(); strings.HasSuffix(name, ".lock") && len(left) > 3 {
			t.Errorf("%s is left in owners/, want only the living client's files and takeover: %v", name, left)
		}
	}

	later := open(t, local.Config{Dir: dir})
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	job.Runs = []engine.Run{{Task: 1, Attempt: 2}, {Task: 2, Attempt: 2}, {Task: 3, Attempt: 2}}
	submit(t, later, job)
	submit(t, watching, job)
	for _, e := range []engine.Engine{later, watching} {
		for r, ev := range enginetest.Wait(t, e, "killed", 7) {
			if r.Attempt == 2 && ev.Cause != "" {
				t.Errorf("%+v, want success", ev)
			}
		}
	}
	if ran := fileLines(pids); len(ran) != 5 {
		t.Errorf("%d runs wrote their number, want 2 of the first attempt and 3 of the second", len(ran))
	}
}

// A journal whose last line was not finished is read up to there, and goes on behind it.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := local.New(local.Config{Dir: dir, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	job := engine.Job{ID: "torn", Command: enginetest.Command("", "exit:{task}"), Runs: enginetest.Runs(3)}
	submit(t, first, job)
	enginetest.Wait(t, first, "torn", 3)
	first.Close()
	path := filepath.Join(dir, "jobs", "torn.journal")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, local.Config{Dir: dir, Slots: 1})
	if ev := enginetest.Wait(t, e, "torn", 3)[engine.Run{Task: 2, Attempt: 1}]; ev.State != engine.Lost {
		t.Errorf("%+v, want it lost, since its end was not written", ev)
	}
	job.Runs = []engine.Run{{Task: 2, Attempt: 2}}
	submit(t, e, job)
	enginetest.Wait(t, e, "torn", 4)
	e.Close()
	again := open(t, local.Config{Dir: dir, Slots: 1})
	if ev := enginetest.Wait(t, again, "torn", 4)[engine.Run{Task: 2, Attempt: 2}]; ev.ExitCode != 2 {
		t.Errorf("%+v, want exit code 2", ev)
	}
	// A journal that was never begun is no job.
	if err := os.WriteFile(filepath.Join(dir, "jobs", "empty.journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	job.ID, job.Runs = "empty", enginetest.Runs(1)
	submit(t, again, job)
	enginetest.Wait(t, again, "empty", 1)
}

// A job with many runs is followed and taken over without a step that is quadratic in them.
func TestLargeJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const n = 100_000
	first, err := local.New(local.Config{Dir: dir, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	job := engine.Job{ID: "large", Command: []string{"sleep", "3600"}, Runs: make([]engine.Run, n)}
	for i := range job.Runs {
		job.Runs[i] = engine.Run{Task: 2 * i, Attempt: 1} // no spans
	}
	submit(t, first, job)
	first.Close()
	e := open(t, local.Config{Dir: dir, Slots: 1})
	for _, ev := range enginetest.Wait(t, e, "large", n) {
		if ev.State != engine.Lost {
			t.Fatalf("%+v, want it lost", ev)
		}
	}
}

// With nobody there to tidy up, the kernel ends the processes of a client that is killed.
func TestClientKilled(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(t.TempDir(), "pids")
	cmd := startClient(t, dir, "append:"+pids+":{pid}", "sleep:1h")
	eventually(t, "two runs run", func() bool { return len(fileLines(pids)) == 2 })
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "the processes died with the client", allDead(fileLines(pids)))
	e := open(t, local.Config{Dir: dir})
	left, err := os.ReadDir(filepath.Join(dir, "scratch"))
	if err != nil || len(left) > 0 {
		t.Errorf("scratch/ has %v (%v), want nothing once an engine is opened", left, err)
	}
	for _, ev := range enginetest.Wait(t, e, "killed", 4) {
		if ev.State != engine.Lost {
			t.Errorf("%+v, want it lost", ev)
		}
	}
}

// On a full disk a warm engine goes on; it cannot be attached to, which it says.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("cannot mount a small disk:", err)
	}
	t.Cleanup(func() { // after the engine is closed
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	e := open(t, local.Config{Dir: dir, Slots: 1})
	job := engine.Job{ID: "before", Command: enginetest.Command("", "print:{task}", "exit:{task}"), Runs: enginetest.Runs(3), Resident: true}
	submit(t, e, job)
	enginetest.Wait(t, e, "before", 3)
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	job.ID = "after"
	submit(t, e, job)
	for r, ev := range enginetest.Wait(t, e, "after", 3) {
		if ev.ExitCode != r.Task {
			t.Errorf("%+v, want exit code %d", ev, r.Task)
		}
	}
	job.ID, job.Resident = "plain", false
	submit(t, e, job)
	for r, ev := range enginetest.Wait(t, e, "plain", 3) {
		if ev.ExitCode != r.Task && !strings.Contains(ev.Reason, "no space left") {
			t.Errorf("%+v, want exit code %d, or to be told about the disk", ev, r.Task)
		}
	}
	if err := os.Remove(filepath.Join(dir, "full")); err != nil {
		t.Fatal(err)
	}
	job.ID = "freed"
	submit(t, e, job)
	enginetest.Wait(t, e, "freed", 3)
}

// The state directory vanishes under way: what runs goes on.
func TestDirRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	e := open(t, local.Config{Dir: dir})
	job := engine.Job{ID: "j", Command: enginetest.Command("", "wait:"+dir+"-go", "exit:4"), Runs: enginetest.Runs(1)}
	submit(t, e, job)
	enginetest.Until(t, e, "j", func(got map[engine.Run]engine.Event) bool {
		return got[job.Runs[0]].State == engine.Running
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"-go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ev := enginetest.Wait(t, e, "j", 1)[job.Runs[0]]; ev.ExitCode != 4 {
		t.Errorf("%+v, want exit code 4", ev)
	}
	job.ID = "next"
	if err := e.Submit(t.Context(), job); err == nil {
		if ev := enginetest.Wait(t, e, "next", 1)[job.Runs[0]]; ev.Cause != engine.CauseNotStarted {
			t.Errorf("a run without a directory for its log: %+v, want it not started", ev)
		}
	}
}

// A client that is stopped does not hold up the others: they say which process does not react.
func TestStoppedOwner(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for five seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	cmd := startClient(t, dir, "sleep:1h")
	e := open(t, local.Config{Dir: dir})
	eventually(t, "the job is there", func() bool {
		_, err := os.Stat(filepath.Join(dir, "jobs", "killed.journal"))
		return err == nil
	})
	cmd.Process.Signal(syscall.SIGSTOP)
	err := e.Cancel(t.Context(), "killed")
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("cancel: %v, want an error with the pid %d", err, cmd.Process.Pid)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	if err := e.Cancel(t.Context(), "killed"); err != nil {
		t.Errorf("cancel after it went on: %v", err)
	}
	for _, ev := range enginetest.Wait(t, e, "killed", 4) {
		if ev.Cause != engine.CauseCancelled {
			t.Errorf("%+v, want it cancelled", ev)
		}
	}
}
