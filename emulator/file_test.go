package emulator_test

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// addPackage adds a package with a file data/tool.txt.
func (a *account) addPackage(id, version string) {
	a.t.Helper()
	var pack bytes.Buffer
	z := zip.NewWriter(&pack)
	w, err := z.Create("data/tool.txt")
	a.must("make a package", err)
	w.Write([]byte("tool\n"))
	a.must("make a package", z.Close())
	a.must("add a package", a.AddPackage(a.t.Context(), id, version, true, &pack))
}

func TestResourceFilesAndPackages(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("echo ran $1\n"))
	}))
	t.Cleanup(web.Close)
	a := start(t, quick())
	a.addPackage("tool", "1.2")
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))

	good := task("good", `/bin/sh -c "sh in/script.sh well; cat $AZ_BATCH_APP_PACKAGE_tool/data/tool.txt"`)
	good.ResourceFiles = []azbatch.ResourceFile{{HTTPURL: to.Ptr(web.URL + "/script"), FilePath: to.Ptr("in/script.sh"),
		FileMode: to.Ptr("0755")}}
	good.ApplicationPackageReferences = []azbatch.ApplicationPackageReference{{ApplicationID: to.Ptr("tool")}}
	a.addTask("j", good)
	if e := a.completed("j", "good").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Errorf("the task failed: %+v", e.FailureInfo)
	}
	if got, want := a.file("j", "good", "stdout.txt"), "ran well\ntool\n"; got != want {
		t.Errorf("stdout.txt = %q, want %q", got, want)
	}

	missing := task("missing", "true")
	missing.ResourceFiles = []azbatch.ResourceFile{{HTTPURL: to.Ptr(web.URL + "/missing"), FilePath: to.Ptr("x")}}
	missing.Constraints = &azbatch.TaskConstraints{MaxTaskRetryCount: to.Ptr[int32](3)}
	a.addTask("j", missing)
	if e := a.completed("j", "missing").ExecutionInfo; *e.FailureInfo.Code != "BlobNotFound" || *e.RetryCount != 0 {
		t.Errorf("a file that is not there: %s after %d retries, want BlobNotFound after none", *e.FailureInfo.Code,
			*e.RetryCount)
	}
	for i, path := range []string{"../../../escaped", "/etc/escaped", "in/../../../../escaped"} {
		id := "hostile" + string(rune('0'+i))
		hostile := task(id, "true")
		hostile.ResourceFiles = []azbatch.ResourceFile{{HTTPURL: to.Ptr(web.URL + "/script"), FilePath: to.Ptr(path)}}
		a.addTask("j", hostile)
		done := a.completed("j", id)
		if *done.ExecutionInfo.Result != azbatch.TaskExecutionResultFailure {
			t.Errorf("%s: the task succeeded", path)
		}
		for pager := a.NewListNodeFilesPager("p", *done.NodeInfo.NodeID,
			&azbatch.ListNodeFilesOptions{Recursive: to.Ptr(true)}); pager.More(); {
			page, err := pager.NextPage(t.Context())
			a.must("list files", err)
			for _, f := range page.Value {
				if strings.HasSuffix(*f.Name, "escaped") {
					t.Errorf("%s: there is %s", path, *f.Name)
				}
			}
		}
	}
	if _, err := os.Stat("/etc/escaped"); err == nil {
		t.Error("there is /etc/escaped")
	}
}

func TestSubtasksOnNetworksOfTheirOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("networks of their own need root")
	}
	t.Parallel()
	o := quick()
	o.Isolate = true
	o.MountPoint = openDir(t)
	a := start(t, o)
	p := pool("p", 2)
	p.EnableInterNodeCommunication = to.Ptr(true)
	a.addPool(p)
	a.addJob(job("j", "p"))
	mi := task("mi", `/bin/sh -c "echo $AZ_BATCH_HOST_LIST $AZ_BATCH_NODE_ROOT_DIR"`)
	mi.MultiInstanceSettings = &azbatch.MultiInstanceSettings{NumberOfInstances: to.Ptr[int32](2),
		CoordinationCommandLine: to.Ptr("true")}
	a.addTask("j", mi)
	if e := a.completed("j", "mi").ExecutionInfo; *e.Result != azbatch.TaskExecutionResultSuccess {
		t.Fatalf("the task failed: %+v", e.FailureInfo)
	}
	out := strings.Fields(a.file("j", "mi", "stdout.txt"))
	addresses := map[string]bool{}
	for _, n := range a.nodes("p", 2, azbatch.NodeStateIdle) {
		addresses[*n.IPAddress] = true
	}
	if len(out) != 2 || out[1] != o.MountPoint || len(addresses) != 2 {
		t.Fatalf("it printed %q; the nodes have the addresses %v", out, addresses)
	}
	for _, host := range strings.Split(out[0], ",") {
		if !addresses[host] || strings.HasPrefix(host, "127.") {
			t.Errorf("host %s is none of the nodes' own networks %v", host, addresses)
		}
	}
}
