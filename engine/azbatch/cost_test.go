//go:build linux

package azbatch_test

import (
	"errors"
	"math"
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

// West Europe is in the table that comes with the program: see internal/price/prices.csv.
const (
	region       = "westeurope"
	size         = "Standard_D4s_v5"
	dedicatedUSD = 0.23
	spotUSD      = 0.042504
)

func ofSize(size string, spot int32) func(*sdk.CreatePoolContent) {
	return func(c *sdk.CreatePoolContent) { c.VMSize, c.TargetLowPriorityNodes = to.Ptr(size), to.Ptr(spot) }
}

func inRegion(region string) func(*azbatch.Config) {
	return func(c *azbatch.Config) { c.Region = region }
}

func cost(t *testing.T, e *azbatch.Engine, job string) engine.Cost {
	t.Helper()
	c, err := e.Cost(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// near allows for what a task takes beside its time, in an account whose hours are seconds.
func near(got, want float64) bool { return got >= want && got < want*1.25 }

func TestCost(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no table of the user's
	a := start(t, emulator.Options{Speed: 1200, Simulate: "task=2h"})
	a.pool(t, "p", 1, 2, ofSize(size, 1))
	e := a.open(t, inRegion(region))
	if c, err := e.Cost(t.Context(), "j"); !errors.Is(err, engine.ErrNotExist) {
		t.Errorf("a job that is not there: %v, %v", c, err)
	}
	submit(t, e, job("j", 8, "true")) // two at once on each of the nodes, one after the other: 4 h on each
	until(t, "it has cost something", func() bool { return cost(t, e, "j").Spent > 0 })
	until(t, "all nodes are there", func() bool { return math.Abs(cost(t, e, "j").Hour-dedicatedUSD-spotUSD) < 1e-9 })
	running := cost(t, e, "j")
	enginetest.Wait(t, e, "j", 8)
	c := cost(t, e, "j")
	if !near(c.NodeTime.Hours(), 8) || !near(c.Spent, 4*(dedicatedUSD+spotUSD)) || c.Unknown != "" || c.Prices.Format(time.DateOnly) != "2026-08-20" {
		t.Errorf("%+v; want 8 h for %v USD", c, 4*(dedicatedUSD+spotUSD))
	}
	if running.Spent >= c.Spent || running.Spent <= 0 {
		t.Errorf("%v, and while it ran %v", c, running)
	}
	if other := cost(t, a.open(t, inRegion(region)), "j"); other != c {
		t.Errorf("another client counts %+v, this one %+v", other, c)
	}

	if c := cost(t, a.open(t), "j"); !strings.Contains(c.Unknown, "setting region") || c.Spent != 0 || !near(c.NodeTime.Hours(), 8) {
		t.Errorf("without a region: %+v", c)
	}
	if c := cost(t, a.open(t, inRegion("moon")), "j"); !strings.Contains(c.Unknown, "--refresh --region moon") || c.Spent != 0 {
		t.Errorf("a region that is not in the table: %+v", c)
	}
	if err := e.DeletePool(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	until(t, "the pool is gone", func() bool {
		_, err := a.client.GetPool(t.Context(), "p", nil)
		return err != nil
	})
	if got := cost(t, e, "j"); got.Spent != c.Spent || got.Hour != 0 {
		t.Errorf("when the pool is gone: %+v, want %+v", got, c)
	}
	if c := cost(t, a.open(t, inRegion(region)), "j"); !strings.Contains(c.Unknown, "p is gone") {
		t.Errorf("to a client that has not seen the pool: %+v", c)
	}
	if err := e.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the job is gone", func() bool {
		_, err := e.Cost(t.Context(), "j")
		return errors.Is(err, engine.ErrNotExist)
	})
}

// What a node worked before it was preempted has cost money too.
func TestCostOfPreemption(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	a := start(t, emulator.Options{Speed: 1200, Simulate: "task=2h", PreemptedTime: time.Minute})
	a.pool(t, "p", 0, 1, ofSize(size, 1))
	e := a.open(t, inRegion(region))
	submit(t, e, job("j", 1, "true"))
	until(t, "it works", func() bool { return cost(t, e, "j").Spent > spotUSD/2 })
	var node string
	for pages := a.client.NewListNodesPager("p", nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		node = *page.Value[0].ID
	}
	if err := a.Preempt(t.Context(), "p", node); err != nil {
		t.Fatal(err)
	}
	until(t, "it has lost its node", func() bool {
		task, err := a.client.GetTask(t.Context(), batchJob(t, a), "0-1", nil)
		return err == nil && *task.State != sdk.TaskStateRunning
	})
	before := cost(t, e, "j").Spent
	ran(t, e, "j")
	if c := cost(t, e, "j"); before < spotUSD/2 || c.Spent < before+2*spotUSD*0.99 {
		t.Errorf("%v, and before it was preempted %v; want 2 h more", c, before)
	}
}

// batchJob is the ID of the only Batch job.
func batchJob(t *testing.T, a account) (id string) {
	t.Helper()
	for pages := a.client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Value {
			id = *j.ID
		}
	}
	return id
}

func TestEstimate(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	a := start(t, emulator.Options{Simulate: "task=1s"})
	a.pool(t, "p", 2, 1, ofSize(size, 3))
	a.pool(t, "odd", 1, 1, ofSize("Standard_D2s_v3", 0))
	e := a.open(t, inRegion(region), func(c *azbatch.Config) {
		c.Make = azbatch.PoolSpec{VMSize: "Standard_E2s_v3", MaxNodes: 4, MaxSpot: 10}
	})
	for _, test := range []struct {
		name            string
		settings        []string
		dedicated, spot int
		want            float64
		unknown         string
	}{
		{"nodes", nil, 10, 100, 8 * (10*dedicatedUSD + 100*spotUSD), ""},
		{"the whole pool", nil, 0, 0, 8 * (2*dedicatedUSD + 3*spotUSD), ""},
		{"a pool that is to be made", []string{"pool=new"}, 0, 0, 8 * (4*0.16 + 10*0.029568), ""},
		{"of several the dearest", []string{"pool=p,new"}, 1, 0, 8 * dedicatedUSD, ""},
		{"several together", []string{"pool=p,new"}, 0, 0, 8 * (2*dedicatedUSD + 3*spotUSD + 4*0.16 + 10*0.029568), ""},
		{"a size that is not in the table", []string{"pool=odd"}, 1, 0, 0, "clusterless"},
		{"one of several that is not", []string{"pool=odd,p"}, 1, 0, 8 * dedicatedUSD, "standard_d2s_v3"},
	} {
		c, err := e.Estimate(t.Context(), test.settings, test.dedicated, test.spot, 8*time.Hour)
		if err != nil || math.Abs(c.Spent-test.want) > 1e-9 || math.Abs(c.Hour-test.want/8) > 1e-9 || (test.unknown == "") != (c.Unknown == "") || !strings.Contains(c.Unknown, test.unknown) {
			t.Errorf("%s: %+v, %v; want %v, %q", test.name, c, err, test.want, test.unknown)
		}
	}
	e = a.open(t, inRegion(region))
	if _, err := e.Estimate(t.Context(), []string{"pool=none"}, 1, 0, time.Hour); !errors.Is(err, engine.ErrCannotRun) {
		t.Errorf("no pool: %v", err)
	}
}
