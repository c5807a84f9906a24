package azbatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/price"
)

// How cost is counted (docs/decisions/0032-cost.md): for each node the time in which it made tasks of the job, once however many
// it made at a time, and what lies between two of them if it is no longer than gapTime, since the node was there for the job; times
// the price of its VM size in the account's region, dedicated or spot. What a node costs before its first task, after its last, and
// after a longer pause is not the job's; Cost.Hour says what all nodes of its pools cost.

// gapTime is the interval at which a formula is evaluated: a node that is idle for less had no chance to leave.
const gapTime = 5 * time.Minute

// costFields is what is needed of a task.
var costFields = []string{"id", "state", "stateTransitionTime", "executionInfo", "nodeInfo", "multiInstanceSettings"}

// costs are the meters of an engine's jobs, and the price table.
type costs struct {
	mu     sync.Mutex
	meters map[string]*meter
	prices *price.Table
}

// forget drops what is known of a job.
func (c *costs) forget(job string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.meters, job)
}

// table is the price table, read when it is first needed.
func (c *costs) table() (*price.Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.prices == nil {
		c.prices, err = price.Open()
	}
	return c.prices, err
}

// A meter counts the time of nodes for one job. Only what has changed is asked for.
type meter struct {
	mu    sync.Mutex // one look at a time
	parts []*metered
}

// metered is a place of the job.
type metered struct {
	place
	latest time.Time // change that was seen, by the service's clock
	nodes  map[string]*usage
	open   map[string]work // tasks that run
	size   string          // VM size of the pool; "" if it was gone before it was seen
}

// usage is the time of a node.
type usage struct {
	spans []span // in order, with gaps longer than gapTime
	nodes int    // that a task there has, itself included
}

type span struct{ from, to time.Time }

// work is a task that runs.
type work struct {
	node  string
	nodes int
	since time.Time
}

// Cost implements engine.Coster.
func (e *Engine) Cost(ctx context.Context, jobID string) (engine.Cost, error) {
	ctx, end, err := e.begin(ctx)
	var c engine.Cost
	if err == nil {
		defer end()
		c, err = e.cost(ctx, jobID)
	}
	if err != nil {
		return c, fmt.Errorf("azbatch: cost of %s: %w", jobID, ended(ctx, explain(err)))
	}
	return c, nil
}

func (e *Engine) cost(ctx context.Context, jobID string) (sum engine.Cost, err error) {
	if !engine.ValidID(jobID) {
		return sum, engine.ErrNotExist
	}
	m, err := e.meter(ctx, jobID)
	if err != nil {
		return sum, err
	}
	table, err := e.costs.table()
	if err != nil {
		return sum, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there := 0
	pools := map[string]bool{} // whose nodes were counted for Hour
	for _, p := range m.parts {
		now, err := p.look(ctx)
		if errors.Is(err, engine.ErrNotExist) {
			continue
		}
		if err != nil {
			return sum, err
		}
		there++
		one, err := p.cost(ctx, table, e.region(p.host), now, pools)
		if err != nil {
			return sum, err
		}
		sum.Add(one)
	}
	if there == 0 {
		e.costs.forget(jobID)
		return sum, engine.ErrNotExist
	}
	return sum, nil
}

// meter is that of a job, made when it is first asked for.
func (e *Engine) meter(ctx context.Context, jobID string) (*meter, error) {
	e.costs.mu.Lock()
	m := e.costs.meters[jobID]
	e.costs.mu.Unlock()
	if m != nil {
		return m, nil
	}
	s, err := e.find(ctx, jobID)
	if err != nil {
		return nil, err
	}
	m = &meter{}
	for _, p := range s.places {
		m.parts = append(m.parts, &metered{place: p, nodes: map[string]*usage{}, open: map[string]work{}})
	}
	e.costs.mu.Lock()
	defer e.costs.mu.Unlock()
	if old := e.costs.meters[jobID]; old != nil {
		return old, nil
	}
	if e.costs.meters == nil {
		e.costs.meters = map[string]*meter{}
	}
	e.costs.meters[jobID] = m
	return m, nil
}

// region is where an account's nodes are.
func (e *Engine) region(host string) string {
	if e.c.Region != "" {
		return e.c.Region
	}
	return price.Region(host)
}

// look takes in the tasks that have changed, and returns what time it is for the service.
func (p *metered) look(ctx context.Context) (now time.Time, err error) {
	o := &azbatch.ListTasksOptions{SelectParam: costFields, MaxResults: to.Ptr[int32](1000)}
	if !p.latest.IsZero() {
		o.Filter = to.Ptr("stateTransitionTime ge DateTime'" + p.latest.Add(-overlap).UTC().Format("2006-01-02T15:04:05.000Z") + "'")
	}
	var tasks []azbatch.Task // taken in only when all are there: what is later asked for is what is later than the latest
	for pages := p.client.NewListTasksPager(p.id, o); pages.More(); {
		var raw *http.Response
		page, err := pages.NextPage(policy.WithCaptureResponse(ctx, &raw))
		if status(err) == http.StatusNotFound {
			return now, engine.ErrNotExist
		}
		if err != nil {
			return now, err
		}
		now = time.Now()
		if t, err := http.ParseTime(raw.Header.Get("Date")); err == nil {
			now = t
		}
		tasks = append(tasks, page.Value...)
	}
	for i := range tasks {
		p.task(&tasks[i])
	}
	return now, nil
}

// task takes in one task.
func (p *metered) task(t *azbatch.Task) {
	at := *t.StateTransitionTime
	if at.After(p.latest) {
		p.latest = at
	}
	before, ran := p.open[*t.ID]
	x := t.ExecutionInfo
	if t.NodeInfo == nil || t.NodeInfo.NodeID == nil || x == nil || x.StartTime == nil || word(t.State) == azbatch.TaskStateActive || word(t.State) == azbatch.TaskStatePreparing {
		if ran { // it has lost its node
			p.add(before, at)
			delete(p.open, *t.ID)
		}
		return
	}
	now := work{node: *t.NodeInfo.NodeID, nodes: 1, since: *x.StartTime}
	if m := t.MultiInstanceSettings; m != nil && m.NumberOfInstances != nil {
		now.nodes = int(*m.NumberOfInstances)
	}
	if ran && (before.node != now.node || before.since.Before(now.since)) { // it was begun again
		p.add(before, now.since)
	}
	if word(t.State) == azbatch.TaskStateRunning {
		p.open[*t.ID] = now
		return
	}
	delete(p.open, *t.ID)
	end := at
	if x.EndTime != nil {
		end = *x.EndTime
	}
	p.add(now, end)
}

// add adds what a task has worked.
func (p *metered) add(w work, end time.Time) {
	u := p.nodes[w.node]
	if u == nil {
		u = &usage{}
		p.nodes[w.node] = u
	}
	u.nodes = max(u.nodes, w.nodes)
	if end.After(w.since) {
		u.spans = join(u.spans, span{w.since, end})
	}
}

// join adds a span to others, and makes one of those that lie no further apart than gapTime.
func join(spans []span, s span) []span {
	i, _ := slices.BinarySearchFunc(spans, s, func(a, b span) int { return a.to.Compare(b.from.Add(-gapTime)) })
	j := i
	for j < len(spans) && !spans[j].from.After(s.to.Add(gapTime)) {
		s.from, s.to = earlier(s.from, spans[j].from), later(s.to, spans[j].to)
		j++
	}
	return slices.Replace(spans, i, j, s)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// cost prices the time of nodes, and the nodes that there are now, of pools that were not counted yet.
func (p *metered) cost(ctx context.Context, table *price.Table, region string, now time.Time, pools map[string]bool) (c engine.Cost, err error) {
	q, err := p.client.GetPool(ctx, p.pool, &azbatch.GetPoolOptions{SelectParam: []string{"id", "vmSize", "currentDedicatedNodes", "currentLowPriorityNodes"}})
	if err != nil && status(err) != http.StatusNotFound {
		return c, err
	}
	if err == nil {
		p.size = deref(q.VMSize)
	}
	used := map[bool]time.Duration{} // by whether they are spot
	count := func(node string, spans []span, n int) {
		var d time.Duration
		for _, s := range spans {
			d += s.to.Sub(s.from)
		}
		used[isSpot(node)] += d * time.Duration(n)
	}
	running := map[string][]span{}
	for _, w := range p.open {
		if now.After(w.since) {
			running[w.node] = append(running[w.node], span{w.since, now})
		}
		if p.nodes[w.node] == nil {
			p.nodes[w.node] = &usage{nodes: w.nodes}
		}
	}
	for node, u := range p.nodes {
		spans := u.spans
		if some := running[node]; len(some) > 0 {
			spans = slices.Clone(spans)
			for _, s := range some {
				spans = join(spans, s)
			}
		}
		count(node, spans, u.nodes)
	}
	c.NodeTime = used[false] + used[true]
	var dedicated, spot int
	if err == nil && !pools[p.host+"/"+p.pool] {
		pools[p.host+"/"+p.pool] = true
		dedicated, spot = int(deref32(q.CurrentDedicatedNodes)), int(deref32(q.CurrentLowPriorityNodes))
	}
	if c.NodeTime == 0 && dedicated+spot == 0 {
		return c, nil
	}
	x, unknown := find(table, region, p.size, p.pool)
	if unknown != "" {
		c.Unknown = unknown
		return c, nil
	}
	c.Prices = x.Date
	if c.Hour, err = x.Hour(dedicated, spot); err != nil {
		c.Unknown = err.Error()
	}
	for kind, d := range used {
		nodes := [2]int{1, 0}
		if kind {
			nodes = [2]int{0, 1}
		}
		hour, err := x.Hour(nodes[0], nodes[1])
		if d > 0 && err != nil {
			c.Unknown = err.Error()
		}
		c.Spent += hour * d.Hours()
	}
	return c, nil
}

// isSpot reads a node's ID, which ends in _d or _p (tvmps_…_p). What is neither counts as dedicated, the dearer kind.
func isSpot(node string) bool { return strings.HasSuffix(node, "_p") }

// find is the price of a pool's nodes, or why it is not known.
func find(table *price.Table, region, size, pool string) (p price.Price, unknown string) {
	switch {
	case size == "":
		return p, fmt.Sprintf("the pool %s is gone, and nobody knows which VM size it had", pool)
	case region == "":
		return p, "the account's endpoint does not say in which region it is: name it with the setting region"
	}
	p, err := table.Find(region, size)
	if err != nil {
		return p, err.Error()
	}
	return p, ""
}

// Estimate implements engine.Coster. Of several pools the dearest counts; with neither kind of nodes all of them at their largest.
func (e *Engine) Estimate(ctx context.Context, settings []string, dedicated, spot int, d time.Duration) (c engine.Cost, err error) {
	ctx, end, err := e.begin(ctx)
	if err == nil {
		defer end()
		c, err = e.estimate(ctx, settings, dedicated, spot, d)
	}
	if err != nil {
		return c, fmt.Errorf("azbatch: %w", ended(ctx, explain(err)))
	}
	return c, nil
}

func (e *Engine) estimate(ctx context.Context, settings []string, dedicated, spot int, d time.Duration) (sum engine.Cost, err error) {
	placement, err := e.c.placement(settings)
	if err != nil {
		return sum, err
	}
	table, err := e.costs.table()
	if err != nil {
		return sum, err
	}
	for _, at := range e.places(placement) {
		size, most, err := e.largest(ctx, at)
		if err != nil {
			return sum, err
		}
		n := [2]int{dedicated, spot}
		if dedicated+spot == 0 {
			n = most
		}
		one := engine.Cost{NodeTime: d * time.Duration(n[0]+n[1])}
		x, unknown := find(table, e.region(at.host), size, at.pool)
		if one.Unknown = unknown; unknown == "" {
			one.Prices = x.Date
			if one.Hour, err = x.Hour(n[0], n[1]); err != nil {
				one.Unknown = err.Error()
			}
			one.Spent = one.Hour * d.Hours()
		}
		switch {
		case dedicated+spot == 0:
			sum.Add(one)
		case sum.NodeTime == 0 || one.Spent > sum.Spent:
			one.Unknown = strings.TrimPrefix(sum.Unknown+"; "+one.Unknown, "; ")
			sum = one
		case one.Unknown != "":
			sum.Add(engine.Cost{Unknown: one.Unknown})
		}
	}
	return sum, nil
}

// largest is the VM size of a place's pool, and how many dedicated and spot nodes it may have at most, as far as that is known: of
// a pool with a formula of the user's own, one of each.
func (e *Engine) largest(ctx context.Context, at place) (size string, n [2]int, err error) {
	spec := e.c.Make
	p, err := at.client.GetPool(ctx, at.pool, nil)
	switch {
	case status(err) == http.StatusNotFound && spec.VMSize == "":
		return "", n, fmt.Errorf("the account has no pool %s: %w", at.pool, engine.ErrCannotRun)
	case err != nil && status(err) != http.StatusNotFound:
		return "", n, err
	case err == nil:
		own, ours := specOf(&p.Pool)
		if spec = own; !ours {
			spec = PoolSpec{Nodes: int(deref32(p.TargetDedicatedNodes)), Spot: int(deref32(p.TargetLowPriorityNodes))}
			if p.EnableAutoScale != nil && *p.EnableAutoScale {
				spec.Nodes, spec.Spot = max(1, spec.Nodes), max(1, spec.Spot)
			}
		}
		spec.VMSize = deref(p.VMSize)
	}
	n = [2]int{max(spec.Nodes, spec.MaxNodes), max(spec.Spot, spec.MaxSpot)}
	if spec.custom() {
		n = [2]int{max(1, n[0]), max(1, n[1])}
	}
	return spec.VMSize, n, nil
}
