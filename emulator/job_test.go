package emulator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// simulating gives a task what its simulated run is to be, as "time=1h,exit=2".
func simulating(t azbatch.CreateTaskContent, how string) azbatch.CreateTaskContent {
	t.EnvironmentSettings = append(t.EnvironmentSettings, azbatch.EnvironmentSetting{Name: to.Ptr("EMULATOR_SIMULATE"),
		Value: to.Ptr(how)})
	return t
}

// simulatedPool is an account with a pool "p" of simulated nodes, whose time runs fast.
func simulatedPool(t *testing.T, nodes int32) *account {
	t.Helper()
	o := quick()
	o.Speed = 60
	a := start(t, o)
	a.addPool(simulated(pool("p", nodes), "task=10ms"))
	return a
}

func dependsOn(t azbatch.CreateTaskContent, ids ...string) azbatch.CreateTaskContent {
	t.DependsOn = &azbatch.TaskDependencies{TaskIDs: ids}
	return t
}

func TestTasksWaitForThoseTheyDependOn(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 2)
	j := job("j", "p")
	j.UsesTaskDependencies = to.Ptr(true)
	a.addJob(j)

	later := dependsOn(task("last", "true"), "a", "b")
	later.DependsOn.TaskIDRanges = []azbatch.TaskIDRange{{Start: to.Ptr[int32](1), End: to.Ptr[int32](3)},
		{Start: to.Ptr[int32](100), End: to.Ptr[int32](300)}}
	a.addTask("j", later)
	a.addTask("j", simulating(task("a", "true"), "exit=1"))
	var group azbatch.TaskGroup
	for i := 1; i <= 3; i++ {
		group.Value = append(group.Value, task(fmt.Sprint(i), "true"))
	}
	for i := 100; i <= 190; i++ {
		group.Value = append(group.Value, task(fmt.Sprint(i), "true"))
	}
	_, err := a.CreateTaskCollection(t.Context(), "j", group, nil)
	a.must("add tasks", err)
	group.Value = nil
	for i := 191; i <= 270; i++ {
		group.Value = append(group.Value, task(fmt.Sprint(i), "true"))
	}
	_, err = a.CreateTaskCollection(t.Context(), "j", group, nil)
	a.must("add tasks", err)
	a.addTask("j", task("b", "true"))
	for i := 271; i <= 299; i++ {
		a.addTask("j", task(fmt.Sprint(i), "true"))
	}
	a.completed("j", "299")
	a.completed("j", "b")
	if got := *a.completed("j", "a").ExecutionInfo.Result; got != azbatch.TaskExecutionResultFailure {
		t.Fatalf("a has result %s, want failure", got)
	}
	if got := *a.get("j", "last").State; got != azbatch.TaskStateActive {
		t.Fatalf("the task is %s with a failed and a missing dependency, want active", got)
	}
	a.addTask("j", task("300", "true"))
	a.completed("j", "300")
	if got := *a.get("j", "last").State; got != azbatch.TaskStateActive {
		t.Fatalf("the task is %s with a failed dependency, want active", got)
	}
	// The one that failed is added anew, and succeeds.
	_, err = a.DeleteTask(t.Context(), "j", "a", nil)
	a.must("delete a", err)
	a.addTask("j", task("a", "true"))
	a.completed("j", "last")
}

func TestAFailedDependencySatisfiesWhenItsExitConditionSaysSo(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 1)
	j := job("j", "p")
	j.UsesTaskDependencies = to.Ptr(true)
	a.addJob(j)
	tolerant := simulating(task("tolerant", "true"), "exit=7")
	tolerant.ExitConditions = &azbatch.ExitConditions{ExitCodeRanges: []azbatch.ExitCodeRangeMapping{{Start: to.Ptr[int32](5), End: to.Ptr[int32](9), ExitOptions: &azbatch.ExitOptions{DependencyAction: to.Ptr(azbatch.DependencyActionSatisfy)}}}}
	strict := task("strict", "true")
	strict.ExitConditions = &azbatch.ExitConditions{ExitCodes: []azbatch.ExitCodeMapping{{Code: to.Ptr[int32](0),
		ExitOptions: &azbatch.ExitOptions{DependencyAction: to.Ptr(azbatch.DependencyActionBlock)}}}}
	a.addTask("j", tolerant)
	a.addTask("j", strict)
	a.addTask("j", dependsOn(task("after-tolerant", "true"), "tolerant"))
	a.addTask("j", dependsOn(task("after-strict", "true"), "strict"))
	a.completed("j", "after-tolerant")
	a.completed("j", "strict")
	if got := *a.get("j", "after-strict").State; got != azbatch.TaskStateActive {
		t.Errorf("the task after the one that blocks is %s, want active", got)
	}
}

func TestExitConditionsEndTheJob(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 2)
	for _, c := range []struct {
		id     string
		action azbatch.JobAction
		state  azbatch.JobState
	}{
		{"terminate", azbatch.JobActionTerminate, azbatch.JobStateCompleted},
		{"disable", azbatch.JobActionDisable, azbatch.JobStateDisabled},
	} {
		j := job(c.id, "p")
		j.OnTaskFailure = to.Ptr(azbatch.OnTaskFailurePerformExitOptionsJobAction)
		a.addJob(j)
		long := simulating(task("long", "true"), "time=10h")
		a.addTask(c.id, long)
		fails := simulating(task("fails", "true"), "exit=2")
		fails.ExitConditions = &azbatch.ExitConditions{Default: &azbatch.ExitOptions{JobAction: to.Ptr(c.action)}}
		a.addTask(c.id, fails)
		got := a.jobIn(c.id, c.state)
		if c.action == azbatch.JobActionTerminate {
			if reason := *got.ExecutionInfo.TerminationReason; reason != "TaskFailed" {
				t.Errorf("terminateReason = %q, want TaskFailed", reason)
			}
			if f := a.get(c.id, "long").ExecutionInfo.FailureInfo; f == nil || *f.Code != "TaskEnded" {
				t.Errorf("the task that ran has failureInfo %+v, want TaskEnded", f)
			}
		} else if s := *a.get(c.id, "long").State; s != azbatch.TaskStateActive {
			t.Errorf("the task that ran is %s in a disabled job, want active", s)
		}
	}
	a.addJob(job("plain", "p"))
	fails := task("t", "true")
	fails.ExitConditions = &azbatch.ExitConditions{Default: &azbatch.ExitOptions{JobAction: to.Ptr(azbatch.JobActionTerminate)}}
	_, err := a.CreateTask(t.Context(), "plain", fails, nil)
	if got := code(err); got != "InvalidPropertyValue" {
		t.Errorf("a jobAction in a job without onTaskFailure: %s, want InvalidPropertyValue", got)
	}
}

func TestTasksAreRetried(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	flaky := task("flaky", `/bin/sh -c "echo run >> ../runs; test $(wc -l < ../runs) -ge 3"`)
	flaky.Constraints = &azbatch.TaskConstraints{MaxTaskRetryCount: to.Ptr[int32](5)}
	hopeless := task("hopeless", `/bin/sh -c "exit 9"`)
	hopeless.Constraints = &azbatch.TaskConstraints{MaxTaskRetryCount: to.Ptr[int32](2)}
	missing := task("missing", "no-such-program")
	missing.Constraints = &azbatch.TaskConstraints{MaxTaskRetryCount: to.Ptr[int32](2)}
	for _, c := range []azbatch.CreateTaskContent{flaky, hopeless, missing} {
		a.addTask("j", c)
	}
	if e := a.completed("j", "flaky").ExecutionInfo; *e.RetryCount != 2 || *e.ExitCode != 0 || *e.Result != azbatch.TaskExecutionResultSuccess || e.LastRetryTime == nil {
		t.Errorf("flaky: %d retries, exit code %d, %s; want 2, 0, success", *e.RetryCount, *e.ExitCode, *e.Result)
	}
	if e := a.completed("j", "hopeless").ExecutionInfo; *e.RetryCount != 2 || *e.ExitCode != 9 {
		t.Errorf("hopeless: %d retries, exit code %d; want 2, 9", *e.RetryCount, *e.ExitCode)
	}
	if e := a.completed("j", "missing").ExecutionInfo; *e.RetryCount != 0 || *e.FailureInfo.Code != "CommandProgramNotFound" || e.ExitCode != nil {
		t.Errorf("missing: %d retries, code %s, exit code %v; want 0, CommandProgramNotFound, none", *e.RetryCount,
			*e.FailureInfo.Code, e.ExitCode)
	}

	// Reactivated, a task may be retried as often again; what succeeded, or is not completed, cannot be.
	_, err := a.ReactivateTask(t.Context(), "j", "hopeless", nil)
	a.must("reactivate", err)
	if e := a.completed("j", "hopeless").ExecutionInfo; *e.RetryCount != 2 {
		t.Errorf("reactivated: %d retries, want 2", *e.RetryCount)
	}
	if _, err := a.ReactivateTask(t.Context(), "j", "flaky", nil); code(err) != "TaskSucceeded" {
		t.Errorf("reactivate what succeeded: %s, want TaskSucceeded", code(err))
	}
}

func TestLimitsOfTime(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 60
	a := start(t, o)
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	slow := task("slow", "sleep 1000")
	slow.Constraints = &azbatch.TaskConstraints{MaxWallClockTime: to.Ptr("PT30S"), RetentionTime: to.Ptr("PT1M")}
	a.addTask("j", slow)
	e := a.completed("j", "slow").ExecutionInfo
	if *e.Result != azbatch.TaskExecutionResultFailure || e.FailureInfo == nil {
		t.Errorf("a task over its time has result %s", *e.Result)
	}
	if took := e.EndTime.Sub(*e.StartTime); took < 30*time.Second || took > 10*time.Minute {
		t.Errorf("it took %v of the account's time, want about 30 s", took)
	}
	// Its files are deleted when their time is over.
	until(t, "the files to be deleted", func(ctx context.Context) (bool, string) {
		_, err := a.GetTaskFile(ctx, "j", "slow", "stdout.txt", nil)
		return err != nil && code(err) == "TaskFilesCleanedup", fmt.Sprint(err)
	})

	short := job("short", "p")
	short.Constraints = &azbatch.JobConstraints{MaxWallClockTime: to.Ptr("PT1M")}
	a.addJob(short)
	a.addTask("short", task("t", "sleep 1000"))
	if got := *a.jobIn("short", azbatch.JobStateCompleted).ExecutionInfo.TerminationReason; got != "MaxWallClockTimeExpiry" {
		t.Errorf("terminateReason = %q", got)
	}
	a.completed("short", "t")
}

func TestAJobEndsWithItsTasks(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 2)
	j := job("j", "p")
	j.OnAllTasksComplete = to.Ptr(azbatch.OnAllTasksCompleteTerminateJob)
	a.addJob(j)
	got, err := a.GetJob(t.Context(), "j", nil)
	a.must("get the job", err)
	if *got.State != azbatch.JobStateActive {
		t.Fatalf("a job without tasks is %s, want active", *got.State)
	}
	a.addTask("j", task("t", "true"))
	done := a.jobIn("j", azbatch.JobStateCompleted)
	if *done.ExecutionInfo.TerminationReason != "AllTasksComplete" || done.ExecutionInfo.EndTime == nil {
		t.Errorf("execution = %+v", done.ExecutionInfo)
	}
	if _, err := a.CreateTask(t.Context(), "j", task("late", "true"), nil); code(err) != "JobCompleted" {
		t.Errorf("add a task to a completed job: %s, want JobCompleted", code(err))
	}
	if _, err := a.DeleteTask(t.Context(), "j", "t", nil); err != nil {
		t.Errorf("delete a task of a completed job: %v", err)
	}

	// One that is to end later is patched so.
	a.addJob(job("patched", "p"))
	a.addTask("patched", task("t", "true"))
	a.completed("patched", "t")
	_, err = a.UpdateJob(t.Context(), "patched",
		azbatch.UpdateJobContent{OnAllTasksComplete: to.Ptr(azbatch.OnAllTasksCompleteTerminateJob)}, nil)
	a.must("patch the job", err)
	a.jobIn("patched", azbatch.JobStateCompleted)
}

func TestDisablingAJob(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 1)
	for _, c := range []struct {
		how  azbatch.DisableJobOption
		then azbatch.TaskState
	}{
		{azbatch.DisableJobOptionRequeue, azbatch.TaskStateActive},
		{azbatch.DisableJobOptionTerminate, azbatch.TaskStateCompleted},
		{azbatch.DisableJobOptionWait, azbatch.TaskStateCompleted},
	} {
		id := string(c.how)
		a.addJob(job(id, "p"))
		first := "time=10h"
		if c.how == azbatch.DisableJobOptionWait {
			first = "time=2m"
		}
		a.addTask(id, simulating(task("a", "true"), first))
		a.taskIn(id, "a", azbatch.TaskStateRunning)
		a.addTask(id, task("b", "true"))
		_, err := a.DisableJob(t.Context(), id, azbatch.DisableJobContent{DisableTasks: to.Ptr(c.how)}, nil)
		a.must("disable "+id, err)
		_, err = a.DisableJob(t.Context(), id, azbatch.DisableJobContent{DisableTasks: to.Ptr(c.how)}, nil)
		a.must("disable again", err)
		a.jobIn(id, azbatch.JobStateDisabled)
		if got := *a.get(id, "a").State; got != c.then {
			t.Errorf("%s: the task that ran is %s, want %s", id, got, c.then)
		}
		if got := *a.get(id, "b").State; got != azbatch.TaskStateActive {
			t.Errorf("%s: the task that waited is %s, want active", id, got)
		}
		_, err = a.EnableJob(t.Context(), id, nil)
		a.must("enable "+id, err)
		if c.how != azbatch.DisableJobOptionRequeue {
			a.completed(id, "b")
			continue
		}
		if e := a.taskIn(id, "a", azbatch.TaskStateRunning).ExecutionInfo; *e.RequeueCount != 1 || *e.RetryCount != 0 {
			t.Errorf("the task was requeued %d times and retried %d times, want 1, 0", *e.RequeueCount, *e.RetryCount)
		}
		_, err = a.TerminateJob(t.Context(), id,
			&azbatch.TerminateJobOptions{Parameters: &azbatch.TerminateJobContent{TerminationReason: to.Ptr("enough")}})
		a.must("terminate "+id, err)
		if got := *a.jobIn(id, azbatch.JobStateCompleted).ExecutionInfo.TerminationReason; got != "enough" {
			t.Errorf("terminateReason = %q, want enough", got)
		}
		if got := *a.get(id, "b").State; got != azbatch.TaskStateActive {
			t.Errorf("an active task of a terminated job is %s, want active", got)
		}
	}
}

func TestPrioritiesAndParallelTasks(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 1)
	a.addJob(job("first", "p"))
	a.addTask("first", simulating(task("blocker", "true"), "time=20s"))
	a.taskIn("first", "blocker", azbatch.TaskStateRunning)
	low, high := job("low", "p"), job("high", "p")
	low.Priority, high.Priority = to.Ptr[int32](-5), to.Ptr[int32](900)
	a.addJob(low)
	a.addJob(high)
	a.addTask("low", task("t", "true"))
	a.addTask("high", task("t", "true"))
	if l, h := a.completed("low", "t"), a.completed("high",
		"t"); !h.ExecutionInfo.StartTime.Before(*l.ExecutionInfo.StartTime) {
		t.Errorf("the task of the urgent job began at %v, the other at %v", h.ExecutionInfo.StartTime,
			l.ExecutionInfo.StartTime)
	}

	a.addPool(simulated(pool("wide", 8), "task=1m"))
	limited := job("limited", "wide")
	limited.MaxParallelTasks = to.Ptr[int32](3)
	a.addJob(limited)
	for i := range 9 {
		a.addTask("limited", task(fmt.Sprint(i), "true"))
	}
	most := int32(0)
	until(t, "all tasks to be completed", func(ctx context.Context) (bool, string) {
		r, err := a.GetJobTaskCounts(ctx, "limited", nil)
		a.must("count tasks", err)
		most = max(most, *r.TaskCounts.Running)
		return *r.TaskCounts.Completed == 9, fmt.Sprint(*r.TaskCounts.Completed)
	})
	if most != 3 {
		t.Errorf("at most %d tasks ran at once, want 3", most)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	o := quick()
	a := start(t, o)
	p := simulated(pool("p", 1), "task=10h")
	p.TaskSlotsPerNode = to.Ptr[int32](4)
	a.addPool(p)
	a.addJob(job("j", "p"))
	for i, slots := range []int32{3, 2, 1, 1} {
		c := task(fmt.Sprint(i), "true")
		c.RequiredSlots = to.Ptr(slots)
		a.addTask("j", c)
	}
	a.taskIn("j", "0", azbatch.TaskStateRunning)
	a.taskIn("j", "2", azbatch.TaskStateRunning) // it fits beside the first
	for _, id := range []string{"1", "3"} {
		if got := *a.get("j", id).State; got != azbatch.TaskStateActive {
			t.Errorf("task %s is %s on a full node, want active", id, got)
		}
	}
	r, err := a.GetJobTaskCounts(t.Context(), "j", nil)
	a.must("count tasks", err)
	if *r.TaskSlotCounts.Running != 4 || *r.TaskSlotCounts.Active != 3 {
		t.Errorf("%d slots run and %d wait, want 4 and 3", *r.TaskSlotCounts.Running, *r.TaskSlotCounts.Active)
	}
	_, err = a.TerminateTask(t.Context(), "j", "0", nil)
	a.must("terminate", err)
	a.taskIn("j", "1", azbatch.TaskStateRunning)
}

func TestPreparationAndRelease(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	j := job("j", "p")
	j.JobPreparationTask = &azbatch.JobPreparationTask{CommandLine: to.Ptr(`/bin/sh -c "echo prepared > $AZ_BATCH_NODE_SHARED_DIR/prepared"`)}
	j.JobReleaseTask = &azbatch.JobReleaseTask{CommandLine: to.Ptr(`/bin/sh -c "cat $AZ_BATCH_NODE_SHARED_DIR/prepared"`)}
	a.addJob(j)
	a.addTask("j", task("t", `/bin/sh -c "cat $AZ_BATCH_NODE_SHARED_DIR/prepared; echo $AZ_BATCH_JOB_PREP_DIR"`))
	a.completed("j", "t")
	out := a.file("j", "t", "stdout.txt")
	if !strings.HasPrefix(out, "prepared\n") || !strings.HasSuffix(strings.TrimSpace(out), "jobpreparation") {
		t.Errorf("the task printed %q", out)
	}
	_, err := a.TerminateJob(t.Context(), "j", nil)
	a.must("terminate", err)
	a.jobIn("j", azbatch.JobStateCompleted)
	status := a.preparation("j")
	if len(status) != 1 || *status[0].JobPreparationTaskExecutionInfo.ExitCode != 0 || *status[0].JobReleaseTaskExecutionInfo.ExitCode != 0 {
		t.Fatalf("status = %+v", status)
	}
	node := *status[0].NodeID
	r, err := a.GetNodeFile(t.Context(), "p", node, *status[0].JobReleaseTaskExecutionInfo.TaskRootDirectory+"/stdout.txt", nil)
	a.must("read the release task's output", err)
	r.Body.Close()
}

// A job that is ended while a node is prepared for it waits for that, and is not forgotten.
func TestEndWhilePreparing(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	for _, id := range []string{"terminated", "deleted"} {
		j := job(id, "p")
		j.JobPreparationTask = &azbatch.JobPreparationTask{CommandLine: to.Ptr("sleep 1")}
		j.JobReleaseTask = &azbatch.JobReleaseTask{CommandLine: to.Ptr("true")}
		a.addJob(j)
		a.addTask(id, task("t", "true"))
		until(t, "it is prepared", func(context.Context) (bool, string) { return len(a.preparation(id)) == 1, "" })
	}
	_, err := a.TerminateJob(t.Context(), "terminated", nil)
	a.must("terminate", err)
	_, err = a.DeleteJob(t.Context(), "deleted", nil)
	a.must("delete", err)
	a.jobIn("terminated", azbatch.JobStateCompleted)
	if s := a.preparation("terminated"); len(s) != 1 || s[0].JobReleaseTaskExecutionInfo == nil {
		t.Errorf("the release task did not run: %+v", s)
	}
	until(t, "the job is gone", func(ctx context.Context) (bool, string) {
		_, err := a.GetJob(ctx, "deleted", nil)
		return code(err) == "JobNotFound", ""
	})
}

func (a *account) preparation(job string) (all []azbatch.JobPreparationAndReleaseTaskStatus) {
	a.t.Helper()
	for pager := a.NewListJobPreparationAndReleaseTaskStatusPager(job, nil); pager.More(); {
		page, err := pager.NextPage(a.t.Context())
		a.must("list preparations", err)
		all = append(all, page.Value...)
	}
	return all
}

func TestANodeWhosePreparationFailsGetsNoTasksOfTheJob(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 2))
	a.nodes("p", 2, azbatch.NodeStateIdle)
	j := job("j", "p")
	j.JobPreparationTask = &azbatch.JobPreparationTask{ // it fails on the first node that gets here
		CommandLine:  to.Ptr(`/bin/sh -c "mkdir ` + t.TempDir() + `/first 2>&- || exit 0; exit 4"`),
		UserIdentity: &azbatch.UserIdentity{AutoUser: &azbatch.AutoUserSpecification{ElevationLevel: to.Ptr(azbatch.ElevationLevelAdmin)}},
	}
	a.addJob(j)
	a.addTask("j", task("t", "true"))
	done := a.completed("j", "t")
	var failed []string
	for _, s := range a.preparation("j") {
		if *s.JobPreparationTaskExecutionInfo.Result == azbatch.TaskExecutionResultFailure {
			failed = append(failed, *s.NodeID)
		}
	}
	if len(failed) != 1 || slices.Contains(failed,
		*done.NodeInfo.NodeID) || *done.ExecutionInfo.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("failed on %v, the task ran on %s with %s", failed, *done.NodeInfo.NodeID, *done.ExecutionInfo.Result)
	}
}

func TestJobManager(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 2))
	j := job("j", "p")
	j.JobManagerTask = &azbatch.JobManagerTask{ID: to.Ptr("manager"),
		CommandLine:                 to.Ptr(`/bin/sh -c "test -n \"$AZ_BATCH_AUTHENTICATION_TOKEN\""`),
		AuthenticationTokenSettings: &azbatch.AuthenticationTokenSettings{Access: []azbatch.AccessScope{azbatch.AccessScopeJob}}}
	a.addJob(j)
	a.addTask("j", task("long", "sleep 1000"))
	done := a.jobIn("j", azbatch.JobStateCompleted)
	if got := *done.ExecutionInfo.TerminationReason; got != "JMComplete" {
		t.Errorf("terminateReason = %q, want JMComplete", got)
	}
	if e := a.get("j", "manager").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("the manager: %+v", e)
	}
}

func TestJobSchedules(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 1)
	_, err := a.CreateJobSchedule(t.Context(), azbatch.CreateJobScheduleContent{ID: to.Ptr("s"),
		Schedule: &azbatch.JobScheduleConfiguration{RecurrenceInterval: to.Ptr("PT1M")},
		JobSpecification: &azbatch.JobSpecification{PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr("p")},
			JobManagerTask: &azbatch.JobManagerTask{ID: to.Ptr("m"), CommandLine: to.Ptr("true")}}}, nil)
	a.must("add the schedule", err)
	var jobs []azbatch.Job
	until(t, "three jobs of the schedule", func(ctx context.Context) (bool, string) {
		jobs = nil
		for pager := a.NewListJobsFromSchedulePager("s", nil); pager.More(); {
			page, err := pager.NextPage(ctx)
			a.must("list jobs", err)
			jobs = append(jobs, page.Value...)
		}
		return len(jobs) >= 3, fmt.Sprint(len(jobs))
	})
	if *jobs[0].ID != "s:job-1" || jobs[1].ExecutionInfo.StartTime.Sub(*jobs[0].ExecutionInfo.StartTime) < time.Minute-time.Second {
		t.Errorf("jobs = %s at %v, %s at %v", *jobs[0].ID, jobs[0].ExecutionInfo.StartTime, *jobs[1].ID,
			jobs[1].ExecutionInfo.StartTime)
	}
	a.completed("s:job-1", "m")
	got, err := a.GetJobSchedule(t.Context(), "s", nil)
	a.must("get the schedule", err)
	if *got.State != azbatch.JobScheduleStateActive || got.ExecutionInfo.NextRunTime == nil || got.ExecutionInfo.RecentJob == nil {
		t.Errorf("the schedule is %s with %+v", *got.State, got.ExecutionInfo)
	}
	_, err = a.TerminateJobSchedule(t.Context(), "s", nil)
	a.must("terminate", err)
	until(t, "the schedule to be completed", func(ctx context.Context) (bool, string) {
		got, err := a.GetJobSchedule(ctx, "s", nil)
		a.must("get the schedule", err)
		return *got.State == azbatch.JobScheduleStateCompleted, string(*got.State)
	})
	if _, err := a.EnableJobSchedule(t.Context(), "s", nil); code(err) != "JobScheduleCompleted" {
		t.Errorf("enable a completed schedule: %s", code(err))
	}
	_, err = a.DeleteJobSchedule(t.Context(), "s", nil)
	a.must("delete", err)
	until(t, "the schedule to be gone with its jobs", func(ctx context.Context) (bool, string) {
		_, err := a.GetJobSchedule(ctx, "s", nil)
		_, err2 := a.GetJob(ctx, "s:job-1", nil)
		return err != nil && err2 != nil && code(err) == "JobScheduleNotFound" && code(err2) == "JobNotFound", fmt.Sprint(err, err2)
	})
}

func TestAutoPool(t *testing.T) {
	t.Parallel()
	a := simulatedPool(t, 0)
	spec := pool("x", 1)
	j := azbatch.CreateJobContent{ID: to.Ptr("j"), OnAllTasksComplete: to.Ptr(azbatch.OnAllTasksCompleteTerminateJob),
		PoolInfo: &azbatch.PoolInfo{AutoPoolSpecification: &azbatch.AutoPoolSpecification{
			AutoPoolIDPrefix: to.Ptr("auto"), PoolLifetimeOption: to.Ptr(azbatch.PoolLifetimeOptionJob),
			Pool: &azbatch.PoolSpecification{VMSize: spec.VMSize,
				VirtualMachineConfiguration: spec.VirtualMachineConfiguration, TargetDedicatedNodes: to.Ptr[int32](1),
				Metadata: []azbatch.MetadataItem{{Name: to.Ptr("EMULATOR_SIMULATE"), Value: to.Ptr("task=1s")}}}}}}
	a.addJob(j)
	a.addTask("j", task("t", "true"))
	done := a.jobIn("j", azbatch.JobStateCompleted)
	id := *done.ExecutionInfo.PoolID
	if !strings.HasPrefix(id, "auto") {
		t.Errorf("the pool is %q", id)
	}
	until(t, "the pool to be gone", func(ctx context.Context) (bool, string) {
		_, err := a.GetPool(ctx, id, nil)
		return err != nil && code(err) == "PoolNotFound", fmt.Sprint(err)
	})
}

func TestDeletingAJobEndsItsTasks(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", "sleep 1000"))
	got := a.taskIn("j", "t", azbatch.TaskStateRunning)
	_, err := a.DeleteJob(t.Context(), "j", nil)
	a.must("delete", err)
	until(t, "the job to be gone", func(ctx context.Context) (bool, string) {
		_, err := a.GetJob(ctx, "j", nil)
		return err != nil && code(err) == "JobNotFound", fmt.Sprint(err)
	})
	a.nodes("p", 1, azbatch.NodeStateIdle)
	until(t, "its files to be gone", func(ctx context.Context) (bool, string) {
		_, err := a.GetNodeFileProperties(ctx, "p", *got.NodeInfo.NodeID, *got.NodeInfo.TaskRootDirectory, nil)
		return err != nil, "there"
	})
	a.addJob(job("j", "p")) // the ID is free again
}
