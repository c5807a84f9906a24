package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/faults"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// service takes jobs, each once, behind an Injector.
type service struct {
	*httptest.Server
	*faults.Injector
	jobs atomic.Int32
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Injector = faults.New(func(r *http.Request) string {
		if r.URL.Path != "/jobs" {
			return ""
		}
		return map[string]string{"POST": "Job_Add", "GET": "Job_List"}[r.Method]
	}, 1)
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && s.jobs.Add(1) > 1 {
			wire.Error(w, r, apierror.New(apierror.JobExists))
			return
		}
		w.WriteHeader(map[string]int{"POST": 201}[r.Method] + map[string]int{"GET": 200}[r.Method])
		io.WriteString(w, strings.Repeat(`{"value":[]}`+"\n", 100))
	})
	mux := http.NewServeMux()
	mux.Handle("/admin/faults", s.Admin())
	mux.Handle("/", wire.Handler(s.Handler(service), slog.New(slog.DiscardHandler)))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *service) add(t *testing.T, r faults.Rule) faults.Rule {
	t.Helper()
	r, err := s.Add(r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get returns the status, or -1 when there was no whole answer.
func (s *service) get(t *testing.T, path string) int {
	t.Helper()
	resp, err := http.Get(s.URL + path)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		return -1
	}
	return resp.StatusCode
}

func TestErrors(t *testing.T) {
	s := serve(t)
	for _, test := range []struct {
		rule       faults.Rule
		status     int
		code       string
		retryAfter string
	}{
		{faults.Rule{Status: 429, RetryAfter: 3}, 429, "TooManyRequests", "3"},
		{faults.Rule{Status: 503}, 503, "ServerBusy", ""},
		{faults.Rule{Status: 502}, 502, "InternalError", ""},
		{faults.Rule{Code: "ServerBusy", RetryAfter: 1}, 503, "ServerBusy", "1"},
		{faults.Rule{Code: "PoolQuotaReached"}, 409, "PoolQuotaReached", ""},
		{faults.Rule{Code: "ActiveJobAndScheduleQuotaReached", Status: 403, Message: "no more", Values: []apierror.Value{{Key: "Limit", Value: "1"}}},
			403, "ActiveJobAndScheduleQuotaReached", ""},
		{faults.Rule{Code: "SomethingNew", Status: 418}, 418, "SomethingNew", ""},
	} {
		if err := s.Replace(1, test.rule); err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(s.URL + "/jobs")
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Code    string
			Message struct{ Value string }
			Values  []apierror.Value
		}
		err = json.NewDecoder(resp.Body).Decode(&body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || body.Code != test.code || resp.Header.Get("Retry-After") != test.retryAfter {
			t.Errorf("%+v: got %d %+v, Retry-After %q (%v)", test.rule, resp.StatusCode, body, resp.Header.Get("Retry-After"), err)
		}
		if !strings.HasPrefix(body.Message.Value, test.rule.Message) || len(body.Values) != len(test.rule.Values) {
			t.Errorf("%+v: got %+v", test.rule, body)
		}
	}
}

func TestWhichRequests(t *testing.T) {
	s := serve(t)
	for _, test := range []struct {
		rule   faults.Rule
		struck string // of GET /jobs, GET /jobs/a, POST /jobs, GET /pools
	}{
		{faults.Rule{}, "xxxx"},
		{faults.Rule{Method: "GET"}, "xx.x"},
		{faults.Rule{Path: "^/jobs"}, "xxx."},
		{faults.Rule{Path: "^/jobs$", Method: "POST"}, "..x."},
		{faults.Rule{Operation: "Job_List"}, "x..."},
		{faults.Rule{Operation: "Job_*"}, "x.x."},
		{faults.Rule{Operation: "Pool_*"}, "...."},
		{faults.Rule{Skip: 2}, "..xx"},
		{faults.Rule{Count: 2}, "xx.."},
		{faults.Rule{Skip: 1, Count: 1, Path: "/jobs"}, ".x.."},
	} {
		test.rule.Code = "ServerBusy"
		if err := s.Replace(1, test.rule); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, path := range []string{"GET /jobs", "GET /jobs/a", "POST /jobs", "GET /pools"} {
			method, path, _ := strings.Cut(path, " ")
			r, err := http.NewRequest(method, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			got += map[bool]string{true: "x", false: "."}[resp.StatusCode == 503]
		}
		if got != test.struck {
			t.Errorf("%+v: struck %s, want %s", test.rule, got, test.struck)
		}
		if hits := s.Rules()[0].Hits; hits != strings.Count(got, "x") {
			t.Errorf("%+v: counted %d hits of %s", test.rule, hits, got)
		}
	}
}

func TestRate(t *testing.T) {
	s := serve(t)
	sequence := func(seed uint64) (got string) {
		if err := s.Replace(seed, faults.Rule{Method: "POST", Status: 500}, faults.Rule{Rate: 0.3, Status: 503}); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			got += map[int]string{200: ".", 503: "x"}[s.get(t, "/jobs")]
		}
		return got
	}
	a := sequence(7)
	if n := strings.Count(a, "x"); n < 110 || n > 190 {
		t.Errorf("%d of 500 were struck at a rate of 0.3", n)
	}
	if b := sequence(7); a != b {
		t.Errorf("the same seed struck others:\n%s\n%s", a, b)
	}
	if b := sequence(8); a == b {
		t.Error("another seed struck the same")
	}
}

func TestDrop(t *testing.T) {
	s := serve(t)
	for drop, done := range map[faults.Drop]int32{faults.DropBefore: 0, faults.DropAfter: 1, faults.DropMidway: 1} {
		if err := s.Replace(1, faults.Rule{Drop: drop, Count: 1}); err != nil {
			t.Fatal(err)
		}
		s.jobs.Store(0)
		resp, err := http.Post(s.URL+"/jobs", "application/json", strings.NewReader("{}"))
		switch {
		case drop == faults.DropMidway && err == nil:
			b, err := io.ReadAll(resp.Body)
			if resp.Body.Close(); resp.StatusCode != 201 || err == nil || len(b) == 0 {
				t.Errorf("midway: got %s with %d bytes (%v)", resp.Status, len(b), err)
			}
		case err == nil:
			t.Errorf("%s: got %s", drop, resp.Status)
		}
		if got := s.jobs.Load(); got != done {
			t.Errorf("%s: the service did it %d times, want %d", drop, got, done)
		}
	}
}

// TestFalseConflict is what a client of Microsoft's makes of an answer that it did not get: it sends the request again, and
// is told that what it made exists.
func TestFalseConflict(t *testing.T) {
	s := serve(t)
	s.add(t, faults.Rule{Operation: "Job_Add", Drop: faults.DropAfter, Count: 1})
	client, err := azbatch.NewClient(s.URL, nil, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry: policy.RetryOptions{RetryDelay: time.Millisecond}, InsecureAllowCredentialWithHTTP: true}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateJob(t.Context(), azbatch.CreateJobContent{ID: to.Ptr("j"), PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr("p")}}, nil)
	if e, ok := errors.AsType[*azcore.ResponseError](err); !ok || e.ErrorCode != "JobExists" {
		t.Errorf("got %v, want JobExists", err)
	}
	if n := s.jobs.Load(); n != 2 {
		t.Errorf("the client sent %d requests, want 2", n)
	}
}

func TestDelay(t *testing.T) {
	s := serve(t)
	s.add(t, faults.Rule{Delay: faults.Duration(200 * time.Millisecond)})
	begin := time.Now()
	if status := s.get(t, "/jobs"); status != 200 || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("got %d after %v", status, time.Since(begin))
	}
	// A client that does not wait ends the wait: Close would hang for an hour else.
	if err := s.Replace(1, faults.Rule{Delay: faults.Duration(time.Hour), Drop: faults.DropBefore}); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 100 * time.Millisecond}
	if resp, err := client.Get(s.URL + "/jobs"); err == nil {
		t.Errorf("got %s", resp.Status)
	}
}

func TestAdmin(t *testing.T) {
	s := serve(t)
	do := func(method, query, body string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, s.URL+"/admin/faults"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, body := do("POST", "", `{"operation": "Job_List", "delay": "1ms", "status": 429, "retryAfter": 2}`); status != 201 || !strings.Contains(body, `"id": "1"`) {
		t.Errorf("POST: got %d %s", status, body)
	}
	if status := s.get(t, "/jobs"); status != 429 {
		t.Errorf("got %d, want 429", status)
	}
	if status, body := do("GET", "", ""); status != 200 || !strings.Contains(body, `"hits": 1`) || !strings.Contains(body, `"delay": "1ms"`) {
		t.Errorf("GET: got %d %s", status, body)
	}
	if status, body := do("PUT", "", `{"seed": 5, "rules": [{"code": "JobNotFound"}, {"drop": "before"}]}`); status != 200 || strings.Count(body, `"hits": 0`) != 2 {
		t.Errorf("PUT: got %d %s", status, body)
	}
	if status := s.get(t, "/jobs"); status != 404 {
		t.Errorf("got %d, want 404", status)
	}
	if status, _ := do("DELETE", "?id=1", ""); status != 204 {
		t.Errorf("DELETE of one: got %d", status)
	}
	if status := s.get(t, "/jobs"); status != -1 {
		t.Errorf("got %d, want a dropped connection", status)
	}
	if status, _ := do("DELETE", "?id=1", ""); status != 404 {
		t.Errorf("DELETE of none: got %d", status)
	}
	for _, bad := range []string{`{`, `{}`, `{"stauts": 503}`, `{"status": 200}`, `{"code": "New"}`, `{"code": "BlobNotFound"}`, `{"drop": "later"}`,
		`{"drop": "after", "status": 503}`, `{"status": 503, "rate": 2}`, `{"status": 503, "path": "("}`, `{"status": 503, "operation": "["}`,
		`{"status": 503, "count": -1}`, `{"delay": "1"}`, `{"delay": 1}`, `{"delay": "-1s"}`} {
		if status, body := do("POST", "", bad); status != 400 || !strings.Contains(body, "faults: ") {
			t.Errorf("POST %s: got %d %s", bad, status, body)
		}
	}
	if status, body := do("PUT", "", `{"rules": [{"status": 503}, {}]}`); status != 400 {
		t.Errorf("PUT of a bad rule: got %d %s", status, body)
	}
	if rules := s.Rules(); len(rules) != 1 || rules[0].Drop != faults.DropBefore {
		t.Errorf("what was refused changed the rules: %+v", rules)
	}
	if status, _ := do("DELETE", "", ""); status != 204 || len(s.Rules()) != 0 {
		t.Errorf("DELETE of all: got %d, and %d are left", status, len(s.Rules()))
	}
	if status, _ := do("POST", "", `{"status": 503}`, "Content-Type", "text/plain"); status != 400 {
		t.Errorf("text/plain: got %d", status)
	}
	if status, _ := do("PATCH", "", ""); status != 405 {
		t.Errorf("PATCH: got %d", status)
	}
	for addr, want := range map[string]int{"192.0.2.1:99": 403, "127.0.0.9:99": 200, "[::1]:99": 200, "[::ffff:127.0.0.1]:99": 200, "": 403} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/admin/faults", nil)
		r.RemoteAddr = addr
		if s.Admin().ServeHTTP(w, r); w.Code != want {
			t.Errorf("from %q: got %d, want %d", addr, w.Code, want)
		}
	}
	if got := fmt.Sprint(s.Rules()); got != "[]" {
		t.Errorf("left: %s", got)
	}
}
