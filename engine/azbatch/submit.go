package azbatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// Tasks are added collectionSize at a time, the most that the service takes, by up to adders calls at once: Microsoft's guide
// wants fewer than 100 of an account.
const (
	collectionSize = 100
	adders         = 16
)

// Lifetime implements engine.Fetcher.
func (e *Engine) Lifetime() time.Duration { return e.c.Lifetime }

// Submit implements engine.Engine. The order of runs is the service's.
func (e *Engine) Submit(ctx context.Context, job engine.Job) error {
	if err := e.check(&job); err != nil {
		return err
	}
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return fmt.Errorf("azbatch: submit %s: %w", job.ID, err)
	}
	defer end()
	if err := e.submit(ctx, &job); err != nil {
		return fmt.Errorf("azbatch: submit %s: %w", job.ID, ended(ctx, err))
	}
	e.changed(job.ID)
	return nil
}

func (e *Engine) submit(ctx context.Context, job *engine.Job) error {
	p, err := e.c.placement(job.Settings)
	if err != nil {
		return fmt.Errorf("%w: %w", err, engine.ErrCannotRun)
	}
	for range 3 { // somebody may delete it, or begin to, at any time
		env, err := e.make(ctx, job, p)
		if err != nil {
			return err
		}
		err = e.add(ctx, job, p, env)
		if c := code(err); c == "JobNotFound" || c == "JobBeingDeleted" {
			e.forget(job.ID)
			continue
		} else if c == "JobCompleted" || c == "JobBeingTerminated" {
			e.forget(job.ID)
			return e.over(ctx, job.ID)
		}
		return explain(err)
	}
	return errors.New("somebody deletes the job again and again")
}

// make makes the Batch job, unless it is there. It returns the environment that a task needs beside the job's.
func (e *Engine) make(ctx context.Context, job *engine.Job, p Placement) ([]azbatch.EnvironmentSetting, error) {
	now := exports(job)
	e.mu.Lock()
	then, known := e.made[job.ID]
	e.mu.Unlock()
	if !known {
		if err := e.fits(ctx, job, p); err != nil {
			return nil, err
		}
		var err error
		if then, err = e.create(ctx, job, p); err != nil {
			return nil, err
		}
		e.mu.Lock()
		e.made[job.ID] = then
		e.mu.Unlock()
	}
	if now == then {
		return nil, nil
	}
	return []azbatch.EnvironmentSetting{setting("CLUSTERLESS_ENVIRON", now)}, nil // with a token that is good for longer
}

// create makes the Batch job, and returns the exports that its tasks find.
func (e *Engine) create(ctx context.Context, job *engine.Job, p Placement) (string, error) {
	content := azbatch.CreateJobContent{
		ID: to.Ptr(batchID(job.ID)), DisplayName: to.Ptr(job.ID), PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr(p.Pool)},
		Priority:                  to.Ptr(int32(max(-1000, min(1000, job.Priority)))),
		CommonEnvironmentSettings: environment(job), JobPreparationTask: preparation(job),
		Constraints:        &azbatch.JobConstraints{MaxWallClockTime: to.Ptr(isoDuration(e.c.Lifetime)), MaxTaskRetryCount: to.Ptr(int32(max(0, e.c.Retries)))},
		OnAllTasksComplete: to.Ptr(azbatch.OnAllTasksCompleteNoAction),
		Metadata:           metadata(map[string]string{metaJob: job.ID, metaTime: p.Time.String()}),
	}
	pause := 50 * time.Millisecond
	for {
		_, err := e.client.CreateJob(ctx, content, nil)
		if err == nil {
			return exports(job), nil
		}
		c := code(err)
		if c != "JobExists" && c != "JobBeingDeleted" {
			return "", explain(err)
		}
		there, err := e.client.GetJob(ctx, batchID(job.ID), nil)
		switch {
		case status(err) == http.StatusNotFound: // it is gone just now
			continue
		case err != nil:
			return "", explain(err)
		case *there.State != azbatch.JobStateDeleting: // somebody's, or ours, if an answer was lost
			return environ(&there.Job), nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fmt.Errorf("the service still deletes an earlier job of this name: wait some minutes, or choose another name: %w", context.Cause(ctx))
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// environ are the exports that the tasks of a Batch job find.
func environ(j *azbatch.Job) string {
	for _, s := range j.CommonEnvironmentSettings {
		if *s.Name == "CLUSTERLESS_ENVIRON" && s.Value != nil {
			return *s.Value
		}
	}
	return ""
}

// over is the error of adding runs to a job that was ended.
func (e *Engine) over(ctx context.Context, jobID string) error {
	why := "it was ended"
	if j, err := e.client.GetJob(ctx, batchID(jobID), nil); err == nil {
		if end := endOf(&j.Job); end != nil {
			why = end.text
		}
	}
	return fmt.Errorf("no run can be added to the job any more: %s: %w", why, engine.ErrCannotRun)
}

// add adds the tasks of all runs. What the service has already is left as it is.
func (e *Engine) add(ctx context.Context, job *engine.Job, p Placement, env []azbatch.EnvironmentSetting) error {
	tasks := make([]azbatch.CreateTaskContent, len(job.Runs))
	seen := make(map[engine.Run]bool, len(job.Runs))
	n := 0
	for _, r := range job.Runs {
		if seen[r] {
			continue
		}
		seen[r] = true
		tasks[n] = azbatch.CreateTaskContent{ID: to.Ptr(taskID(r)), CommandLine: to.Ptr(runAgent), EnvironmentSettings: env, UserIdentity: poolUser()}
		if job.Resources.Cores > 1 {
			tasks[n].RequiredSlots = to.Ptr(int32(job.Resources.Cores))
		}
		if p.Time > 0 {
			tasks[n].Constraints = &azbatch.TaskConstraints{MaxWallClockTime: to.Ptr(isoDuration(p.Time)), MaxTaskRetryCount: to.Ptr(int32(max(0, e.c.Retries)))}
		}
		n++
	}
	tasks = tasks[:n]
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	room := make(chan struct{}, adders)
	for len(tasks) > 0 && ctx.Err() == nil {
		some := tasks[:min(len(tasks), collectionSize)]
		tasks = tasks[len(some):]
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if err := e.addSome(ctx, job.ID, some); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// addSome adds up to collectionSize tasks, in several calls if they are too large for one. Tasks that fail for a reason of the
// service's are added again.
func (e *Engine) addSome(ctx context.Context, jobID string, tasks []azbatch.CreateTaskContent) error {
	pause := time.Second
	for try := 0; ; try++ {
		r, err := e.client.CreateTaskCollection(ctx, batchID(jobID), azbatch.TaskGroup{Value: tasks}, nil)
		if c := code(err); (c == "RequestBodyTooLarge" || status(err) == http.StatusRequestEntityTooLarge) && len(tasks) > 1 {
			half := len(tasks) / 2
			if err := e.addSome(ctx, jobID, tasks[:half]); err != nil {
				return err
			}
			tasks = tasks[half:]
			continue
		}
		if err != nil {
			return err
		}
		again := map[string]bool{}
		var last string
		for _, one := range r.Value {
			c, text := "", ""
			if one.Error != nil && one.Error.Code != nil {
				c, text = *one.Error.Code, *one.Error.Code
				if m := one.Error.Message; m != nil && m.Value != nil {
					text += ": " + *m.Value
				}
			}
			switch {
			case *one.Status == azbatch.TaskAddStatusSuccess || c == "TaskExists":
			case *one.Status == azbatch.TaskAddStatusServerError:
				again[*one.TaskID], last = true, text
			default:
				return fmt.Errorf("task %s: %s", *one.TaskID, text)
			}
		}
		if len(again) == 0 {
			return nil
		}
		if try == 6 {
			return fmt.Errorf("%d tasks could not be added after %d tries: %s", len(again), try+1, last)
		}
		var left []azbatch.CreateTaskContent
		for i := range tasks {
			if again[*tasks[i].ID] {
				left = append(left, tasks[i])
			}
		}
		tasks = left
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// A pool is what a job needs to know of one.
type pool struct {
	slots int
	seen  time.Time
}

// poolTime is how long what is known of a pool counts.
const poolTime = time.Minute

// fits refuses a job whose pool is not there, or has no node that its runs fit on.
func (e *Engine) fits(ctx context.Context, job *engine.Job, p Placement) error {
	e.mu.Lock()
	known, ok := e.pools[p.Pool]
	e.mu.Unlock()
	if !ok || time.Since(known.seen) > poolTime {
		r, err := e.client.GetPool(ctx, p.Pool, nil)
		if code(err) == "PoolNotFound" && e.c.Make.VMSize != "" && p.Pool == e.c.Pool {
			if _, err := e.createPool(ctx, p.Pool, e.c.Make); err != nil {
				return fmt.Errorf("pool %s: %w", p.Pool, err)
			}
			r, err = e.client.GetPool(ctx, p.Pool, nil)
		}
		if code(err) == "PoolNotFound" {
			return fmt.Errorf("the account has no pool %s: create it, or name another with the setting pool: %w", p.Pool, engine.ErrCannotRun)
		}
		if err != nil {
			return fmt.Errorf("pool %s: %w", p.Pool, explain(err))
		}
		known = pool{slots: 1, seen: time.Now()}
		if r.TaskSlotsPerNode != nil {
			known.slots = int(*r.TaskSlotsPerNode)
		}
		e.mu.Lock()
		e.pools[p.Pool] = known
		e.mu.Unlock()
	}
	if job.Resources.Cores > known.slots {
		return fmt.Errorf("a run needs %d slots, one for each core, and nodes of the pool %s have %d: name another pool, or create one with more slots for each node: %w",
			job.Resources.Cores, p.Pool, known.slots, engine.ErrCannotRun)
	}
	return nil
}
