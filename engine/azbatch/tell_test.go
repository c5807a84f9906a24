//go:build linux

package azbatch_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
)

// What becomes of a job is told to people who do not follow it, by few requests.
func TestTell(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	for _, id := range []string{"p", "empty", "refused", "grows", "broken"} {
		nodes := int32(1)
		var change []func(*sdk.CreatePoolContent)
		switch id {
		case "empty", "refused":
			nodes = 0
		case "broken":
			change = append(change, startTask("echo no such package >&2; exit 3"))
		}
		a.pool(t, id, nodes, 1, change...)
	}
	grow := func(pool string, c emulator.Capacity) {
		if err := a.SetCapacity(t.Context(), pool, c); err != nil {
			t.Fatal(err)
		}
		a.idle(t, pool, map[string]int{"grows": 1}[pool])
		if _, err := a.client.ResizePool(t.Context(), pool, sdk.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](3)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	grow("refused", emulator.Capacity{FailFast: true})
	grow("grows", emulator.Capacity{Dedicated: 1})

	var requests atomic.Int64
	e := a.open(t, pools("p"), through(func(req *http.Request, next func() (*http.Response, error)) (*http.Response, error) {
		requests.Add(1)
		return next()
	}))
	says := func(id, want string) {
		t.Helper()
		var last string
		var err error
		until(t, "told of "+id+": "+want, func() bool {
			requests.Store(0)
			now, e := e.Tell(t.Context(), id)
			if now != last || e != nil {
				t.Logf("%s: %s, %v", id, now, e)
			}
			last, err = now, e
			return err != nil || strings.Contains(now, want)
		})
		if err != nil {
			t.Error(err)
		}
	}
	says("nobody", "nobody works on it, and Batch has no job for it; ")
	dir := shared(t)
	wait := []string{"/bin/sh", "-c", "until [ -e " + dir + "/go ]; do sleep 0.02; done"}
	for pool, want := range map[string]string{
		"p":       "1 task runs, 2 wait; the pool p has 1 node",
		"empty":   "0 tasks run, 3 wait; the pool empty has no nodes: resize it",
		"refused": "0 tasks run, 3 wait; the pool refused gets no nodes: AllocationFailed",
		"grows":   "1 task runs, 2 wait; the pool grows has 1 node, and is being resized to 3",
		"broken":  "0 tasks run, 3 wait; 1 node of the pool broken cannot be used: the start task of node",
	} {
		j := job(pool, 3, wait...)
		j.Settings = []string{"pool=" + pool}
		submit(t, e, j)
		says(pool, want)
		if n := requests.Load(); n > 3 && strings.HasPrefix(want, "1 task runs") {
			t.Errorf("%s: %d requests", pool, n)
		}
	}
	if err := e.Cancel(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	says("empty", "its Batch job has ended: cancelled")
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	says("p", "no task of it runs or waits; ")
	var _ engine.Teller = (*azbatch.Engine)(nil)
}
