package emulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// retrying is a client that tries again, sooner than Microsoft's do by default.
func (a *account) retrying() *azbatch.Client {
	a.t.Helper()
	c, err := azbatch.NewClient(a.URL(), a.Credential(), &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{
		InsecureAllowCredentialWithHTTP: true, Transport: a.http, Retry: policy.RetryOptions{RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond}}})
	a.must("make a client", err)
	return c
}

func (a *account) fail(rule string) {
	a.t.Helper()
	undo, err := a.Fail(rule)
	a.must("add the rule "+rule, err)
	a.t.Cleanup(undo)
}

func TestClientsGetThroughFaults(t *testing.T) {
	for _, rule := range []string{
		`{"status": 429, "count": 2}`,
		`{"code": "ServerBusy", "count": 2}`,
		`{"code": "OperationTimedOut", "count": 3}`,
		`{"drop": "before", "count": 2}`,
		`{"drop": "midway", "operation": "Job_Get", "count": 2}`,
		`{"delay": "50ms", "count": 1}`,
		`{"status": 503, "rate": 0.3}`,
	} {
		t.Run(rule, func(t *testing.T) {
			a := start(t, quick())
			c := a.retrying()
			a.fail(rule)
			_, err := c.CreatePool(t.Context(), pool("p", 0), nil)
			a.must("add the pool", err)
			_, err = c.CreateJob(t.Context(), job("j", "p"), nil)
			a.must("add the job", err)
			got, err := c.GetJob(t.Context(), "j", nil)
			a.must("get the job", err)
			if *got.ID != "j" {
				t.Errorf("got the job %q", *got.ID)
			}
		})
	}
}

// TestALostAnswerLooksLikeAConflict is the case that clients have to know of: they repeat what was done, and are told that it
// exists.
func TestALostAnswerLooksLikeAConflict(t *testing.T) {
	a := start(t, quick())
	c := a.retrying()
	a.addPool(pool("p", 0))
	a.addJob(job("j", "p"))
	a.fail(`{"operation": "Task_Add", "drop": "after", "count": 1}`)
	if _, err := c.CreateTask(t.Context(), "j", task("t", "true"), nil); code(err) != "TaskExists" {
		t.Errorf("got %v, want TaskExists", err)
	}
	if got := a.get("j", "t"); *got.CommandLine != "true" {
		t.Errorf("the task is %+v", got)
	}
}

func TestQuotaErrorsOnRequest(t *testing.T) {
	a := start(t, quick())
	a.fail(`{"operation": "Pool_Add", "code": "PoolQuotaReached"}`)
	if _, err := a.CreatePool(t.Context(), pool("p", 0), nil); code(err) != "PoolQuotaReached" {
		t.Errorf("got %v", err)
	}
	if _, err := a.Fail(`{"operation": "Pool_Add", "code": "NoSuchCode"}`); err == nil {
		t.Error("a rule with an unknown code and no status was taken")
	}
}

// TestFaultsByHTTP is how programs in other languages ask for faults, and that nobody else can.
func TestFaultsByHTTP(t *testing.T) {
	a := start(t, quick())
	admin := func(method, body, contentType string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, a.URL()+"/admin/faults", strings.NewReader(body))
		a.must("make a request", err)
		r.Header.Set("Content-Type", contentType)
		resp, err := a.HTTPClient().Do(r)
		a.must("send a request", err)
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := admin("POST", `{"operation": "Job_List", "status": 503}`, "application/json"); got != 201 {
		t.Errorf("POST: got %d", got)
	}
	if got := admin("POST", `{"operation": "Job_List", "status": 500}`, "text/plain"); got != 400 {
		t.Errorf("POST of what a form can send: got %d", got)
	}
	a.refuse(bad{method: "GET", path: "/jobs", status: 503, code: "ServerBusy"})
	if got := a.send("GET", "/pools", ""); got.status != 200 {
		t.Errorf("another operation: got %d", got.status)
	}
	if got := admin("DELETE", "", ""); got != 204 {
		t.Errorf("DELETE: got %d", got)
	}
	if got := a.send("GET", "/jobs", ""); got.status != 200 {
		t.Errorf("after the rule was removed: got %d %s", got.status, got.Code)
	}
}
