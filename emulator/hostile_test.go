package emulator_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

// alive checks that an account still answers, which it does not when something panicked or holds its lock.
func (a *account) alive() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), deadline)
	defer cancel()
	if _, err := a.NewListPoolsPager(nil).NextPage(ctx); err != nil {
		a.t.Fatalf("the emulator does not answer any more: %v", err)
	}
}

// TestRangesOfTasks depends on tasks with the largest numbers there are.
func TestRangesOfTasks(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 1)
	j := job("j", "p")
	j.UsesTaskDependencies = to.Ptr(true)
	a.addJob(j)
	dependsOnRange := func(id string, start, end int32) azbatch.CreateTaskContent {
		c := task(id, "true")
		c.DependsOn = &azbatch.TaskDependencies{TaskIDRanges: []azbatch.TaskIDRange{{Start: to.Ptr(start), End: to.Ptr(end)}}}
		return c
	}
	const most = 1<<31 - 1
	a.addTask("j", dependsOnRange("last", most-2, most))
	a.addTask("j", dependsOnRange("all", 0, most))
	a.addTask("j", dependsOnRange("hundred", 0, 99))
	for n := range 99 {
		a.addTask("j", task(fmt.Sprint(n), "true"))
	}
	// A task that is satisfied twice counts once.
	for range 2 {
		a.completed("j", "98")
		_, err := a.DeleteTask(t.Context(), "j", "98", nil)
		a.must("delete", err)
		a.addTask("j", task("98", "true"))
	}
	for n := range 3 {
		a.addTask("j", task(fmt.Sprint(most-n), "true"))
	}
	a.completed("j", "last")
	for n := range 99 {
		a.completed("j", fmt.Sprint(n))
	}
	for _, id := range []string{"all", "hundred"} {
		if got := *a.get("j", id).State; got != azbatch.TaskStateActive {
			t.Errorf("%s is %s while a task that it depends on is missing", id, got)
		}
	}
	a.addTask("j", task("99", "true"))
	a.completed("j", "hundred")
}

// TestAPoolIsNotMadeAnother has the metadata that simulates a pool come and go while it has nodes.
func TestAPoolIsNotMadeAnother(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(simulated(pool("made-up", 1), "task=1s"))
	a.addPool(pool("real", 1))
	for _, id := range []string{"made-up", "real"} {
		a.addJob(job(id, id))
		a.steady(id)
		a.nodes(id, 1, azbatch.NodeStateIdle)
	}
	_, err := a.ReplacePoolProperties(t.Context(), "made-up", azbatch.ReplacePoolContent{
		ApplicationPackageReferences: []azbatch.ApplicationPackageReference{}, CertificateReferences: []azbatch.CertificateReference{},
		Metadata: []azbatch.MetadataItem{}}, nil)
	if code(err) != "OperationNotValidOnPool" {
		t.Errorf("simulated nodes were to become real: %s", code(err))
	}
	_, err = a.UpdatePool(t.Context(), "real", azbatch.UpdatePoolContent{Metadata: []azbatch.MetadataItem{
		{Name: to.Ptr("EMULATOR_SIMULATE"), Value: to.Ptr("task=1s")}}}, nil)
	if code(err) != "OperationNotValidOnPool" {
		t.Errorf("real nodes were to become simulated: %s", code(err))
	}
	_, err = a.UpdatePool(t.Context(), "made-up", azbatch.UpdatePoolContent{Metadata: []azbatch.MetadataItem{
		{Name: to.Ptr("EMULATOR_SIMULATE"), Value: to.Ptr("task=1ms")}}}, nil)
	a.must("simulate otherwise", err)
	for _, id := range []string{"made-up", "real"} {
		a.addTask(id, task("t", "true"))
		a.completed(id, "t")
	}
	a.alive()
}

// TestBadTimes gives spans of time that are none.
func TestBadTimes(t *testing.T) {
	t.Parallel()
	a := ready(t)
	span := func(method, path, object, property, value string) bad {
		return bad{name: path + " " + value, method: method, path: path, body: set(set(object, "id", `"new"`), property, value), status: 400,
			code: "InvalidPropertyValue"}
	}
	for _, c := range []string{`{"maxWallClockTime":"PT0S"}`, `{"maxWallClockTime":"-PT1M"}`} {
		prep := `{"commandLine":"true","constraints":` + c + `}`
		a.refuse(span("POST", "/jobs", oneJob, "constraints", c), span("POST", "/jobs/j/tasks", oneTask, "constraints", c),
			span("POST", "/jobs", oneJob, "jobPreparationTask", prep),
			span("POST", "/jobs", oneJob, "jobManagerTask", `{"id":"m","commandLine":"true","constraints":`+c+`}`),
			bad{method: "PATCH", path: "/jobs/j", body: `{"constraints":` + c + `}`, status: 400, code: "InvalidPropertyValue"},
			bad{method: "PUT", path: "/jobs/j/tasks/t", body: `{"constraints":` + c + `}`, status: 400, code: "InvalidPropertyValue"})
	}
	a.refuse(span("POST", "/jobs/j/tasks", oneTask, "constraints", `{"retentionTime":"-PT1S"}`),
		bad{name: "a release task without time", method: "POST", path: "/jobs", status: 400, code: "InvalidPropertyValue",
			body: `{"id":"new","poolInfo":{"poolId":"p"},"jobPreparationTask":{"commandLine":"true"},"jobReleaseTask":{"commandLine":"true","maxWallClockTime":"-PT1M"}}`})
}

// TestNamesAreExact gives properties in another case than the description's, which Go's decoder would not mind.
func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	a := ready(t)
	refused := func(method, path, body, name string) bad {
		return bad{method: method, path: path, body: body, status: 400, code: "InvalidRequestBody", key: "Reason", value: "'" + name + "'"}
	}
	a.refuse(
		refused("POST", "/jobs", `{"ID":"new","poolInfo":{"poolId":"p"}}`, "ID"),
		refused("POST", "/jobs", `{"id":"new","poolInfo":{"PoolId":"p"}}`, "PoolId"),
		refused("POST", "/jobs", `{"id":"new","po\u006flinfo":{"poolId":"p"}}`, "poolinfo"),
		refused("POST", "/jobs/j/addtaskcollection", `{"value":[{"id":"n","commandline":"true"}]}`, "commandline"),
	)
	// Where names are the client's own they may be anything.
	own := set(set(onePool, "id", `"own"`), "resourceTags", `{"ID":"x","vmsize":"y"}`)
	own = set(own, "virtualMachineConfiguration", `{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},"nodeAgentSKUId":"batch.node.ubuntu 24.04",`+
		`"extensions":[{"name":"e","publisher":"p","type":"t","settings":{"ID":[{"Name":"\"{"}]}}]}`)
	if got := a.send("POST", "/pools", own); got.status != 201 {
		t.Errorf("a pool with names of its own: %d %s", got.status, got.body)
	}
}

// TestSecretsAreNotTold adds all that has secrets, and reads everything.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	a := start(t, o)
	registry := `{"username":"u","password":"SECRET","registryServer":"r"}`
	container := `{"imageName":"i","registry":` + registry + `}`
	first := `{"commandLine":"true","containerSettings":` + container + `}`
	named := func(id string) string {
		return `{"id":"` + id + `","commandLine":"true","containerSettings":` + container + `}`
	}
	machine := `{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},"nodeAgentSKUId":"batch.node.ubuntu 24.04",` +
		`"containerConfiguration":{"type":"dockerCompatible","containerRegistries":[` + registry + `]},` +
		`"extensions":[{"name":"e","publisher":"p","type":"t","settings":{"open":1},"protectedSettings":{"key":"SECRET"}}]}`
	mounts := `[{"azureBlobFileSystemConfiguration":{"accountName":"a","containerName":"c","accountKey":"SECRET","relativeMountPath":"m"}},` +
		`{"azureBlobFileSystemConfiguration":{"accountName":"a","containerName":"c","sasKey":"SECRET","relativeMountPath":"m"}},` +
		`{"cifsMountConfiguration":{"username":"u","source":"s","relativeMountPath":"m","password":"SECRET"}},` +
		`{"azureFileShareConfiguration":{"accountName":"a","azureFileUrl":"https://f","accountKey":"SECRET","relativeMountPath":"m"}}]`
	users := `[{"name":"ann","password":"SECRET","linuxUserConfiguration":{"uid":1001,"gid":1001,"sshPrivateKey":"SECRET"}}]`
	spec := `"vmSize":"standard_d2s_v3","targetDedicatedNodes":1,"virtualMachineConfiguration":` + machine + `,"mountConfiguration":` + mounts +
		`,"userAccounts":` + users + `,"startTask":` + first + `,"metadata":[{"name":"EMULATOR_SIMULATE","value":"task=100h"}]`
	job := `"jobManagerTask":` + named("m") + `,"jobPreparationTask":` + named("prep") + `,"jobReleaseTask":` + named("rel") +
		`,"poolInfo":{"autoPoolSpecification":{"poolLifetimeOption":"job","pool":{` + spec + `}}}`
	for _, c := range []struct{ path, body string }{
		{"/pools", `{"id":"p",` + spec + `}`},
		{"/jobs", `{"id":"j",` + job + `}`},
		{"/jobs/j/tasks", named("t")},
		{"/jobschedules", `{"id":"s","schedule":{"recurrenceInterval":"PT1H"},"jobSpecification":{` + job + `}}`},
	} {
		if got := a.send("POST", c.path, c.body); got.status != 201 {
			t.Fatalf("POST %s: %d %s", c.path, got.status, got.body)
		}
	}
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	reading := []string{"/pools", "/pools/p", "/pools/p?%24select=mountConfiguration,userAccounts", "/pools/p/nodes", "/pools/p/nodes/" + node,
		"/pools/p/nodes/" + node + "/extensions", "/pools/p/nodes/" + node + "/extensions/e", "/jobs", "/jobs/j", "/jobs/j/tasks", "/jobs/j/tasks/t",
		"/jobs/j/tasks/m", "/jobschedules", "/jobschedules/s", "/jobschedules/s/jobs"}
	look := func() {
		t.Helper()
		for _, path := range reading {
			got := a.send("GET", path, "")
			if got.status != 200 || strings.Contains(string(got.body), "SECRET") {
				t.Errorf("GET %s: %d, with a secret: %s", path, got.status, got.body)
			}
		}
		if got := a.send("GET", "/pools/p", ""); !strings.Contains(string(got.body), `"registryServer":"r"`) ||
			!strings.Contains(string(got.body), `"open":1`) || !strings.Contains(string(got.body), `"uid":1001`) {
			t.Errorf("what is no secret is not told: %s", got.body)
		}
	}
	look()
	// They are kept all the same: nodes need them.
	a.must("close", a.Close())
	a = start(t, o)
	a.nodes("p", 1, azbatch.NodeStateIdle)
	look()
}

// TestSimulationsThatAreNone are refused, whatever numbers Go can read.
func TestSimulationsThatAreNone(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	for _, how := range []string{"fail=NaN", "preempt=Inf", "spread=+Inf", "task=-1s", "slowby=-1", "unusable=1e300", "what=1", "task"} {
		if _, err := a.CreatePool(t.Context(), simulated(pool("p", 1), how), nil); code(err) != "InvalidPropertyValue" {
			t.Errorf("%s: %s", how, code(err))
		}
		o := quick()
		o.Simulate = how
		if s, err := emulator.Start(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("an emulator simulates %s", how)
		}
	}
	for _, speed := range []float64{-1, 1e12, math.NaN()} {
		o := quick()
		o.Speed = speed
		if s, err := emulator.Start(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("an emulator runs %v times as fast", speed)
		}
	}
	a.addPool(simulated(pool("p", 1), "task=1s"))
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	for _, factor := range []float64{-1, math.NaN(), 1e300} {
		if a.Slow(t.Context(), "p", node, factor) == nil {
			t.Errorf("a node is %v times as slow", factor)
		}
	}
	a.alive()
}

// TestATaskOfTheSameName follows one that was deleted at once, and has its files for itself.
func TestATaskOfTheSameName(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	// So many files take time to delete.
	many := `/bin/sh -c "mkdir d && cd d && for i in $(seq 500); do : > $i; done; echo %d > ../mine"`
	for n := range 4 {
		a.addTask("j", task("t", fmt.Sprintf(many, n)))
		if e := a.completed("j", "t").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
			t.Fatalf("run %d: %+v %s", n, e.FailureInfo, a.file("j", "t", "stderr.txt"))
		}
		if got := a.file("j", "t", "wd/mine"); got != fmt.Sprintln(n) {
			t.Fatalf("run %d has the file of another: %q", n, got)
		}
		_, err := a.DeleteTask(t.Context(), "j", "t", nil)
		a.must("delete", err)
	}
	for n := range 4 {
		a.addTask("j", task("t", fmt.Sprintf(many, n)))
		a.completed("j", "t")
		if got := a.file("j", "t", "wd/mine"); got != fmt.Sprintln(n) {
			t.Fatalf("job %d has the file of another: %q", n, got)
		}
		_, err := a.DeleteJob(t.Context(), "j", nil)
		a.must("delete the job", err)
		until(t, "the job to be gone", func(ctx context.Context) (bool, string) {
			_, err := a.CreateJob(ctx, job("j", "p"), nil)
			return err == nil, fmt.Sprint(err)
		})
	}
}

// TestANodeThatCannotStart says why, and starts when the reason is gone.
func TestANodeThatCannotStart(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	a := start(t, o)
	block := filepath.Join(o.Dir, "nodes") // where the directories of nodes are to be
	write(t, block)
	a.addPool(pool("p", 1))
	n := a.nodes("p", 1, azbatch.NodeStateUnusable)[0]
	if len(n.Errors) != 1 || *n.Errors[0].Code != "NodeStartFailed" || !strings.Contains(*n.Errors[0].ErrorDetails[0].Value, "not a directory") {
		t.Errorf("the node's errors are %+v", n.Errors)
	}
	a.must("make way", os.Remove(block))
	_, err := a.RebootNode(t.Context(), "p", *n.ID, nil)
	a.must("reboot", err)
	if n = a.nodes("p", 1, azbatch.NodeStateIdle)[0]; len(n.Errors) != 0 {
		t.Errorf("a node that runs has the errors %+v", n.Errors)
	}
}

// TestCompletionOfAJob is as the description has it: what ends by itself goes on doing so, and disabling twice is no mistake.
func TestCompletionOfAJob(t *testing.T) {
	t.Parallel()
	a := ready(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/jobs/j/disable", `{"disableTasks":"requeue"}`, 202, ""},
		{"POST", "/jobs/j/disable", `{"disableTasks":"requeue"}`, 202, ""},
		{"POST", "/jobs", `{"id":"ends","poolInfo":{"poolId":"p"},"onAllTasksComplete":"terminatejob"}`, 201, ""},
		{"PATCH", "/jobs/ends", `{"onAllTasksComplete":"noaction"}`, 400, "InvalidPropertyValue"},
		{"PUT", "/jobs/ends", `{"poolInfo":{"poolId":"p"},"onAllTasksComplete":"noaction"}`, 400, "InvalidPropertyValue"},
		{"PUT", "/jobs/ends", `{"poolInfo":{"poolId":"p"}}`, 400, "InvalidPropertyValue"},
		{"PATCH", "/jobs/ends", `{"priority":3}`, 200, ""},
		{"PATCH", "/jobs/ends", `{"poolInfo":{"poolId":"q"}}`, 409, "OperationInvalidForCurrentState"},
	} {
		if got := a.send(c.method, c.path, c.body); got.status != c.status || got.Code != c.code {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, got.status, got.Code, c.status, c.code)
		}
	}
	// A job whose own pool cannot be made is completed, and says why.
	auto := `{"id":"auto","poolInfo":{"autoPoolSpecification":{"poolLifetimeOption":"job","pool":{"vmSize":"none","virtualMachineConfiguration":` +
		`{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},"nodeAgentSKUId":"batch.node.ubuntu 24.04"}}}}}`
	if got := a.send("POST", "/jobs", auto); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := a.jobIn("auto", azbatch.JobStateCompleted)
	if e := got.ExecutionInfo.SchedulingError; e == nil || *e.Code != "InvalidPropertyValue" {
		t.Errorf("the scheduling error is %+v", e)
	}
}

// TestARestartCleansUp ends an emulator while a node leaves and another is preempted, and looks at what the next one makes of
// their directories.
func TestARestartCleansUp(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	o.PreemptedTime = time.Hour
	a := start(t, o)
	p := pool("p", 1)
	p.TargetLowPriorityNodes = to.Ptr[int32](1)
	a.addPool(p)
	failing := pool("failing", 1)
	failing.StartTask = &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c "echo why; exit 1"`)}
	a.addPool(failing)
	a.addJob(job("j", "p"))
	failed := *a.nodes("failing", 1, azbatch.NodeStateStartTaskFailed)[0].ID
	var leaving, away string
	for _, n := range a.nodes("p", 2, azbatch.NodeStateIdle) {
		if *n.IsDedicated {
			leaving = *n.ID
		} else {
			away = *n.ID
		}
	}
	hold := task("t", "sleep 1000")
	hold.AffinityInfo = &azbatch.AffinityInfo{AffinityID: to.Ptr("TVM:" + leaving)}
	a.addTask("j", hold)
	a.taskIn("j", "t", azbatch.TaskStateRunning)
	_, err := a.RemoveNodes(t.Context(), "p", azbatch.RemoveNodeContent{NodeList: []string{leaving},
		NodeDeallocationOption: to.Ptr(azbatch.NodeDeallocationOptionTaskCompletion)}, nil)
	a.must("remove a node", err)
	a.nodes("p", 1, azbatch.NodeStateLeavingPool)
	a.must("preempt", a.Preempt(t.Context(), "p", away))
	a.must("close", a.Close())
	nodes := filepath.Join(o.Dir, "nodes")
	write(t, filepath.Join(nodes, "p", away, "root", "shared", "left"))
	for _, name := range []string{"lock", "root/shared/orphan"} { // of a node that never came into the state
		write(t, filepath.Join(nodes, "gone", "tvmps_0_d", name))
	}
	write(t, filepath.Join(nodes, "mine", "diary")) // no node's

	o.PreemptedTime = -1
	a = start(t, o)
	until(t, "the directories of nodes that are gone to be removed", func(context.Context) (bool, string) {
		var there []string
		for _, pattern := range []string{"p/" + leaving, "gone"} {
			found, err := filepath.Glob(filepath.Join(nodes, pattern))
			a.must("look", err)
			there = append(there, found...)
		}
		return len(there) == 0, fmt.Sprint(there)
	})
	if _, err := os.Stat(filepath.Join(nodes, "mine", "diary")); err != nil {
		t.Errorf("a file that is no node's: %v", err)
	}
	a.nodes("p", 1, azbatch.NodeStateRunning) // the task that was on the other
	if r, err := a.GetNodeFile(t.Context(), "p", away, "shared/left", nil); code(err) != "FileNotFound" {
		t.Errorf("a node that was preempted still has what was on it: %v, %v", r, err)
	}
	a.nodes("failing", 1, azbatch.NodeStateStartTaskFailed)
	r, err := a.GetNodeFile(t.Context(), "failing", failed, "startup/stdout.txt", nil)
	a.must("read what the start task wrote", err)
	r.Body.Close()
}

// write makes a file, and the directories that it is in.
func write(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestClosingLeavesNothing counts what this process has open before and after emulators whose nodes came and went.
func TestClosingLeavesNothing(t *testing.T) {
	count := func() (goroutines, files int) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(open)
	}
	use := func(isolate bool) {
		o := quick()
		o.Isolate = isolate
		a := start(t, o)
		a.addPool(pool("p", 2))
		a.addJob(job("j", "p"))
		a.addTask("j", task("t", "true"))
		a.completed("j", "t")
		a.resize("p", 0, 0)
		a.steady("p")
		if isolate { // the networks of nodes that are gone are gone
			_, before := count()
			for range 3 {
				a.resize("p", 2, 0)
				a.steady("p")
				a.nodes("p", 2, azbatch.NodeStateIdle)
				a.resize("p", 0, 0)
				a.steady("p")
			}
			until(t, "the files of nodes that are gone to be closed", func(context.Context) (bool, string) {
				_, files := count()
				return files <= before+2, fmt.Sprintf("%d are open, and %d were", files, before) // connections come and go
			})
		}
		a.addTask("j", task("waits", "true"))
		a.resize("p", 1, 0)
		a.completed("j", "waits")
		a.addTask("j", task("runs", "sleep 1000"))
		a.taskIn("j", "runs", azbatch.TaskStateRunning)
		a.must("close", a.Close())
		a.http.CloseIdleConnections()
	}
	use(false) // what is made once
	goroutines, files := count()
	for range 3 {
		use(false)
	}
	if os.Geteuid() == 0 && exec.Command("unshare", "--net", "ip", "link").Run() == nil {
		use(true)
	} else {
		t.Log("not root, or without the command ip: networks of nodes are not tested")
	}
	until(t, "what is open to be closed", func(context.Context) (bool, string) {
		g, f := count()
		return g <= goroutines && f <= files, fmt.Sprintf("%d goroutines and %d files, and there were %d and %d", g, f, goroutines, files)
	})
}

// TestRealNodesComeAndGo does to real nodes all that can be done, at once and at random, while tasks run. In the end all tasks are
// completed, and of nodes that are gone there is nothing left.
func TestRealNodesComeAndGo(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Dir = openDir(t)
	o.PreemptedTime = -1
	a := start(t, o)
	p := pool("p", 2)
	p.TargetLowPriorityNodes = to.Ptr[int32](2)
	p.TaskSlotsPerNode = to.Ptr[int32](2)
	p.StartTask = &azbatch.StartTask{CommandLine: to.Ptr("true")}
	a.addPool(p)
	j := job("j", "p")
	j.JobPreparationTask = &azbatch.JobPreparationTask{CommandLine: to.Ptr("true")}
	a.addJob(j)
	ctx := t.Context()
	find := func() (all []azbatch.Node) {
		page, err := a.NewListNodesPager("p", nil).NextPage(ctx)
		a.must("list nodes", err)
		return page.Value
	}
	const workers, rounds = 4, 12
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 0))
			for k := range rounds {
				_, _ = a.CreateTask(ctx, "j", task(fmt.Sprintf("%d-%d", w, k), `/bin/sh -c "sleep 0.05"`), nil)
				nodes := find()
				if len(nodes) == 0 {
					nodes = append(nodes, azbatch.Node{ID: to.Ptr("none")})
				}
				id := *nodes[r.IntN(len(nodes))].ID
				switch r.IntN(9) { // that much of it is refused is as it should be
				case 0:
					_, _ = a.RebootNode(ctx, "p", id, nil)
				case 1:
					_, _ = a.ReimageNode(ctx, "p", id, nil)
				case 2:
					_ = a.Preempt(ctx, "p", id)
				case 3:
					_ = a.Break(ctx, "p", id)
				case 4:
					_, _ = a.DeallocateNode(ctx, "p", id, nil)
				case 5:
					_, _ = a.StartNode(ctx, "p", id, nil)
				case 6:
					_, _ = a.RemoveNodes(ctx, "p", azbatch.RemoveNodeContent{NodeList: []string{id}}, nil)
				case 7:
					_, _ = a.ResizePool(ctx, "p", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr(r.Int32N(4)),
						TargetLowPriorityNodes: to.Ptr(r.Int32N(4))}, nil)
				case 8:
					_, _ = a.DisableNodeScheduling(ctx, "p", id, nil)
				}
			}
		})
	}
	work.Wait()
	until(t, "all tasks to be completed", func(ctx context.Context) (bool, string) {
		_, _ = a.ResizePool(ctx, "p", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](1), TargetLowPriorityNodes: to.Ptr[int32](1)}, nil)
		var states []azbatch.NodeState
		for _, n := range find() {
			states = append(states, *n.State)
			switch {
			case *n.State == azbatch.NodeStateUnusable:
				_, _ = a.ReimageNode(ctx, "p", *n.ID, nil)
			case *n.State == azbatch.NodeStateDeallocated:
				_, _ = a.StartNode(ctx, "p", *n.ID, nil)
			case *n.SchedulingState == azbatch.SchedulingStateDisabled:
				_, _ = a.EnableNodeScheduling(ctx, "p", *n.ID, nil)
			}
		}
		r, err := a.GetJobTaskCounts(ctx, "j", nil)
		a.must("count tasks", err)
		c := r.TaskCounts
		return *c.Succeeded == workers*rounds, fmt.Sprintf("%d active, %d running, %d failed; nodes %v", *c.Active, *c.Running, *c.Failed, states)
	})
	a.steady("p")
	a.resize("p", 0, 0)
	until(t, "the nodes and their directories to be gone", func(context.Context) (bool, string) {
		left, err := os.ReadDir(filepath.Join(o.Dir, "nodes", "p"))
		return err == nil && len(left) == 0, fmt.Sprint(left, err)
	})
}
