//go:build linux

package azbatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

func TestPool(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 20})
	e := a.open(t)
	spec := azbatch.PoolSpec{VMSize: "Standard_D4s_v5", Nodes: 1, Spot: 1, StartScript: "set -o pipefail\necho here >$AZ_BATCH_NODE_SHARED_DIR/started\n"}
	if joined, err := e.CreatePool(t.Context(), "p", spec); joined || err != nil {
		t.Fatalf("create: %v, %v", joined, err)
	}
	if joined, err := e.CreatePool(t.Context(), "p", spec); !joined || err != nil {
		t.Errorf("create again: %v, %v; want that it is joined", joined, err)
	}
	p, err := a.client.GetPool(t.Context(), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	image := p.VirtualMachineConfiguration.ImageReference
	if *p.TaskSlotsPerNode != 4 || *image.Offer != "ubuntu-24_04-lts" || *image.SKU != "server" || *p.VirtualMachineConfiguration.NodeAgentSKUID != "batch.node.ubuntu 24.04" {
		t.Errorf("%d slots of %s %s", *p.TaskSlotsPerNode, *image.Offer, *image.SKU)
	}
	j := job("j", 8, "grep", "here", "/dev/null")
	j.Command = []string{"/bin/sh", "-c", "sleep 0.1; cat $AZ_BATCH_NODE_SHARED_DIR/started"}
	submit(t, e, j)
	for r, ev := range enginetest.Wait(t, e, j.ID, 8) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	if err := e.ResizePool(t.Context(), "p", azbatch.PoolSpec{}); err != nil {
		t.Fatal(err)
	}
	until(t, "no nodes", func() bool {
		p, err := a.client.GetPool(t.Context(), "p", nil)
		return err == nil && *p.CurrentDedicatedNodes+*p.CurrentLowPriorityNodes == 0
	})
	for range 2 {
		if err := e.DeletePool(t.Context(), "p"); err != nil {
			t.Error(err)
		}
	}
}

// A pool that follows the work comes with the first submit, and is empty when nothing is left.
func TestPoolFollowsWork(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Speed: 600})
	e := a.open(t, func(c *azbatch.Config) { c.Make = azbatch.PoolSpec{VMSize: "Standard_D2s_v5", MaxNodes: 2, MaxSpot: 1} })
	submit(t, e, job("j", 20, "sleep", "0.5"))
	spot := false
	for r, ev := range enginetest.Wait(t, e, "j", 20) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
		spot = spot || strings.HasSuffix(ev.Node, "_p")
	}
	if !spot {
		t.Error("no run was made on the spot node")
	}
	until(t, "no nodes", func() bool {
		p, err := a.client.GetPool(t.Context(), "p", nil)
		return err == nil && *p.CurrentDedicatedNodes+*p.CurrentLowPriorityNodes == 0
	})
	if err := e.ResizePool(t.Context(), "p", azbatch.PoolSpec{Nodes: 1}); err != nil {
		t.Errorf("resize a pool that scales by itself: %v", err)
	}
}

func TestBadPools(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	e := a.open(t)
	for _, test := range []struct {
		spec azbatch.PoolSpec
		want string
	}{
		{azbatch.PoolSpec{Nodes: 1}, "no VM size"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5"}, "would have no nodes"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 2, MaxNodes: 1}, "cannot keep more"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Formula: "$TargetDedicatedNodes = 1;"}, "decides how many"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", MaxNodes: 1, Formula: "folow"}, "name one of burst, fallback, follow"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Formula: "burst"}, "needs a limit"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Identity: "nodes"}, "resource ID"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Identity: "/subscriptions/s/x"}, "clusterless azure pool create"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Registry: "r.azurecr.io"}, "setting container"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "i", Registry: "r.azurecr.io"}, "give registryuser"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "i", RegistryUser: "me"}, "registry has no name"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "i", Registry: "r.azurecr.io", RegistryIdentity: "/subscriptions/s/x"}, "only if it is theirs"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "i", Registry: "r.azurecr.io", RegistryUser: "me"}, azbatch.RegistryPassword},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "i", Image: "canonical:ubuntu-24_04-lts"}, "that runs containers"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", MaxNodes: 1, Interval: time.Minute}, "5m to 168h"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Image: "canonical:ubuntuserver:18.04-lts"}, "canonical:ubuntu-24_04-lts:server"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Formula: "$TargetDedicatedNodes = ;"}, "ormula"},
		{azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Formula: "$TargetDedicatedNodes = nodes;"}, "ormula"},
	} {
		_, err := e.CreatePool(t.Context(), "bad", test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want one line with %q", test.spec, err, test.want)
		}
		if _, err := a.client.GetPool(t.Context(), "bad", nil); err == nil {
			until(t, "the bad pool is deleted", func() bool {
				_, err := a.client.GetPool(t.Context(), "bad", nil)
				return err != nil
			})
		}
	}
	a.SetQuota(emulator.Quota{Pools: 1})
	a.pool(t, "one", 0, 1)
	if _, err := e.CreatePool(t.Context(), "two", azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1}); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "as many pools as it may") {
		t.Errorf("beyond the quota: %v", err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s", what)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 2)
	a.pool(t, "sick", 1, 1, startTask("echo no license; exit 4"))
	until(t, "the nodes have started", func() bool {
		for _, pool := range []string{"p", "sick"} {
			for pages := a.client.NewListNodesPager(pool, nil); pages.More(); {
				page, err := pages.NextPage(t.Context())
				if err != nil || len(page.Value) == 0 || *page.Value[0].State != map[string]sdk.NodeState{"p": "idle", "sick": "starttaskfailed"}[pool] {
					return false
				}
			}
		}
		return true
	})
	for _, test := range []struct {
		pool string
		make azbatch.PoolSpec
		want string
	}{
		{"p", azbatch.PoolSpec{}, "nodes: some can be used"},
		{"sick", azbatch.PoolSpec{}, "no license"},
		{"none", azbatch.PoolSpec{}, "pool:  there is no pool none: create it"},
		{"none", azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1}, "the first job makes it, of Standard_D2s_v5 with 2 slots"},
	} {
		e := a.open(t, func(c *azbatch.Config) { c.Pool, c.Make = test.pool, test.make })
		var said []string
		e.Check(t.Context(), func(what, found string, err error) {
			line := what + ": " + found
			if err != nil {
				line += " " + err.Error()
			}
			said = append(said, line)
		})
		if text := strings.Join(said, "\n"); !strings.Contains(text, test.want) || !strings.Contains(text, "lets us in") {
			t.Errorf("pool %s: %s\nwant %q", test.pool, text, test.want)
		}
	}
	e := a.open(t, func(c *azbatch.Config) { c.Credential = stranger{} })
	e.Check(t.Context(), func(what, found string, err error) {
		if err == nil || !strings.Contains(err.Error(), "az login") {
			t.Errorf("%s: %s %v; want that somebody has to log in", what, found, err)
		}
	})
	if err := e.Submit(t.Context(), job("j", 1, "true")); err == nil || !strings.Contains(err.Error(), "az login") || strings.Contains(err.Error(), "hushhush") {
		t.Errorf("submit without access: %v", err)
	}
}

// stranger is a credential that the account does not accept.
type stranger struct{}

func (stranger) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "hushhush", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
