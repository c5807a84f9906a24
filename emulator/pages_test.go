package emulator_test

import (
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// TestPagesWhileTasksComeAndGo follows the links of a list that changes between two pages.
func TestPagesWhileTasksComeAndGo(t *testing.T) {
	a := start(t, quick())
	a.addPool(pool("p", 0))
	a.addJob(job("j", "p"))
	var tasks []azbatch.CreateTaskContent
	for n := range 100 {
		tasks = append(tasks, task(fmt.Sprintf("t%02d", n), "true"))
	}
	_, err := a.CreateTaskCollection(t.Context(), "j", azbatch.TaskGroup{Value: tasks}, nil)
	a.must("add tasks", err)
	pager := a.NewListTasksPager("j", &azbatch.ListTasksOptions{MaxResults: to.Ptr(int32(30)), Filter: to.Ptr("state eq 'active'")})
	var ids []string
	for pages := 0; pager.More(); pages++ {
		page, err := pager.NextPage(t.Context())
		a.must("get a page", err)
		for _, v := range page.Value {
			ids = append(ids, *v.ID)
		}
		if pages == 0 { // one that was listed and one that was not go, and one that would stand before comes
			for _, id := range []string{ids[3], "t50"} {
				_, err := a.DeleteTask(t.Context(), "j", id, nil)
				a.must("delete a task", err)
			}
			a.addTask("j", task("t000", "true"))
		}
	}
	seen := map[string]int{}
	for _, id := range ids {
		seen[id]++
		if seen[id] > 1 {
			t.Errorf("%s is listed %d times", id, seen[id])
		}
	}
	if len(ids) != 99 || seen["t50"] != 0 {
		t.Errorf("%d tasks are listed, want 99", len(ids))
	}
}
