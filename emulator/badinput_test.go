package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

// latest is the api-version of requests that name none.
const latest = "2024-07-01.20.0"

// An answer is what is looked at of a response.
type answer struct {
	status int
	header http.Header
	body   []byte

	Code    string
	Message struct{ Lang, Value string }
	Values  []struct{ Key, Value string }
}

// detail is a detail of an error, or all of them when there is none of this name.
func (a *answer) detail(key string) string {
	for _, v := range a.Values {
		if v.Key == key {
			return v.Value
		}
	}
	return fmt.Sprint(a.Values)
}

// send sends a request that it signs last; change may change it before.
func (a *account) send(method, path, body string, change ...func(*http.Request)) *answer {
	a.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.URL()+path, content)
	a.must("make a request", err)
	if !strings.Contains(path, "api-version") {
		q := r.URL.Query()
		q.Set("api-version", latest)
		r.URL.RawQuery = q.Encode()
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json; odata=minimalmetadata")
	}
	for _, f := range change {
		f(r)
	}
	if r.Header.Get("Authorization") == "" {
		a.Sign(r)
	}
	return a.do(r)
}

func (a *account) do(r *http.Request) *answer {
	a.t.Helper()
	resp, err := a.http.Do(r)
	a.must("send a request", err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	a.must("read an answer", err)
	got := &answer{status: resp.StatusCode, header: resp.Header, body: b}
	if resp.StatusCode >= 400 && r.Method != http.MethodHead {
		if err := json.Unmarshal(b, got); err != nil {
			a.t.Fatalf("%s %s: %s: %v in %s", r.Method, r.URL, resp.Status, err, b)
		}
	}
	return got
}

// with sets a header.
func with(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

// bad is a request and what the service answers to it.
type bad struct {
	name, method, path, body string
	change                   func(*http.Request)
	status                   int
	code                     string
	key, value               string // a detail of the error: its name and what it contains
}

// refuse sends requests and compares.
func (a *account) refuse(cases ...bad) {
	t := a.t
	t.Helper()
	for _, c := range cases {
		var change []func(*http.Request)
		if c.change != nil {
			change = append(change, c.change)
		}
		got := a.send(c.method, c.path, c.body, change...)
		name := c.name
		if name == "" {
			name = fmt.Sprintf("%s %s %.100s", c.method, c.path, c.body)
		}
		if got.status != c.status || got.Code != c.code {
			t.Errorf("%s: got %d %s %v, want %d %s", name, got.status, got.Code, got.Values, c.status, c.code)
			continue
		}
		if c.key != "" && !strings.Contains(got.detail(c.key), c.value) {
			t.Errorf("%s: got %s %q, want %q", name, c.key, got.detail(c.key), c.value)
		}
		if c.method == http.MethodHead || c.status < 400 {
			continue
		}
		id := got.header.Get("request-id")
		if got.Message.Lang != "en-US" || id == "" || !strings.Contains(got.Message.Value, "\nRequestId:"+id+"\nTime:") {
			t.Errorf("%s: the message is %q %q, and the request %q", name, got.Message.Lang, got.Message.Value, id)
		}
		if strings.Contains(string(got.body), a.Key()) || strings.Contains(string(got.body), "/clusterless-emulator-") {
			t.Errorf("%s: the answer tells what is the emulator's own: %s", name, got.body)
		}
	}
}

const (
	onePool = `{"id":"p","vmSize":"standard_d2s_v3","targetDedicatedNodes":0,"virtualMachineConfiguration":{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},"nodeAgentSKUId":"batch.node.ubuntu 24.04"}}`
	oneJob  = `{"id":"j","poolInfo":{"poolId":"p"}}`
	oneTask = `{"id":"t","commandLine":"true"}`
)

// set returns an object with one property set to a JSON value; an empty one removes it.
func set(object, name, value string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	delete(m, name)
	if value != "" {
		m[name] = json.RawMessage(value)
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// ready is an account with a pool p without nodes, a job j and a task t that waits.
func ready(t *testing.T) *account {
	a := start(t, quick())
	for _, c := range []struct{ path, body string }{{"/pools", onePool}, {"/jobs", oneJob}, {"/jobs/j/tasks", oneTask}} {
		if got := a.send("POST", c.path, c.body); got.status != 201 {
			t.Fatalf("POST %s: %d %s", c.path, got.status, got.body)
		}
	}
	return a
}

func TestBadBodies(t *testing.T) {
	a := ready(t)
	syntax := func(body string) bad {
		return bad{method: "POST", path: "/jobs", body: body, status: 400, code: "InvalidRequestBody"}
	}
	a.refuse(
		syntax("{"), syntax("[]"), syntax("null x"), syntax(`"a string"`), syntax("\x00"), syntax(oneJob+oneJob), syntax(`{"id":"a",}`),
		syntax(`{'id':'a'}`), syntax("<job/>"), syntax(strings.Repeat("[", 100_000)), syntax(strings.Repeat(`{"poolInfo":`, 20_000)),
		bad{method: "POST", path: "/jobs", status: 400, code: "InvalidRequestBody"},
		bad{method: "POST", path: "/pools/p/resize", status: 400, code: "InvalidRequestBody"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "nothing", "1"), status: 400, code: "InvalidRequestBody", key: "Reason", value: "'nothing'"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "poolInfo", `{"poolId":"p","pool":"p"}`), status: 400, code: "InvalidRequestBody", key: "Reason", value: "'pool'"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "id", "5"), status: 400, code: "InvalidRequestBody", key: "Reason", value: "id"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "priority", `"high"`), status: 400, code: "InvalidRequestBody", key: "Reason", value: "priority"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "priority", "99999999999"), status: 400, code: "InvalidRequestBody", key: "Reason", value: "priority"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "priority", "0.5"), status: 400, code: "InvalidRequestBody", key: "Reason", value: "priority"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "constraints", `{"maxWallClockTime":"5 minutes"}`), status: 400, code: "InvalidRequestBody", key: "Reason", value: "5 minutes"},
		bad{method: "PATCH", path: "/jobs/j", body: `{"poolInfo":5}`, status: 400, code: "InvalidRequestBody"},
		bad{method: "PUT", path: "/jobs/j/tasks/t", body: `{"constraints":[]}`, status: 400, code: "InvalidRequestBody"},
	)
	for _, c := range []struct{ path, whole, property string }{
		{"/pools", onePool, "id"}, {"/pools", onePool, "vmSize"}, {"/jobs", oneJob, "id"}, {"/jobs", oneJob, "poolInfo"},
		{"/jobs/j/tasks", oneTask, "id"}, {"/jobs/j/tasks", oneTask, "commandLine"},
		{"/jobschedules", `{"id":"s","schedule":{"recurrenceInterval":"PT1H"},"jobSpecification":{"poolInfo":{"poolId":"p"}}}`, "schedule"},
		{"/jobschedules", `{"id":"s","schedule":{"recurrenceInterval":"PT1H"},"jobSpecification":{"poolInfo":{"poolId":"p"}}}`, "jobSpecification"},
	} {
		for _, missing := range []string{"", "null"} {
			a.refuse(bad{method: "POST", path: c.path, body: set(c.whole, c.property, missing), status: 400, code: "MissingRequiredProperty", key: "PropertyName", value: c.property})
		}
	}
}

func TestBadValues(t *testing.T) {
	a := ready(t)
	value := func(path, object, property, value string) bad {
		body := set(set(object, "id", `"new"`), property, value)
		return bad{name: path + " " + property + " " + fmt.Sprintf("%.60s", value), method: "POST", path: path, body: body, status: 400, code: "InvalidPropertyValue", key: "PropertyName", value: property}
	}
	long := `"` + strings.Repeat("x", 65) + `"`
	for _, id := range []string{`"a b"`, `"a/b"`, `"a.b"`, `"ä"`, `"a\u0000"`, `"../x"`, long} {
		a.refuse(value("/pools", onePool, "id", id), value("/jobs", oneJob, "id", id), value("/jobs/j/tasks", oneTask, "id", id),
			value("/jobschedules", `{"id":"s","schedule":{},"jobSpecification":{"poolInfo":{"poolId":"p"}}}`, "id", id))
	}
	a.refuse(
		value("/pools", onePool, "targetDedicatedNodes", "-1"),
		value("/pools", onePool, "targetLowPriorityNodes", "-1"),
		value("/pools", onePool, "taskSlotsPerNode", "0"),
		value("/pools", onePool, "taskSlotsPerNode", "9"), // four for each of two cores
		value("/pools", onePool, "taskSlotsPerNode", "257"),
		value("/pools", onePool, "resizeTimeout", `"PT4M59S"`),
		value("/pools", onePool, "virtualMachineConfiguration", `{"imageReference":{"publisher":"p","offer":"o","sku":"s"},"nodeAgentSKUId":"batch.node.ubuntu 24.04"}`),
		value("/pools", onePool, "virtualMachineConfiguration", `{"imageReference":{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server"},"nodeAgentSKUId":"batch.node.ubuntu 8"}`),
		value("/pools", onePool, "taskSchedulingPolicy", `{"nodeFillType":"heap"}`),
		value("/pools", onePool, "startTask", `{"commandLine":"true","maxTaskRetryCount":-2}`),
		value("/pools", onePool, "startTask", `{"commandLine":"true","resourceFiles":[{"filePath":"x"}]}`),
		value("/pools", onePool, "startTask", `{"commandLine":"true","userIdentity":{"username":"nobody"}}`),
		value("/jobs", oneJob, "priority", "1001"),
		value("/jobs", oneJob, "priority", "-1001"),
		value("/jobs", oneJob, "maxParallelTasks", "0"),
		value("/jobs", oneJob, "onAllTasksComplete", `"party"`),
		value("/jobs", oneJob, "constraints", `{"maxTaskRetryCount":-2}`),
		value("/jobs", oneJob, "poolInfo", `{}`),
		value("/jobs", oneJob, "poolInfo", `{"poolId":"p","autoPoolSpecification":{"poolLifetimeOption":"job","pool":{"vmSize":"standard_d2s_v3"}}}`),
		value("/jobs/j/tasks", oneTask, "constraints", `{"maxTaskRetryCount":-2}`),
		value("/jobs/j/tasks", oneTask, "requiredSlots", "0"),
		value("/jobs/j/tasks", oneTask, "resourceFiles", `[{"httpUrl":"http://127.0.0.1/x","filePath":"x","storageContainerUrl":"http://127.0.0.1/c"}]`),
		value("/jobs/j/tasks", oneTask, "userIdentity", `{"username":"x","autoUser":{}}`),
		value("/jobs/j/tasks", oneTask, "multiInstanceSettings", `{"numberOfInstances":0,"coordinationCommandLine":"true"}`),
		value("/jobs/j/tasks", oneTask, "environmentSettings", `[{"name":"a=b","value":"x"}]`),
		bad{method: "POST", path: "/jobs/j/tasks", body: `{"id":"new","commandLine":"true","dependsOn":{"taskIds":["a"]}}`, status: 400, code: "TaskDependenciesNotSpecifiedOnJob"},
		bad{method: "POST", path: "/jobs/j/tasks", body: set(oneTask, "commandLine", `" "`), status: 400, code: "MissingRequiredProperty", key: "PropertyName", value: "commandLine"},
		bad{method: "POST", path: "/pools/p/enableautoscale", body: `{"autoScaleFormula":"$TargetDedicatedNodes=;"}`, status: 400, code: "AutoScalingFormulaSyntaxError"},
		bad{name: "a long formula", method: "POST", path: "/pools/p/enableautoscale", body: `{"autoScaleFormula":"` + strings.Repeat("a=1;", 2049) + `"}`, status: 400, code: "AutoScalingFormulaTooLong"},
		bad{method: "POST", path: "/pools/p/enableautoscale", body: `{"autoScaleFormula":"$TargetDedicatedNodes=0","autoScaleEvaluationInterval":"PT4M"}`, status: 400, code: "InvalidPropertyValue", key: "PropertyName", value: "autoScaleEvaluationInterval"},
		bad{method: "POST", path: "/pools/p/enableautoscale", body: `{"autoScaleFormula":"$TargetDedicatedNodes=0","autoScaleEvaluationInterval":"P8D"}`, status: 400, code: "InvalidPropertyValue", key: "PropertyName", value: "autoScaleEvaluationInterval"},
		bad{method: "POST", path: "/pools/p/removenodes", body: `{"nodeList":[]}`, status: 400, code: "InvalidPropertyValue", key: "PropertyName", value: "nodeList"},
		bad{method: "POST", path: "/pools/p/removenodes", body: `{"nodeList":["x"]}`, status: 404, code: "NodeNotFound"},
	)
}

func TestBadURLs(t *testing.T) {
	a := ready(t)
	get := func(path string, status int, code string) bad {
		return bad{method: "GET", path: path, status: status, code: code}
	}
	a.refuse(
		get("/", 400, "InvalidUri"), get("/nothing", 400, "InvalidUri"), get("/jobs/j/nothing", 400, "InvalidUri"), get("/jobs/j/tasks/t/files/x/../../../../..", 409, "TaskFilesUnavailable"),
		get("/pools/x", 404, "PoolNotFound"), get("/pools/p/nodes/x", 404, "NodeNotFound"), get("/pools/x/nodes/x", 404, "PoolNotFound"),
		get("/jobs/x", 404, "JobNotFound"), get("/jobs/x/tasks", 404, "JobNotFound"), get("/jobs/x/tasks/t", 404, "JobNotFound"), get("/jobs/j/tasks/x", 404, "TaskNotFound"),
		get("/jobs/x/taskcounts", 404, "JobNotFound"), get("/jobschedules/x", 404, "JobScheduleNotFound"), get("/jobschedules/x/jobs", 404, "JobScheduleNotFound"),
		get("/applications/x", 404, "ApplicationNotFound"), get("/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)", 404, "CertificateNotFound"),
		get("/pools/a%20b", 404, "PoolNotFound"), get("/jobs/..%2Fj", 404, "JobNotFound"), get("/jobs/%ff", 404, "JobNotFound"),
		get("/jobs/j/jobpreparationandreleasetaskstatus", 409, "JobPreparationTaskNotSpecified"),
		bad{method: "HEAD", path: "/pools/x", status: 404}, bad{method: "HEAD", path: "/jobschedules/x", status: 404},
		bad{method: "DELETE", path: "/pools", status: 405, code: "UnsupportedHttpVerb"},
		bad{method: "PUT", path: "/pools/p", body: "{}", status: 405, code: "UnsupportedHttpVerb"},
		bad{method: "GET", path: "/jobs/j/enable", status: 405, code: "UnsupportedHttpVerb"},
		bad{method: "TRACE", path: "/jobs", status: 405, code: "UnsupportedHttpVerb"},

		get("/jobs?api-version=2010-01-01.1.0", 400, "UnsupportedRequestVersion"), get("/jobs?api-version=x", 400, "UnsupportedRequestVersion"),
		bad{method: "GET", path: "/jobs?api-version=", status: 400, code: "MissingRequiredQueryParameter", key: "QueryParameterName", value: "api-version"},
		bad{name: "no version and no authorization", method: "GET", path: "/jobs", change: func(r *http.Request) { r.URL.RawQuery, r.Header = "", http.Header{"Authorization": {"none"}} }, status: 400, code: "MissingRequiredQueryParameter"},
		bad{method: "GET", path: "/jobs?nothing=1", status: 400, code: "UnsupportedQueryParameter", key: "QueryParameterName", value: "nothing"},
		bad{method: "GET", path: "/jobs/j?maxresults=1", status: 400, code: "UnsupportedQueryParameter", key: "QueryParameterName", value: "maxresults"},
		get("/jobs?timeout=x", 400, "InvalidQueryParameterValue"), get("/jobs?timeOut=-1", 400, "InvalidQueryParameterValue"),
		get("/jobs?maxresults=0", 400, "OutOfRangeQueryParameterValue"), get("/jobs?maxresults=1001", 400, "OutOfRangeQueryParameterValue"),
		get("/nodecounts?maxresults=11", 400, "OutOfRangeQueryParameterValue"), get("/jobs?maxresults=ten", 400, "InvalidQueryParameterValue"),
		get("/jobs?%24skiptoken=!", 400, "InvalidQueryParameterValue"), get("/jobs?%24expand=tasks", 400, "InvalidQueryParameterValue"),
		get("/jobs?%24select=id,nothing", 400, "InvalidQueryParameterValue"), get("/jobs/j?%24select=nothing", 400, "InvalidQueryParameterValue"),
		bad{method: "GET", path: "/jobs?%24filter=state+eq", status: 400, code: "InvalidQueryParameterValue", key: "QueryParameterName", value: "$filter"},
		get("/jobs?%24filter=nothing+eq+5", 400, "InvalidQueryParameterValue"), get("/jobs?%24filter=state+gt+'active'", 400, "InvalidQueryParameterValue"),
		get("/jobs/j/tasks?%24filter=executionInfo/exitCode+eq+'1'", 400, "InvalidQueryParameterValue"),
		get("/jobs/j/tasks/t/files?recursive=maybe", 400, "InvalidQueryParameterValue"),
	)
}

func TestBadHeaders(t *testing.T) {
	a := ready(t)
	header := func(method, path, body, key, value string, status int, code string) bad {
		return bad{name: method + " with " + key + ": " + value, method: method, path: path, body: body, change: with(key, value), status: status, code: code}
	}
	a.refuse(
		header("GET", "/jobs", "", "Authorization", "Bearer x", 403, "AuthenticationFailed"),
		header("GET", "/jobs", "", "Authorization", "SharedKey emulator:AAAA", 403, "AuthenticationFailed"),
		header("GET", "/jobs", "", "Authorization", "SharedKey another:AAAA", 403, "AuthenticationFailed"),
		header("GET", "/jobs", "", "Authorization", "Digest x", 400, "InvalidAuthenticationInfo"),
		header("GET", "/jobs", "", "ocp-date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 403, "AuthenticationFailed"),
		header("POST", "/jobs", oneJob, "Content-Type", "text/plain", 400, "InvalidHeaderValue"),
		header("POST", "/jobs", oneJob, "Content-Type", "application/xml", 400, "InvalidHeaderValue"),
		header("POST", "/jobs", oneJob, "Content-Type", ";", 400, "InvalidHeaderValue"),
		header("GET", "/jobs/j", "", "If-Match", "0x0", 412, "ConditionNotMet"),
		header("GET", "/jobs/j", "", "If-None-Match", "*", 304, ""),
		header("GET", "/jobs/j", "", "If-Modified-Since", "yesterday", 400, "InvalidHeaderValue"),
		header("PATCH", "/jobs/j", `{"priority":5}`, "If-Match", "0x0", 412, "ConditionNotMet"),
		header("PATCH", "/jobs/j", `{"priority":5}`, "If-None-Match", "*", 412, "ConditionNotMet"),
		header("PATCH", "/jobs/j", `{"priority":5}`, "If-Unmodified-Since", "Fri, 17 Feb 2017 00:00:00 GMT", 412, "ConditionNotMet"),
		header("PATCH", "/jobs/x", `{"priority":5}`, "If-Match", "*", 404, "JobNotFound"),
		header("DELETE", "/pools/p", "", "If-Match", "0x0", 412, "ConditionNotMet"),
		header("DELETE", "/jobs/j/tasks/t", "", "If-None-Match", "*", 412, "ConditionNotMet"),
		bad{name: "two conditions", method: "GET", path: "/jobs/j", status: 400, code: "MultipleConditionHeadersNotSupported", change: func(r *http.Request) {
			r.Header.Set("If-Match", "*")
			r.Header.Set("If-None-Match", "*")
		}},
	)
	if got := a.send("GET", "/jobs/j", ""); got.status != 200 || !strings.Contains(string(got.body), `"priority":0`) {
		t.Errorf("what was refused was done: %s", got.body)
	}

	// Without its length a body is not taken.
	r, err := http.NewRequestWithContext(t.Context(), "POST", a.URL()+"/jobs?api-version="+latest, io.MultiReader(strings.NewReader(set(oneJob, "id", `"chunked"`))))
	a.must("make a request", err)
	r.Header.Set("Content-Type", "application/json; odata=minimalmetadata")
	token, err := a.Credential().GetToken(t.Context(), policy.TokenRequestOptions{})
	a.must("get a token", err)
	r.Header.Set("Authorization", "Bearer "+token.Token)
	if got := a.do(r); got.status != 411 || got.Code != "MissingContentLengthHeader" {
		t.Errorf("a chunked body: got %d %s", got.status, got.Code)
	}
}

func TestTooMuch(t *testing.T) {
	a := ready(t)
	tasks := func(n, size int) string {
		var b bytes.Buffer
		b.WriteString(`{"value":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"n%d","commandLine":"true %s"}`, i, strings.Repeat("x", size))
		}
		b.WriteString(`]}`)
		return b.String()
	}
	a.refuse(
		bad{name: "101 tasks", method: "POST", path: "/jobs/j/addtaskcollection", body: tasks(101, 0), status: 400, code: "InvalidPropertyValue", key: "Reason", value: "100"},
		bad{name: "2 MB of tasks", method: "POST", path: "/jobs/j/addtaskcollection", body: tasks(100, 20_000), status: 413, code: "RequestBodyTooLarge"},
		bad{name: "a task of 2 MB", method: "POST", path: "/jobs/j/tasks", body: set(oneTask, "commandLine", `"`+strings.Repeat("x", 2<<20)+`"`), status: 413, code: "RequestBodyTooLarge"},
	)
	if got := a.send("GET", "/jobs/j/tasks", ""); strings.Contains(string(got.body), `"n0"`) {
		t.Errorf("tasks of a refused collection were added: %.300s", got.body)
	}
	if got := a.send("POST", "/jobs/j/addtaskcollection", tasks(100, 0)); got.status != 200 || strings.Count(string(got.body), `"success"`) != 100 {
		t.Errorf("100 tasks: got %d %.300s", got.status, got.body)
	}
}

func TestQuotas(t *testing.T) {
	o := quick()
	o.Quota = &emulator.Quota{Pools: 1, Jobs: 1, Nodes: 3, InterNodeNodes: 2}
	a := start(t, o)
	if got := a.send("POST", "/pools", onePool); got.status != 201 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	if got := a.send("POST", "/jobs", oneJob); got.status != 201 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	a.refuse(
		bad{method: "POST", path: "/pools", body: set(onePool, "id", `"q"`), status: 409, code: "PoolQuotaReached"},
		bad{method: "POST", path: "/jobs", body: set(oneJob, "id", `"k"`), status: 409, code: "ActiveJobAndScheduleQuotaReached"},
		bad{method: "POST", path: "/jobschedules", body: `{"id":"s","schedule":{},"jobSpecification":{"poolInfo":{"poolId":"p"}}}`, status: 409, code: "ActiveJobAndScheduleQuotaReached"},
	)
}

func TestConflicts(t *testing.T) {
	a := ready(t)
	conflict := func(method, path, body, code string) bad {
		return bad{method: method, path: path, body: body, status: 409, code: code}
	}
	const schedule = `{"id":"s","schedule":{"doNotRunUntil":"2999-01-01T00:00:00Z"},"jobSpecification":{"poolInfo":{"poolId":"p"}}}`
	done := func(method, path, body string, status int) {
		t.Helper()
		if got := a.send(method, path, body); got.status != status {
			t.Fatalf("%s %s: got %d %s", method, path, got.status, got.body)
		}
	}
	done("POST", "/jobschedules", schedule, 201)
	done("POST", "/jobs/j/tasks", set(oneTask, "id", `"u"`), 201)
	done("POST", "/jobs/j/tasks/u/terminate", "", 204)
	a.refuse(
		conflict("POST", "/pools", onePool, "PoolExists"),
		conflict("POST", "/pools", set(onePool, "id", `"P"`), "PoolExists"), // IDs are the same in any case
		conflict("POST", "/jobs", oneJob, "JobExists"),
		conflict("POST", "/jobs/j/tasks", oneTask, "TaskExists"),
		conflict("POST", "/jobschedules", schedule, "JobScheduleExists"),
		conflict("POST", "/jobs", set(oneJob, "id", `"s"`), "JobScheduleWithSameIdExists"),
		conflict("POST", "/jobschedules", set(schedule, "id", `"j"`), "JobWithSameIdExists"),
		conflict("POST", "/pools/p/stopresize", "", "OperationInvalidForCurrentState"),
		conflict("POST", "/jobs/j/tasks/t/reactivate", "", "TaskNotCompleted"),
		conflict("POST", "/jobs/j/tasks/u/terminate", "", "TaskCompleted"),
		conflict("PUT", "/jobs/j/tasks/u", `{"constraints":{"maxTaskRetryCount":1}}`, "TaskCompleted"),
		conflict("GET", "/jobs/j/tasks/t/files", "", "TaskFilesUnavailable"),
	)

	done("POST", "/pools/p/enableautoscale", `{"autoScaleFormula":"$TargetDedicatedNodes=0"}`, 200)
	a.refuse(
		conflict("POST", "/pools/p/resize", `{"targetDedicatedNodes":1}`, "OperationInvalidForCurrentState"),
		bad{method: "POST", path: "/pools/p/enableautoscale", body: `{"autoScaleFormula":"$TargetDedicatedNodes=0"}`, status: 503, code: "TooManyEnableAutoScaleRequests"},
	)
	done("POST", "/pools/p/disableautoscale", "", 200)

	done("POST", "/jobs/j/terminate", `{"terminateReason":"enough"}`, 202)
	a.jobIn("j", azbatch.JobStateCompleted)
	a.refuse(
		conflict("POST", "/jobs/j/tasks", set(oneTask, "id", `"late"`), "JobCompleted"),
		conflict("POST", "/jobs/j/addtaskcollection", `{"value":[{"id":"late","commandLine":"true"}]}`, "JobCompleted"),
		conflict("POST", "/jobs/j/terminate", "", "JobCompleted"),
		conflict("POST", "/jobs/j/disable", `{"disableTasks":"requeue"}`, "JobCompleted"),
		conflict("POST", "/jobs/j/enable", "", "JobCompleted"),
		conflict("PATCH", "/jobs/j", `{"priority":1}`, "JobCompleted"),
		conflict("POST", "/jobs/j/tasks/t/reactivate", "", "JobCompleted"),
	)

	done("POST", "/jobschedules/s/disable", "", 204)
	done("POST", "/jobschedules/s/terminate", "", 202)
	a.refuse(
		conflict("POST", "/jobschedules/s/enable", "", "JobScheduleCompleted"),
		conflict("POST", "/jobschedules/s/disable", "", "JobScheduleCompleted"),
		conflict("PATCH", "/jobschedules/s", `{"metadata":[]}`, "JobScheduleCompleted"),
	)
	done("DELETE", "/jobschedules/s", "", 202)
	done("DELETE", "/jobs/j", "", 202)
	done("DELETE", "/pools/p", "", 202)
}

// TestConflictsOfNodes is about what a pool or node cannot do now.
func TestConflictsOfNodes(t *testing.T) {
	a := start(t, quick())
	simulate := set(set(onePool, "metadata", `[{"name":"EMULATOR_SIMULATE","value":"task=1h"}]`), "targetDedicatedNodes", "1")
	if got := a.send("POST", "/pools", simulate); got.status != 201 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	at := "/pools/p/nodes/" + node
	if got := a.send("POST", at+"/users", `{"name":"u","password":"P4ssword!"}`); got.status != 201 {
		t.Fatalf("add a user: %d %s", got.status, got.body)
	}
	if got := a.send("POST", at+"/disablescheduling", `{"nodeDisableSchedulingOption":"requeue"}`); got.status != 200 {
		t.Fatalf("disable scheduling: %d %s", got.status, got.body)
	}
	a.refuse(
		bad{method: "POST", path: at + "/users", body: `{"name":"u","password":"P4ssword!"}`, status: 409, code: "NodeUserExists"},
		bad{method: "PUT", path: at + "/users/v", body: `{"password":"P4ssword!"}`, status: 404, code: "NodeUserNotFound"},
		bad{method: "DELETE", path: at + "/users/v", status: 404, code: "NodeUserNotFound"},
		bad{method: "POST", path: at + "/disablescheduling", status: 409, code: "NodeAlreadyInTargetSchedulingState"},
		bad{method: "POST", path: at + "/start", status: 409, code: "OperationNotValidOnNode"},
		bad{method: "GET", path: at + "/extensions/x", status: 404, code: "ResourceNotFound"},
	)
	// A pool that is being resized is not resized, and one that is being deleted nothing at all.
	if err := a.SetCapacity(t.Context(), "p", emulator.Capacity{Dedicated: 1, LowPriority: 0}); err != nil {
		t.Fatal(err)
	}
	if got := a.send("POST", "/pools/p/resize", `{"targetDedicatedNodes":3}`); got.status != 202 {
		t.Fatalf("resize: %d %s", got.status, got.body)
	}
	a.refuse(
		bad{method: "POST", path: "/pools/p/resize", body: `{"targetDedicatedNodes":2}`, status: 409, code: "PoolBeingResized"},
		bad{method: "POST", path: "/pools/p/removenodes", body: `{"nodeList":["` + node + `"]}`, status: 409, code: "PoolBeingResized"},
	)
}

// TestHostilePaths asks for files outside of what is shown, among them one that must not come to harm.
func TestHostilePaths(t *testing.T) {
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	a := start(t, quick())
	if got := a.send("POST", "/pools", set(onePool, "targetDedicatedNodes", "1")); got.status != 201 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	node := *a.nodes("p", 1, azbatch.NodeStateIdle)[0].ID
	a.send("POST", "/jobs", oneJob)
	command := fmt.Sprintf("/bin/sh -c 'echo x > ../secret; ln -s %s outside; ln -s %s link'", outside, precious)
	a.send("POST", "/jobs/j/tasks", set(oneTask, "commandLine", strconv.Quote(command)))
	a.completed("j", "t")
	for _, base := range []string{"/jobs/j/tasks/t/files/", "/pools/p/nodes/" + node + "/files/"} {
		for _, name := range []string{"..", "../..", "..%2F..", "wd/../../../..", "%2e%2e%2f%2e%2e", "wd%2F..%2F..%2F..%2Fnone", "..%5C..", "C:%5C", "%00", "wd%00", url.PathEscape(precious),
			strings.Repeat("..%2F", 20) + url.PathEscape(precious[1:]), "wd/outside/precious", "workitems/j/job-1/t/wd/outside/precious", strings.Repeat("a/", 2000), strings.Repeat("x", 5000)} {
			for _, method := range []string{"GET", "HEAD", "DELETE"} {
				if got := a.send(method, base+name, ""); got.status < 400 || got.status >= 500 {
					t.Errorf("%s %.80s: got %d %.200s", method, base+name, got.status, got.body)
				}
			}
		}
	}
	for _, name := range []string{"/jobs/j/tasks/t/files/wd%2Flink", "/pools/p/nodes/" + node + "/files/workitems/j/job-1/t/wd/link"} {
		if got := a.send("GET", name, ""); got.status < 400 {
			t.Errorf("GET %s: got %d %s", name, got.status, got.body)
		}
	}
	a.send("DELETE", "/jobs/j/tasks/t/files/wd%2Flink", "") // the link may go, not what it leads to
	a.send("DELETE", "/jobs/j/tasks/t/files/wd?recursive=true", "")
	if b, err := os.ReadFile(precious); err != nil || string(b) != "precious" {
		t.Errorf("a file outside came to harm: %q (%v)", b, err)
	}
	if got := a.send("GET", "/jobs/j/tasks/t/files/secret", ""); got.status != 200 || string(got.body) != "x\n" {
		t.Errorf("the task's own file: got %d %s", got.status, got.body)
	}
	for r, want := range map[string]int{"bytes=0-0": 200, "bytes=1-": 200, "bytes=0-99": 200, "bytes=5-9": 416, "bytes=1-0": 400, "bytes=-1": 400, "bytes=x": 400, "lines=0-1": 400} {
		if got := a.send("GET", "/jobs/j/tasks/t/files/secret", "", with("ocp-range", r)); got.status != want {
			t.Errorf("ocp-range %s: got %d %s %q, want %d", r, got.status, got.Code, got.body, want)
		}
	}
}
