package clusterless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"sync"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// fanIn is how many values one call of a reduction combines.
const fanIn = 8

// ErrNothing says that there is no value to reduce.
var ErrNothing = errors.New("nothing to reduce")

// Reduce combines the results of the job into one, by a tree of tasks: each takes up to eight values straight from the
// store and returns one; only the last comes to the client. Values that a task gets this way may be memory of the store's
// files, and are its own, to write to as well, until it returns: what it, or a goroutine of it, keeps longer it has to copy. r must be associative, and commutative too unless the option
// [Ordered] is given: values are combined as they finish. Tasks of the reduction go before other tasks of the job's
// priority. If a call of the job fails, Reduce returns its error and no value, unless the option [SkipFailed] is given. What it stored in between is removed; the
// results of the job stay.
func (j *Job[Out]) Reduce(ctx context.Context, r Remote[[]Out, Out]) (Out, error) {
	var zero Out
	if err := r.check(); err != nil {
		return zero, err
	}
	v, err := j.reduce(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = j.later(err)
	}
	if err != nil {
		return zero, fmt.Errorf("clusterless: reduce job %s: %w", j.Name(), err)
	}
	return v, nil
}

// ReduceInto reduces the job and combines the result with what acc holds, here, by calling the function once more.
func (j *Job[Out]) ReduceInto(ctx context.Context, acc *Out, r Remote[[]Out, Out]) error {
	v, err := j.Reduce(ctx, r)
	if err != nil {
		return err
	}
	sum, err := r.d.fn(ctx, []Out{*acc, v})
	if err != nil {
		return fmt.Errorf("clusterless: reduce job %s into a value: %w", j.Name(), err)
	}
	*acc = sum
	return nil
}

// Fold combines the results of a job on the client, in the order in which they finish: acc = op(acc, result). It holds
// one accumulator and one stored result at a time. The first failed call or error of op ends it.
func Fold[Out, Acc any](ctx context.Context, j *Job[Out], acc Acc, op func(Acc, Out) (Acc, error)) (Acc, error) {
	for call, r := range j.Completed(ctx) {
		if r.Err != nil {
			return acc, r.Err
		}
		var err error
		if acc, err = op(acc, r.Value); err != nil {
			return acc, fmt.Errorf("clusterless: fold result of call %d of job %s: %w", call, j.Name(), err)
		}
	}
	if err := cause(ctx); err != nil && !j.t.Over() {
		return acc, fmt.Errorf("clusterless: fold job %s: %w", j.Name(), j.later(err))
	}
	return acc, j.ended(ctx)
}

func (j *Job[Out]) reduce(ctx context.Context, r Remote[[]Out, Out]) (out Out, err error) {
	o, err := j.s.optionsFor(r.d.opts, r.opts)
	if err != nil {
		return out, err
	}
	if o.name != "" {
		return out, errors.New("option Name: not for a reduction, whose job is removed when it is done")
	}
	name := jobName(r.d.name)
	tr := &tree{ctx: ctx, leaves: j.t, job: j.Name(), name: name, skip: o.skipFailed, last: -1}
	tr.cond = sync.NewCond(&tr.mu)
	stop := context.AfterFunc(ctx, func() { tr.wake() })
	defer stop()
	in, outT := reflect.TypeFor[[]Out](), reflect.TypeFor[Out]()
	sp := spec{fn: r.d.name, in: in, out: outT, flatOut: flat(outT), n: -1, reduce: true, job: name, priority: j.t.Ledger.Manifest.Priority + 1,
		def: r.d.opts, on: r.opts}
	sp.messages = func(context.Context) iter.Seq[message] { return tr.messages(o.ordered) }
	sp.tracker = tr.own
	go tr.watch()
	// With one value, or a call that failed before two had finished, there is nothing to do for tasks.
	if call, done, err := tr.trivial(); done {
		tr.close()
		if err != nil {
			return out, j.leafErrors(ctx, err)
		}
		return j.Result(ctx, call)
	}
	t, err := j.s.submitJob(ctx, sp)
	if err != nil {
		tr.close()
		return out, err
	}
	defer j.s.release(t)
	defer tr.close()
	res := &Job[Out]{&AnyJob{s: j.s, t: t}}
	if err := tr.wait(); err != nil {
		switch {
		case errors.Is(err, errReducer):
			err = tr.why(ctx, j.AnyJob, res.AnyJob, err)
		case errors.Is(err, errUnsent):
			if _, e := t.Wait(ctx); e != nil {
				err = e
			}
		}
		return out, j.leafErrors(ctx, err)
	}
	v, err := res.Take(ctx, tr.last)
	if err != nil && ctx.Err() == nil {
		err = tr.why(ctx, j.AnyJob, res.AnyJob, err)
	}
	return v, err
}

// why puts in the place of an error that follows from others the first of these.
func (tr *tree) why(ctx context.Context, leaves, own *AnyJob, err error) error {
	if failed := leaves.t.Failed(); len(failed) > 0 && !tr.skip {
		return leaves.leafErrors(ctx, &failedLeaves{failed})
	}
	for _, call := range own.t.Failed() {
		if e := own.failure(ctx, call); e != nil && !errors.Is(e, ErrDependency) {
			return e
		}
	}
	return err
}

// tree is the work of one reduction: values that are there are combined, until there is one.
type tree struct {
	ctx    context.Context
	leaves *track.Tracker
	job    string // that is reduced
	name   string // of the reduction
	skip   bool   // leaves that failed are left out

	mu       sync.Mutex
	cond     *sync.Cond
	there    []plan.Dep // values that can be combined
	coming   int        // calls of the reduction that have not ended
	calls    int        // of the reduction so far
	n        int        // leaves that have ended
	all      bool       // all leaves have ended
	err      error
	t        *track.Tracker
	finished bool // the last call was sent
	last     int  // its number
	closed   bool
}

func (tr *tree) wake() {
	tr.mu.Lock()
	tr.cond.Broadcast()
	tr.mu.Unlock()
}

func (tr *tree) own(t *track.Tracker) {
	tr.mu.Lock()
	tr.t = t
	tr.mu.Unlock()
}

func (tr *tree) close() {
	tr.mu.Lock()
	tr.closed = true
	tr.cond.Broadcast()
	tr.mu.Unlock()
}

func (tr *tree) fail(err error) {
	tr.mu.Lock()
	if tr.err == nil {
		tr.err = err
	}
	tr.cond.Broadcast()
	tr.mu.Unlock()
}

// watch gathers the leaves as they end.
func (tr *tree) watch() {
	for n := 0; ; n++ {
		rec, ok, err := tr.leaves.Next(tr.ctx, n)
		if err != nil {
			tr.fail(err)
			return
		}
		if !ok {
			break
		}
		tr.mu.Lock()
		closed := tr.closed
		for call := rec.First; call < rec.End; call++ {
			if tr.leaves.Current(rec, call) && !(tr.skip && tr.leaves.Bad(call)) {
				tr.there = append(tr.there, plan.Dep{Job: tr.job, Call: call})
				tr.n++
			}
		}
		tr.cond.Broadcast()
		tr.mu.Unlock()
		if closed {
			return
		}
		if !tr.skip && len(tr.leaves.Failed()) > 0 {
			break
		}
	}
	_, err := tr.leaves.Wait(tr.ctx)
	tr.mu.Lock()
	tr.all = true
	if tr.err == nil {
		tr.err = err
	}
	if failed := tr.leaves.Failed(); len(failed) > 0 && tr.err == nil && (!tr.skip || tr.n == 0) {
		tr.err = &failedLeaves{failed}
	}
	tr.cond.Broadcast()
	tr.mu.Unlock()
}

// errUnsent says that the calls of the reduction could not be sent on.
var errUnsent = errors.New("its calls were not sent")

// errReducer says that a call of the reduction failed.
var errReducer = errors.New("the function failed")

// failedLeaves says that calls of the reduced job failed.
type failedLeaves struct{ calls []int }

func (f *failedLeaves) Error() string { return fmt.Sprintf("%d calls failed", len(f.calls)) }

// leafErrors puts the errors of failed calls in the place of the word that there are some.
func (j *AnyJob) leafErrors(ctx context.Context, err error) error {
	var f *failedLeaves
	if !errors.As(err, &f) {
		return err
	}
	var errs []callError
	for _, call := range f.calls {
		if e := j.failure(ctx, call); e != nil {
			errs = append(errs, callError{call, e})
		}
	}
	return joinCalls(errs, nil)
}

// trivial waits until it is clear whether there is something to combine.
func (tr *tree) trivial() (call int, done bool, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for tr.err == nil && tr.ctx.Err() == nil && !tr.all && len(tr.there) < 2 {
		tr.cond.Wait()
	}
	switch {
	case tr.err != nil:
		return 0, true, tr.err
	case tr.ctx.Err() != nil:
		return 0, true, cause(tr.ctx)
	case tr.all && tr.n == 0:
		return 0, true, ErrNothing
	case tr.all && tr.n == 1:
		return tr.there[0].Call, true, nil
	}
	return 0, false, nil
}

// wait waits until the last call was sent, or something failed.
func (tr *tree) wait() error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for tr.err == nil && tr.ctx.Err() == nil && !tr.finished {
		tr.cond.Wait()
	}
	if tr.err != nil {
		return tr.err
	}
	if !tr.finished {
		return cause(tr.ctx)
	}
	return nil
}

// messages yields the calls of the reduction.
func (tr *tree) messages(ordered bool) iter.Seq[message] {
	calls := tr.asTheyCome
	if ordered {
		calls = tr.ordered
	}
	return func(yield func(message) bool) {
		calls(func(m message) bool {
			ok := yield(m)
			if !ok {
				tr.fail(errUnsent)
			}
			return ok
		})
	}
}

// send yields one call.
func (tr *tree) send(yield func(message) bool, from, deps []plan.Dep) bool {
	refs := make([]plan.Ref, len(from))
	for i, d := range from {
		refs[i].Dep = d
	}
	return yield(message{n: 1, deps: deps, encode: func(_ *codec.Encoder, w io.Writer) error { return json.NewEncoder(w).Encode(refs) }})
}

// asTheyCome combines whatever is there: eight values at a time, and fewer when no more leaves come.
func (tr *tree) asTheyCome(yield func(message) bool) {
	for {
		tr.mu.Lock()
		for tr.err == nil && tr.ctx.Err() == nil && !tr.closed && len(tr.there) < fanIn && !(tr.all && len(tr.there) > 1 && (tr.coming == 0 || len(tr.there) >= fanIn/2)) &&
			!(tr.all && tr.coming == 0 && len(tr.there) <= 1) {
			tr.cond.Wait()
		}
		if tr.err != nil || tr.ctx.Err() != nil || tr.closed {
			tr.mu.Unlock()
			return
		}
		if len(tr.there) <= 1 {
			tr.last = tr.there[0].Call
			tr.finished = true
			tr.cond.Broadcast()
			tr.mu.Unlock()
			return
		}
		n := min(fanIn, len(tr.there))
		from := slices.Clone(tr.there[:n])
		tr.there = tr.there[n:]
		call := tr.calls
		tr.calls++
		tr.coming++
		tr.mu.Unlock()
		if !tr.send(yield, from, nil) || !yield(message{}) {
			return
		}
		tr.mu.Lock()
		t := tr.t
		tr.mu.Unlock()
		t.OnSettled(call, func(ok bool) {
			if !ok {
				tr.fail(fmt.Errorf("%w: %s", errReducer, t.Why(tr.ctx, call).Text))
			}
			tr.mu.Lock()
			tr.coming--
			tr.there = append(tr.there, plan.Dep{Job: tr.name, Call: call})
			tr.cond.Broadcast()
			tr.mu.Unlock()
		})
	}
}

// ordered combines neighbours, in a tree that depends on the number of leaves only (and on which failed, if these are left out). Its calls wait for one another in
// the tracker.
func (tr *tree) ordered(yield func(message) bool) {
	tr.mu.Lock()
	for tr.err == nil && tr.ctx.Err() == nil && !tr.closed && (tr.leaves.Status().Total < 0 || tr.skip && !tr.all) {
		tr.cond.Wait()
	}
	stop := tr.err != nil || tr.ctx.Err() != nil || tr.closed
	tr.mu.Unlock()
	if stop {
		return
	}
	var level []plan.Dep
	for call := range tr.leaves.Status().Total {
		if tr.skip && tr.leaves.Bad(call) {
			continue
		}
		level = append(level, plan.Dep{Job: tr.job, Call: call})
	}
	calls := 0
	for len(level) > 1 {
		var next []plan.Dep
		for from := range slices.Chunk(level, fanIn) {
			if len(from) == 1 {
				next = append(next, from[0])
				continue
			}
			if !tr.send(yield, from, from) {
				return
			}
			next = append(next, plan.Dep{Job: tr.name, Call: calls})
			calls++
		}
		level = next
	}
	tr.mu.Lock()
	tr.last, tr.finished = level[0].Call, true
	tr.cond.Broadcast()
	tr.mu.Unlock()
}

// Number is what the ready-made reducers work on.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64 | ~complex64 | ~complex128
}

// Real are numbers with an order.
type Real interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// Sum is a reducer that adds numbers: clusterless.Define("sum", clusterless.Sum[float64]).
func Sum[T Number](_ context.Context, all []T) (T, error) {
	var sum T
	for _, v := range all {
		sum += v
	}
	return sum, nil
}

// SumSlices is a reducer that adds slices of numbers, element by element, all of one length.
func SumSlices[T Number](_ context.Context, all [][]T) ([]T, error) {
	if len(all) == 0 {
		return nil, nil
	}
	sum := slices.Clone(all[0])
	for i, v := range all[1:] {
		if len(v) != len(sum) {
			return nil, fmt.Errorf("sum of slices: slice %d has %d elements, the first has %d", i+1, len(v), len(sum))
		}
	}
	const block = 1024 // of sum, which stays in the cache while all slices are added to it
	for from := 0; from < len(sum); from += block {
		part := sum[from:min(from+block, len(sum))]
		for _, v := range all[1:] {
			v = v[from : from+len(part)]
			for k := range part {
				part[k] += v[k]
			}
		}
	}
	return sum, nil
}

// Max is a reducer that takes the largest number.
func Max[T Real](_ context.Context, all []T) (T, error) {
	if len(all) == 0 {
		return 0, ErrNothing
	}
	return slices.Max(all), nil
}

// Min is a reducer that takes the smallest number.
func Min[T Real](_ context.Context, all []T) (T, error) {
	if len(all) == 0 {
		return 0, ErrNothing
	}
	return slices.Min(all), nil
}
