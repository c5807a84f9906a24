//go:build linux

package azbatch_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

// size is how many dedicated and spot nodes a pool has.
func (a account) size(t *testing.T, pool string) [2]int {
	t.Helper()
	p, err := a.client.GetPool(t.Context(), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	return [2]int{int(*p.CurrentDedicatedNodes), int(*p.CurrentLowPriorityNodes)}
}

// Each ready-made formula brings nodes when there is something to do, and takes them away when nothing is left.
func TestFormulas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spec  azbatch.PoolSpec
		tasks int
		spot  int // that Azure has
		want  [2]int
		left  [2]int
	}{
		{"follow", azbatch.PoolSpec{MaxNodes: 5, MaxSpot: 2}, 6, -1, [2]int{1, 2}, [2]int{}},
		{"follow keeps some", azbatch.PoolSpec{MaxNodes: 5, MaxSpot: 2, Nodes: 1, Lease: -1}, 10, -1, [2]int{3, 2}, [2]int{1, 0}},
		{"fallback", azbatch.PoolSpec{MaxNodes: 5, MaxSpot: 3, Formula: "fallback"}, 6, 1, [2]int{2, 1}, [2]int{}},
		{"burst", azbatch.PoolSpec{MaxNodes: 2, MaxSpot: 3, Formula: "burst"}, 1, -1, [2]int{2, 3}, [2]int{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Options{Speed: 600, Simulate: "task=10000h"})
			test.spec.VMSize = "Standard_D2s_v5"
			e := a.open(t, func(c *azbatch.Config) { c.Make, c.Lifetime = test.spec, 1e6*time.Hour })
			if _, err := e.CreatePool(t.Context(), "p", test.spec); err != nil {
				t.Fatal(err)
			}
			if err := a.SetCapacity(t.Context(), "p", emulator.Capacity{Dedicated: -1, LowPriority: test.spot, FailFast: true}); err != nil {
				t.Fatal(err)
			}
			submit(t, e, job("j", test.tasks, "true"))
			until(t, "as many nodes as are to be there", func() bool { return a.size(t, "p") == test.want })
			if err := e.Cancel(t.Context(), "j"); err != nil {
				t.Fatal(err)
			}
			until(t, "as many nodes as stay", func() bool { return a.size(t, "p") == test.left })
		})
	}
}

// Nodes of a fixed size leave when the lease is over, if nothing is to be done, and come back with the next job.
func TestLease(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 600, Simulate: "task=10000h"})
	e := a.open(t, func(c *azbatch.Config) { c.Lifetime = 1e6 * time.Hour })
	spec := azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Spot: 1, Lease: 30 * time.Minute}
	if _, err := e.CreatePool(t.Context(), "p", spec); err != nil {
		t.Fatal(err)
	}
	until(t, "2 nodes", func() bool { return a.size(t, "p") == [2]int{1, 1} })
	until(t, "none", func() bool { return a.size(t, "p") == [2]int{} })
	submit(t, e, job("j", 1, "true"))
	until(t, "2 nodes again", func() bool { return a.size(t, "p") == [2]int{1, 1} })
	if err := e.Cancel(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "none again", func() bool { return a.size(t, "p") == [2]int{} })
}

// A session that uses a pool lets its lease begin anew, wherever the pool was made.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 200, Simulate: "task=1s"}) // formulas may be changed every 30 s
	e := a.open(t)
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1}); err != nil {
		t.Fatal(err)
	}
	lease := func() time.Duration {
		t.Helper()
		all, err := e.Pools(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != "p" || all[0].Made.IsZero() {
			t.Fatalf("pools: %+v, %v", all, err)
		}
		return time.Until(all[0].Lease)
	}
	if d := lease(); d < azbatch.DefaultLease-time.Hour || d > azbatch.DefaultLease {
		t.Errorf("a new pool has a lease of %v", d)
	}
	p, err := a.client.GetPool(t.Context(), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`time\("[^"]+"\)`).ReplaceAllString(*p.AutoScaleFormula, `time("`+time.Now().Add(time.Minute).UTC().Format(time.RFC3339)+`")`)
	if _, err := a.client.EnablePoolAutoScale(t.Context(), "p", sdk.EnablePoolAutoScaleContent{AutoScaleFormula: to.Ptr(old)}, nil); err != nil {
		t.Fatal(err)
	}
	if d := lease(); d > time.Minute {
		t.Fatalf("the lease is %v", d)
	}
	until(t, "the lease goes on with the jobs of other sessions", func() bool {
		submit(t, a.open(t), job("j", 1, "true"))
		return lease() > azbatch.DefaultLease-time.Hour
	})
	if err := e.ResizePool(t.Context(), "p", azbatch.PoolSpec{MaxSpot: 3, Lease: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if d := lease(); d > 0 {
		t.Errorf("a pool that has no nodes when idle has a lease of %v", d)
	}
	if err := e.ResizePool(t.Context(), "p", azbatch.PoolSpec{Nodes: 2, Lease: -1}); err != nil {
		t.Fatal(err)
	}
	if p, err := a.client.GetPool(t.Context(), "p", nil); err != nil || *p.EnableAutoScale || *p.TargetDedicatedNodes != 2 {
		t.Errorf("resized for ever: %v, %d nodes, %v", *p.EnableAutoScale, *p.TargetDedicatedNodes, err)
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Simulate: "task=1s"})
	e := a.open(t)
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D2s_v5", MaxSpot: 1}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		spec azbatch.PoolSpec
		want string
	}{
		{azbatch.PoolSpec{Formula: "$TargetDedicatedNodes = 1 + 2;"}, "$TargetDedicatedNodes=3"},
		{azbatch.PoolSpec{MaxNodes: 4, Nodes: 2}, "$TargetDedicatedNodes=2"},
		{azbatch.PoolSpec{Formula: "$TargetDedicatedNodes = nodes;"}, "error: nodes"},
		{azbatch.PoolSpec{Formula: "burst"}, "error: needs a limit"},
	} {
		got, err := e.EvaluateFormula(t.Context(), "p", test.spec)
		if err != nil {
			got = "error: " + err.Error()
		}
		if part, _ := strings.CutPrefix(test.want, "error: "); (err != nil) != strings.HasPrefix(test.want, "error: ") || !strings.Contains(got, part) {
			t.Errorf("%+v: %s, want %s", test.spec, got, test.want)
		}
	}
	if p, err := a.client.GetPool(t.Context(), "p", nil); err != nil || *p.TargetDedicatedNodes != 0 {
		t.Errorf("evaluation changed the pool: %d nodes, %v", *p.TargetDedicatedNodes, err)
	}
}

// A pool of a fixed size has a formula for its lease, but nothing to hope for when all its nodes are broken.
func TestBrokenPoolWithLease(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	e := a.open(t)
	if _, err := e.CreatePool(t.Context(), "p", azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, StartScript: "echo no license; exit 3"}); err != nil {
		t.Fatal(err)
	}
	submit(t, e, job("j", 1, "true"))
	for r, ev := range enginetest.Wait(t, e, "j", 1) {
		if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, "no license") {
			t.Errorf("%v: %+v, want it not started, with the output of the start script", r, ev)
		}
	}
}
