package emulator_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// simulatedJob has a job with so many tasks run by simulated nodes.
func simulatedJob(t *testing.T, a *account, nodes int32, tasks int) {
	t.Helper()
	a.addPool(simulated(pool("p", nodes), "task=1s"))
	a.addJob(job("j", "p"))
	for at := 0; at < tasks; at += 100 {
		var group azbatch.TaskGroup
		for i := at; i < min(at+100, tasks); i++ {
			group.Value = append(group.Value, task(fmt.Sprintf("t%06d", i), "true"))
		}
		r, err := a.CreateTaskCollection(t.Context(), "j", group, nil)
		a.must("add tasks", err)
		for _, item := range r.Value {
			if *item.Status != azbatch.TaskAddStatusSuccess {
				t.Fatalf("task %s: %s", *item.TaskID, *item.Status)
			}
		}
	}
	until(t, "all tasks to be completed", func(ctx context.Context) (bool, string) {
		r, err := a.GetJobTaskCounts(ctx, "j", nil)
		a.must("count tasks", err)
		c := r.TaskCounts
		return int(*c.Succeeded) == tasks, fmt.Sprintf("%d active, %d running, %d completed", *c.Active, *c.Running,
			*c.Completed)
	})
}

func TestManySimulatedNodes(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Speed = 20
	a := start(t, o)
	const nodes, tasks = 300, 2500
	simulatedJob(t, a, nodes, tasks)
	var listed, total int
	for pager := a.NewListTasksPager("j", &azbatch.ListTasksOptions{Filter: to.Ptr("state eq 'completed'"),
		SelectParam: []string{"id", "executionInfo"}}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		a.must("list tasks", err)
		listed += len(page.Value)
	}
	for pager := a.NewListNodesPager("p", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		a.must("list nodes", err)
		for _, n := range page.Value {
			total += int(*n.TotalTasksRun)
		}
	}
	if listed != tasks || total != tasks {
		t.Errorf("%d completed tasks are listed, and nodes ran %d; want %d", listed, total, tasks)
	}
}
