package emulator_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/emulator/internal/apicheck"
)

var update = flag.Bool("update", false, "write the table of operations in docs/emulator.md anew")

var page = filepath.Join("..", "docs", "emulator.md")

// TestEveryOperation calls each operation of the API's description once so that it succeeds, and compares what happened with
// the table in docs/emulator.md.
func TestEveryOperation(t *testing.T) {
	check, err := apicheck.New()
	if err != nil {
		t.Fatal(err)
	}
	o := quick()
	o.PreemptedTime = -1
	a := start(t, o)
	a.http = a.HTTPClient()
	a.http.Transport = check.RoundTripper(a.http.Transport, func(err error) { t.Errorf("the API's description: %v", err) })
	a.everyOperation()

	var table bytes.Buffer
	fmt.Fprint(&table, "| Operation | Request | Done | Answer |\n| --- | --- | --- | --- |\n")
	for _, op := range check.Coverage() {
		i := slices.IndexFunc(op.Statuses, func(s int) bool { return s < 300 })
		done, status := "yes", ""
		if i < 0 {
			done = "no"
		} else {
			status = fmt.Sprint(op.Statuses[i])
		}
		fmt.Fprintf(&table, "| %s | `%s %s` | %s | %s |\n", op.Operation, op.Method, op.Path, done, status)
	}
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- operations: go test ./emulator -run TestEveryOperation -update -->\n\n", "\n<!-- end of operations -->"
	before, rest, ok := bytes.Cut(doc, []byte(begin))
	old, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of operations", page)
	}
	if bytes.Equal(old, table.Bytes()) {
		return
	}
	if !*update {
		t.Fatalf("the table of operations in %s is not what happened; with -update it is written. Want:\n%s", page, table.Bytes())
	}
	if err := os.WriteFile(page, slices.Concat(before, []byte(begin), table.Bytes(), []byte(end), after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ok sends a request that succeeds.
func (a *account) ok(method, path, body string, change ...func(*http.Request)) *answer {
	a.t.Helper()
	got := a.send(method, path, body, change...)
	if got.status >= 300 {
		a.t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	return got
}

func (a *account) everyOperation() {
	t := a.t

	// The account.
	if err := a.AddPackage(t.Context(), "app", "1", true, emptyZip()); err != nil {
		t.Fatal(err)
	}
	a.ok("GET", "/applications", "")
	a.ok("GET", "/applications/app", "")
	a.ok("GET", "/supportedimages", "")
	a.ok("GET", "/nodecounts", "")
	a.ok("GET", "/poolusagemetrics", "")

	// A pool whose nodes are real, and a task on it.
	const thumbprint = "5ba93c9db0cff93f52b521d7420e43f6eda2784f" // of a byte 0
	cert := "/certificates(thumbprintAlgorithm=sha1,thumbprint=" + thumbprint + ")"
	certificate := `{"thumbprintAlgorithm":"sha1","thumbprint":"` + thumbprint + `","data":"AA==","certificateFormat":"cer"}`
	real := set(onePool, "targetDedicatedNodes", "1")
	real = set(real, "virtualMachineConfiguration", `{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},
		"nodeAgentSKUId":"batch.node.ubuntu 24.04","extensions":[{"name":"ext","publisher":"x","type":"y"}]}`)
	a.ok("POST", "/certificates", certificate)
	a.ok("GET", "/certificates", "")
	a.ok("GET", cert, "")
	a.ok("POST", "/pools", set(real, "certificateReferences", `[{"thumbprintAlgorithm":"sha1","thumbprint":"`+thumbprint+`"}]`))
	a.ok("DELETE", cert, "") // fails later, since the pool uses it
	until(t, "the deletion of the certificate to fail", a.state(cert, "deletefailed"))
	a.ok("POST", cert+"/canceldelete", "")
	a.ok("HEAD", "/pools/p", "")
	a.ok("GET", "/pools/p", "")
	a.ok("GET", "/pools", "")
	a.ok("POST", "/jobs", set(oneJob, "jobPreparationTask", `{"commandLine":"true"}`))
	a.ok("POST", "/jobs/j/tasks", oneTask)
	a.completed("j", "t")
	a.ok("GET", "/jobs/j/tasks/t", "")
	a.ok("GET", "/jobs/j/tasks", "")
	a.ok("GET", "/jobs/j/tasks/t/subtasksinfo", "")
	a.ok("GET", "/jobs/j/tasks/t/files", "")
	a.ok("GET", "/jobs/j/tasks/t/files/stdout.txt", "")
	a.ok("HEAD", "/jobs/j/tasks/t/files/stdout.txt", "")
	a.ok("DELETE", "/jobs/j/tasks/t/files/stdout.txt", "")
	a.ok("GET", "/jobs/j/jobpreparationandreleasetaskstatus", "")
	a.ok("GET", "/jobs/j/taskcounts", "")

	// What is done with a node.
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	at := "/pools/p/nodes/" + node
	stderr := at + "/files/workitems/j/job-1/t/stderr.txt"
	a.ok("GET", at, "")
	a.ok("GET", at+"/files", "")
	a.ok("GET", stderr, "")
	a.ok("HEAD", stderr, "")
	a.ok("DELETE", stderr, "")
	a.ok("GET", at+"/extensions", "")
	a.ok("GET", at+"/extensions/ext", "")
	a.ok("GET", at+"/remoteloginsettings", "")
	a.ok("POST", at+"/uploadbatchservicelogs", `{"containerUrl":"http://127.0.0.1/logs","startTime":"2024-01-01T00:00:00Z"}`)
	a.ok("POST", at+"/users", `{"name":"u","password":"P4ssword!"}`)
	a.ok("PUT", at+"/users/u", `{"password":"P5ssword!"}`)
	a.ok("DELETE", at+"/users/u", "")
	a.ok("POST", at+"/disablescheduling", "")
	a.ok("POST", at+"/enablescheduling", "")
	a.ok("POST", at+"/reboot", "")
	a.nodes("p", 1, azbatch.NodeStateIdle)
	a.ok("POST", at+"/reimage", "")
	a.nodes("p", 1, azbatch.NodeStateIdle)
	a.ok("POST", at+"/deallocate", "")
	until(t, "the node to be deallocated", a.state(at, "deallocated"))
	a.ok("POST", at+"/start", "")
	a.nodes("p", 1, azbatch.NodeStateIdle)
	a.ok("GET", "/pools/p/nodes", "")

	// What is done with a job and its tasks, while nothing runs.
	a.ok("POST", "/pools", set(onePool, "id", `"empty"`))
	a.ok("POST", "/jobs", `{"id":"k","poolInfo":{"poolId":"empty"}}`)
	a.ok("POST", "/jobs/k/addtaskcollection", `{"value":[`+oneTask+`]}`)
	a.ok("PUT", "/jobs/k/tasks/t", `{"constraints":{"maxTaskRetryCount":1}}`)
	a.ok("POST", "/jobs/k/tasks/t/terminate", "")
	a.ok("POST", "/jobs/k/tasks/t/reactivate", "")
	a.ok("DELETE", "/jobs/k/tasks/t", "")
	a.ok("PATCH", "/jobs/k", `{"priority":5}`)
	a.ok("PUT", "/jobs/k", `{"poolInfo":{"poolId":"empty"}}`)
	a.ok("POST", "/jobs/k/disable", `{"disableTasks":"requeue"}`)
	a.ok("POST", "/jobs/k/enable", "")
	a.ok("GET", "/jobs/k", "")
	a.ok("GET", "/jobs", "")
	a.ok("POST", "/jobs/k/terminate", "")
	a.ok("DELETE", "/jobs/k", "")

	// Job schedules.
	a.ok("POST", "/jobschedules", `{"id":"s","schedule":{"recurrenceInterval":"PT1H"},"jobSpecification":{"poolInfo":{"poolId":"empty"}}}`)
	a.ok("HEAD", "/jobschedules/s", "")
	a.ok("GET", "/jobschedules/s", "")
	a.ok("GET", "/jobschedules", "")
	a.ok("GET", "/jobschedules/s/jobs", "")
	a.ok("PATCH", "/jobschedules/s", `{"metadata":[]}`)
	a.ok("PUT", "/jobschedules/s", `{"schedule":{"recurrenceInterval":"PT2H"},"jobSpecification":{"poolInfo":{"poolId":"empty"}}}`)
	a.ok("POST", "/jobschedules/s/disable", "")
	a.ok("POST", "/jobschedules/s/enable", "")
	a.ok("POST", "/jobschedules/s/terminate", "")
	a.ok("DELETE", "/jobschedules/s", "")

	// What is done with a pool.
	a.ok("PATCH", "/pools/empty", `{"metadata":[]}`)
	a.ok("POST", "/pools/empty/updateproperties", `{"certificateReferences":[],"applicationPackageReferences":[],"metadata":[]}`)
	a.ok("POST", "/pools/empty/enableautoscale", `{"autoScaleFormula":"$TargetDedicatedNodes=0"}`)
	a.ok("POST", "/pools/empty/evaluateautoscale", `{"autoScaleFormula":"$TargetDedicatedNodes=0"}`)
	a.ok("POST", "/pools/empty/disableautoscale", "")
	if err := a.SetCapacity(t.Context(), "empty", emulator.Capacity{}); err != nil {
		t.Fatal(err)
	}
	a.steady("empty")
	a.ok("POST", "/pools/empty/resize", `{"targetDedicatedNodes":1}`) // which cannot be had
	a.ok("POST", "/pools/empty/stopresize", "")
	a.ok("POST", "/pools/p/removenodes", `{"nodeList":["`+node+`"]}`)
	a.ok("DELETE", "/pools/p", "")
}

// state is a condition: that an entity is in a state.
func (a *account) state(path, want string) func(context.Context) (bool, string) {
	return func(context.Context) (bool, string) {
		var v struct{ State string }
		got := a.send("GET", path, "")
		if err := json.Unmarshal(got.body, &v); err != nil {
			return false, err.Error()
		}
		return v.State == want, string(got.body)
	}
}

func emptyZip() *bytes.Buffer {
	var b bytes.Buffer
	if err := zip.NewWriter(&b).Close(); err != nil {
		panic(err)
	}
	return &b
}

var names = regexp.MustCompile("`([A-Za-z]+)`")

// TestFieldsOfTheDocumentation compares the tables of properties in docs/emulator.md, one for each definition that has a
// heading, with the description: none is missing and none is too many.
func TestFieldsOfTheDocumentation(t *testing.T) {
	check, err := checker()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	definition := ""
	for line := range strings.Lines(string(doc)) {
		if heading, ok := strings.CutPrefix(line, "#### "); ok {
			definition = strings.TrimSpace(heading)
			tables[definition] = nil
		} else if strings.HasPrefix(line, "#") {
			definition = ""
		} else if cells := strings.Split(line, "|"); definition != "" && len(cells) == 5 && !strings.Contains(cells[2], "---") {
			state := strings.TrimSpace(cells[2])
			found := names.FindAllStringSubmatch(cells[1], -1)
			if len(found) > 0 && !slices.Contains([]string{"works", "partly", "kept"}, state) {
				t.Errorf("%s: %s: %q is no state of a property", definition, cells[1], state)
			}
			for _, name := range found {
				tables[definition] = append(tables[definition], name[1])
			}
		}
	}
	for _, want := range []string{"PoolAddParameter", "VirtualMachineConfiguration", "NetworkConfiguration", "StartTask", "JobAddParameter", "JobManagerTask",
		"JobPreparationTask", "JobReleaseTask", "AutoPoolSpecification", "JobScheduleAddParameter", "Schedule", "TaskAddParameter", "TaskConstraints", "ExitConditions",
		"TaskContainerSettings", "MultiInstanceSettings", "ResourceFile", "OutputFile", "ComputeNodeUser"} {
		if _, ok := tables[want]; !ok {
			t.Errorf("there is no table of the properties of %s", want)
		}
	}
	for definition, got := range tables {
		slices.Sort(got)
		if want := check.Properties(definition); !slices.Equal(got, want) {
			t.Errorf("%s: the table has the properties %q, the description %q", definition, got, want)
		}
	}
}
