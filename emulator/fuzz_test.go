package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/clusterless-go/clusterless/emulator"
)

// FuzzRequests sends anything to an account whose nodes are simulated, so that nothing runs: it is never an internal error,
// and what is refused has a body with a code.
func FuzzRequests(f *testing.F) {
	for _, s := range []struct{ method, path, body string }{
		{"GET", "/jobs?$filter=state+eq+'active'&$select=id,executionInfo/poolId&maxresults=2&api-version=2024-07-01.20.0", ""},
		{"POST", "/pools?api-version=2024-07-01.20.0", onePool},
		{"POST", "/jobs?api-version=2024-07-01.20.0", oneJob},
		{"POST", "/jobs/j/tasks?api-version=2024-07-01.20.0", `{"id":"u","commandLine":"x","dependsOn":{"taskIdRanges":[{"start":1,"end":9}]},"exitConditions":{"exitCodes":[{"code":1}]}}`},
		{"POST", "/jobs/j/addtaskcollection?api-version=2024-07-01.20.0", `{"value":[{"id":"a","commandLine":"x"},{"id":"","commandLine":""}]}`},
		{"POST", "/jobschedules?api-version=2024-07-01.20.0", `{"id":"s","schedule":{"recurrenceInterval":"PT1M","startWindow":"P1D"},"jobSpecification":{"poolInfo":{"autoPoolSpecification":{"poolLifetimeOption":"job","pool":{"vmSize":"standard_a1"}}}}}`},
		{"PATCH", "/jobs/j?api-version=2024-07-01.20.0", `{"constraints":{"maxWallClockTime":"P3Y6M4DT12H30M5.5S","maxTaskRetryCount":-1},"poolInfo":null}`},
		{"PUT", "/jobs/j/tasks/t?api-version=2024-07-01.20.0", `{"constraints":{"retentionTime":"P10675199DT2H48M5.4775807S"}}`},
		{"PATCH", "/pools/p?api-version=2024-07-01.20.0", `{"startTask":{"commandLine":"x","userIdentity":{"autoUser":{"scope":"TASK"}}},"taskSlotsPerNode":4,"metadata":[{"name":"EMULATOR_SIMULATE","value":"task=1h"}]}`},
		{"POST", "/pools/p/resize?api-version=2024-07-01.20.0", `{"targetDedicatedNodes":2,"targetLowPriorityNodes":-1,"resizeTimeout":"PT5M","nodeDeallocationOption":"taskcompletion"}`},
		{"POST", "/pools/p/evaluateautoscale?api-version=2024-07-01.20.0", `{"autoScaleFormula":"$TargetDedicatedNodes=max(0,$ActiveTasks.GetSample(1));"}`},
		{"POST", "/pools/p/removenodes?api-version=2024-07-01.20.0", `{"nodeList":["x"]}`},
		{"POST", "/jobs/j/disable?api-version=2024-07-01.20.0", `{"disableTasks":"wait"}`},
		{"POST", "/certificates?api-version=2024-07-01.20.0", `{"thumbprint":"5ba93c9db0cff93f52b521d7420e43f6eda2784f","thumbprintAlgorithm":"sha1","data":"AA=="}`},
		{"DELETE", "/certificates(thumbprintAlgorithm=sha1,thumbprint=x)?api-version=2024-07-01.20.0", ""},
		{"GET", "/jobs/j/tasks/t/files/wd%2F..%2F..?recursive=true&timeOut=5&api-version=2022-10-01.16.0", ""},
		{"GET", "/poolusagemetrics?starttime=2024-01-01T00:00:00Z&api-version=2024-07-01.20.0", ""},
		{"GET", "/pools/p/nodes?$skiptoken=eA&api-version=2024-07-01.20.0", ""},
	} {
		f.Add(s.method, s.path, s.body)
	}
	o := quick()
	o.Simulate = "task=1ms"
	o.Quota = &emulator.Quota{Pools: 20, Jobs: 50, Nodes: 10, InterNodeNodes: 10}
	s, err := emulator.Start(f.Context(), o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	token, err := s.Credential().GetToken(f.Context(), policy.TokenRequestOptions{})
	if err != nil {
		f.Fatal(err)
	}
	client := s.HTTPClient()
	f.Cleanup(client.CloseIdleConnections)
	send := func(method, path, body string) (*http.Response, []byte, error) {
		r, err := http.NewRequest(method, s.URL()+"/", strings.NewReader(body))
		if err != nil {
			return nil, nil, nil // which no client can send
		}
		r.URL.Opaque = path // as it is
		r.Header.Set("Authorization", "Bearer "+token.Token)
		r.Header.Set("Content-Type", "application/json; odata=minimalmetadata")
		resp, err := client.Do(r)
		if err != nil {
			return nil, nil, nil
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, b, err
	}
	for _, c := range []struct{ path, body string }{{"/pools", set(onePool, "targetDedicatedNodes", "1")}, {"/jobs", oneJob}, {"/jobs/j/tasks", oneTask}} {
		if resp, b, err := send("POST", c.path+"?api-version="+latest, c.body); err != nil || resp.StatusCode != http.StatusCreated {
			f.Fatalf("POST %s: %v %s", c.path, err, b)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/admin") || strings.HasPrefix(path, "/identity") || strings.ContainsAny(path, " \r\n\x00") {
			return
		}
		resp, b, err := send(method, path, body)
		if err != nil {
			t.Fatalf("%s %q: half an answer: %v", method, path, err)
		}
		if resp == nil || resp.Header.Get("request-id") == "" { // refused by the HTTP of Go, on one side or the other
			return
		}
		if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %q with %q: %s %s", method, path, body, resp.Status, b)
		}
		if resp.StatusCode >= 400 && method != http.MethodHead {
			var e struct {
				Code    string
				Message struct{ Value string }
			}
			if err := json.Unmarshal(b, &e); err != nil || e.Code == "" || e.Message.Value == "" {
				t.Errorf("%s %q: %s with %q (%v)", method, path, resp.Status, b, err)
			}
		}
	})
}
