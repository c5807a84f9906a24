package clusterless

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// AnyJob is what can be done with a job without knowing the type of its results. Its methods may be called at once. A
// context that ends stops only the waiting.
type AnyJob struct {
	s     *Session
	t     *track.Tracker
	still bool // nothing follows it
}

// Look returns a job to look at, whoever made it: as the store has it now, and as Refresh finds it later. Nothing is run
// for it; [Attach] does that. What would wait for calls that have not ended returns [ErrNotReady] instead.
func (s *Session) Look(ctx context.Context, job string) (*AnyJob, error) {
	s.mu.Lock()
	t := s.trackers[job]
	s.mu.Unlock()
	still := t == nil
	if still {
		var err error
		if t, err = s.read(ctx, job); err != nil {
			return nil, fmt.Errorf("clusterless: %w", err)
		}
		if err := t.Load(ctx); err != nil {
			return nil, fmt.Errorf("clusterless: %w", err)
		}
	}
	return &AnyJob{s, t, still}, nil
}

// Refresh reads what has happened since to a job of [Session.Look], or to one that was over and that another process has
// retried.
func (j *AnyJob) Refresh(ctx context.Context) error {
	if err := j.t.Load(ctx); err != nil {
		return fmt.Errorf("clusterless: %w", err)
	}
	return nil
}

// Func is the name of the job's function.
func (j *AnyJob) Func() string { return j.t.Ledger.Manifest.Func }

// Info describes the job as [Session.Jobs] does.
func (j *AnyJob) Info() JobInfo { return info(&j.t.Ledger.Manifest) }

// Name is the job's name, for Attach.
func (j *AnyJob) Name() string { return j.t.Job.ID }

// Len is the number of calls; -1 while an iterator still sends inputs.
func (j *AnyJob) Len() int { return j.t.Status().Total }

// ended is what is wrong with a job besides its failed calls.
func (j *AnyJob) ended(ctx context.Context) error {
	_, err := j.t.Wait(ctx)
	return err
}

// lost is the error of a call that has no outcome in the store.
func (j *AnyJob) lost(call int, err error) error {
	m := &j.t.Ledger.Manifest
	e := &TaskError{Job: m.Job, alone: j.alone(), Call: call, Func: m.Func, Message: err.Error(), Err: err}
	switch {
	case errors.Is(err, ErrBudget):
		e.Kind = ErrBudget // and Err is ErrCancelled too
	case errors.Is(err, ErrCancelled):
		e.Kind, e.Err = ErrCancelled, nil
	}
	return e
}

// Activity says what the session's engine does with a job that is not over, for people who do not follow it: that a process works on it,
// that it waits in a queue, that it was interrupted. "" if it is over, or the engine cannot tell.
func (j *AnyJob) Activity(ctx context.Context) (string, error) {
	t, ok := j.s.engine.(engine.Teller)
	if !ok || j.t.Over() {
		return "", nil
	}
	text, err := t.Tell(ctx, j.t.Job.ID)
	if err != nil {
		return "", fmt.Errorf("clusterless: job %s: %w", j.Name(), err)
	}
	return text, nil
}

// Wait waits until the job has ended and returns the calls that failed, in order. The error is not about calls, but
// about the job as a whole: cancelled, cut off, or ctx ended.
func (j *AnyJob) Wait(ctx context.Context) (failed []int, err error) {
	if j.still && !j.t.Over() {
		return j.t.Failed(), fmt.Errorf("clusterless: wait for job %s: %w", j.Name(), ErrNotReady)
	}
	failed, err = j.t.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		err = j.later(err)
	}
	if err != nil {
		err = fmt.Errorf("clusterless: wait for job %s: %w", j.Name(), err)
	}
	return failed, err
}

// Failed returns the calls that have failed so far and why, without waiting.
func (j *AnyJob) Failed(ctx context.Context) (map[int]error, error) {
	all := map[int]error{}
	for _, call := range j.t.Failed() {
		if err := j.failure(ctx, call); err != nil {
			all[call] = err
		}
	}
	return all, cause(ctx)
}

// Retry makes the failed calls of a finished job once more, under the job's options and by the build of the program that
// made the job, and returns how many there are. Calls that depend on calls of another job: retry that job first.
func (j *AnyJob) Retry(ctx context.Context) (int, error) {
	n, err := j.t.Retry(ctx)
	if err != nil {
		return 0, fmt.Errorf("clusterless: retry failed calls of job %s: %w", j.Name(), err)
	}
	j.s.observeJob(j.t)
	j.s.meterJob(j.t)
	return n, nil
}

// Cancel ends the job: calls that run are killed, those that wait are never made. Results that are there stay.
func (j *AnyJob) Cancel(ctx context.Context) error {
	if err := j.t.Cancel(ctx); err != nil {
		return fmt.Errorf("clusterless: cancel job %s: %w", j.Name(), err)
	}
	return nil
}

// Delete cancels the job and removes all of it from store and engine.
func (j *AnyJob) Delete(ctx context.Context) error { return j.s.Delete(ctx, j.Name()) }

// Log opens what the process that made a call wrote to stdout and stderr while it worked on the call's task; other
// calls of the task are in it too. With follow, reading waits for more until the task has ended.
func (j *AnyJob) Log(ctx context.Context, call int, follow bool) (io.ReadCloser, error) {
	task, attempt, err := j.t.Run(ctx, call)
	if err == nil {
		var r io.ReadCloser
		if r, err = j.t.Ledger.Log(ctx, j.s.engine, engine.Run{Task: task, Attempt: attempt}, follow); err == nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("clusterless: log of call %d of job %s: %w", call, j.Name(), err)
}

// failure is the error of a call that has ended, nil if it ended well.
func (j *AnyJob) failure(ctx context.Context, call int) error {
	rec, err := j.t.Settled(ctx, call, false)
	if err != nil {
		return j.lost(call, err)
	}
	c, err := j.t.Commit(ctx, rec)
	if err != nil {
		return fmt.Errorf("clusterless: %w", err)
	}
	defer c.Release()
	i := c.Pack.Find(call)
	if i < 0 {
		return j.lost(call, ErrDamaged)
	}
	o, err := c.Outcome(i)
	if err != nil {
		return j.lost(call, err)
	}
	if o.Status == plan.OK {
		return nil
	}
	f, err := c.Failure(i)
	if err != nil {
		return j.lost(call, err)
	}
	return j.taskError(call, o.Status, f)
}

// alone says that the name of the job and the number of the call tell a person nothing: made up, and the only one.
func (j *AnyJob) alone() bool { return j.t.Ledger.Manifest.Temporary && j.t.Status().Total == 1 }

func (j *AnyJob) taskError(call int, status plan.Status, f plan.Failure) *TaskError {
	e := taskError(&j.t.Ledger.Manifest, call, status, f)
	e.alone = j.alone()
	return e
}

// Files waits for a call and returns the files that it returned. If the call failed, its error comes with them.
func (j *AnyJob) Files(ctx context.Context, call int) ([]File, error) {
	rec, err := j.t.Settled(ctx, call, !j.still)
	if errors.Is(err, ErrNotReady) {
		return nil, fmt.Errorf("clusterless: files of call %d of job %s: %w", call, j.Name(), err)
	}
	if err != nil {
		return nil, j.lost(call, err)
	}
	if rec.Task < 0 {
		return nil, j.lost(call, j.t.GaveUp(rec))
	}
	c, err := j.t.Commit(ctx, rec)
	if err != nil {
		return nil, fmt.Errorf("clusterless: %w", err)
	}
	defer c.Release()
	i := c.Pack.Find(call)
	if i < 0 {
		return nil, j.lost(call, ErrDamaged)
	}
	o, err := c.Outcome(i)
	if err != nil {
		return nil, j.lost(call, err)
	}
	if o.Status != plan.OK {
		return j.files(o.Files), j.failure(ctx, call)
	}
	return j.files(o.Files), nil
}

func (j *AnyJob) taken(ctx context.Context, call int) bool {
	r, err := j.s.store.Get(ctx, plan.TakenCallKey(j.Name(), call))
	if err != nil {
		return false
	}
	r.Close()
	return true
}

// A Run is one attempt at a task, of which there may be a log.
type Run struct {
	Task, Attempt int
	First, End    int // calls of the task: First to End-1
}

// Runs lists the attempts at the job's tasks so far, those that failed too, by task and attempt.
func (j *AnyJob) Runs(ctx context.Context) ([]Run, error) {
	var all []Run
	for _, r := range j.t.Runs() {
		all = append(all, Run(r))
	}
	return all, cause(ctx)
}

// RunLog opens the log of one run; see Log.
func (j *AnyJob) RunLog(ctx context.Context, r Run, follow bool) (io.ReadCloser, error) {
	rc, err := j.t.Ledger.Log(ctx, j.s.engine, engine.Run{Task: r.Task, Attempt: r.Attempt}, follow)
	if err != nil {
		return nil, fmt.Errorf("clusterless: log of task %d, attempt %d, of job %s: %w", r.Task, r.Attempt, j.Name(), err)
	}
	return rc, nil
}
