package azbatch

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// renew lets the lease of a pool begin anew, once a quarter of it is over. Nodes that had left come back.
func (e *Engine) renew(ctx context.Context, p *azbatch.Pool) {
	spec, ours := specOf(p)
	end := leaseOf(p)
	if !ours || end.IsZero() || time.Until(end) > spec.lease()*3/4 {
		return
	}
	formula := spec.formula(slotsOf(p), time.Now().Add(spec.lease()))
	ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1}) // the service takes a formula every 30 s: then another client was first
	_, err := e.client.EnablePoolAutoScale(ctx, *p.ID, azbatch.EnablePoolAutoScaleContent{AutoScaleFormula: to.Ptr(formula)}, &azbatch.EnablePoolAutoScaleOptions{IfMatch: p.ETag})
	switch c := code(err); {
	case err == nil, c == "TooManyEnableAutoScaleRequests", c == "ConditionNotMet": // it was resized just now, which renews the lease too
	case c == "PoolBeingResized":
		e.log.Info("azbatch: the lease of the pool is renewed by the next job, since its nodes come or go just now", "pool", *p.ID, "end", end)
	default:
		e.log.Warn("azbatch: the lease of the pool is not renewed: its nodes may leave when nothing is to be done", "pool", *p.ID, "end", end, "err", explain(err))
	}
}

// ofFixedSize reports whether a pool has as many nodes as somebody said, whatever is to be done; it may have a formula for the
// end of its lease.
func ofFixedSize(p *azbatch.Pool) bool {
	spec, ours := specOf(p)
	return p.EnableAutoScale == nil || !*p.EnableAutoScale || ours && spec.Nodes+spec.Spot > 0 && !spec.follows()
}
