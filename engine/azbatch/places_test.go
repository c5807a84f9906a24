//go:build linux

package azbatch_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

// also adds pools of other accounts to an engine's.
func also(b account, pools ...string) func(*azbatch.Config) {
	return func(c *azbatch.Config) {
		for _, p := range pools {
			c.Places = append(c.Places, azbatch.Place{Endpoint: b.URL(), Pool: p, Credential: b.Credential()})
		}
	}
}

func pools(s string) func(*azbatch.Config) { return func(c *azbatch.Config) { c.Pool = s } }

// jobs are the Batch jobs of an account, by the pool that they are in.
func (a account) jobs(t testing.TB) map[string]*sdk.Job {
	t.Helper()
	all := map[string]*sdk.Job{}
	for pages := a.client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Value {
			if *j.State != sdk.JobStateDeleting {
				all[*j.PoolInfo.PoolID] = &j
			}
		}
	}
	return all
}

// tasks is how many tasks a Batch job has.
func (a account) tasks(t testing.TB, j *sdk.Job) (n int) {
	t.Helper()
	if j == nil {
		return 0
	}
	for pages := a.client.NewListTasksPager(*j.ID, nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Value)
	}
	return n
}

// idle waits for the nodes of a pool.
func (a account) idle(t *testing.T, pool string, want int) {
	t.Helper()
	until(t, "nodes of "+pool, func() bool {
		n := 0
		for pages := a.client.NewListNodesPager(pool, nil); pages.More(); {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				return false
			}
			for _, node := range page.Value {
				if *node.State == sdk.NodeStateIdle {
					n++
				}
			}
		}
		return n == want
	})
}

// once is a command that fails when it is run a second time for the same run.
func once(t *testing.T) []string {
	return []string{"/bin/sh", "-c", "echo run $CLUSTERLESS_TASK; mkdir " + shared(t) + "/$CLUSTERLESS_TASK-$CLUSTERLESS_ATTEMPT"}
}

func wellEnded(t *testing.T, got map[engine.Run]engine.Event) {
	t.Helper()
	for r, ev := range got {
		if ev.State != engine.Exited || ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
}

// Runs are split over three pools of two accounts by their slots, and whoever opens the same places finds all of them.
func TestPlaces(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{Account: "other"})
	a.pool(t, "p", 1, 4)
	a.pool(t, "q", 1, 2)
	b.pool(t, "p", 1, 2)
	a.idle(t, "p", 1)
	a.idle(t, "q", 1)
	b.idle(t, "p", 1)
	open := func() *azbatch.Engine { return a.open(t, pools("p,q"), also(b, "p")) }
	e := open()
	j := job("j", 200, once(t)...)
	var clients sync.WaitGroup
	for range 2 { // the same client twice, and another
		clients.Go(func() { submit(t, e, j) })
	}
	clients.Wait()
	submit(t, open(), j)
	later := open()
	wellEnded(t, enginetest.Wait(t, later, j.ID, 200))
	for _, test := range []struct {
		a    account
		pool string
		want int
	}{{a, "p", 100}, {a, "q", 50}, {b, "p", 50}} {
		if n := test.a.tasks(t, test.a.jobs(t)[test.pool]); n < test.want-2 || n > test.want+2 {
			t.Errorf("%d of 200 runs in %s, want about %d", n, test.pool, test.want)
		}
	}
	for task := range 4 {
		if log := enginetest.Log(t, later, j.ID, engine.Run{Task: task, Attempt: 1}); log != "run "+string(rune('0'+task))+"\n" {
			t.Errorf("log of run %d: %q", task, log)
		}
	}
	if err := later.Delete(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	until(t, "all Batch jobs are deleted", func() bool { return len(a.jobs(t))+len(b.jobs(t)) == 0 })

	// Jobs of one run go to the accounts in turn, as long as these have equally many slots free; a call can name its pool.
	even := b.open(t, also(a, "q"))
	for _, id := range []string{"1", "2", "3", "4"} {
		submit(t, even, job(id, 1, "sleep", "1000"))
	}
	until(t, "two runs in each account", func() bool {
		n := map[string]int{}
		for _, x := range []account{a, b} {
			for pages := x.client.NewListJobsPager(nil); pages.More(); {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range page.Value {
					n[*j.PoolInfo.PoolID] += x.tasks(t, &j)
				}
			}
		}
		return n["p"] == 2 && n["q"] == 2
	})
	for _, id := range []string{"1", "2", "3", "4"} {
		if err := open().Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		if ev := ran(t, even, id); ev.Cause != engine.CauseCancelled {
			t.Errorf("cancelled: %+v", ev)
		}
	}
	named := job("named", 4, once(t)...)
	named.Settings = []string{"pool=q"}
	submit(t, e, named)
	wellEnded(t, enginetest.Wait(t, later, named.ID, 4))
	if n := a.tasks(t, a.jobs(t)["q"]); n != 4 {
		t.Errorf("%d of 4 runs in the pool that they named", n)
	}
}

// A pool whose nodes fail to start, one that Azure has no machines for, and one without nodes hand their runs over.
func TestHandOver(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{})
	dir := shared(t)
	a.pool(t, "start", 2, 1, startTask("while [ ! -e "+dir+"/go ]; do sleep 0.02; done; echo no such package; exit 3"))
	a.pool(t, "none", 0, 1, func(c *sdk.CreatePoolContent) { c.TargetDedicatedNodes = to.Ptr[int32](0) })
	b.pool(t, "refused", 0, 1)
	b.pool(t, "good", 1, 2)
	var log safeBuffer
	open := func() *azbatch.Engine {
		return a.open(t, pools("start,none"), also(b, "refused", "good", "nowhere"), func(c *azbatch.Config) {
			c.Start, c.Logger = 3*time.Second, slog.New(slog.NewTextHandler(&log, nil))
		})
	}
	e := open()
	j := job("j", 60, once(t)...)
	submit(t, e, j)
	for _, pool := range []string{"start", "none"} {
		if n := a.tasks(t, a.jobs(t)[pool]); n == 0 {
			t.Errorf("the pool %s, which has not failed yet, was given nothing", pool)
		}
	}
	if err := b.SetCapacity(t.Context(), "refused", emulator.Capacity{FailFast: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.ResizePool(t.Context(), "refused", sdk.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](3)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for _, e := range []*azbatch.Engine{e, open()} { // two clients hand over at once
		both.Go(func() { wellEnded(t, enginetest.Wait(t, e, j.ID, 60)) })
	}
	both.Wait()
	for _, want := range []string{
		"hands its share of the job over to the others\" job=j pool=start", "no such package", "pool=none", "no node could be used within 3s", "pool=refused", "AllocationFailed",
		"cannot be used, and its share of the job goes to the others\" job=j pool=nowhere",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	// Runs that are added later, by a client that knows of nothing, go where the others went.
	j.Runs = nil
	for task := range 60 {
		j.Runs = append(j.Runs, engine.Run{Task: task, Attempt: 2})
	}
	late := open()
	submit(t, late, j)
	got := enginetest.Wait(t, late, j.ID, 120)
	wellEnded(t, got)
	if log := enginetest.Log(t, late, j.ID, engine.Run{Task: 7, Attempt: 1}); log != "run 7\n" {
		t.Errorf("log of a run that was handed over: %q", log)
	}
}

// Only when no pool can start the job fails, and says why each of them could not.
func TestAllPlacesFail(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{})
	dir := shared(t)
	script := "while [ ! -e " + dir + "/go ]; do sleep 0.02; done; echo no "
	a.pool(t, "p", 1, 1, startTask(script+"license; exit 3"))
	b.pool(t, "q", 1, 1, startTask(script+"compiler; exit 4"))
	e := a.open(t, also(b, "q"))
	submit(t, e, job("j", 10, "true"))
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for r, ev := range enginetest.Wait(t, e, "j", 10) {
		if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "no license") || !strings.Contains(ev.Reason, "no compiler") {
			t.Errorf("%v: %+v, want it not started, and why in both places", r, ev)
		}
	}
	// What is known beforehand is refused at once.
	if err := e.Submit(t.Context(), job("k", 1, "true")); err == nil || !strings.Contains(err.Error(), "no license") || !strings.Contains(err.Error(), "no compiler") {
		t.Errorf("submit: %v", err)
	}
}

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The suite, with runs split over two accounts.
func TestEngineOnTwoAccounts(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{}), start(t, emulator.Options{})
	a.pool(t, "p", 1, 8)
	b.pool(t, "q", 1, 8)
	enginetest.Run(t, enginetest.Options{Many: 100, Program: helper(t), Dir: shared, Open: func(t testing.TB) engine.Engine { return a.open(t, also(b, "q")) }})
}
