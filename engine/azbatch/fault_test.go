//go:build linux

package azbatch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

var first = engine.Run{Task: 0, Attempt: 1}

// startTask makes a pool's nodes run a script first.
func startTask(script string) func(*sdk.CreatePoolContent) {
	return func(c *sdk.CreatePoolContent) {
		c.StartTask = &sdk.StartTask{CommandLine: to.Ptr("/bin/sh -c '" + script + "'"), WaitForSuccess: to.Ptr(true)}
	}
}

func spot(n int32) func(*sdk.CreatePoolContent) {
	return func(c *sdk.CreatePoolContent) {
		c.TargetDedicatedNodes, c.TargetLowPriorityNodes = to.Ptr[int32](0), to.Ptr(n)
	}
}

func (a account) fail(t *testing.T, rule string) {
	t.Helper()
	undo, err := a.Fail(rule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(undo)
}

// ran waits for the first run of a job.
func ran(t *testing.T, e engine.Engine, id string) engine.Event {
	t.Helper()
	return enginetest.Wait(t, e, id, 1)[first]
}

func TestNothingCanRun(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "start", 2, 1, startTask("echo installing; echo no such package >&2; exit 3"))
	a.pool(t, "empty", 0, 1)
	a.pool(t, "refused", 0, 1)
	if err := a.SetCapacity(t.Context(), "refused", emulator.Capacity{FailFast: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.client.ResizePool(t.Context(), "refused", sdk.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](3)}, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		pool string
		want []string
	}{
		{"start", []string{"2 nodes of the pool start", "exit code 3", "installing", "no such package"}},
		{"empty", []string{"no node could be used within 1s", "resize it"}},
		{"refused", []string{"AllocationFailed", "another region"}},
	} {
		t.Run(test.pool, func(t *testing.T) {
			e := a.open(t, func(c *azbatch.Config) { c.Pool, c.Start = test.pool, time.Second })
			j := job(test.pool, 3, "true")
			submit(t, e, j)
			for r, ev := range enginetest.Wait(t, e, j.ID, 3) {
				if ev.Cause != engine.CauseNotStarted {
					t.Errorf("%v: %+v, want it not started", r, ev)
				}
				for _, want := range test.want {
					if !strings.Contains(ev.Reason, want) {
						t.Errorf("%v: %q, want %q in it", r, ev.Reason, want)
					}
				}
			}
			j.Runs = []engine.Run{{Task: 0, Attempt: 2}}
			if err := e.Submit(t.Context(), j); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), test.want[0]) {
				t.Errorf("a run more: %v, want why none started", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Quota: &emulator.Quota{Jobs: 1}})
	a.pool(t, "p", 1, 2)
	e := a.open(t)
	submit(t, e, job("one", 1, "true"))
	for _, test := range []struct {
		name string
		job  engine.Job
		want string
	}{
		{"quota", job("two", 1, "true"), "as many active jobs as it may"},
		{"slots", engine.Job{ID: "j", Command: []string{"true"}, Resources: engine.Resources{Cores: 3}}, "have 2"},
		{"pool", engine.Job{ID: "j", Command: []string{"true"}, Settings: []string{"pool=none"}}, "no pool none"},
		{"setting", engine.Job{ID: "j", Command: []string{"true"}, Settings: []string{"queue=x"}}, "no such setting of a job; there are pool"},
		{"nodes", engine.Job{ID: "j", Command: []string{"true"}, Resources: engine.Resources{Nodes: 2}}, "does not let its nodes talk to each other"},
		{"environment", engine.Job{ID: "j", Command: []string{"true"}, Env: []string{"LARGE=" + strings.Repeat("x", 130<<10)}}, "put what is large into an input"},
		{"GPUs", engine.Job{ID: "j", Command: []string{"true"}, Resources: engine.Resources{GPUs: 1}}, "GPUs"},
	} {
		if err := e.Submit(t.Context(), test.job); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", test.name, err, test.want)
		}
	}
}

func TestServiceFails(t *testing.T) {
	t.Parallel()
	for _, rules := range [][]string{
		{`{"operation": "Job_Add", "drop": "after", "count": 1}`, `{"operation": "Task_AddCollection", "drop": "after", "count": 2}`},
		{`{"status": 503, "rate": 0.2}`},
		{`{"status": 429, "count": 2}`, `{"operation": "Task_List", "drop": "midway", "count": 2}`},
	} {
		t.Run(strings.Join(rules, "+"), func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Options{})
			a.pool(t, "p", 1, 8)
			for _, rule := range rules {
				a.fail(t, rule)
			}
			e := a.open(t)
			file := shared(t) + "/ran"
			j := job("j", 150, "/bin/sh", "-c", "echo x >>"+file)
			submit(t, e, j)
			enginetest.Wait(t, e, j.ID, 150)
			b, err := os.ReadFile(file)
			if n := bytes.Count(b, []byte("x")); n != 150 || err != nil {
				t.Errorf("%d runs were made, %v; want 150", n, err)
			}
		})
	}
}

// Another client brings a large environment of its own, perhaps with a newer token: calls that are too large are split.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 8)
	j := job("j", 1, "/bin/sh", "-c", `test "$TOKEN" = new -o $CLUSTERLESS_TASK = 0`)
	j.Env = []string{"TOKEN=old"}
	submit(t, a.open(t), j)
	e := a.open(t)
	j.Runs, j.Env = enginetest.Runs(100), []string{"TOKEN=new", "LARGE=" + strings.Repeat("x", 30<<10)}
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 100) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
}

func TestPreempted(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{PreemptedTime: 100 * time.Millisecond})
	a.pool(t, "p", 0, 1, spot(1))
	e := a.open(t)
	dir := shared(t)
	j := job("j", 1, "/bin/sh", "-c", "while [ ! -e "+dir+"/go ]; do sleep 0.02; done; exit 7")
	submit(t, e, j)
	var node string
	enginetest.Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool {
		node = got[first].Node
		return got[first].State == engine.Running
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited := false
	for ev, err := range e.Watch(ctx, j.ID) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case ev.State == engine.Running && !waited && node != "":
			if err := a.Preempt(t.Context(), "p", node); err != nil {
				t.Fatal(err)
			}
			node = ""
		case ev.State == engine.Queued && strings.Contains(ev.Reason, "lost its node"):
			waited = true
		case ev.State == engine.Running && waited:
			if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		case ev.State == engine.Exited:
			if !waited || ev.ExitCode != 7 {
				t.Errorf("%+v; waited: %v", ev, waited)
			}
			return
		}
	}
	t.Error("the run did not end")
}

func TestEndings(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 4)
	e := a.open(t, func(c *azbatch.Config) { c.Retries = 1 })
	dir := shared(t)
	long := []string{"sleep", "1000"}

	j := job("time", 1, long...)
	j.Settings = []string{"time=300ms"}
	submit(t, e, j)
	if ev := ran(t, e, "time"); ev.Cause != engine.CauseWalltime || !strings.Contains(ev.Reason, "the setting time") {
		t.Errorf("beyond its time: %+v", ev)
	}

	submit(t, e, job("hand", 2, long...))
	enginetest.Until(t, e, "hand", func(got map[engine.Run]engine.Event) bool { return got[first].State == engine.Running })
	id := ""
	for pages := a.client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Value {
			if *b.DisplayName == "hand" {
				id = *b.ID
			}
		}
	}
	if _, err := a.client.TerminateTask(t.Context(), id, "0-1", nil); err != nil {
		t.Fatal(err)
	}
	if ev := ran(t, e, "hand"); ev.Cause != engine.CauseWithdrawn {
		t.Errorf("a task that somebody ended: %+v", ev)
	}
	if _, err := a.client.TerminateJob(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if ev := enginetest.Wait(t, e, "hand", 2)[engine.Run{Task: 1, Attempt: 1}]; ev.Cause != engine.CauseCancelled || !strings.Contains(ev.Reason, "somebody ended the Batch job") {
		t.Errorf("a job that somebody ended: %+v", ev)
	}

	submit(t, e, job("again", 1, "/bin/sh", "-c", "[ -n \"$CLUSTERLESS_BEGUN\" ] && mkdir "+dir+"/once && exit 1; exit 0"))
	if ev := ran(t, e, "again"); ev.Cause != "" {
		t.Errorf("a process that fails the first time, which the service begins again: %+v", ev)
	}

	submit(t, e, job("node", 1, "echo", "hello"))
	ran(t, e, "node")
	if _, err := a.client.ResizePool(t.Context(), "p", sdk.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](0)}, nil); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		var b []byte
		l, err := e.Logs(t.Context(), "node", first, false)
		if err == nil {
			b, err = io.ReadAll(l)
			l.Close()
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "has left the pool") {
				t.Errorf("log on a node that is gone: %v", err)
			}
			break
		}
		if string(b) != "hello\n" || time.Now().After(deadline) {
			t.Fatalf("log: %q; the node is still there?", b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestTakenAway(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	e := a.open(t, func(c *azbatch.Config) { c.Poll = 20 * time.Millisecond })
	submit(t, e, job("j", 3, "sleep", "1000"))
	enginetest.Until(t, e, "j", func(got map[engine.Run]engine.Event) bool {
		n := 0
		for _, ev := range got {
			if ev.State == engine.Running {
				n++
			}
		}
		return len(got) == 3 && n == 1
	})
	var id string
	for pages := a.client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id = *page.Value[0].ID
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends := 0
	for ev, err := range e.Watch(ctx, "j") {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case ev.Run == first && ev.State < engine.Exited && ends == 0 && id != "":
			if _, err := a.client.DeleteTask(t.Context(), id, "0-1", nil); err != nil {
				t.Fatal(err)
			}
			id = ""
		case ev.Run == first && ev.State >= engine.Exited:
			if ev.State != engine.Lost || !strings.Contains(ev.Reason, "somebody deleted") {
				t.Errorf("a task that somebody deleted: %+v", ev)
			}
			if err := e.DeletePool(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
			ends++
		case ev.State >= engine.Exited:
			if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "pool p is not there any more") {
				t.Errorf("a task whose pool somebody deleted: %+v", ev)
			}
			ends++
		}
		if ends == 3 {
			return
		}
	}
	t.Errorf("%d of 3 runs ended", ends)
}

// program serves a script as a program, and counts.
func program(t *testing.T, script string) (*engine.Program, *atomic.Int64) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(script))
	z.Close()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sig") != "secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Method == http.MethodGet {
			n.Add(1)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.Bytes()))
	}))
	t.Cleanup(s.Close)
	sum := sha256.Sum256([]byte(script))
	return &engine.Program{URL: s.URL + "/program?sig=secret", SHA256: hex.EncodeToString(sum[:])}, &n
}

func TestProgram(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 3, 2)
	e := a.open(t)
	p, fetched := program(t, "#!/bin/sh\necho program $1 $CLUSTERLESS_TASK\nsleep 0.1\n")
	j := job("j", 40, "/proc/1/exe", "with a word")
	j.Program = p
	submit(t, e, j)
	nodes := map[string]bool{}
	for r, ev := range enginetest.Wait(t, e, j.ID, 40) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
		nodes[ev.Node] = true
	}
	if log := enginetest.Log(t, e, j.ID, engine.Run{Task: 7, Attempt: 1}); log != "program with a word 7\n" {
		t.Errorf("the program said %q", log)
	}
	if n := int(fetched.Load()); n != len(nodes) {
		t.Errorf("the program was fetched %d times by %d nodes", n, len(nodes))
	}
	for _, test := range []struct {
		name   string
		change func(*engine.Program)
		want   string
	}{
		{"hash", func(p *engine.Program) { p.SHA256 = strings.Repeat("0", 64) }, "FAILED"},
		{"token", func(p *engine.Program) { p.URL = strings.Replace(p.URL, "secret", "expired-secret", 1) }, "the storage answers 403"},
	} {
		bad, bj := *p, job(test.name, 2, "/proc/1/exe")
		test.change(&bad)
		bj.Program = &bad
		submit(t, e, bj)
		for r, ev := range enginetest.Wait(t, e, test.name, 2) {
			if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, test.want) || strings.Contains(ev.Reason, "secret") {
				t.Errorf("%s: %v: %+v, want it not started with %q, and no secret", test.name, r, ev, test.want)
			}
		}
	}
}

// The storage fails for a while, in several ways: a node that cannot fetch the program tries again, and makes its runs.
func TestProgramIsFetchedAgain(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	p, fetched := program(t, "#!/bin/sh\necho made\n")
	good, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: good.Scheme, Host: good.Host})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch tries.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // no answer
		case 3:
			w.Header().Set("Content-Length", "100000")
			w.Write([]byte("half of it"))
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL + good.RequestURI()
	e := a.open(t)
	j := job("j", 2, "/proc/1/exe")
	j.Program = p
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	if n := fetched.Load(); n != 1 || tries.Load() != 4 {
		t.Errorf("the program was fetched %d times by %d tries", n, tries.Load())
	}
}

// forger is a service that says of some tasks of each collection that they could not be added.
type forger struct {
	status, code string
	lie          func(n int) bool // of the n-th collection
	seen         atomic.Int64
}

func (f *forger) Do(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil || !strings.HasSuffix(req.URL.Path, "/addtaskcollection") || resp.StatusCode != http.StatusOK || !f.lie(int(f.seen.Add(1))) {
		return resp, err
	}
	return changed(resp, func(b []byte) []byte {
		var body struct {
			Value []map[string]any `json:"value"`
		}
		if err = json.Unmarshal(b, &body); err != nil {
			return b
		}
		for i, item := range body.Value {
			if i%3 == 0 {
				item["status"], item["error"] = f.status, map[string]any{"code": f.code, "message": map[string]any{"lang": "en-us", "value": "The server says so."}}
			}
		}
		b, err = json.Marshal(body)
		return b
	})
}

// Tasks of a collection can fail by themselves: for a reason of the service's they are added again, for one of theirs the submit
// says which.
func TestItemsFail(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 8)
	busy := &forger{status: "servererror", code: "ServerBusy", lie: func(n int) bool { return n <= 2 }}
	e := a.open(t, func(c *azbatch.Config) { c.Transport = busy })
	j := job("j", 30, once(t)...)
	submit(t, e, j)
	wellEnded(t, enginetest.Wait(t, e, j.ID, 30))
	if n := busy.seen.Load(); n != 3 {
		t.Errorf("%d requests for a collection that failed in part twice", n)
	}
	bad := &forger{status: "clienterror", code: "InvalidPropertyValue", lie: func(int) bool { return true }}
	e = a.open(t, func(c *azbatch.Config) { c.Transport = bad })
	if err := e.Submit(t.Context(), job("k", 3, "true")); err == nil || !strings.Contains(err.Error(), "task 0-1: InvalidPropertyValue: The server says so.") {
		t.Errorf("a task that is refused: %v", err)
	}
}
