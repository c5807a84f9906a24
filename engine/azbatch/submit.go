package azbatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/azerror"
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
		m, err := e.make(ctx, job, p)
		if err != nil {
			return err
		}
		err = e.add(ctx, job, p, m)
		if c := code(err); c == "JobNotFound" || c == "JobBeingDeleted" {
			e.forget(job.ID)
			continue
		}
		return explain(err)
	}
	return errors.New("somebody deletes the job again and again")
}

// made is what is known of the Batch jobs of a job.
type made struct {
	split
	exports []string // that tasks of each find

	mu   sync.Mutex
	ends []*jobEnd // of those that take no tasks any more
}

func (m *made) end(i int) *jobEnd {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ends[i]
}

func (m *made) setEnd(i int, end *jobEnd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ends[i] = end
}

func newMade(s split) *made {
	return &made{split: s, exports: make([]string, len(s.places)), ends: make([]*jobEnd, len(s.places))}
}

// make makes the Batch jobs of a job, unless they are there.
func (e *Engine) make(ctx context.Context, job *engine.Job, p Placement) (*made, error) {
	e.mu.Lock()
	m := e.made[job.ID]
	e.mu.Unlock()
	if m != nil {
		return m, nil
	}
	places := e.places(p)
	err := engine.ErrNotExist
	if len(places) > 1 { // whoever made the job has decided
		var s split
		if s, err = e.find(ctx, job.ID); err == nil {
			m, err = e.inspect(ctx, s)
		}
	}
	if errors.Is(err, engine.ErrNotExist) {
		m, err = e.create(ctx, job, p, places)
	}
	if err != nil {
		return nil, explain(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made[job.ID] = m
	return m, nil
}

// inspect asks for the Batch jobs of a job that somebody made.
func (e *Engine) inspect(ctx context.Context, s split) (*made, error) {
	m := newMade(s)
	there := false
	for i, p := range s.places {
		j, err := p.client.GetJob(ctx, p.id, nil)
		switch {
		case status(err) == http.StatusNotFound || err == nil && word(j.State) == azbatch.JobStateDeleting:
			m.ends[i] = s.absent(i)
		case err != nil:
			return nil, err
		default:
			there = true
			m.exports[i], m.ends[i] = environ(&j.Job), endOf(&j.Job)
		}
	}
	if !there {
		return nil, engine.ErrNotExist
	}
	return m, nil
}

// create makes the Batch jobs of a new job: that of the first place last, and only with it the others count. So whoever finds the
// job finds all of it, and two clients that make it at once agree. Places where that fails are left out.
func (e *Engine) create(ctx context.Context, job *engine.Job, p Placement, places []place) (*made, error) {
	var errs []error
	for {
		s, err := e.decide(ctx, job, places)
		if err != nil {
			return nil, inOneLine(append(errs, err))
		}
		m := newMade(s)
		there := make([]*azbatch.Job, len(s.places))
		failed := make([]error, len(s.places))
		var all sync.WaitGroup
		for i := 1; i < len(s.places); i++ {
			all.Go(func() { there[i], failed[i] = e.createAt(ctx, job, p, m, i) })
		}
		all.Wait()
		if !slices.ContainsFunc(failed, func(err error) bool { return err != nil }) {
			there[0], failed[0] = e.createAt(ctx, job, p, m, 0)
		}
		var left []place
		for i, j := range there {
			switch {
			case failed[i] != nil:
				errs = append(errs, failed[i])
				e.leftOut(job.ID, s.places[i], failed[i])
				continue
			case j != nil && !isPart(j): // another client was faster
				if s, err = e.splitOf(s.places[i].account, job.ID, j); err != nil {
					return nil, err
				}
				return e.inspect(ctx, s)
			}
			left = append(left, s.places[i])
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case len(left) == 0:
			return nil, inOneLine(errs)
		case len(left) == len(s.places) && there[0] == nil:
			return m, nil
		case there[0] != nil: // another client, whose first place is another one, is at it
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
			if s, err := e.find(ctx, job.ID); err == nil {
				return e.inspect(ctx, s)
			}
		}
		places = left
	}
}

// isPart reports whether a Batch job counts only with the first one of its job.
func isPart(j *azbatch.Job) bool {
	return metaOf(j.Metadata)[metaPart] != ""
}

// createAt makes the Batch job of one place. If it is there, somebody's, or ours, if an answer was lost, it is returned.
func (e *Engine) createAt(ctx context.Context, job *engine.Job, p Placement, m *made, i int) (*azbatch.Job, error) {
	at := m.places[i]
	nodes, err := e.machineAt(ctx, at)
	if err != nil {
		return nil, err
	}
	job = nodes.adapt(job)
	meta := map[string]string{metaJob: job.ID, metaTime: p.Time.String()}
	m.write(meta)
	if i > 0 {
		meta[metaPart] = "true"
	}
	if needs := writeNeeds(job.Resources); needs != "" {
		meta[metaNeeds] = needs
	}
	content := azbatch.CreateJobContent{
		ID: to.Ptr(at.id), DisplayName: to.Ptr(job.ID), PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr(at.pool)},
		Priority:                  to.Ptr(int32(max(-1000, min(1000, job.Priority)))),
		CommonEnvironmentSettings: environment(job, nodes), JobPreparationTask: preparation(job, nodes),
		Constraints:        &azbatch.JobConstraints{MaxWallClockTime: to.Ptr(isoDuration(e.c.Lifetime)), MaxTaskRetryCount: to.Ptr(int32(max(0, e.c.Retries)))},
		OnAllTasksComplete: to.Ptr(azbatch.OnAllTasksCompleteNoAction),
		Metadata:           metadata(meta),
	}
	pause := 50 * time.Millisecond
	for {
		_, err := at.client.CreateJob(ctx, content, nil)
		if err == nil {
			m.exports[i] = exports(job)
			return nil, nil
		}
		c := code(err)
		if c != "JobExists" && c != "JobBeingDeleted" {
			return nil, explain(err)
		}
		there, err := at.client.GetJob(ctx, at.id, nil)
		switch {
		case status(err) == http.StatusNotFound: // it is gone just now
			continue
		case err != nil:
			return nil, explain(err)
		case word(there.State) != azbatch.JobStateDeleting:
			m.exports[i] = environ(&there.Job)
			return &there.Job, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("the service still deletes an earlier job of this name: wait some minutes, or choose another name: %w", context.Cause(ctx))
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
func over(end *jobEnd) error {
	return fmt.Errorf("no run can be added to the job any more: %s: %w", end.text, engine.ErrCannotRun)
}

// add adds the tasks of all runs, each at its place. What the service has already is left as it is.
func (e *Engine) add(ctx context.Context, job *engine.Job, p Placement, m *made) error {
	tasks := make([]func(engine.Run) azbatch.CreateTaskContent, len(m.places))
	for i := range tasks {
		nodes, err := e.machineAt(ctx, m.places[i])
		if err != nil && m.end(i) == nil {
			return err
		}
		tasks[i] = e.tasks(nodes.adapt(job), p, m.exports[i], nodes)
	}
	for range len(m.places) + 1 { // each may hand over
		runs := make([][]engine.Run, len(m.places))
		seen := make(map[engine.Run]bool, len(job.Runs))
		for _, r := range job.Runs {
			if seen[r] {
				continue
			}
			seen[r] = true
			i := m.where(r, m.end)
			if i < 0 {
				return over(m.end(0))
			}
			if end := m.end(i); end != nil {
				return over(end)
			}
			runs[i] = append(runs[i], r)
		}
		errs := make([]error, len(runs))
		var all sync.WaitGroup
		for i, runs := range runs {
			all.Go(func() { errs[i] = addTasks(ctx, m.places[i], runs, tasks[i]) })
		}
		all.Wait()
		again := false
		for i, err := range errs {
			switch c := code(err); {
			case err == nil:
				continue
			case c != "JobCompleted" && c != "JobBeingTerminated":
				return err
			}
			j, err := m.places[i].client.GetJob(ctx, m.places[i].id, nil)
			if err != nil {
				return err
			}
			end := endOf(&j.Job)
			if end == nil {
				return fmt.Errorf("the service says that the Batch job %s has ended, and that it has not", m.places[i].id)
			}
			m.setEnd(i, end)
			again = true
		}
		if !again {
			return nil
		}
	}
	return errors.New("its places hand it over to one another")
}

// saveTime is how long before the service ends a run for its time its process is ended, so that its output can be kept.
const saveTime = 15 * time.Second

// tasks makes the Batch tasks of runs that are added where tasks find those exports.
func (e *Engine) tasks(job *engine.Job, p Placement, there string, nodes machine) func(engine.Run) azbatch.CreateTaskContent {
	t := azbatch.CreateTaskContent{CommandLine: to.Ptr(runAgent), UserIdentity: poolUser(), ContainerSettings: nodes.container}
	if now := exports(job); now != there { // with a token that is good for longer
		t.EnvironmentSettings = []azbatch.EnvironmentSetting{setting("CLUSTERLESS_ENVIRON", now)}
	}
	if slots, err := nodes.slotsFor(job.Resources, ""); err == nil && slots > 1 { // that it fits was looked at when the job was made
		t.RequiredSlots = to.Ptr(int32(slots))
	}
	if job.KeepLogs && p.Time > 20*saveTime {
		t.EnvironmentSettings = append(t.EnvironmentSettings, setting("CLUSTERLESS_TIME", strconv.Itoa(int((p.Time-saveTime).Seconds()))))
	}
	if p.Time > 0 {
		t.Constraints = &azbatch.TaskConstraints{MaxWallClockTime: to.Ptr(isoDuration(p.Time)), MaxTaskRetryCount: to.Ptr(int32(max(0, e.c.Retries)))}
	}
	return func(r engine.Run) azbatch.CreateTaskContent {
		t := t
		t.ID = to.Ptr(taskID(r))
		if n := job.Resources.Nodes; n > 1 {
			spread(&t, n)
		}
		return t
	}
}

// addTasks adds the tasks of runs at a place.
func addTasks(ctx context.Context, at place, runs []engine.Run, task func(engine.Run) azbatch.CreateTaskContent) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	room := make(chan struct{}, adders)
	for len(runs) > 0 && ctx.Err() == nil {
		some := runs[:min(len(runs), collectionSize)]
		runs = runs[len(some):]
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			tasks := make([]azbatch.CreateTaskContent, len(some))
			for i, r := range some {
				tasks[i] = task(r)
			}
			if err := addSome(ctx, at, tasks); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// addSome adds up to collectionSize tasks, in several calls if they are too large for one. Tasks that fail for a reason of the
// service's are added again.
func addSome(ctx context.Context, at place, tasks []azbatch.CreateTaskContent) error {
	pause := time.Second
	for try := 0; ; try++ {
		r, err := at.client.CreateTaskCollection(ctx, at.id, azbatch.TaskGroup{Value: tasks}, nil)
		if c := code(err); (c == "RequestBodyTooLarge" || status(err) == http.StatusRequestEntityTooLarge) && len(tasks) > 1 {
			half := len(tasks) / 2
			if err := addSome(ctx, at, tasks[:half]); err != nil {
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
			case word(one.Status) == azbatch.TaskAddStatusSuccess || c == "TaskExists":
			case word(one.Status) == azbatch.TaskAddStatusServerError:
				again[*one.TaskID], last = true, text
			default:
				return &azerror.Error{Text: fmt.Sprintf("task %s: %s", *one.TaskID, azerror.Redact(text)), Err: &azcore.ResponseError{ErrorCode: c}}
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
