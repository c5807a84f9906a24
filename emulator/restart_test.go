package emulator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

// emulatorDir makes this program an emulator, for tests that kill one: it has the state in this directory.
const emulatorDir = "CLUSTERLESS_TEST_EMULATOR_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(emulatorDir); dir != "" {
		o := quick()
		o.Dir = dir
		s, err := emulator.Start(context.Background(), o)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		io.Copy(io.Discard, os.Stdin)
		s.Close()
		return
	}
	os.Exit(m.Run())
}

// openDir is a directory that users of tasks may pass, which those of t.TempDir are not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "clusterless-emulator-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	a := start(t, o)
	p := pool("p", 1)
	p.StartTask = &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c "echo start >> $AZ_BATCH_NODE_SHARED_DIR/starts"`)}
	a.addPool(p)
	a.addPool(simulated(pool("q", 2), "task=1s"))
	j := job("j", "p")
	j.UsesTaskDependencies = to.Ptr(true)
	j.JobPreparationTask = &azbatch.JobPreparationTask{CommandLine: to.Ptr("true")}
	a.addJob(j)
	a.addTask("j", task("done", `/bin/sh -c "echo out; exit 3"`))
	a.completed("j", "done")
	a.addTask("j", task("runs", `/bin/sh -c "test -e ../again && exit 0; touch ../again; sleep 1000"`))
	a.taskIn("j", "runs", azbatch.TaskStateRunning)
	a.addTask("j", dependsOn(task("waits", "true"), "runs"))
	_, err := a.CreateJobSchedule(t.Context(), azbatch.CreateJobScheduleContent{ID: to.Ptr("s"),
		Schedule:         &azbatch.JobScheduleConfiguration{RecurrenceInterval: to.Ptr("PT1H")},
		JobSpecification: &azbatch.JobSpecification{PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr("q")}}}, nil)
	a.must("add the schedule", err)
	until(t, "the task to have begun", func(ctx context.Context) (bool, string) {
		_, err := a.GetTaskFileProperties(ctx, "j", "runs", "again", nil)
		return err == nil, fmt.Sprint(err)
	})
	node := a.nodes("p", 1, azbatch.NodeStateRunning)[0]
	before := a.get("j", "done")
	key := a.Key()
	a.must("close", a.Close())

	a = start(t, o)
	if a.Key() != key {
		t.Error("the account has another key")
	}
	after := a.get("j", "done")
	if *after.ETag != *before.ETag || *after.ExecutionInfo.ExitCode != 3 || !after.ExecutionInfo.EndTime.Equal(*before.ExecutionInfo.EndTime) {
		t.Errorf("the completed task was %+v, and is %+v", before.ExecutionInfo, after.ExecutionInfo)
	}
	a.completed("j", "waits")
	if e := a.get("j", "runs").ExecutionInfo; *e.RequeueCount != 1 || *e.RetryCount != 0 {
		t.Errorf("the task that ran: %d requeues, %d retries", *e.RequeueCount, *e.RetryCount)
	}
	if got := a.file("j", "done", "stdout.txt"); got != "out\n" {
		t.Errorf("the old task's stdout.txt = %q", got)
	}
	again := a.nodes("p", 1, azbatch.NodeStateIdle)[0]
	if *again.ID != *node.ID {
		t.Errorf("the pool has the node %s, and had %s", *again.ID, *node.ID)
	}
	r, err := a.GetNodeFile(t.Context(), "p", *node.ID, "shared/starts", nil)
	a.must("read what the start task wrote", err)
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if string(b) != "start\nstart\n" {
		t.Errorf("the start task ran %q", b)
	}
	s, err := a.GetJobSchedule(t.Context(), "s", nil)
	a.must("get the schedule", err)
	if *s.ExecutionInfo.RecentJob.ID != "s:job-1" || s.ExecutionInfo.NextRunTime == nil {
		t.Errorf("the schedule: %+v", s.ExecutionInfo)
	}
	a.nodes("q", 2, azbatch.NodeStateIdle)
}

// process starts an emulator in a process of its own, which kill kills.
func process(t *testing.T, dir string) (a *account, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), emulatorDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		in.Close()
	})
	t.Cleanup(kill)
	b := make([]byte, 200)
	n, _ := out.Read(b)
	url := strings.TrimSpace(string(b[:n]))
	if !strings.HasPrefix(url, "http") {
		t.Fatalf("the emulator said %q", url)
	}
	return remote(t, url, dir), kill
}

func TestAnEmulatorThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	a, kill := process(t, dir)
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("runs", `/bin/sh -c "echo $$ > ../pid; test -e ../again && exit 0; touch ../again; sleep 1000"`))
	for i := range 200 { // every one that was answered is there afterwards
		a.addTask("j", task(fmt.Sprintf("t%03d", i), "true"))
	}
	until(t, "the task to have begun", func(ctx context.Context) (bool, string) {
		_, err := a.GetTaskFileProperties(ctx, "j", "runs", "again", nil)
		return err == nil, fmt.Sprint(err)
	})
	pid := strings.TrimSpace(a.file("j", "runs", "pid"))
	kill()
	until(t, "the task's process to be gone with the emulator", func(context.Context) (bool, string) {
		_, err := os.Stat("/proc/" + pid)
		return err != nil, "process " + pid + " is there"
	})
	a, kill = process(t, dir)
	defer kill()
	if e := a.completed("j", "runs").ExecutionInfo; *e.RequeueCount != 1 || *e.ExitCode != 0 {
		t.Errorf("the task that ran: %d requeues, exit code %d", *e.RequeueCount, *e.ExitCode)
	}
	for i := range 200 {
		a.completed("j", fmt.Sprintf("t%03d", i))
	}
}

// TestAnEmulatorThatIsKilledAgainAndAgain kills one at any moment while clients add and delete, each time with the same state, and
// looks whether all that was answered holds.
func TestAnEmulatorThatIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	const clients, kills = 4, 5
	there := make([]map[string]bool, clients) // by task: false for one that was deleted
	unsure := make([]map[string]bool, clients)
	for c := range clients {
		there[c], unsure[c] = map[string]bool{}, map[string]bool{}
	}
	made := 0
	a, kill := process(t, dir)
	a.addPool(pool("p", 2))
	a.addPool(simulated(pool("q", 2), "task=1ms"))
	a.addJob(job("j", "p"))
	a.addJob(job("k", "q"))
	for round := range kills {
		over := make(chan struct{})
		var work sync.WaitGroup
		for c := range clients {
			work.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(c)))
				for n := 0; c%2 == 1 || n < 12; n++ { // real tasks take their time
					select {
					case <-over:
						return
					default:
					}
					id := fmt.Sprintf("%s/%d-%d-%d", []string{"j", "k"}[c%2], round, c, n)
					parent, name, _ := strings.Cut(id, "/")
					unsure[c][id] = true
					if _, err := a.CreateTask(t.Context(), parent, task(name, "true"), nil); err != nil {
						return
					}
					there[c][id] = true
					delete(unsure[c], id)
					if r.IntN(3) > 0 {
						continue
					}
					unsure[c][id] = true
					if _, err := a.DeleteTask(t.Context(), parent, name, nil); err != nil {
						return
					}
					there[c][id] = false
					delete(unsure[c], id)
				}
			})
		}
		time.Sleep(time.Duration(100+137*round) * time.Millisecond) // any moment will do
		kill()
		close(over)
		work.Wait()
		a, kill = process(t, dir)
		listed := map[string]bool{}
		for _, parent := range []string{"j", "k"} {
			for pager := a.NewListTasksPager(parent, nil); pager.More(); {
				page, err := pager.NextPage(t.Context())
				a.must("list tasks", err)
				for _, task := range page.Value {
					listed[parent+"/"+*task.ID] = true
				}
			}
		}
		for c := range clients {
			for id, want := range there[c] {
				made++
				if !unsure[c][id] && listed[id] != want {
					t.Errorf("round %d: task %s: there is one: %v, want %v", round, id, listed[id], want)
				}
			}
		}
	}
	for _, id := range []string{"j", "k"} {
		until(t, "all tasks to be completed", func(ctx context.Context) (bool, string) {
			r, err := a.GetJobTaskCounts(ctx, id, nil)
			a.must("count tasks", err)
			return *r.TaskCounts.Active+*r.TaskCounts.Running == 0 && *r.TaskCounts.Failed == 0, fmt.Sprintf("%+v", *r.TaskCounts)
		})
	}
	a.nodes("p", 2, azbatch.NodeStateIdle)
	if made == 0 {
		t.Error("no task was added")
	}
}

func TestAProcessThatIsKilledFailsItsTask(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", `/bin/sh -c "kill -9 $$"`))
	if e := a.completed("j",
		"t").ExecutionInfo; *e.ExitCode != 137 || e.FailureInfo == nil || *e.Result != azbatch.TaskExecutionResultFailure {
		t.Errorf("execution = %+v", e)
	}
	// The node's own process, which keeps the task, is its parent.
	a.addTask("j", task("kept", `/bin/sh -c "echo $PPID > ../parent; sleep 1000"`))
	a.taskIn("j", "kept", azbatch.TaskStateRunning)
	var parent string
	until(t, "the task to say who keeps it", func(ctx context.Context) (bool, string) {
		r, err := a.GetTaskFile(ctx, "j", "kept", "parent", nil)
		if err != nil {
			return false, err.Error()
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		parent = strings.TrimSpace(string(b))
		return parent != "", fmt.Sprint(err)
	})
	pid, err := strconv.Atoi(parent)
	if err != nil || pid <= 1 {
		t.Fatalf("the task says that its parent is process %q", parent)
	}
	if p, err := os.FindProcess(pid); err != nil || p.Kill() != nil {
		t.Fatalf("cannot kill process %d: %v", pid, err)
	}
	e := a.completed("j", "kept").ExecutionInfo
	if e.FailureInfo == nil || *e.FailureInfo.Message == "" || *e.Result != azbatch.TaskExecutionResultFailure {
		t.Errorf("execution = %+v, want a failure with a reason", e)
	}
	a.addTask("j", task("after", "true"))
	if e := a.completed("j", "after").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("a task after that: %+v", e.FailureInfo)
	}
}

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := openDir(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	o := quick()
	o.Dir = dir
	a := start(t, o)
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("fills", `/bin/sh -c "head -c 20000000 /dev/zero > $AZ_BATCH_NODE_SHARED_DIR/big"`))
	if e := a.completed("j", "fills").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultFailure {
		t.Errorf("the task that filled the disk: %+v", e)
	}
	a.addTaskWhenFull("j", task("next", "true"))
	node := a.nodes("p", 1, azbatch.NodeStateIdle)[0]
	_, err := a.DeleteNodeFile(t.Context(), "p", *node.ID, "shared/big", nil)
	a.must("make room", err)
	a.addTask("j", task("after", "true"))
	if e := a.completed("j", "after").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("a task when there is room again: %+v", e.FailureInfo)
	}
	a.must("close", a.Close())
	a = start(t, o)
	for _, id := range []string{"fills", "after"} {
		if got := *a.get("j", id).State; got != azbatch.TaskStateCompleted {
			t.Errorf("after a restart %s is %s", id, got)
		}
	}
}

// addTaskWhenFull adds a task while the disk is full: it is refused, or it fails with a reason, or runs.
func (a *account) addTaskWhenFull(job string, c azbatch.CreateTaskContent) {
	a.t.Helper()
	if _, err := a.CreateTask(a.t.Context(), job, c, nil); err != nil {
		if code(err) != "InternalError" {
			a.t.Errorf("a task on a full disk: %s", code(err))
		}
		return
	}
	e := a.completed(job, *c.ID).ExecutionInfo
	if *e.Result == azbatch.TaskExecutionResultFailure && (e.FailureInfo == nil || *e.FailureInfo.Code == "") {
		a.t.Errorf("a task on a full disk failed for no reason")
	}
}

// TestAStateThatIsDamaged gives an emulator what may be left of its state after a failure of power. It must not crash.
func TestAStateThatIsDamaged(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	a := start(t, o)
	a.addPool(pool("p", 0))
	a.addJob(job("j", "p"))
	for i := range 10 {
		var group azbatch.TaskGroup
		for n := range 100 {
			group.Value = append(group.Value, task(fmt.Sprintf("t%d-%d", i, n), "true"))
		}
		_, err := a.CreateTaskCollection(t.Context(), "j", group, nil)
		a.must("add tasks", err)
	}
	a.must("close", a.Close())
	file := filepath.Join(o.Dir, "state.db")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	page := os.Getpagesize()
	damages := [][]byte{[]byte("no database"), whole[:page], whole[:len(whole)/2], whole[:len(whole)-page], make([]byte, len(whole))}
	for range 20 {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(4) {
			clear(b[r.IntN(len(b)/page)*page:][:page])
		}
		damages = append(damages, b)
	}
	refused := 0
	for _, b := range damages {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := emulator.Start(t.Context(), o)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), file) && !strings.Contains(err.Error(), "stored") {
				t.Errorf("the error does not say what is damaged: %v", err)
			}
			continue
		}
		s.Close()
	}
	if refused < 5 {
		t.Errorf("%d of %d damages were noticed", refused, len(damages))
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	a = start(t, o)
	a.get("j", "t9-99")
}

// TestAStateThatMoves begins with a state whose directory has another name than when it was made.
func TestAStateThatMoves(t *testing.T) {
	t.Parallel()
	o := quick()
	parent := openDir(t)
	o.Dir = filepath.Join(parent, "here")
	a := start(t, o)
	a.addPackage("tool", "1.2")
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	with := func(id string) azbatch.CreateTaskContent {
		c := task(id, `/bin/sh -c "cat $AZ_BATCH_APP_PACKAGE_tool/data/tool.txt"`)
		c.ApplicationPackageReferences = []azbatch.ApplicationPackageReference{{ApplicationID: to.Ptr("tool")}}
		return c
	}
	a.addTask("j", with("before"))
	a.completed("j", "before")
	a.must("close", a.Close())
	there := filepath.Join(parent, "there")
	if err := os.Rename(o.Dir, there); err != nil {
		t.Fatal(err)
	}
	o.Dir = there
	a = start(t, o)
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	_, err := a.ReimageNode(t.Context(), "p", node, nil)
	a.must("reimage", err)
	a.addTask("j", with("after"))
	if e := a.completed("j", "after").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("the task failed: %+v", e.FailureInfo)
	}
}
