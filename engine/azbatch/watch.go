package azbatch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

const (
	beatTime    = 3 * time.Second  // between events that say of running runs: look in the store
	overlap     = 10 * time.Second // changes may show later than their time says
	silenceTime = 10 * time.Second // of the service, until somebody wants to know

	fullPolls = 100 // between listings of all tasks: a change may have been missed all the same, and tasks deleted
)

// taskFields is what a watch needs of a task.
var taskFields = []string{"id", "state", "stateTransitionTime", "executionInfo", "nodeInfo"}

// Watch implements engine.Engine.
func (e *Engine) Watch(ctx context.Context, jobID string) iter.Seq2[engine.Event, error] {
	return func(yield func(engine.Event, error) bool) {
		fail := func(err error) { yield(engine.Event{}, fmt.Errorf("azbatch: watch %s: %w", jobID, err)) }
		if !engine.ValidID(jobID) {
			fail(engine.ErrNotExist)
			return
		}
		ctx, end, err := e.begin(ctx)
		if err != nil {
			fail(err)
			return
		}
		defer end()
		w := &watch{e: e, jobID: jobID, id: batchID(jobID), runs: map[engine.Run]*run{}, began: time.Now(), lastBeat: time.Now()}
		for {
			change := e.change(jobID)
			err := w.look(ctx)
			switch {
			case errors.Is(context.Cause(ctx), engine.ErrClosed):
				err = engine.ErrClosed
			case ctx.Err() != nil:
				return
			case err != nil && !errors.Is(err, engine.ErrNotExist):
				if w.answered.IsZero() && permanent(err) {
					fail(explain(err))
					return
				}
				e.log.Warn("azbatch: watch", "job", jobID, "err", explain(err)) // it passes, or somebody mends it
				w.silence(err)
				err = nil
			}
			for i := range w.events {
				if !yield(w.events[i], nil) {
					return
				}
			}
			w.events = w.events[:0]
			if err != nil {
				fail(err)
				return
			}
			select {
			case <-change:
			case <-time.After(e.c.Poll):
			case <-ctx.Done():
			}
		}
	}
}

// permanent reports whether asking again will bring the same answer.
func permanent(err error) bool {
	s := status(err)
	return s == http.StatusForbidden || s == http.StatusUnauthorized || s == http.StatusBadRequest
}

// A watch follows one job.
type watch struct {
	e        *Engine
	jobID    string
	id       string    // of the Batch job
	created  time.Time // the Batch job: another time is another job
	pool     string
	limit    time.Duration // Placement.Time
	runs     map[engine.Run]*run
	left     int // runs that are not final
	running  int
	began    time.Time // the watch, or the time since when runs wait
	answered time.Time
	latest   time.Time // change that was seen, by the service's clock
	full     time.Time // when all tasks were listed
	all      bool      // they were just now
	end      *jobEnd   // of the Batch job, as seen before tasks were listed
	asked    time.Time // why nothing runs
	lastBeat time.Time
	events   []engine.Event
}

// run is a run as it goes.
type run struct {
	engine.Event // told last
	changed      time.Time
}

// jobEnd is why a Batch job ends or has ended.
type jobEnd struct {
	cause     engine.Cause
	text      string
	completed bool
}

// endOf is nil for a job that goes on.
func endOf(j *azbatch.Job) *jobEnd {
	if s := *j.State; s != azbatch.JobStateTerminating && s != azbatch.JobStateCompleted {
		return nil
	}
	reason := ""
	if j.ExecutionInfo != nil && j.ExecutionInfo.TerminationReason != nil {
		reason = *j.ExecutionInfo.TerminationReason
	}
	end := &jobEnd{cause: engine.CauseCancelled, text: "cancelled", completed: *j.State == azbatch.JobStateCompleted}
	if why, ok := strings.CutPrefix(reason, reasonNotStarted); ok {
		end.cause, end.text = engine.CauseNotStarted, why
	} else if strings.HasPrefix(reason, "MaxWallClockTime") {
		end.cause, end.text = engine.CauseWalltime, "the job was older than the setting lifetime allows"
	} else if reason != reasonCancelled {
		end.text = fmt.Sprintf("somebody ended the Batch job %s (%s)", *j.ID, reason)
	}
	return end
}

// look asks for what has changed, and notes events.
func (w *watch) look(ctx context.Context) error {
	if w.created.IsZero() { // before anything is said of a task
		if err := w.lookJob(ctx); err != nil {
			return err
		}
	}
	end := w.end // tasks that are listed now were so when the job had ended
	tasks, err := w.list(ctx)
	if err != nil {
		return err
	}
	if err := w.lookJob(ctx); err != nil { // after the tasks: one that was ended with the job is not taken for another
		return err
	}
	w.answered = time.Now()
	for i := range tasks {
		w.task(ctx, &tasks[i])
	}
	if w.all {
		w.vanished(tasks)
	}
	if end != nil {
		w.finish(end)
	}
	if w.left > 0 && w.running == 0 && w.end == nil {
		w.why(ctx)
	} else {
		w.began, w.asked = time.Now(), time.Time{}
	}
	w.beat()
	return nil
}

// lookJob asks for the Batch job.
func (w *watch) lookJob(ctx context.Context) error {
	j, err := w.e.client.GetJob(ctx, w.id, &azbatch.GetJobOptions{SelectParam: []string{"id", "state", "creationTime", "executionInfo", "poolInfo", "metadata"}})
	if status(err) == http.StatusNotFound || err == nil && *j.State == azbatch.JobStateDeleting {
		return engine.ErrNotExist
	}
	if err != nil {
		return err
	}
	if w.created.IsZero() {
		w.created, w.pool = *j.CreationTime, *j.PoolInfo.PoolID
		for _, m := range j.Metadata {
			if *m.Name == metaTime {
				w.limit, _ = time.ParseDuration(*m.Value)
			}
		}
	}
	if !j.CreationTime.Equal(w.created) {
		return engine.ErrNotExist // it was deleted, and made anew
	}
	w.end = endOf(&j.Job)
	return nil
}

// list lists tasks that changed since the last time, or all.
func (w *watch) list(ctx context.Context) (tasks []azbatch.Task, err error) {
	o := &azbatch.ListTasksOptions{SelectParam: taskFields, MaxResults: to.Ptr[int32](1000)}
	if w.all = w.latest.IsZero() || w.left > 0 && time.Since(w.full) > fullPolls*w.e.c.Poll; w.all {
		w.full = time.Now()
	} else {
		since := w.latest.Add(-overlap).UTC().Format("2006-01-02T15:04:05.000Z")
		o.Filter = to.Ptr("stateTransitionTime ge DateTime'" + since + "'")
	}
	for pages := w.e.client.NewListTasksPager(w.id, o); pages.More(); {
		page, err := pages.NextPage(ctx)
		if status(err) == http.StatusNotFound {
			return nil, engine.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, page.Value...)
	}
	return tasks, nil
}

// task takes in the state of one task.
func (w *watch) task(ctx context.Context, t *azbatch.Task) {
	id, ok := parseTask(*t.ID)
	if !ok {
		return
	}
	r := w.runs[id]
	if r == nil {
		r = &run{Event: engine.Event{Run: id}}
		w.runs[id] = r
		w.left++
	}
	at := *t.StateTransitionTime
	if at.After(w.latest) {
		w.latest = at
	}
	if r.State >= engine.Exited || at.Before(r.changed) {
		return
	}
	r.changed = at
	ev := engine.Event{Time: at}
	if t.NodeInfo != nil && t.NodeInfo.NodeID != nil {
		ev.Node = *t.NodeInfo.NodeID
	}
	switch *t.State {
	case azbatch.TaskStateRunning:
		ev.State = engine.Running
	case azbatch.TaskStateCompleted:
		ev = w.verdict(ctx, t, ev)
	default:
		ev.State, ev.Node, ev.Reason = engine.Queued, "", r.Reason
		if r.State == engine.Running {
			ev.Reason = "lost its node " + r.Node + ", and waits for another"
		}
	}
	w.tell(r, ev)
}

// silence says of waiting runs that nobody knows more of them.
func (w *watch) silence(err error) {
	if time.Since(w.answered) < silenceTime || w.answered.IsZero() {
		return
	}
	reason := "nobody knows whether it still waits, since the service cannot be asked: " + explain(err).Error()
	for _, r := range w.runs {
		if r.State == engine.Queued {
			w.tell(r, engine.Event{State: engine.Queued, Reason: reason})
		}
	}
}

// vanished settles runs that are not among all tasks any more.
func (w *watch) vanished(tasks []azbatch.Task) {
	there := make(map[engine.Run]bool, len(tasks))
	for i := range tasks {
		if r, ok := parseTask(*tasks[i].ID); ok {
			there[r] = true
		}
	}
	for id, r := range w.runs {
		if !there[id] {
			w.tell(r, engine.Event{State: engine.Lost, Cause: engine.CauseLost, Node: r.Node, Reason: "somebody deleted the Batch task " + taskID(id)})
		}
	}
}

// finish settles runs that the end of the Batch job kept from starting, or whose tasks the service left as they were.
func (w *watch) finish(end *jobEnd) {
	for _, r := range w.runs {
		if r.State == engine.Queued || r.State == engine.Running && end.completed {
			w.tell(r, engine.Event{State: engine.Exited, Cause: end.cause, Node: r.Node, Reason: end.text})
		}
	}
}

// tell notes an event, if it says something new.
func (w *watch) tell(r *run, ev engine.Event) {
	old := r.Event
	if old.State >= engine.Exited || ev.State == old.State && ev.Reason == old.Reason && ev.Node == old.Node {
		return
	}
	ev.Run = old.Run
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	r.Event = ev
	w.events = append(w.events, ev)
	if old.State == engine.Running {
		w.running--
	}
	if ev.State == engine.Running {
		w.running++
	}
	if ev.State >= engine.Exited {
		w.left--
	}
}

// beat says now and then of all running runs that they may have stored something.
func (w *watch) beat() {
	if time.Since(w.lastBeat) < beatTime || w.running == 0 {
		return
	}
	w.lastBeat = time.Now().Add(time.Duration(w.running) * 5 * time.Millisecond) // so many are not asked for as often
	for _, r := range w.runs {
		if r.State == engine.Running {
			ev := r.Event
			ev.Beat = true
			w.events = append(w.events, ev)
		}
	}
}
