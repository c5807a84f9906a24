//go:build linux

package azbatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
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

// between comes between an engine and the service, for what a real service says and the emulator does not.
type between func(req *http.Request, next func() (*http.Response, error)) (*http.Response, error)

func (f between) Do(req *http.Request) (*http.Response, error) {
	return f(req, func() (*http.Response, error) { return http.DefaultClient.Do(req) })
}

func through(f between) func(*azbatch.Config) {
	return func(c *azbatch.Config) { c.Transport = f }
}

// changed is an answer with another body.
func changed(resp *http.Response, change func([]byte) []byte) (*http.Response, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	b = change(b)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	resp.Header.Del("Content-Length")
	return resp, err
}

// answer is one of the service's that is an error.
func answer(req *http.Request, status int, code string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"code":"` + code + `","message":{"value":"So it is."}}`)), Request: req}
}

var words = regexp.MustCompile(`"(?:state|status|result|category|allocationState|osType|verificationType)":\s*"[a-z]`)

// Microsoft's examples of answers have capitals where the description of the API has none: "Success", "ClientError", "UserError".
func TestCapitals(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	e := a.open(t, through(func(_ *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		resp, err := next()
		if err != nil || !strings.Contains(resp.Header.Get("Content-Type"), "json") {
			return resp, err
		}
		return changed(resp, func(b []byte) []byte {
			return words.ReplaceAllFunc(b, func(w []byte) []byte { return append(w[:len(w)-1:len(w)-1], bytes.ToUpper(w[len(w)-1:])...) })
		})
	}))
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D4s_v5", Nodes: 1}); err != nil {
		t.Fatal(err)
	}
	j := job("j", 4, "/bin/sh", "-c", "exit $CLUSTERLESS_TASK")
	submit(t, e, j)
	submit(t, e, j) // all are there
	for r, ev := range enginetest.Wait(t, e, j.ID, 4) {
		if ev.State != engine.Exited || ev.ExitCode != r.Task {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	submit(t, e, job("k", 1, "sleep", "1000"))
	enginetest.Until(t, e, "k", func(got map[engine.Run]engine.Event) bool { return got[first].State == engine.Running })
	infos, err := e.BatchJobs(t.Context())
	if err != nil || len(infos) != 2 || infos[0].State != "active" {
		t.Errorf("jobs: %+v, %v", infos, err)
	}
	if err := e.Cancel(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if ev := ran(t, e, "k"); ev.Cause != engine.CauseCancelled {
		t.Errorf("cancelled: %+v", ev)
	}
}

// A request for the second page of a list fails: what it would have had is asked for again.
func TestCostOfHalfAList(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	a := start(t, emulator.Options{Speed: 3600, Simulate: "task=2h"})
	a.pool(t, "p", 1, 4, ofSize(size, 0))
	e := a.open(t, inRegion(region))
	j := job("j", 0, "true")
	j.Runs = []engine.Run{{Task: 2, Attempt: 1}, {Task: 3, Attempt: 1}}
	submit(t, e, j)
	enginetest.Wait(t, e, j.ID, 2)
	j.Runs = enginetest.Runs(2) // come first in a list, and change last
	submit(t, e, j)
	enginetest.Wait(t, e, j.ID, 4)
	var failed atomic.Bool
	other := a.open(t, inRegion(region), through(func(req *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/tasks") {
			q := req.URL.Query()
			if q.Has("$skiptoken") && !failed.Swap(true) {
				return answer(req, http.StatusBadRequest, "InvalidQueryParameterValue"), nil
			}
			q.Set("maxresults", "2")
			req.URL.RawQuery = q.Encode()
		}
		return next()
	}))
	if c, err := other.Cost(t.Context(), j.ID); err == nil {
		t.Errorf("with half of the tasks: %+v", c)
	}
	if got, want := cost(t, other, j.ID), cost(t, e, j.ID); got != want || want.NodeTime < 4*time.Hour {
		t.Errorf("after that %+v, want %+v for 4 h", got, want)
	}
}

// A configuration that names one account of two still ends what a job has there, and says what it does not reach.
func TestAccountOfOthers(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	b.pool(t, "q", 1, 1)
	both := a.open(t, also(b, "q"))
	for _, id := range []string{"cancel", "delete", "list"} {
		submit(t, both, job(id, 10, "sleep", "1000"))
	}
	one := b.open(t, pools("q"))
	for id, end := range map[string]func(context.Context, string) error{"cancel": one.Cancel, "delete": one.Delete} {
		if err := end(t.Context(), id); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "add the setting place=127.0.0.1:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", id, err)
		}
	}
	infos, err := one.BatchJobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		switch {
		case i.Places != 2:
			t.Errorf("%+v: want 2 places", i)
		case i.Job == "delete" && i.State != "deleting", i.Job == "cancel" && i.State == "active":
			t.Errorf("%+v goes on", i)
		case i.Job == "list":
			if err := one.DeleteBatchJob(t.Context(), i.Batch); err != nil {
				t.Error(err)
			}
		}
	}
	until(t, "what was deleted is gone", func() bool {
		infos, err := one.BatchJobs(t.Context())
		return err == nil && len(infos) == 1 && infos[0].Job == "cancel"
	})
}

// The Batch job is ended while tasks are added: the service says so for each of them.
func TestEndedWhileAdding(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	f := &forger{status: "ClientError", code: "JobBeingTerminated"}
	f.lie = func(int) bool {
		if _, err := a.client.TerminateJob(t.Context(), batchJob(t, a), nil); err != nil {
			t.Error(err)
		}
		return true
	}
	e := a.open(t, func(c *azbatch.Config) { c.Transport = f })
	if err := e.Submit(t.Context(), job("j", 3, "true")); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "somebody ended the Batch job") {
		t.Errorf("submit: %v", err)
	}
}

// However long the service wants to be left alone, that is no error.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	e := a.open(t, through(func(req *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		resp := answer(req, http.StatusServiceUnavailable, "ServerBusy")
		resp.Header.Set("Retry-After", "60")
		return resp, nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := e.Pools(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it waits: %v, want that it waits", err)
	}
}

// A pool takes minutes to be deleted; a job that may make it waits for that.
func TestPoolBeingDeleted(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 0, 1)
	var asked atomic.Int64
	leaving := through(func(req *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		resp, err := next()
		if err != nil || req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/pools/p") || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		n := asked.Add(1)
		if n == 4 {
			if _, err := a.client.DeletePool(t.Context(), "p", nil); err != nil {
				t.Error(err)
			}
		}
		if n > 4 {
			return resp, nil
		}
		return changed(resp, func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"state":"active"`), []byte(`"state":"deleting"`))
		})
	})
	if err := a.open(t, leaving).Submit(t.Context(), job("refused", 1, "true")); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "is being deleted") {
		t.Errorf("submit to a pool that is being deleted, and that nobody makes anew: %v", err)
	}
	e := a.open(t, leaving, func(c *azbatch.Config) { c.Make = azbatch.PoolSpec{VMSize: "Standard_D4s_v5", Nodes: 1} })
	submit(t, e, job("j", 1, "true"))
	wellEnded(t, enginetest.Wait(t, e, "j", 1))
}

// A node that the service finds unusable may come back: runs wait for it, or go elsewhere.
func TestUnusable(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	b.pool(t, "q", 1, 1)
	a.idle(t, "p", 1)
	var node string
	for pages := a.client.NewListNodesPager("p", nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		node = *page.Value[0].ID
	}
	both := a.open(t, also(b, "q"))
	submit(t, both, job("shared", 8, "sleep", "0.3"))
	if err := a.Break(t.Context(), "p", node); err != nil {
		t.Fatal(err)
	}
	e := a.open(t)
	submit(t, e, job("j", 1, "true"))
	enginetest.Until(t, e, "j", func(got map[engine.Run]engine.Event) bool {
		if got[first].State > engine.Queued {
			t.Errorf("a run does not wait for a node that may come back: %+v", got[first])
		}
		return strings.Contains(got[first].Reason, "Batch goes on trying to mend it")
	})
	wellEnded(t, enginetest.Wait(t, both, "shared", 8))
	if ev := ran(t, a.open(t, func(c *azbatch.Config) { c.Start = time.Second }), "j"); ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "is unusable") {
		t.Errorf("when it did not come back: %+v", ev)
	}
}

// Nodes of a pool that follows the work fail, all of them: the job does not keep them for as long as it would wait for good ones.
func TestAllNodesFail(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 300})
	e := a.open(t, func(c *azbatch.Config) { c.Start = 30 * time.Second })
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D4s_v5", MaxNodes: 1, StartScript: "echo no license; exit 3"}); err != nil {
		t.Fatal(err)
	}
	submit(t, e, job("j", 1, "true"))
	if ev := ran(t, e, "j"); ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "no license") || strings.Contains(ev.Reason, "within") {
		t.Errorf("%+v", ev)
	}
}

// A lease that is renewed does not undo what somebody else did with the pool just now; one that is over leaves what is in use.
func TestLeaseOfOthers(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 20}) // a formula is taken every 30 s
	var struck atomic.Bool
	e := a.open(t, through(func(req *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/enableautoscale") {
			struck.Store(true)
			if _, err := a.client.UpdatePool(t.Context(), "p", sdk.UpdatePoolContent{Metadata: []sdk.MetadataItem{{Name: to.Ptr("owner"), Value: to.Ptr("me")}}}, nil); err != nil {
				t.Error(err)
			}
		}
		return next()
	}))
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D4s_v5", Nodes: 1, Lease: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	a.idle(t, "p", 1)
	lease := func() time.Time {
		all, err := e.Pools(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("pools: %+v, %v", all, err)
		}
		return all[0].Lease
	}
	was := lease()
	until(t, "the lease is over", func() bool { return time.Now().After(was) })
	submit(t, e, job("j", 1, "sleep", "1000"))
	if now := lease(); !struck.Load() || !now.Equal(was) {
		t.Errorf("the lease was until %v, and is until %v, though somebody changed the pool meanwhile", was, now)
	}
	if is, err := e.Expired(t.Context(), "p"); is || err != nil {
		t.Errorf("a pool with a task counts as expired: %v, %v", is, err)
	}
	if err := e.Cancel(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the pool has nothing to do", func() bool {
		is, err := e.Expired(t.Context(), "p")
		return is && err == nil
	})
}

// Two programs that share an account, and have a job of the same name, each in a store of its own.
func TestOneNameTwoStores(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 4)
	in := func(store string) *azbatch.Engine {
		e := a.open(t)
		if err := engine.Scope(e, store); err != nil {
			t.Fatal(err)
		}
		return e
	}
	mine, theirs := in("azblob://mine/jobs"), in("azblob://theirs/jobs")
	submit(t, mine, job("j", 1, "sleep", "1000"))
	submit(t, theirs, job("j", 1, "/bin/sh", "-c", "exit 7"))
	if err := engine.Scope(theirs, "azblob://mine/jobs"); err == nil {
		t.Error("an engine is for two stores")
	}
	if ev := ran(t, theirs, "j"); ev.ExitCode != 7 {
		t.Errorf("theirs: %+v", ev)
	}
	if err := theirs.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	enginetest.Until(t, in("azblob://mine/jobs"), "j", func(got map[engine.Run]engine.Event) bool { return got[first].State == engine.Running })
	until(t, "theirs is gone", func() bool {
		all, err := mine.BatchJobs(t.Context())
		return err == nil && len(all) == 1
	})
}

// noAnswer is an error of the network, which the SDK does not try again.
type noAnswer struct{ error }

func (noAnswer) NonRetriable() {}

// Who follows a log goes on when the service could not be reached for a while.
func TestFollowThroughTrouble(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	var broken atomic.Bool
	var failed atomic.Int64
	e := a.open(t, through(func(_ *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		if broken.Load() {
			failed.Add(1)
			return nil, noAnswer{errors.New("no route to host")}
		}
		return next()
	}))
	dir := shared(t)
	submit(t, e, job("j", 1, "/bin/sh", "-c", "echo first; while [ ! -e "+dir+"/go ]; do sleep 0.02; done; echo last"))
	enginetest.Until(t, e, "j", func(got map[engine.Run]engine.Event) bool { return got[first].State == engine.Running })
	log, err := e.Logs(t.Context(), "j", first, true)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b := make([]byte, 6)
	if _, err := io.ReadFull(log, b); err != nil || string(b) != "first\n" {
		t.Fatalf("%q, %v", b, err)
	}
	broken.Store(true)
	rest := make(chan string)
	go func() {
		b, err := io.ReadAll(log)
		rest <- fmt.Sprint(string(b), err)
	}()
	until(t, "the service was asked in vain", func() bool { return failed.Load() > 2 })
	broken.Store(false)
	if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := <-rest; got != "last\n<nil>" {
		t.Errorf("after that: %q", got)
	}
}

// A run that is cancelled while its node is prepared was given a node, and has an empty log.
func TestCancelWhilePreparing(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 1)
	a.idle(t, "p", 1)
	asked := make(chan struct{}, 10)
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		time.Sleep(time.Second)
	}))
	t.Cleanup(slow.Close)
	e := a.open(t)
	j := job("j", 1, "true")
	j.Program = &engine.Program{URL: slow.URL + "/program?sig=x", SHA256: strings.Repeat("0", 64)}
	submit(t, e, j)
	<-asked
	if err := e.Cancel(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if ev := ran(t, e, "j"); ev.Cause != engine.CauseCancelled {
		t.Errorf("%+v", ev)
	}
	if log := enginetest.Log(t, e, "j", first); log != "" {
		t.Errorf("it wrote %q", log)
	}
}
