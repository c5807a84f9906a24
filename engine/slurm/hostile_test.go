//go:build linux

package slurm_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/engine/slurm"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// count is how many lines a file has.
func count(path string) int {
	b, _ := os.ReadFile(path)
	return strings.Count(string(b), "\n")
}

// inQueue is how many elements of a job are in the queue.
func inQueue(t *testing.T, c *slurmtest.Cluster, id string) int {
	t.Helper()
	return strings.Count(c.Run(t, "squeue", "--noheader", "--array", "--name="+id, "--format=%i"), "\n")
}

// readOnly makes a directory read-only on a node, until the end of the test.
func readOnly(t *testing.T, c *slurmtest.Cluster, node, dir string) {
	t.Helper()
	pid, err := c.PID(node)
	if err != nil {
		t.Fatal(err)
	}
	inside := []string{"--target=" + strconv.Itoa(pid), "--mount"}
	c.Run(t, "nsenter", append(inside, "mount", "--bind", dir, dir)...)
	t.Cleanup(func() { c.Run(t, "nsenter", append(inside, "umount", dir)...) })
	c.Run(t, "nsenter", append(inside, "mount", "-o", "remount,bind,ro", dir)...)
}

// The directory may have been anybody's before: what the engine did not make it does not remove.
func TestForeignFiles(t *testing.T) {
	slurmtest.Need(t)
	dir := shared(t)
	month := time.Now().Add(-30 * 24 * time.Hour)
	foreign := []string{"clients/acme", "clients/notes-2026", "clients/acme-inc-annually/contract", "runs/exp-1/data", "runs/exp-20260101/data", "runs/sweep-abcdefgh/data"}
	ours := []string{"clients/login-1-abcdefgh", "runs/gone-abcdefgh/claim/0.1", "runs/begun-abcdefgh"}
	for _, name := range append(foreign, ours...) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "runs/begun") {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else {
			touch(t, path)
		}
		for p := path; p != dir; p = filepath.Dir(p) {
			if err := os.Chtimes(p, month, month); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := open(t, dir)
	for _, name := range []string{"clients/login-1-abcdefgh", "runs/gone-abcdefgh", "runs/begun-abcdefgh"} {
		eventually(t, name+" to be removed", func() bool { return !there(filepath.Join(dir, name)) })
	}
	e.Close() // waits until all was looked at
	for _, name := range foreign {
		if !there(filepath.Join(dir, name)) {
			t.Errorf("%s is gone", name)
		}
	}
}

// A site's wrapper of sbatch says more than sbatch, or something else.
func TestNoisySbatch(t *testing.T) {
	cluster(t)
	ctl := wrap(t, "sbatch", `echo x >>$dir/asked
if [ -e $dir/silent ]; then $real "$@" >$dir/out; echo "Thank you!"; exit 0; fi
echo "Welcome to 3 new users!"; $real "$@" || exit; echo "sbatch: info: your balance is low" >&2`)
	e := open(t, shared(t))
	j := job("welcome", 2, "exit:0")
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	touch(t, ctl+"/silent")
	asked := count(ctl + "/asked")
	j = job("thanks", 2, "exit:0")
	if err := e.Submit(t.Context(), j); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "Thank you") {
		t.Errorf("%v, want ErrCannotRun, and what sbatch said", err)
	}
	if n := count(ctl+"/asked") - asked; n != 1 {
		t.Errorf("sbatch was run %d times, want 1", n)
	}
}

// The agent is a script: its variables are not those of the run, nor the other way round.
func TestVariablesOfTheAgent(t *testing.T) {
	cluster(t)
	for _, v := range []string{"dir", "root", "node", "now"} {
		t.Setenv(v, "of the "+v)
	}
	e := open(t, shared(t))
	j := job("names", 1, "want:dir=of the dir", "want:root=of the root", "want:node=of the node", "want:now=of the now",
		"want:cmd=sleep 1h", "want:log=debug", "want:local=a,b\n\"'$(c)", "want:run=5", "want:SBATCH_WAIT=", "print:here")
	j.Env = []string{"cmd=sleep 1h", "log=debug", "local=a,b\n\"'$(c)", "run=5", "SBATCH_WAIT="}
	t.Setenv("SBATCH_WAIT", "1") // with which sbatch would wait for the end
	submit(t, e, j)
	ev := until(t, e, j.ID, final)
	if log := enginetest.Log(t, e, j.ID, engine.Run{Attempt: 1}); ev.Cause != "" || log != "here\n" {
		t.Errorf("%+v: %s", ev, log)
	}
}

// What bash says of a program that it cannot start depends on the user's language.
func TestCannotStartAbroad(t *testing.T) {
	cluster(t)
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("LANGUAGE", "de")
	if out, _ := exec.Command("bash", "-c", "exec /etc/passwd").CombinedOutput(); !strings.Contains(string(out), "Zeile") {
		t.Logf("bash does not speak German here: %s", out)
	}
	e := open(t, shared(t))
	j := job("abroad", 1)
	j.Command = []string{"/etc/passwd"}
	submit(t, e, j)
	if ev := until(t, e, j.ID, final); ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "cannot start /etc/passwd on n") {
		t.Errorf("%+v, want that it could not be started", ev)
	}
}

// Two clusters share a home directory: the numbers of one mean nothing, or something else, on the other.
func TestOtherCluster(t *testing.T) {
	c := cluster(t)
	dir := shared(t)
	e := open(t, dir)
	j := job("far", 2, "wait:"+dir+"/go")
	submit(t, e, j)
	until(t, e, j.ID, running)
	path := os.Getenv("PATH")
	wrap(t, "scontrol", `if [ "$1 $2" = "show config" ]; then $real "$@" | sed 's/^ClusterName .*/ClusterName = near/'; else exec $real "$@"; fi`)
	away := open(t, dir)
	again := j
	again.Runs = []engine.Run{{Task: 0, Attempt: 2}}
	for what, err := range map[string]error{"cancel": away.Cancel(t.Context(), j.ID), "delete": away.Delete(t.Context(), j.ID),
		"submit": away.Submit(t.Context(), again), "watch": watchError(t, away, j.ID)} {
		if err == nil || !strings.Contains(err.Error(), "runs on the cluster test, and this is near") {
			t.Errorf("%s: %v, want that it is on the other cluster", what, err)
		}
	}
	if n := inQueue(t, c, j.ID); n != 2 {
		t.Errorf("%d elements are left in the queue", n)
	}
	t.Setenv("PATH", path)
	touch(t, dir+"/go")
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
}

func watchError(t *testing.T, e engine.Engine, id string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, err := range e.Watch(ctx, id) {
		if err != nil {
			return err
		}
	}
	return nil
}

// A client is killed when sbatch has queued an array, and before it could write that down: the array is known all the same, and
// the job can be cancelled.
func TestKilledAfterSbatch(t *testing.T) {
	c := cluster(t)
	ctl := wrap(t, "sbatch", `$real "$@" >/dev/null; : >$dir/done; exec sleep 3600`)
	dir := shared(t)
	orphan := func(id string, settings ...string) engine.Job {
		e := open(t, dir)
		j := job(id, 2, "append:"+dir+"/"+id+":{task}", "wait:"+dir+"/go")
		j.Settings = settings
		ctx, kill := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() { defer close(gone); e.Submit(ctx, j) }()
		eventually(t, "sbatch", func() bool { return there(ctl + "/done") })
		kill()
		<-gone
		os.Remove(ctl + "/done")
		e.Close()
		return j
	}
	runs, waits := orphan("runs-on"), orphan("waits-on", "flag=--hold")
	number := number(t, c, waits.ID)
	e := open(t, dir)
	until(t, e, runs.ID, running)
	for _, id := range []string{runs.ID, waits.ID} {
		if err := e.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for r, ev := range enginetest.Wait(t, e, runs.ID, 2) {
		if ev.Cause != engine.CauseCancelled {
			t.Errorf("%v: %+v, want it cancelled", r, ev)
		}
	}
	c.Run(t, "scontrol", "release", number)
	for _, id := range []string{runs.ID, waits.ID} {
		eventually(t, id+" to leave the queue", func() bool { return inQueue(t, c, id) == 0 })
	}
	if n := count(dir + "/waits-on"); n > 0 {
		t.Errorf("%d runs were begun after the job was cancelled", n)
	}
}

// Slurm does not answer when a job is cancelled.
func TestCancelUnheard(t *testing.T) {
	c := cluster(t)
	ctl := wrap(t, "scancel", `if [ ! -e $dir/heard ]; then : >$dir/heard; echo "scancel: error: Kill job error on job id 1: Unable to contact slurm controller (connect failure)" >&2; exit 1; fi; exec $real "$@"`)
	e := open(t, shared(t))
	j := job("unheard", 20, "sleep:1h")
	submit(t, e, j)
	until(t, e, j.ID, running)
	if err := e.Cancel(t.Context(), j.ID); err == nil || !strings.Contains(err.Error(), "Unable to contact") {
		t.Errorf("%v, want that Slurm did not answer", err)
	}
	if !there(ctl + "/heard") {
		t.Error("scancel was not run")
	}
	for r, ev := range enginetest.Wait(t, e, j.ID, 20) {
		if ev.Cause != engine.CauseCancelled {
			t.Errorf("%v: %+v, want it cancelled", r, ev)
		}
	}
	eventually(t, "the queue", func() bool { return inQueue(t, c, j.ID) == 0 })
}

// Nodes that cannot write, to the shared directory or to their own, leave runs to others, and get no more.
func TestReadOnlyNode(t *testing.T) {
	c := cluster(t)
	if !c.Namespaces() {
		t.Skip("as another user than root all nodes see the same")
	}
	dir, scratch := shared(t), t.TempDir()
	e := open(t, dir, func(c *slurm.Config) { c.Scratch = scratch })
	readOnly(t, c, "n2", dir)
	readOnly(t, c, "n3", scratch)
	wants := map[string]string{"n2": "n2 cannot write to the shared directory " + dir, "n3": "n3 has no room for temporary files"}
	for node := range wants {
		j := job("not-on-"+node, 2, "exit:0")
		j.Settings = []string{"flag=--nodelist=" + node}
		submit(t, e, j)
	}
	for node, want := range wants {
		j := job("not-on-"+node, 2)
		for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
			if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, want) {
				t.Errorf("%v: %+v, want it not started, and %q", r, ev, want)
			}
		}
	}
	j := job("on-the-others", 16, "exit:0")
	j.Isolated = true
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 16) {
		if ev.Cause != "" || ev.Node == "n2" || ev.Node == "n3" {
			t.Errorf("%v: %+v, want it well on n1 or n4", r, ev)
		}
	}
	// If no other nodes are left, those are tried again.
	j = job("nowhere-else", 1, "exit:0")
	j.Settings = []string{"exclude=n1,n4"}
	submit(t, e, j)
	if ev := until(t, e, j.ID, final); ev.Cause != engine.CauseNotStarted {
		t.Errorf("%+v, want it not started, on n2 or n3", ev)
	}
}

// Slurm refuses for good what it could not be asked for when it was submitted.
func TestRefusedLater(t *testing.T) {
	cluster(t)
	ctl := wrap(t, "sbatch", `if [ ! -e $dir/up ]; then echo "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)" >&2; exit 1; fi; exec $real "$@"`)
	e := open(t, shared(t))
	j := job("refused-later", 3, "exit:0")
	j.Settings = []string{"partition=nowhere"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // else it waits longer
	defer cancel()
	if err := e.Submit(ctx, j); err != nil {
		t.Fatal(err)
	}
	touch(t, ctl+"/up")
	for r, ev := range enginetest.Wait(t, e, j.ID, 3) {
		if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "sinfo -s") {
			t.Errorf("%v: %+v, want it not started, and advice", r, ev)
		}
	}
}

// The cluster takes no job arrays.
func TestNoArrays(t *testing.T) {
	cluster(t)
	wrap(t, "sbatch", `echo "sbatch: error: Batch job submission failed: Invalid job array specification" >&2; exit 1`)
	e := open(t, shared(t))
	if err := e.Submit(t.Context(), job("no-arrays", 3, "exit:0")); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "MaxArraySize") {
		t.Errorf("%v, want ErrCannotRun, and why", err)
	}
}

// A second client, with another configuration, makes more attempts: they go where the first ones went.
func TestPlacementOfTheJob(t *testing.T) {
	cluster(t)
	dir := shared(t)
	e := open(t, dir, func(c *slurm.Config) { c.Partition, c.Time = "other", 5*time.Minute })
	j := job("placed", 1, "want:SLURM_JOB_PARTITION=other")
	submit(t, e, j)
	until(t, e, j.ID, final)
	e.Close()
	second := open(t, dir, func(c *slurm.Config) { c.Partition = "main" })
	j.Runs = []engine.Run{{Task: 0, Attempt: 2}}
	submit(t, second, j)
	for r, ev := range enginetest.Wait(t, second, j.ID, 2) {
		if ev.Cause != "" || ev.Node != "n1" {
			t.Errorf("%v: %+v, want it well on n1, which is all of the partition", r, ev)
		}
	}
}

// A job is deleted while sbatch is at it.
func TestDeleteWhileSubmitting(t *testing.T) {
	c := cluster(t)
	ctl := wrap(t, "sbatch", `: >$dir/begun; while [ ! -e $dir/go ]; do sleep 0.05; done; exec $real "$@"`)
	dir := shared(t)
	e := open(t, dir)
	j := job("short-lived", 20, "append:"+ctl+"/made:{task}")
	done := make(chan error, 1)
	go func() { done <- e.Submit(t.Context(), j) }()
	eventually(t, "sbatch", func() bool { return there(ctl + "/begun") })
	if err := e.Delete(t.Context(), j.ID); err != nil {
		t.Error(err)
	}
	touch(t, ctl+"/go")
	if err := <-done; err != nil {
		t.Logf("submit: %v", err)
	}
	eventually(t, "the queue", func() bool { return inQueue(t, c, j.ID) == 0 })
	if left, err := filepath.Glob(dir + "/runs/*"); err != nil || len(left) > 0 || there(ctl+"/made") {
		t.Errorf("%q, %v are left; runs were made: %v", left, err, there(ctl+"/made"))
	}
}

// The shared directory is full when a run ends, or is to be claimed.
func TestFullDirectory(t *testing.T) {
	c := cluster(t)
	if !c.Namespaces() {
		t.Skip("as another user than root all nodes see the same")
	}
	dir, ctl := shared(t), t.TempDir()
	e := open(t, dir)
	full := func(id, part string) {
		found, err := filepath.Glob(filepath.Join(dir, "runs", id+"-*", part))
		if err != nil || len(found) != 1 {
			t.Fatalf("%q, %v", found, err)
		}
		pid, err := c.PID("n1")
		if err != nil {
			t.Fatal(err)
		}
		inside := []string{"--target=" + strconv.Itoa(pid), "--mount"}
		c.Run(t, "nsenter", append(inside, "mount", "-t", "tmpfs", "-o", "size=4k", "none", found[0])...)
		t.Cleanup(func() { c.Run(t, "nsenter", append(inside, "umount", found[0])...) })
		c.Run(t, "nsenter", append(inside, "dd", "if=/dev/zero", "of="+found[0]+"/ballast", "bs=4096", "count=1", "status=none")...)
	}
	ends := job("cannot-end", 1, "wait:"+ctl+"/go")
	ends.Settings = []string{"flag=--nodelist=n1"}
	submit(t, e, ends)
	until(t, e, ends.ID, running)
	full(ends.ID, "end")
	touch(t, ctl+"/go")
	claims := job("cannot-claim", 3, "exit:0")
	claims.Settings = []string{"flag=--nodelist=n1", "flag=--hold"}
	submit(t, e, claims)
	full(claims.ID, "claim")
	c.Run(t, "scontrol", "release", number(t, c, claims.ID))
	if ev := until(t, e, ends.ID, final); ev.Cause != engine.CauseLost || !strings.Contains(ev.Reason, "n1 cannot write to the shared directory "+dir) {
		t.Errorf("%+v, want it lost, and why", ev)
	}
	for r, ev := range enginetest.Wait(t, e, claims.ID, 3) {
		if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "n1 cannot write to the shared directory "+dir) {
			t.Errorf("%v: %+v, want it not started, and why", r, ev)
		}
	}
}
