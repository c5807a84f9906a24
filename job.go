package clusterless

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/internal/worker"
)

// A Job is the handle on the results of one submit. Its methods may be called at once, and any number of times: results
// stay in the store until the job is deleted or they are taken. A context that ends stops only the waiting.
type Job[Out any] struct{ *AnyJob }

// A Result is how one call ended.
type Result[Out any] struct {
	Value    Out
	Err      error // *TaskError if the call failed
	Node     string
	Attempts int           // runs of the call; more than 1 with RetryErrors
	Elapsed  time.Duration // of the call; of calls that were stored together, their mean
	Files    []File        // that the call returned
}

// Results waits for all calls and returns their results in the order of the inputs, with the zero value for those that
// failed. The error joins the errors of all failed calls.
func (j *Job[Out]) Results(ctx context.Context) ([]Out, error) {
	all := make([]Out, max(0, j.Len()))
	var errs []callError
	for call, r := range j.Completed(ctx) {
		for call >= len(all) {
			all = append(all, *new(Out))
		}
		if r.Err != nil {
			errs = append(errs, callError{call, r.Err})
			continue
		}
		all[call] = r.Value
	}
	if err := cause(ctx); err != nil && !j.t.Over() {
		return nil, fmt.Errorf("clusterless: results of job %s: %w", j.Name(), j.later(err))
	}
	return all, joinCalls(errs, j.ended(ctx))
}

// Completed yields the calls and how they ended, as they end; from the first again each time it is ranged over. It ends
// when the job does, and also when ctx does: ask ctx.Err, or [AnyJob.Wait], whether all calls were seen.
func (j *Job[Out]) Completed(ctx context.Context) iter.Seq2[int, Result[Out]] {
	return func(yield func(int, Result[Out]) bool) {
		for n := 0; ; n++ {
			rec, ok, err := j.t.Next(ctx, n)
			if err != nil {
				return
			}
			if !ok {
				break
			}
			if !j.record(ctx, rec, yield) {
				return
			}
		}
		spans, err := j.t.Unsettled()
		for _, s := range spans {
			for call := s.First; call < s.End; call++ {
				if !yield(call, Result[Out]{Err: j.lost(call, err)}) {
					return
				}
			}
		}
	}
}

// record yields the calls of one record.
func (j *Job[Out]) record(ctx context.Context, rec track.Record, yield func(int, Result[Out]) bool) bool {
	each := func(err error) bool {
		for call := rec.First; call < rec.End; call++ {
			if j.t.Current(rec, call) && !yield(call, Result[Out]{Err: j.lost(call, err)}) {
				return false
			}
		}
		return true
	}
	if rec.Task < 0 {
		return each(j.t.GaveUp(rec))
	}
	c, err := j.t.Commit(ctx, rec)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		if j.s.ctx.Err() != nil { // its jobs are gone, but for the named ones
			err = ErrClosed
		}
		return each(err)
	}
	defer c.Release()
	took := j.t.Took()
	for i := range c.Pack.Entries {
		ok := j.entry(c, i, func(call int, r Result[Out]) bool {
			switch {
			case !j.t.Current(rec, call):
				return true
			case took && j.taken(ctx, call):
				r = Result[Out]{Err: j.lost(call, ErrTaken)}
			}
			return yield(call, r)
		})
		if !ok {
			return false
		}
	}
	return true
}

// entry yields the calls of one entry of a commit.
func (j *Job[Out]) entry(c *ledger.Commit, i int, yield func(int, Result[Out]) bool) bool {
	m := &j.t.Ledger.Manifest
	e := c.Pack.Entries[i]
	o, err := c.Outcome(i)
	if err != nil {
		return yield(e.First, Result[Out]{Err: j.lost(e.First, err)})
	}
	r := Result[Out]{Node: c.Node, Attempts: o.Attempts, Elapsed: o.Elapsed / time.Duration(max(1, e.N)), Files: j.files(o.Files)}
	if o.Status != plan.OK {
		f, err := c.Failure(i)
		if err != nil {
			r.Err = j.lost(e.First, err)
		} else {
			r.Err = j.taskError(e.First, o.Status, f)
		}
		return yield(e.First, r)
	}
	if e.Len == 0 { // all of it was taken; no value is encoded to nothing
		for call := e.First; call < e.First+e.N; call++ {
			if !yield(call, Result[Out]{Err: j.lost(call, ErrTaken)}) {
				return false
			}
		}
		return true
	}
	decode := worker.Message(c.Pack.Pack, i, j.s.decoder())
	if !m.FlatOut {
		if err := decode(&r.Value); err != nil {
			r.Err = j.lost(e.First, j.damage(err))
		}
		return yield(e.First, r)
	}
	var all []Out
	var bad error
	if err := decode(&all); err != nil || len(all) != e.N {
		if err == nil {
			err = fmt.Errorf("message of %d results, want %d", len(all), e.N)
		}
		bad = j.damage(err)
	}
	for k := range e.N {
		if bad == nil {
			r.Value = all[k]
		} else {
			r.Err = j.lost(e.First+k, bad)
		}
		if !yield(e.First+k, r) {
			return false
		}
	}
	return true
}

func (j *Job[Out]) damage(err error) error {
	if errors.Is(err, codec.ErrMismatch) {
		return fmt.Errorf("result cannot be read by this build of the program: a type has changed since the job was made: use that build, or give the type its old form: %w", err)
	}
	return fmt.Errorf("result cannot be read (delete the job, or make the call again): %w: %w", ErrDamaged, err)
}

// Result waits for one call and returns its result.
func (j *Job[Out]) Result(ctx context.Context, call int) (Out, error) {
	return j.result(ctx, call, true)
}

// Try returns the result of a call that has finished, and [ErrNotReady] at once for one that has not.
func (j *Job[Out]) Try(ctx context.Context, call int) (Out, error) { return j.result(ctx, call, false) }

func (j *Job[Out]) result(ctx context.Context, call int, wait bool) (Out, error) {
	r, err := j.outcome(ctx, call, wait)
	if err != nil {
		var zero Out
		return zero, err
	}
	return r.Value, r.Err
}

// Outcome waits for one call and returns all that is known of how it ended; the error is only about getting at it.
func (j *Job[Out]) Outcome(ctx context.Context, call int) (Result[Out], error) {
	return j.outcome(ctx, call, true)
}

func (j *Job[Out]) outcome(ctx context.Context, call int, wait bool) (res Result[Out], err error) {
	rec, err := j.t.Settled(ctx, call, wait)
	if err != nil {
		stopped := ctx.Err() != nil && errors.Is(err, cause(ctx))
		if stopped {
			err = j.later(err)
		}
		if stopped || errors.Is(err, ErrNotReady) {
			return res, fmt.Errorf("clusterless: result of call %d of job %s: %w", call, j.Name(), err)
		}
		return res, j.lost(call, err)
	}
	c, err := j.t.Commit(ctx, rec)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && j.taken(ctx, call) {
			err = ErrTaken
		} else if j.s.ctx.Err() != nil {
			err = ErrClosed
		}
		return res, fmt.Errorf("clusterless: %w", err)
	}
	defer c.Release()
	i := c.Pack.Find(call)
	if i < 0 {
		return res, fmt.Errorf("clusterless: result of call %d of job %s: %w", call, j.Name(), ErrDamaged)
	}
	if j.t.Took() && j.taken(ctx, call) {
		return res, fmt.Errorf("clusterless: result of call %d of job %s: %w", call, j.Name(), ErrTaken)
	}
	err = fmt.Errorf("clusterless: result of call %d of job %s: %w", call, j.Name(), ErrDamaged)
	j.entry(c, i, func(n int, r Result[Out]) bool {
		if n == call {
			res, err = r, nil
		}
		return n < call
	})
	return res, err
}

// Ref returns a reference to a call's result, finished or not.
func (j *Job[Out]) Ref(call int) Ref[Out] {
	return Ref[Out]{plan.Ref{Dep: plan.Dep{Job: j.Name(), Call: call}}, j.s}
}

// Refs returns references to all results, in order. With an iterator as input it is those sent so far.
func (j *Job[Out]) Refs() []Ref[Out] {
	refs := make([]Ref[Out], j.t.Status().Inputs)
	for i := range refs {
		refs[i] = j.Ref(i)
	}
	return refs
}

// Take returns a result and removes it from the store: the second to ask gets [ErrTaken]. A Ref to it no longer works.
func (j *Job[Out]) Take(ctx context.Context, call int) (Out, error) {
	var zero Out
	v, err := j.result(ctx, call, true)
	if err != nil {
		return zero, err
	}
	if err := j.take(ctx, call); err != nil {
		return zero, fmt.Errorf("clusterless: take result of call %d of job %s: %w", call, j.Name(), err)
	}
	return v, nil
}

// take marks a call as taken, and removes the commit's messages when all of its calls are.
func (j *Job[Out]) take(ctx context.Context, call int) error {
	err := j.s.store.Put(ctx, plan.TakenCallKey(j.Name(), call), strings.NewReader(time.Now().UTC().Format(time.RFC3339)))
	if errors.Is(err, fs.ErrExist) {
		return ErrTaken
	}
	if err != nil {
		return err
	}
	j.t.SetTook()
	rec, err := j.t.Settled(ctx, call, false)
	if err != nil {
		return err
	}
	for c := rec.First; c < rec.End; c++ {
		if c != call && !j.taken(ctx, c) {
			return nil
		}
	}
	c, err := j.t.Commit(ctx, rec)
	if err != nil {
		return err
	}
	defer c.Release()
	// What the plan needs to know of the commit stays, under another key; only the messages go.
	items := make([]plan.Item, len(c.Pack.Entries))
	for i, e := range c.Pack.Entries {
		items[i] = plan.Item{First: e.First, N: e.N, Meta: e.Meta}
	}
	err = j.s.store.Put(ctx, plan.TakenKey(j.Name(), rec.Task, rec.Seq), sourceOf(items, c.Commit))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	j.t.Forget(rec)
	return j.s.store.Delete(ctx, plan.OutKey(j.Name(), rec.Task, rec.Seq))
}
