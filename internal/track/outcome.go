package track

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// ErrNotReady says that a call is not settled yet.
var ErrNotReady = errors.New("the call has not finished")

// ErrCut says that the client of a job died while it was still sending inputs.
var ErrCut = errors.New("the client that made the job ended before it had sent all inputs")

// Settled returns the record that settled the call. Without wait a call that is not settled is ErrNotReady. An error
// that is not about ctx is the call's for good.
func (t *Tracker) Settled(ctx context.Context, call int, wait bool) (Record, error) {
	t.mu.Lock()
	for {
		if call >= 0 && call < len(t.calls) {
			switch r := t.calls[call]; {
			case r > 0:
				defer t.mu.Unlock()
				return t.records[r-1], nil
			case r < 0:
				defer t.mu.Unlock()
				return Record{}, t.gaveUp[-r-1]
			}
		}
		err := t.outside(call)
		if err == nil {
			err = t.lostLocked()
		}
		if err != nil {
			t.mu.Unlock()
			return Record{}, err
		}
		if !wait {
			t.mu.Unlock()
			return Record{}, ErrNotReady
		}
		ch := t.changed
		t.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return Record{}, context.Cause(ctx)
		}
		t.mu.Lock()
	}
}

// outside says so if the job cannot have a call of that number. Callers hold mu.
func (t *Tracker) outside(call int) error {
	switch {
	case call >= 0 && (t.total < 0 || call < t.total):
		return nil
	case t.total > 0:
		return fmt.Errorf("there is no call %d: job %s has calls 0 to %d", call, t.Job.ID, t.total-1)
	case t.total == 0:
		return fmt.Errorf("there is no call %d: job %s has no calls", call, t.Job.ID)
	}
	return fmt.Errorf("there is no call %d: calls are numbered from 0", call)
}

// lostLocked is why calls that are not settled never will be.
func (t *Tracker) lostLocked() error {
	switch {
	case t.over != nil:
		return t.over
	case t.fatal != nil:
		return t.fatal
	case t.ctx.Err() != nil:
		return t.stopped
	}
	return nil
}

// Next returns the n-th record, waiting for it. ok is false when there will be no more.
func (t *Tracker) Next(ctx context.Context, n int) (r Record, ok bool, err error) {
	t.mu.Lock()
	for {
		if n < len(t.records) {
			defer t.mu.Unlock()
			return t.records[n], true, nil
		}
		if t.doneLocked() || t.ctx.Err() != nil {
			defer t.mu.Unlock()
			return r, false, nil
		}
		ch := t.changed
		t.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return r, false, context.Cause(ctx)
		}
		t.mu.Lock()
	}
}

// Unsettled yields the calls that never will be settled, and why.
func (t *Tracker) Unsettled() (calls []plan.Span, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err = t.lostLocked(); err == nil {
		return nil, nil
	}
	n := max(len(t.calls), t.total)
	from := -1
	for c := 0; c <= n; c++ {
		free := c < n && (c >= len(t.calls) || t.calls[c] == 0)
		if free && from < 0 {
			from = c
		}
		if !free && from >= 0 {
			calls = append(calls, plan.Span{First: from, End: c})
			from = -1
		}
	}
	return calls, err
}

// Current reports whether the record is the one that counts for the call: a later attempt on request may have
// replaced it.
func (t *Tracker) Current(r Record, call int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.calls[call]
	return v > 0 && t.records[v-1] == r || v < 0 && r.Task < 0
}

// GaveUp is why the calls of a record with Task -1 have no result.
func (t *Tracker) GaveUp(r Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gaveUp[r.Seq]
}

// Commit reads a record's commit.
func (t *Tracker) Commit(ctx context.Context, r Record) (*ledger.Commit, error) {
	return t.Ledger.Commit(ctx, r.Task, r.Seq)
}

// Wait waits until the job is over, and returns the calls that failed, in order.
func (t *Tracker) Wait(ctx context.Context) ([]int, error) {
	t.mu.Lock()
	for !t.doneLocked() && t.ctx.Err() == nil {
		ch := t.changed
		t.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	failed := slices.Sorted(maps.Keys(t.failed))
	if err := t.lostLocked(); err != nil && (t.total < 0 || t.settled < t.total) {
		return failed, err
	}
	if t.cut {
		err := fmt.Errorf("job %s: %w: it has %d calls", t.Job.ID, ErrCut, t.total)
		if t.cutBy != nil {
			err = fmt.Errorf("job %s: %w: it has %d calls: %w", t.Job.ID, ErrCut, t.total, t.cutBy)
		}
		return failed, err
	}
	return failed, nil
}

// Why says why a call failed.
func (t *Tracker) Why(ctx context.Context, call int) plan.Failure {
	r, err := t.Settled(ctx, call, false)
	if err == nil && r.Task < 0 {
		err = t.GaveUp(r)
	}
	if err != nil {
		return plan.Failure{Text: err.Error()}
	}
	c, err := t.Commit(ctx, r)
	if err != nil {
		return plan.Failure{Text: err.Error()}
	}
	defer c.Release()
	e := c.Pack.Find(call)
	if e < 0 {
		return plan.Failure{Text: "its result is damaged"}
	}
	f, err := c.Failure(e)
	if err != nil {
		return plan.Failure{Text: err.Error()}
	}
	return f
}

// A Status is what is known of a job at one time.
type Status struct {
	Total    int // calls; -1 while inputs are still being sent
	Inputs   int // calls whose inputs were sent
	Settled  int // calls that ended, well or not
	Failed   int
	Running  int    // tasks whose process runs
	Waits    string // why others wait, as the engine says; "" if it says nothing, or nothing waits
	Tasks    int    // planned so far
	Retries  int    // further attempts at tasks and calls, also on request
	Blocked  int    // calls that wait for others
	Began    time.Time
	Ended    time.Time // of the last commit
	CallTime time.Duration
	Nodes    map[string]int // calls by node
	Done     bool
	Err      error       // why the job ended early
	Cost     engine.Cost // as SetCost said last
}

// Status returns a snapshot.
func (t *Tracker) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{Total: t.total, Inputs: len(t.calls), Settled: t.settled, Failed: len(t.failed), Tasks: len(t.tasks), Retries: t.retries + t.outcomes - t.settled,
		Blocked: len(t.blocked), Began: t.began, Ended: t.ended, CallTime: t.sum, Nodes: maps.Clone(t.nodes), Done: t.doneLocked(), Err: t.over, Cost: t.cost}
	if s.Err == nil {
		s.Err = t.fatal
	}
	waiting := t.open
	if t.open <= 4096 || t.slots == 0 {
		for i := len(t.tasks) - 1; i >= 0; i-- {
			if t.tasks[i].running {
				s.Running++
				waiting--
			}
		}
	}
	if waiting > 0 && !s.Done {
		s.Waits = t.waits
	}
	return s
}

// SetWaits says why tasks wait, until the engine does: in place of what it was, and "" if nothing is known any more.
func (t *Tracker) SetWaits(was, is string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waits != is && (is != "" || t.waits == was) {
		t.waits = is
		t.change()
	}
}

// Changed returns a channel that is closed at the next change.
func (t *Tracker) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Run is the last run that made a call, for its log.
func (t *Tracker) Run(ctx context.Context, call int) (task, attempt int, err error) {
	t.mu.Lock()
	for i := len(t.tasks) - 1; i >= 0; i-- {
		k := t.tasks[i]
		if call >= k.span.First && call < k.end {
			defer t.mu.Unlock()
			if k.closed && k.tried > 0 {
				return k.no, k.tried, nil
			}
			return k.no, max(1, k.attempt), nil
		}
	}
	defer t.mu.Unlock()
	if err := t.outside(call); err != nil {
		return 0, 0, err
	}
	return 0, 0, ErrNotReady
}

// Forget drops a call's commit from memory, after its blob was replaced.
func (t *Tracker) Forget(r Record) { t.Ledger.Forget(r.Task, r.Seq) }

// Failed returns the calls that have failed so far, in order.
func (t *Tracker) Failed() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.failed))
}

// Bad reports whether a call failed.
func (t *Tracker) Bad(call int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, bad := t.failed[call]
	return bad
}

// SetTook notes that results were taken.
func (t *Tracker) SetTook() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = true
}

// Took reports whether results may have been taken.
func (t *Tracker) Took() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.took
}

// Records returns the records so far.
func (t *Tracker) Records() []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.records)
}

// A Run is one attempt at a task.
type Run struct{ Task, Attempt, First, End int }

// Runs lists the attempts so far, by task and attempt.
func (t *Tracker) Runs() (all []Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.tasks {
		for a := 1; a <= max(1, k.attempt, k.tried); a++ {
			all = append(all, Run{k.no, a, k.span.First, k.end})
		}
	}
	return all
}
