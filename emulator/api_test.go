package emulator_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

func TestTasksInACollectionFailByThemselves(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addJob(job("j", "p"))
	a.addTask("j", task("there", "true"))
	r, err := a.CreateTaskCollection(t.Context(), "j", azbatch.TaskGroup{Value: []azbatch.CreateTaskContent{task("new",
		"true"), task("there", "true"), task("b/d", "true"), task("too", "true")}}, nil)
	a.must("add tasks", err)
	var got []string
	for _, item := range r.Value {
		s := *item.TaskID + " " + string(*item.Status)
		if item.Error != nil {
			s += " " + *item.Error.Code
		}
		got = append(got, s)
	}
	want := []string{"new success", "there clienterror TaskExists", "b/d clienterror InvalidPropertyValue", "too success"}
	if !slices.Equal(got, want) {
		t.Errorf("the items are %q, want %q", got, want)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(simulated(pool("p", 1), "task=10h"))
	a.addJob(job("j", "p"))
	for i := range 25 {
		a.addTask("j", task(fmt.Sprintf("t%02d", i), "true"))
	}
	a.taskIn("j", "t00", azbatch.TaskStateRunning)
	ids := func(o *azbatch.ListTasksOptions) (all []string) {
		for pager := a.NewListTasksPager("j", o); pager.More(); {
			page, err := pager.NextPage(t.Context())
			a.must("list", err)
			if o.MaxResults != nil && len(page.Value) > int(*o.MaxResults) {
				t.Errorf("a page has %d tasks", len(page.Value))
			}
			for _, v := range page.Value {
				all = append(all, *v.ID)
				if (v.CommandLine == nil) != (o.SelectParam != nil) {
					t.Errorf("task %s has the command line %v with the selection %v", *v.ID, v.CommandLine, o.SelectParam)
				}
			}
		}
		return all
	}
	if got := ids(&azbatch.ListTasksOptions{MaxResults: to.Ptr[int32](7),
		SelectParam: []string{"id", "state"}}); len(got) != 25 || !slices.IsSorted(got) {
		t.Errorf("pages of 7 give %q", got)
	}
	if got := ids(&azbatch.ListTasksOptions{Filter: to.Ptr("state ne 'active' or startswith(id, 't2')")}); len(got) != 6 {
		t.Errorf("the filter gives %q", got)
	}
	if got := ids(&azbatch.ListTasksOptions{Filter: to.Ptr("state eq 'running' and executionInfo/startTime gt datetime'2020-01-01T00:00:00Z'")}); !slices.Equal(got, []string{"t00"}) {
		t.Errorf("the filter gives %q", got)
	}
	// Changes after a moment, as a client follows them.
	from := *a.get("j", "t00").StateTransitionTime
	if got := ids(&azbatch.ListTasksOptions{Filter: to.Ptr("stateTransitionTime gt DateTime'" + from.Format(time.RFC3339Nano) + "'")}); slices.Contains(got, "t00") {
		t.Errorf("after its transition t00 is listed: %q", got)
	}
	expanded, err := a.GetJob(t.Context(), "j", &azbatch.GetJobOptions{Expand: []string{"stats"},
		SelectParam: []string{"id", "stats"}})
	a.must("get with stats", err)
	if expanded.Stats == nil || expanded.State != nil {
		t.Errorf("the expanded job: %+v", expanded.Job)
	}
	for pager := a.NewListSupportedImagesPager(&azbatch.ListSupportedImagesOptions{Filter: to.Ptr("osType eq 'linux' and nodeAgentSKUId eq 'batch.node.ubuntu 24.04'")}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		a.must("list images", err)
		if len(page.Value) != 2 {
			t.Errorf("%d images of Ubuntu 24.04", len(page.Value))
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addJob(job("j", "p"))
	first, err := a.GetJob(t.Context(), "j", nil)
	a.must("get", err)
	patch := func(o *azbatch.UpdateJobOptions) error {
		_, err := a.UpdateJob(t.Context(), "j", azbatch.UpdateJobContent{Priority: to.Ptr[int32](1)}, o)
		return err
	}
	a.must("patch the known one", patch(&azbatch.UpdateJobOptions{IfMatch: first.ETag}))
	if err := patch(&azbatch.UpdateJobOptions{IfMatch: first.ETag}); code(err) != "ConditionNotMet" {
		t.Errorf("patch by an old tag: %s", code(err))
	}
	second, err := a.GetJob(t.Context(), "j", nil)
	a.must("get", err)
	if *second.ETag == *first.ETag {
		t.Errorf("the tag is %s before and after the change", *first.ETag)
	}
	_, err = a.GetJob(t.Context(), "j", &azbatch.GetJobOptions{IfNoneMatch: second.ETag})
	var e *azcore.ResponseError
	if !asResponse(err, &e) || e.StatusCode != http.StatusNotModified {
		t.Errorf("get what is known: %v, want 304", err)
	}
	exists, err := a.PoolExists(t.Context(), "none", nil)
	if err != nil || exists.ETag != nil {
		t.Errorf("a pool that is not there: %+v, %v", exists, err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("t",
		`/bin/sh -c "echo 0123456789; mkdir -p sub/dir; echo x > 'sub/dir/a file'; ln -s /etc/passwd link; ln -s / top"`))
	a.completed("j", "t")
	var names []string
	for pager := a.NewListTaskFilesPager("j", "t", &azbatch.ListTaskFilesOptions{Recursive: to.Ptr(true),
		Filter: to.Ptr("startswith(name, 'wd/s')"), MaxResults: to.Ptr[int32](2)}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		a.must("list files", err)
		for _, f := range page.Value {
			names = append(names, *f.Name)
		}
	}
	if want := []string{"wd/sub", "wd/sub/dir", "wd/sub/dir/a file"}; !slices.Equal(names, want) {
		t.Errorf("files = %q, want %q", names, want)
	}
	if got := a.file("j", "t", "wd/sub/dir/a file"); got != "x\n" {
		t.Errorf("a file in a directory = %q", got)
	}
	for _, c := range []struct {
		header, want string
		code         string
	}{{"bytes=2-4", "234", ""}, {"bytes=8-", "89\n", ""}, {"bytes=5-500", "56789\n", ""}, {"bytes=50-60", "",
		"InvalidRange"}, {"bits=1-2", "", "InvalidHeaderValue"}} {
		r, err := a.GetTaskFile(t.Context(), "j", "t", "stdout.txt", &azbatch.GetTaskFileOptions{OCPRange: to.Ptr(c.header)})
		if c.code != "" {
			if code(err) != c.code {
				t.Errorf("%s: %s, want %s", c.header, code(err), c.code)
			}
			continue
		}
		a.must(c.header, err)
		var b bytes.Buffer
		b.ReadFrom(r.Body)
		r.Body.Close()
		if b.String() != c.want {
			t.Errorf("%s = %q, want %q", c.header, b.String(), c.want)
		}
	}
	p, err := a.GetTaskFileProperties(t.Context(), "j", "t", "stdout.txt", nil)
	a.must("properties", err)
	if *p.ContentLength != 11 || p.LastModified == nil || *p.OCPBatchFileIsDirectory {
		t.Errorf("properties = %+v", p)
	}
	for _, hostile := range []string{"../../../../secret", "wd/link", "wd/top/etc/passwd", "/etc/passwd",
		"wd/../../t/../../../x"} {
		if _, err := a.GetTaskFile(t.Context(), "j", "t", hostile, nil); err == nil {
			t.Errorf("%s could be read", hostile)
		}
	}
	if _, err := a.DeleteTaskFile(t.Context(), "j", "t", "wd/sub", nil); err == nil {
		t.Error("a directory that is not empty was deleted")
	}
	_, err = a.DeleteTaskFile(t.Context(), "j", "t", "wd/sub", &azbatch.DeleteTaskFileOptions{Recursive: to.Ptr(true)})
	a.must("delete a directory", err)
	if _, err := a.GetTaskFile(t.Context(), "j", "t", "wd/sub/dir/a file", nil); code(err) != "FileNotFound" {
		t.Errorf("read what is deleted: %s", code(err))
	}
	// The files of a node that is gone are gone.
	_, err = a.RemoveNodes(t.Context(), "p", azbatch.RemoveNodeContent{NodeList: []string{*a.get("j",
		"t").NodeInfo.NodeID}}, nil)
	a.must("remove the node", err)
	until(t, "the files to be unavailable", func(ctx context.Context) (bool, string) {
		_, err := a.GetTaskFile(ctx, "j", "t", "stdout.txt", nil)
		return err != nil && code(err) == "TaskFilesUnavailable", fmt.Sprint(err)
	})
}

func TestFaultsOnRequest(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	undo, err := a.Fail(`{"operation":"Job_Get","code":"ServerBusy","retryAfter":1,"count":1}`)
	a.must("ask for a fault", err)
	defer undo()
	a.addJob(job("j", "p"))
	_, err = a.GetJob(t.Context(), "j", nil)
	var e *azcore.ResponseError
	if !asResponse(err, &e) || e.StatusCode != 503 || e.RawResponse.Header.Get("Retry-After") != "1" {
		t.Errorf("the first request: %v, want 503 with Retry-After", err)
	}
	_, err = a.GetJob(t.Context(), "j", nil)
	a.must("the second request", err)
}
