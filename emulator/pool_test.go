package emulator_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

// steady waits for a pool to be steady.
func (a *account) steady(id string) (got azbatch.Pool) {
	a.t.Helper()
	until(a.t, "pool "+id+" to be steady", func(ctx context.Context) (bool, string) {
		r, err := a.GetPool(ctx, id, nil)
		a.must("get the pool "+id, err)
		got = r.Pool
		return *got.AllocationState == azbatch.AllocationStateSteady, string(*got.AllocationState)
	})
	return got
}

func (a *account) resize(id string, dedicated, low int32) {
	a.t.Helper()
	_, err := a.ResizePool(a.t.Context(), id, azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr(dedicated),
		TargetLowPriorityNodes: to.Ptr(low)}, nil)
	a.must("resize "+id, err)
}

func TestResize(t *testing.T) {
	t.Parallel()
	o := emulator.Options{Speed: 20, BootTime: -1}
	a := start(t, o)
	a.addPool(simulated(pool("p", 3), "task=10h"))
	if _, err := a.ResizePool(t.Context(), "p", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](1)},
		nil); code(err) != "PoolBeingResized" {
		t.Errorf("resize while it is resized: %s, want PoolBeingResized", code(err))
	}
	a.steady("p")
	a.nodes("p", 3, azbatch.NodeStateIdle)
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", "true"))
	busy := *a.taskIn("j", "t", azbatch.TaskStateRunning).NodeInfo.NodeID

	a.resize("p", 1, 2)
	got := a.steady("p")
	if *got.CurrentDedicatedNodes != 1 || *got.CurrentLowPriorityNodes != 2 {
		t.Errorf("there are %d and %d nodes, want 1 and 2", *got.CurrentDedicatedNodes, *got.CurrentLowPriorityNodes)
	}
	if n := *a.get("j", "t").NodeInfo.NodeID; n != busy {
		t.Errorf("an idle node should have left rather than %s: the task is on %s", busy, n)
	}

	_, err := a.RemoveNodes(t.Context(), "p", azbatch.RemoveNodeContent{NodeList: []string{busy}}, nil)
	a.must("remove the node", err)
	got = a.steady("p")
	if *got.CurrentDedicatedNodes != 0 || *got.TargetDedicatedNodes != 0 {
		t.Errorf("there are %d dedicated nodes of %d, want none", *got.CurrentDedicatedNodes, *got.TargetDedicatedNodes)
	}
	after := a.taskIn("j", "t", azbatch.TaskStateRunning)
	if *after.NodeInfo.NodeID == busy || *after.ExecutionInfo.RequeueCount != 1 {
		t.Errorf("the task is on %s after %d requeues", *after.NodeInfo.NodeID, *after.ExecutionInfo.RequeueCount)
	}

	a.resize("p", 5, 2)
	_, err = a.StopPoolResize(t.Context(), "p", nil)
	a.must("stop", err)
	got = a.steady("p")
	if *got.CurrentDedicatedNodes != 0 || len(got.ResizeErrors) != 1 || *got.ResizeErrors[0].Code != "ResizeStopped" {
		t.Errorf("after the stop there are %d nodes and the errors %v", *got.CurrentDedicatedNodes, got.ResizeErrors)
	}
	if _, err := a.StopPoolResize(t.Context(), "p", nil); code(err) != "OperationInvalidForCurrentState" {
		t.Errorf("stop what is steady: %s", code(err))
	}
	_, err = a.DeletePool(t.Context(), "p", nil)
	a.must("delete", err)
	until(t, "the pool to be gone", func(ctx context.Context) (bool, string) {
		_, err := a.GetPool(ctx, "p", nil)
		return err != nil && code(err) == "PoolNotFound", fmt.Sprint(err)
	})
	// The job waits for another pool of the name.
	a.addPool(simulated(pool("p", 1), "task=1s"))
	a.completed("j", "t")
}

func TestNodesLeaveWhenTheirTasksAreCompleted(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 60
	a := start(t, o)
	a.addPool(simulated(pool("p", 1), "task=1m"))
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", "true"))
	a.taskIn("j", "t", azbatch.TaskStateRunning)
	_, err := a.ResizePool(t.Context(), "p", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](0),
		NodeDeallocationOption: to.Ptr(azbatch.NodeDeallocationOptionTaskCompletion)}, nil)
	a.must("resize", err)
	a.nodes("p", 1, azbatch.NodeStateLeavingPool)
	if e := a.completed("j", "t").ExecutionInfo; *e.RequeueCount != 0 || *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("the task ended with %s after %d requeues", *e.Result, *e.RequeueCount)
	}
	if got := a.steady("p"); *got.CurrentDedicatedNodes != 0 {
		t.Errorf("there are %d nodes", *got.CurrentDedicatedNodes)
	}
}

func TestNodesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 300
	o.Quota = &emulator.Quota{DedicatedCores: 5, Pools: 3}
	a := start(t, o)
	a.addPool(simulated(pool("quota", 4), ""))
	got := a.steady("quota")
	if *got.CurrentDedicatedNodes != 2 || len(got.ResizeErrors) != 1 || *got.ResizeErrors[0].Code != "AccountCoreQuotaReached" {
		t.Errorf("with a quota of 5 cores there are %d nodes of 2 cores, and the errors %v", *got.CurrentDedicatedNodes,
			got.ResizeErrors)
	}
	for _, c := range []struct {
		id   string
		fast bool
		want string
	}{{"slow", false, "AllocationTimedout"}, {"fast", true, "AllocationFailed"}} {
		a.addPool(simulated(pool(c.id, 0), ""))
		a.must("limit the capacity", a.SetCapacity(t.Context(), c.id,
			emulator.Capacity{Dedicated: -1, LowPriority: 1, FailFast: c.fast}))
		a.resize(c.id, 0, 3)
		got := a.steady(c.id)
		if *got.CurrentLowPriorityNodes != 1 || len(got.ResizeErrors) != 1 || *got.ResizeErrors[0].Code != c.want {
			t.Errorf("%s: there are %d nodes and the errors %v, want one and %s", c.id, *got.CurrentLowPriorityNodes,
				got.ResizeErrors, c.want)
		}
	}
	if _, err := a.CreatePool(t.Context(), pool("toomany", 0), nil); code(err) != "PoolQuotaReached" {
		t.Errorf("a pool above the quota: %s", code(err))
	}
	a.SetQuota(emulator.Quota{Jobs: 1})
	a.addJob(job("j", "slow"))
	if _, err := a.CreateJob(t.Context(), job("k", "slow"), nil); code(err) != "ActiveJobAndScheduleQuotaReached" {
		t.Errorf("a job above the quota: %s", code(err))
	}
}

func TestStartTasks(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	good := pool("good", 1)
	good.StartTask = &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c "echo $AZ_BATCH_POOL_ID; test -f ../ran && exit 0; touch ../ran; exit 1"`), MaxTaskRetryCount: to.Ptr[int32](3)}
	a.addPool(good)
	node := a.nodes("good", 1, azbatch.NodeStateIdle)[0]
	if i := node.StartTaskInfo; *i.RetryCount != 1 || *i.ExitCode != 0 || *i.State != azbatch.StartTaskStateCompleted {
		t.Errorf("the start task: %d retries, exit code %d, %s", *i.RetryCount, *i.ExitCode, *i.State)
	}
	r, err := a.GetNodeFile(t.Context(), "good", *node.ID, "startup/stdout.txt", nil)
	a.must("read its output", err)
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	if !strings.HasPrefix(string(b), "good\n") || err != nil {
		t.Errorf("its output is %q, %v", b, err)
	}

	bad := pool("bad", 1)
	bad.StartTask = &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c "echo no; exit 5"`)}
	a.addPool(bad)
	a.addJob(job("j", "bad"))
	a.addTask("j", task("t", "true"))
	node = a.nodes("bad", 1, azbatch.NodeStateStartTaskFailed)[0]
	if i := node.StartTaskInfo; *i.ExitCode != 5 || *i.Result != azbatch.TaskExecutionResultFailure || i.FailureInfo == nil {
		t.Errorf("the start task: exit code %d, %s", *i.ExitCode, *i.Result)
	}
	if got := *a.get("j", "t").State; got != azbatch.TaskStateActive {
		t.Errorf("a task is %s on a node whose start task failed, want active", got)
	}
	// A pool whose start task need not succeed runs tasks; and one that is mended and rebooted too.
	_, err = a.UpdatePool(t.Context(), "bad",
		azbatch.UpdatePoolContent{StartTask: &azbatch.StartTask{CommandLine: to.Ptr("false"),
			WaitForSuccess: to.Ptr(false)}}, nil)
	a.must("patch the pool", err)
	_, err = a.RebootNode(t.Context(), "bad", *node.ID, nil)
	a.must("reboot", err)
	a.completed("j", "t")
}

func TestWhatIsDoneWithNodes(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	id := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	write := func(name string) {
		a.addTask("j", task(name, `/bin/sh -c "touch $AZ_BATCH_NODE_SHARED_DIR/`+name+`"`))
		a.completed("j", name)
	}
	has := func(name string) bool {
		_, err := a.GetNodeFileProperties(t.Context(), "p", id, "shared/"+name, nil)
		return err == nil
	}
	write("one")
	a.addTask("j", task("long", "sleep 1000"))
	a.taskIn("j", "long", azbatch.TaskStateRunning)
	_, err := a.RebootNode(t.Context(), "p", id, nil)
	a.must("reboot", err)
	until(t, "the task to run again after the reboot", func(context.Context) (bool, string) {
		got := a.get("j", "long")
		return *got.State == azbatch.TaskStateRunning && *got.ExecutionInfo.RequeueCount == 1, string(*got.State)
	})
	if !has("one") {
		t.Error("the reboot deleted a shared file")
	}
	_, err = a.ReimageNode(t.Context(), "p", id,
		&azbatch.ReimageNodeOptions{Parameters: &azbatch.ReimageNodeContent{NodeReimageOption: to.Ptr(azbatch.NodeReimageOptionTerminate)}})
	a.must("reimage", err)
	a.completed("j", "long")
	a.nodes("p", 1, azbatch.NodeStateIdle)
	if has("one") {
		t.Error("the reimage left a shared file")
	}

	_, err = a.DeallocateNode(t.Context(), "p", id, nil)
	a.must("deallocate", err)
	a.nodes("p", 1, azbatch.NodeStateDeallocated)
	if _, err := a.RebootNode(t.Context(), "p", id, nil); code(err) != "OperationNotValidOnNode" {
		t.Errorf("reboot a node that is off: %s", code(err))
	}
	_, err = a.StartNode(t.Context(), "p", id, nil)
	a.must("start", err)
	a.nodes("p", 1, azbatch.NodeStateIdle)

	_, err = a.DisableNodeScheduling(t.Context(), "p", id, nil)
	a.must("disable scheduling", err)
	if _, err := a.DisableNodeScheduling(t.Context(), "p", id, nil); code(err) != "NodeAlreadyInTargetSchedulingState" {
		t.Errorf("disable scheduling again: %s", code(err))
	}
	a.addTask("j", task("waits", "true"))
	if got := *a.get("j", "waits").State; got != azbatch.TaskStateActive {
		t.Errorf("a task is %s on a node that takes none", got)
	}
	_, err = a.EnableNodeScheduling(t.Context(), "p", id, nil)
	a.must("enable scheduling", err)
	a.completed("j", "waits")
}

func TestPreemptedAndBrokenNodes(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 60
	a := start(t, o)
	p := simulated(pool("p", 0), "task=10h")
	p.TargetLowPriorityNodes = to.Ptr[int32](1)
	a.addPool(p)
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", "true"))
	id := *a.taskIn("j", "t", azbatch.TaskStateRunning).NodeInfo.NodeID
	a.must("preempt", a.Preempt(t.Context(), "p", id))
	got := a.get("j", "t")
	if *got.State != azbatch.TaskStateActive || *got.ExecutionInfo.RequeueCount != 1 {
		t.Errorf("the task of a preempted node is %s after %d requeues", *got.State, *got.ExecutionInfo.RequeueCount)
	}
	a.nodes("p", 1, azbatch.NodeStatePreempted)
	a.taskIn("j", "t", azbatch.TaskStateRunning) // the node is back
	a.must("break", a.Break(t.Context(), "p", id))
	a.nodes("p", 1, azbatch.NodeStateUnusable)
	if _, err := a.StartNode(t.Context(), "p", id, nil); code(err) != "NodeStateUnusable" {
		t.Errorf("start an unusable node: %s", code(err))
	}
	_, err := a.RebootNode(t.Context(), "p", id, nil)
	a.must("reboot", err)
	a.taskIn("j", "t", azbatch.TaskStateRunning)

	// Nodes are preempted by themselves, at a rate.
	q := simulated(pool("q", 0), "task=10h,preempt=60")
	q.TargetLowPriorityNodes = to.Ptr[int32](20)
	a.addPool(q)
	until(t, "a node to be preempted", func(ctx context.Context) (bool, string) {
		for pager := a.NewListPoolNodeCountsPager(&azbatch.ListPoolNodeCountsOptions{Filter: to.Ptr("poolId eq 'q'")}); pager.More(); {
			page, err := pager.NextPage(ctx)
			a.must("count nodes", err)
			return *page.Value[0].LowPriority.Preempted > 0, fmt.Sprint(*page.Value[0].LowPriority.Preempted)
		}
		return false, "no counts"
	})
}

func TestAutoscale(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 1500
	a := start(t, o)
	p := simulated(pool("p", 0), "task=30m")
	p.TargetDedicatedNodes, p.EnableAutoScale = nil, to.Ptr(true)
	p.AutoScaleEvaluationInterval = to.Ptr("PT5M")
	p.AutoScaleFormula = to.Ptr("pending = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 5) < 1 ? 0 : max($PendingTasks.GetSample(TimeInterval_Minute * 5)); $TargetDedicatedNodes = min(3, pending); $NodeDeallocationOption = taskcompletion;")
	a.addPool(p)
	a.addJob(job("j", "p"))
	for i := range 5 {
		a.addTask("j", task(fmt.Sprint(i), "true"))
	}
	for i := range 5 {
		a.completed("j", fmt.Sprint(i))
	}
	var run *azbatch.AutoScaleRun
	until(t, "the pool to be empty again", func(ctx context.Context) (bool, string) {
		r, err := a.GetPool(ctx, "p", nil)
		a.must("get the pool", err)
		run = r.AutoScaleRun
		return *r.CurrentDedicatedNodes == 0, fmt.Sprint(*r.CurrentDedicatedNodes, " nodes")
	})
	if run == nil || !strings.HasPrefix(*run.Results,
		"$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion") {
		t.Errorf("the last evaluation: %+v", run)
	}
	r, err := a.EvaluatePoolAutoScale(t.Context(), "p",
		azbatch.EvaluatePoolAutoScaleContent{AutoScaleFormula: to.Ptr("$TargetDedicatedNodes = nonsense")}, nil)
	a.must("evaluate", err)
	if r.Error == nil {
		t.Errorf("evaluating nonsense gave no error, and %s", *r.Results)
	}
	if _, err := a.ResizePool(t.Context(), "p", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](1)},
		nil); code(err) != "OperationInvalidForCurrentState" {
		t.Errorf("resize with autoscaling: %s", code(err))
	}
	a.steady("p")
	if _, err := a.EnablePoolAutoScale(t.Context(), "p",
		azbatch.EnablePoolAutoScaleContent{AutoScaleFormula: to.Ptr("$TargetDedicatedNodes = (")}, nil); code(err) != "AutoScalingFormulaSyntaxError" {
		t.Errorf("a formula that is none: %s", code(err))
	}
	_, err = a.DisablePoolAutoScale(t.Context(), "p", nil)
	a.must("disable", err)
	if _, err := a.EvaluatePoolAutoScale(t.Context(), "p",
		azbatch.EvaluatePoolAutoScaleContent{AutoScaleFormula: to.Ptr("$TargetDedicatedNodes=0")}, nil); code(err) != "OperationInvalidForCurrentState" {
		t.Errorf("evaluate without autoscaling: %s", code(err))
	}
}

func TestMultiInstanceTasks(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	p := pool("p", 3)
	p.EnableInterNodeCommunication = to.Ptr(true)
	a.addPool(p)
	a.addJob(job("j", "p"))
	mi := task("mi", `/bin/sh -c "echo $AZ_BATCH_HOST_LIST; cat coordinated; echo $AZ_BATCH_IS_CURRENT_NODE_MASTER"`)
	mi.MultiInstanceSettings = &azbatch.MultiInstanceSettings{NumberOfInstances: to.Ptr[int32](3),
		CoordinationCommandLine: to.Ptr(`/bin/sh -c "echo ready > coordinated"`)}
	a.addTask("j", mi)
	done := a.completed("j", "mi")
	if *done.ExecutionInfo.Result != azbatch.TaskExecutionResultSuccess {
		t.Fatalf("the task failed: %+v", done.ExecutionInfo.FailureInfo)
	}
	lines := strings.Fields(a.file("j", "mi", "stdout.txt"))
	if len(lines) != 3 || len(strings.Split(lines[0], ",")) != 3 || lines[1] != "ready" || lines[2] != "true" {
		t.Errorf("the primary printed %q", lines)
	}
	var nodes = map[string]bool{*done.NodeInfo.NodeID: true}
	for pager := a.NewListSubTasksPager("j", "mi", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		a.must("list subtasks", err)
		for _, s := range page.Value {
			nodes[*s.NodeInfo.NodeID] = true
			if *s.State != azbatch.SubtaskStateCompleted {
				t.Errorf("subtask %d is %s", *s.ID, *s.State)
			}
		}
	}
	if len(nodes) != 3 {
		t.Errorf("it ran on %d nodes, want 3", len(nodes))
	}
	// In a pool without inter-node communication it never runs.
	a.addPool(simulated(pool("q", 3), ""))
	a.nodes("q", 3, azbatch.NodeStateIdle)
	a.addJob(job("k", "q"))
	a.addTask("k", mi)
	a.addTask("k", task("other", "true"))
	a.completed("k", "other")
	if got := *a.get("k", "mi").State; got != azbatch.TaskStateActive {
		t.Errorf("the task is %s, want active", got)
	}
}
