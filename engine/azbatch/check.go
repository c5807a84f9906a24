package azbatch

import (
	"context"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// Check implements engine.Checker.
func (e *Engine) Check(ctx context.Context, report func(what, found string, err error)) {
	ctx, end, err := e.begin(ctx)
	if err != nil {
		report("account", "", err)
		return
	}
	defer end()
	ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: 2}) // somebody waits for what is found
	for _, p := range e.places(e.c.Placement) {
		e.checkPlace(ctx, p, report)
	}
}

func (e *Engine) checkPlace(ctx context.Context, at place, report func(what, found string, err error)) {
	p, err := at.client.GetPool(ctx, at.pool, nil)
	if err != nil && status(err) != http.StatusNotFound {
		report("account", at.host, explain(err))
		return
	}
	report("account", at.host+" lets us in", nil)
	switch {
	case err == nil:
		at.check(ctx, &p.Pool, report)
	case e.c.Make.VMSize == "":
		report("pool", "", fmt.Errorf("there is no pool %s: create it, name another with the setting pool, or give its VM size with the setting vmsize", at.pool))
	default:
		image, err := e.in(at.account).image(ctx, e.c.Make)
		found := ""
		if err == nil {
			found = fmt.Sprintf("there is no pool %s; the first job makes it, of %s with %d slots and the agent %s", at.pool, e.c.Make.VMSize, e.c.Make.slots(), deref(image.NodeAgentSKUID))
		}
		report("pool", found, err)
	}
}

func (at place) check(ctx context.Context, p *azbatch.Pool, report func(what, found string, err error)) {
	slots := int32(1)
	if p.TaskSlotsPerNode != nil {
		slots = *p.TaskSlotsPerNode
	}
	report("pool", fmt.Sprintf("%s: %s with %d slots, %d dedicated and %d spot nodes", at.pool, deref(p.VMSize), slots, *p.CurrentDedicatedNodes, *p.CurrentLowPriorityNodes), nil)
	d, err := at.diagnose(ctx, at.pool, "")
	if err == nil && (d.hopeless || len(p.ResizeErrors) > 0 && !d.usable) {
		err = fmt.Errorf("%s", d.text)
	}
	found := ""
	if err == nil {
		if found = d.text; d.usable {
			found = "some can be used"
		}
	}
	report("nodes", found, explain(err))
}
