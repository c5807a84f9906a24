//go:build linux

package slurm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

// job is n runs of a script of the helper program.
func job(id string, n int, script ...string) engine.Job {
	return engine.Job{ID: id, Command: enginetest.Command("", script...), Runs: enginetest.Runs(n)}
}

func submit(t *testing.T, e engine.Engine, j engine.Job) {
	t.Helper()
	if err := e.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

// until waits for a state of run 0.
func until(t *testing.T, e engine.Engine, id string, ok func(engine.Event) bool) engine.Event {
	t.Helper()
	first := engine.Run{Attempt: 1}
	return enginetest.Until(t, e, id, func(got map[engine.Run]engine.Event) bool { return ok(got[first]) })[first]
}

func running(ev engine.Event) bool { return ev.State == engine.Running }
func final(ev engine.Event) bool   { return ev.State >= engine.Exited }

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// number is Slurm's number of the array of a job.
func number(t *testing.T, c *slurmtest.Cluster, id string) string {
	t.Helper()
	out := strings.Fields(c.Run(t, "squeue", "--noheader", "--name="+id, "--format=%F"))
	if len(out) == 0 {
		t.Fatalf("job %s is not in the queue", id)
	}
	return out[0]
}

// A node loses its power under a run: Slurm starts it on another one.
func TestNodeDies(t *testing.T) {
	c := cluster(t)
	if !c.Namespaces() {
		t.Skip("as another user than root a node is no more than its slurmd")
	}
	dir := t.TempDir()
	e := open(t, shared(t))
	for _, requeue := range []bool{true, false} {
		j := job(fmt.Sprintf("power-cut-%v", requeue), 1, "print:on {pid}", "wait:"+dir+"/go")
		j.Settings = []string{fmt.Sprintf("requeue=%v", requeue), "exclude=n4"}
		submit(t, e, j)
		dead, waited := "", false
		ev := until(t, e, j.ID, func(ev engine.Event) bool {
			switch {
			case ev.State == engine.Running && dead == "":
				dead = ev.Node
				c.Kill(t, dead, syscall.SIGKILL)
				c.Run(t, "scontrol", "update", "nodename="+dead, "state=down", "reason=test") // else it is noticed in half a minute
			case ev.State == engine.Queued && strings.Contains(ev.Reason, "lost its node "+dead):
				waited = true
			case ev.State == engine.Running && ev.Node != dead:
				touch(t, dir+"/go")
			}
			return final(ev)
		})
		switch {
		case requeue && (ev.Cause != "" || ev.Node == dead || !waited):
			t.Errorf("%+v, waited: %v; want it well, on another node than %s, after it waited", ev, waited, dead)
		case !requeue && (ev.State != engine.Lost || ev.Cause != engine.CauseLost || !strings.Contains(ev.Reason, dead+" failed")):
			t.Errorf("%+v, want it lost, since %s failed", ev, dead)
		}
		log := enginetest.Log(t, e, j.ID, engine.Run{Attempt: 1})
		if requeue && (strings.Count(log, "on ") < 2 || !strings.Contains(log, "begun again")) {
			t.Errorf("its log is %q, want that of both beginnings", log)
		}
		os.Remove(dir + "/go")
		if err := c.Up(); err != nil {
			t.Fatal(err)
		}
	}
}

// slurmctld dies while a run runs, ends, and another is submitted.
func TestControllerDies(t *testing.T) {
	c := cluster(t)
	dir := t.TempDir()
	e := open(t, shared(t))
	j := job("outlives", 2, "wait:"+dir+"/go{task}")
	submit(t, e, j)
	enginetest.Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool {
		return running(got[engine.Run{Attempt: 1}]) && running(got[engine.Run{Task: 1, Attempt: 1}])
	})
	c.Kill(t, "slurmctld", syscall.SIGTERM) // with SIGKILL it forgets what it has not saved
	touch(t, dir+"/go0")
	if ev := until(t, e, j.ID, final); ev.Cause != "" {
		t.Errorf("ended without slurmctld: %+v", ev)
	}
	late := job("meanwhile", 1, "exit:3")
	accepted := make(chan error, 1)
	go func() { accepted <- e.Submit(context.Background(), late) }()
	time.Sleep(2 * time.Second) // until it has been refused
	if err := c.Up(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err != nil {
		t.Errorf("submitted without slurmctld: %v", err)
	}
	touch(t, dir+"/go1")
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	if ev := until(t, e, late.ID, final); ev.ExitCode != 3 {
		t.Errorf("submitted without slurmctld: %+v, want exit code 3", ev)
	}
}

func TestCancelledByHand(t *testing.T) {
	c := cluster(t)
	e := open(t, shared(t))
	dir := t.TempDir()
	j := job("by-hand", 3, "wait:"+dir+"/go")
	submit(t, e, j)
	enginetest.Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool { return running(got[engine.Run{Task: 1, Attempt: 1}]) })
	c.Run(t, "scancel", number(t, c, j.ID)+"_1")
	enginetest.Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool { return final(got[engine.Run{Task: 1, Attempt: 1}]) })
	touch(t, dir+"/go")
	for r, ev := range enginetest.Wait(t, e, j.ID, 3) {
		if r.Task == 1 && (ev.Cause != engine.CauseWithdrawn || !strings.Contains(ev.Reason, "cancelled by hand")) || r.Task != 1 && ev.Cause != "" {
			t.Errorf("%+v, want only task 1 cancelled by hand", ev)
		}
	}
	held := job("held-by-hand", 5, "exit:0")
	held.Settings = []string{"flag=--hold"}
	submit(t, e, held)
	ev := until(t, e, held.ID, func(ev engine.Event) bool { return ev.Reason != "" })
	if !strings.Contains(ev.Reason, "scontrol release") {
		t.Errorf("%+v, want advice to release it", ev)
	}
	c.Run(t, "scancel", number(t, c, held.ID))
	for r, ev := range enginetest.Wait(t, e, held.ID, 5) {
		if ev.Cause != engine.CauseWithdrawn {
			t.Errorf("%v: %+v, want it cancelled by hand", r, ev)
		}
	}
}

func TestPartitionDown(t *testing.T) {
	c := cluster(t)
	e := open(t, shared(t))
	c.Run(t, "scontrol", "update", "partitionname=other", "state=down")
	defer c.Run(t, "scontrol", "update", "partitionname=other", "state=up")
	j := job("partition-down", 2, "exit:0")
	j.Settings = []string{"partition=other"}
	submit(t, e, j)
	ev := until(t, e, j.ID, func(ev engine.Event) bool { return strings.Contains(ev.Reason, "PartitionDown") })
	if ev.State != engine.Queued || !strings.Contains(ev.Reason, "the setting partition") {
		t.Errorf("%+v, want it queued, with advice", ev)
	}
	c.Run(t, "scontrol", "update", "partitionname=other", "state=up")
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" || ev.Node != "n1" {
			t.Errorf("%v: %+v, want it well on n1, which is all of the partition", r, ev)
		}
	}
}

// A node does not see the shared directory: the others do its work, and nobody goes there again.
func TestBlindNode(t *testing.T) {
	c := cluster(t)
	if !c.Namespaces() {
		t.Skip("as another user than root all nodes see the same")
	}
	dir := shared(t)
	open(t, dir)
	c.Hide(t, "n3", dir)
	many := job("around-blind", 24, "sleep:100ms")
	e := open(t, dir)
	submit(t, e, many)
	for r, ev := range enginetest.Wait(t, e, many.ID, 24) {
		if ev.Cause != "" || ev.Node == "n3" {
			t.Errorf("%v: %+v, want it well, not on n3", r, ev)
		}
	}
	// Without others that take its runs, it would have all of them, one after the other: what waits is kept off it.
	ctl := t.TempDir()
	j := job("all-to-blind", 40, "wait:"+ctl+"/go")
	j.Isolated = true
	submit(t, e, j)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range e.Watch(ctx, j.ID) {
		}
	}()
	array := number(t, c, j.ID)
	eventually(t, "n3 to be excluded", func() bool { return strings.Contains(c.Run(t, "scontrol", "show", "job", array), "ExcNodeList=n3") })
	touch(t, ctl+"/go")
	bad := 0
	for r, ev := range enginetest.Wait(t, e, j.ID, 40) {
		switch {
		case ev.Cause == "" && ev.Node != "n3":
		case ev.Cause == engine.CauseNotStarted && strings.Contains(ev.Reason, "n3 does not see the shared directory "+dir):
			bad++
		default:
			t.Errorf("%v: %+v, want it well, or not started, with node and directory", r, ev)
		}
	}
	if bad == 0 || bad > 16 { // 28 would be all that do not run at once
		t.Errorf("%d runs were not started, want those that n3 had before that was noticed", bad)
	}
	again := job("not-on-blind", 16, "exit:0") // one for each core
	again.Isolated = true
	submit(t, e, again)
	for r, ev := range enginetest.Wait(t, e, again.ID, 16) {
		if ev.Cause != "" || ev.Node == "n3" {
			t.Errorf("%v: %+v, want it well, not on n3", r, ev)
		}
	}
}

// wrap puts a script before a command of Slurm; in it $real is that command. It returns a directory that is its $dir.
func wrap(t *testing.T, name, script string) (dir string) {
	t.Helper()
	real, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	text := fmt.Sprintf("#!/bin/bash\ndir=%s real=%s\n%s\n", dir, real, script)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// squeue fails for a while: nothing is decided meanwhile, and what is known otherwise is told.
func TestQueueFails(t *testing.T) {
	c := cluster(t)
	ctl := wrap(t, "squeue", `if [ -e $dir/down ]; then echo "slurm_load_jobs error: Socket timed out on send/recv operation" >&2; exit 1; fi; exec $real "$@"`)
	dir := t.TempDir()
	e := open(t, shared(t))
	j := job("queue-fails", 2, "wait:"+dir+"/go{task}")
	submit(t, e, j)
	second := engine.Run{Task: 1, Attempt: 1}
	enginetest.Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool {
		return running(got[engine.Run{Attempt: 1}]) && running(got[second])
	})
	array := number(t, c, j.ID)
	touch(t, ctl+"/down")
	touch(t, dir+"/go0")
	if ev := until(t, e, j.ID, final); ev.Cause != "" {
		t.Errorf("%+v, want it well", ev)
	}
	held := job("queue-unseen", 1, "exit:0")
	held.Settings = []string{"flag=--hold"}
	submit(t, e, held)
	if ev := until(t, e, held.ID, func(ev engine.Event) bool { return ev.Reason != "" }); !strings.Contains(ev.Reason, "Socket timed out") {
		t.Errorf("%+v, want the reason that squeue fails", ev)
	}
	// Gone, but nobody can know.
	c.Run(t, "scancel", array+"_1")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	for ev := range e.Watch(ctx, j.ID) {
		if ev.Run == second && final(ev) {
			t.Errorf("%+v, while squeue fails", ev)
		}
	}
	os.Remove(ctl + "/down")
	if ev := enginetest.Wait(t, e, j.ID, 2)[second]; ev.Cause != engine.CauseWithdrawn {
		t.Errorf("%+v, want it cancelled by hand", ev)
	}
	if err := e.Delete(t.Context(), held.ID); err != nil {
		t.Error(err)
	}
}

// However many jobs wait, and whoever watches them, the queue is asked once for all.
func TestQueueIsAskedOnce(t *testing.T) {
	cluster(t)
	ctl := wrap(t, "squeue", `echo x >>$dir/asked; exec $real "$@"`)
	e := open(t, shared(t))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	const jobs = 12
	var all sync.WaitGroup
	for i := range jobs {
		j := job(fmt.Sprintf("waits-%d", i), 20, "exit:0")
		j.Settings = []string{"flag=--hold"}
		submit(t, e, j)
		defer e.Delete(context.Background(), j.ID)
		all.Go(func() {
			for range e.Watch(ctx, j.ID) {
			}
		})
	}
	start := time.Now()
	all.Wait()
	b, err := os.ReadFile(ctl + "/asked")
	if n, most := strings.Count(string(b), "x"), 2+2*int(time.Since(start)/quick); err != nil || n == 0 || n > most {
		t.Errorf("squeue was run %d times, %v; want at most %d, for %d jobs", n, err, most, jobs)
	}
}

// The user may have two jobs in the queue: so many elements make all runs.
func TestJobLimit(t *testing.T) {
	cluster(t)
	dir := wrap(t, "sbatch", `
for a; do case $a in --array=0-[01]) ok=1 ;; esac; done
n=$(squeue --noheader --array --name=limited 2>/dev/null | wc -l)
if [ -z "$ok" ] || [ $n -ge 2 ]; then
  echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
  echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
  exit 1
fi
echo x >>$dir/accepted
exec $real "$@"`)
	e := open(t, shared(t))
	j := job("limited", 30, "exit:{task}")
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 30) {
		if ev.ExitCode != r.Task {
			t.Errorf("%v: %+v, want exit code %d", r, ev, r.Task)
		}
	}
	if b, err := os.ReadFile(dir + "/accepted"); err != nil || len(b) == 0 {
		t.Errorf("sbatch accepted nothing: %v", err)
	}
}

func TestRefused(t *testing.T) {
	cluster(t)
	e := open(t, shared(t))
	for _, test := range []struct {
		name   string
		change func(*engine.Job)
		want   string
	}{
		{"partition", func(j *engine.Job) { j.Settings = []string{"partition=nowhere"} }, "sinfo -s"},
		{"memory", func(j *engine.Job) { j.Resources.Memory = 1 << 50 }, "no node of the partition has that much"},
		{"GPUs", func(j *engine.Job) { j.Resources.GPUs = 3 }, "node configuration is not available"},
		{"kind of GPU", func(j *engine.Job) { j.Resources.GPUs, j.Settings = 1, []string{"gres=toaster"} }, "the setting gres"},
		{"setting", func(j *engine.Job) { j.Settings = []string{"partion=main"} }, "there are partition, account,"},
		{"own flag", func(j *engine.Job) { j.Settings = []string{"flag=--array=0-9"} }, "the engine's own"},
		{"nodes as a flag", func(j *engine.Job) { j.Settings = []string{"flag=--nodes=2"} }, "the engine's own"},
		{"nodes", func(j *engine.Job) { j.Resources.Nodes = 9 }, "has only 4 nodes"},
		{"cores", func(j *engine.Job) { j.Resources.Cores = 1000 }, "has only 0 nodes with 1000 cores"},
		{"NUL in a setting", func(j *engine.Job) { j.Settings = []string{"partition=a\x00b"} }, "UTF-8"},
		{"bytes", func(j *engine.Job) { j.Env = []string{"NAME=\xff"} }, `at "NAME"`},
		{"account", func(j *engine.Job) { j.Settings = []string{"constraint=a b & c", "account=; rm -rf"} }, "constraint"},
		{"unknown flag", func(j *engine.Job) { j.Settings = []string{"flag=--no-such"} }, "unrecognized option"},
	} {
		j := job("refused-"+strings.ReplaceAll(test.name, " ", "-"), 2, "exit:0")
		test.change(&j)
		err := e.Submit(t.Context(), j)
		if !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want ErrCannotRun, and %q", test.name, err, test.want)
		}
		if err := e.Cancel(t.Context(), j.ID); !errors.Is(err, engine.ErrNotExist) {
			t.Errorf("%s: the job is there: %v", test.name, err)
		}
	}
}

func TestResources(t *testing.T) {
	cluster(t)
	e := open(t, shared(t))
	j := job("resources", 1, "want:SLURM_CPUS_PER_TASK=2", "want:SLURM_MEM_PER_NODE=300", "want:CUDA_VISIBLE_DEVICES", "want:SLURM_JOB_NAME=resources")
	j.Resources = engine.Resources{Cores: 2, Memory: 299<<20 + 1, GPUs: 1}
	submit(t, e, j)
	if ev := until(t, e, j.ID, final); ev.Cause != "" {
		t.Errorf("%+v: %s", ev, enginetest.Log(t, e, j.ID, engine.Run{Attempt: 1}))
	}
}

// A run on several nodes: the command runs on the first, and on each of the others once as an agent, with the same token, which
// is in no command line.
func TestSeveralNodes(t *testing.T) {
	c := cluster(t)
	if !c.Namespaces() {
		t.Skip("as another user than root all nodes are one host")
	}
	dir := t.TempDir()
	e := open(t, shared(t))
	j := job("several-nodes", 2, "shell:echo ${CLUSTERLESS_ROLE:-worker} $(hostname) $CLUSTERLESS_NODES $CLUSTERLESS_TOKEN $CLUSTERLESS_TEAM >>"+dir+"/seen", "wait:"+dir+"/go")
	j.Resources = engine.Resources{Nodes: 2, Cores: 2}
	submit(t, e, j)
	var lines []string
	for end := time.Now().Add(time.Minute); len(lines) < 4 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(dir + "/seen")
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	tokens := map[string][]string{} // what processes with that token are, and where
	nodes := map[string]bool{}
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 5 || f[2] != "2" || len(f[3]) != 32 || f[0] == "worker" != strings.HasPrefix(f[4], ":") {
			t.Fatalf("a process of two nodes is %q", line)
		}
		tokens[f[3]] = append(tokens[f[3]], f[0])
		nodes[f[1]] = true
		for _, path := range commands {
			if b, _ := os.ReadFile(path); strings.Contains(string(b), f[3]) {
				t.Errorf("a token is in the command line %q", b)
			}
		}
	}
	if len(tokens) != 2 || len(nodes) < 2 {
		t.Errorf("%q: want two pairs on two nodes or more", lines)
	}
	for _, who := range tokens {
		if slices.Sort(who); !slices.Equal(who, []string{"agent", "worker"}) {
			t.Errorf("%q share a token, want an agent and a worker", who)
		}
	}
	touch(t, dir+"/go")
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
}

func TestMemory(t *testing.T) {
	cluster(t)
	e := open(t, shared(t))
	j := job("greedy", 1, "alloc:400000000", "sleep:1h")
	j.Resources.Memory = 100 << 20
	submit(t, e, j)
	if ev := until(t, e, j.ID, final); ev.Cause != engine.CauseMemory || !strings.Contains(ev.Reason, "100 MiB") {
		t.Errorf("%+v, want it out of memory, with its limit", ev)
	}
}
