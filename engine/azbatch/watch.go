package azbatch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
		w := &watch{e: e, jobID: jobID, runs: map[engine.Run]*run{}, lastBeat: time.Now(), answers: make(chan answer)}
		defer func() {
			end()
			w.asking.Wait()
		}()
		for {
			err := w.step(ctx)
			switch {
			case errors.Is(context.Cause(ctx), engine.ErrClosed):
				err = engine.ErrClosed
			case ctx.Err() != nil:
				return
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
		}
	}
}

// permanent reports whether asking again will bring the same answer.
func permanent(err error) bool {
	s := status(err)
	return s == http.StatusForbidden || s == http.StatusUnauthorized || s == http.StatusBadRequest
}

// A watch follows one job: its Batch jobs at all places, each asked by itself, so that none waits for another's answer.
type watch struct {
	e        *Engine
	jobID    string
	s        split
	parts    []*part // as the places of s; nil before the job was found
	change   <-chan struct{}
	answers  chan answer
	asking   sync.WaitGroup
	runs     map[engine.Run]*run
	running  int
	lastBeat time.Time
	events   []engine.Event
}

// A part is the Batch job of one place. Only the watch's own goroutine touches it.
type part struct {
	place
	no       int
	due      time.Time        // to be asked
	asked    bool             // and has not answered yet
	again    bool             // and shall be asked once more at once
	created  time.Time        // the Batch job: another time is another job
	limit    time.Duration    // Placement.Time
	needs    engine.Resources // of a run; zero: its task says it
	left     int              // runs that are not final
	running  int
	began    time.Time // the watch, or the time since when runs wait
	answered time.Time
	latest   time.Time // change that was seen, by the service's clock
	full     time.Time // when all tasks were listed
	end      *jobEnd   // of the Batch job, as seen before tasks were listed
	why      time.Time // that was looked at last
	failing  time.Time // since when all nodes that there are have failed
	done     bool      // it has nothing more to say
}

// A question is what a place is asked.
type question struct {
	place
	created time.Time // of the Batch job; zero: not known
	since   time.Time // for tasks that changed; zero: for all
}

// An answer is what it says.
type answer struct {
	from  *part
	all   bool // tasks are all that there are
	tasks []azbatch.Task
	job   azbatch.Job
	err   error
}

// run is a run as it goes.
type run struct {
	engine.Event // told last
	changed      time.Time
	part         *part
}

// jobEnd is why a Batch job ends or has ended.
type jobEnd struct {
	cause     engine.Cause
	text      string
	completed bool
	heirs     []int // places that make what this one did not begin
}

// handed reports whether others make what was left over.
func (j *jobEnd) handed() bool { return len(j.heirs) > 0 }

// endOf is nil for a job that goes on.
func endOf(j *azbatch.Job) *jobEnd {
	if s := word(j.State); s != azbatch.JobStateTerminating && s != azbatch.JobStateCompleted {
		return nil
	}
	reason := ""
	if j.ExecutionInfo != nil && j.ExecutionInfo.TerminationReason != nil {
		reason = *j.ExecutionInfo.TerminationReason
	}
	end := &jobEnd{cause: engine.CauseCancelled, text: "cancelled", completed: word(j.State) == azbatch.JobStateCompleted}
	if why, ok := strings.CutPrefix(reason, reasonNotStarted); ok {
		end.cause, end.text = engine.CauseNotStarted, why
	} else if rest, ok := strings.CutPrefix(reason, reasonHandedOver); ok {
		var heirs string
		end.cause = engine.CauseNotStarted
		heirs, end.text, _ = strings.Cut(rest, ": ")
		for h := range strings.FieldsSeq(heirs) {
			if i, err := strconv.Atoi(h); err == nil && i >= 0 {
				end.heirs = append(end.heirs, i)
			}
		}
	} else if strings.HasPrefix(strings.ToLower(reason), "maxwallclocktime") {
		end.cause, end.text = engine.CauseWalltime, "the job was older than the setting lifetime allows"
	} else if reason != reasonCancelled {
		end.text = fmt.Sprintf("somebody ended the Batch job %s (%s)", *j.ID, reason)
	}
	return end
}

// step finds the job, or asks the parts that are due and waits for the next thing to happen. It notes events.
func (w *watch) step(ctx context.Context) error {
	if w.change == nil {
		w.change = w.e.change(w.jobID)
	}
	if w.parts == nil {
		err := w.find(ctx)
		if err == nil || errors.Is(err, engine.ErrNotExist) || permanent(err) || errors.Is(err, engine.ErrCannotRun) {
			return explain(err)
		}
		w.e.log.Warn("azbatch: watch", "job", w.jobID, "err", explain(err)) // it passes, or somebody mends it
		w.wait(ctx, time.Now().Add(w.e.c.Poll))
		return nil
	}
	next := time.Now().Add(time.Hour)
	for _, p := range w.parts {
		if p.asked || p.done {
			continue
		}
		if p.due.Before(time.Now()) {
			w.ask(ctx, p)
		} else if p.due.Before(next) {
			next = p.due
		}
	}
	return w.wait(ctx, next)
}

// find finds out at which places the job is.
func (w *watch) find(ctx context.Context) (err error) {
	if w.s, err = w.e.find(ctx, w.jobID); err != nil {
		return err
	}
	for i, p := range w.s.places {
		w.parts = append(w.parts, &part{place: p, no: i, began: time.Now()})
	}
	return nil
}

// wait waits for an answer, a change that this engine has made, or a time.
func (w *watch) wait(ctx context.Context, until time.Time) error {
	select {
	case a := <-w.answers:
		return w.take(ctx, a)
	case <-w.change:
		w.change = w.e.change(w.jobID)
		for _, p := range w.parts {
			p.due, p.again = time.Time{}, p.asked
		}
	case <-time.After(time.Until(until)):
	case <-ctx.Done():
	}
	return nil
}

// ask asks a part for what has changed, beside.
func (w *watch) ask(ctx context.Context, p *part) {
	q := question{place: p.place, created: p.created}
	all := p.latest.IsZero() || p.left > 0 && time.Since(p.full) > fullPolls*w.e.c.Poll
	if !all {
		q.since = p.latest.Add(-overlap)
	} else {
		p.full = time.Now()
	}
	p.asked = true
	w.asking.Go(func() {
		a := q.ask(ctx)
		a.from, a.all = p, all
		select {
		case w.answers <- a:
		case <-ctx.Done():
		}
	})
}

// jobFields is what is asked of a Batch job.
var jobFields = []string{"id", "state", "creationTime", "executionInfo", "poolInfo", "metadata"}

// ask asks the service. The Batch job comes after its tasks, so that one that was ended with the job is not taken for one that
// somebody ended; the first time it comes before them, too, since nothing is to be said of another job's tasks.
func (q question) ask(ctx context.Context) (a answer) {
	if q.created.IsZero() {
		if a.job, a.err = q.job(ctx); a.err != nil {
			return a
		}
		q.created = *a.job.CreationTime
	}
	if a.tasks, a.err = q.list(ctx); a.err != nil {
		return a
	}
	if a.job, a.err = q.job(ctx); a.err == nil && !a.job.CreationTime.Equal(q.created) {
		a.err = engine.ErrNotExist // it was deleted, and made anew
	}
	return a
}

// job asks for the Batch job.
func (q question) job(ctx context.Context) (azbatch.Job, error) {
	j, err := q.client.GetJob(ctx, q.id, &azbatch.GetJobOptions{SelectParam: jobFields})
	if status(err) == http.StatusNotFound || err == nil && word(j.State) == azbatch.JobStateDeleting {
		err = engine.ErrNotExist
	}
	return j.Job, err
}

// list lists tasks that changed since some time, or all.
func (q question) list(ctx context.Context) (tasks []azbatch.Task, err error) {
	o := &azbatch.ListTasksOptions{SelectParam: taskFields, MaxResults: to.Ptr[int32](1000)}
	if !q.since.IsZero() {
		o.Filter = to.Ptr("stateTransitionTime ge DateTime'" + q.since.UTC().Format("2006-01-02T15:04:05.000Z") + "'")
	}
	for pages := q.client.NewListTasksPager(q.id, o); pages.More(); {
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

// take takes in an answer.
func (w *watch) take(ctx context.Context, a answer) error {
	p := a.from
	p.asked, p.due = false, time.Now().Add(w.e.c.Poll)
	if p.again {
		p.again, p.due = false, time.Time{}
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(a.err, engine.ErrNotExist):
		return w.missing(p)
	case a.err != nil && p.answered.IsZero() && permanent(a.err):
		return explain(a.err)
	case a.err != nil:
		w.e.log.Warn("azbatch: watch", "job", w.jobID, "account", p.host, "err", explain(a.err)) // it passes, or somebody mends it
		w.silence(p, a.err)
		return nil
	}
	if p.created.IsZero() {
		p.created = *a.job.CreationTime
		meta := metaOf(a.job.Metadata)
		p.limit, _ = time.ParseDuration(meta[metaTime])
		p.needs = parseNeeds(meta[metaNeeds])
	}
	before := p.end // tasks that were listed were so when the job had ended
	p.end = endOf(&a.job)
	p.answered = time.Now()
	for i := range a.tasks {
		w.task(ctx, p, &a.tasks[i])
	}
	switch {
	case before != nil && p.end != nil && p.end.handed():
		w.handOver(ctx, p, before.completed)
	case before != nil && p.end != nil:
		w.finish(p, before.completed)
	case a.all:
		w.vanished(p, a.tasks)
	}
	if p.left > 0 && p.running == 0 && p.end == nil {
		w.diagnose(ctx, p)
	} else {
		p.began, p.why, p.failing = time.Now(), time.Time{}, time.Time{}
	}
	w.beat()
	return nil
}

// missing is for a place that has no Batch job. One that had one: somebody deletes the job. One that never had: it could not be
// made there.
func (w *watch) missing(p *part) error {
	p.end, p.done = w.s.absent(p.no), true
	if !p.created.IsZero() {
		return engine.ErrNotExist
	}
	for _, other := range w.parts {
		if !other.done || !other.created.IsZero() {
			return nil
		}
	}
	return engine.ErrNotExist
}

// task takes in the state of one task.
func (w *watch) task(ctx context.Context, p *part, t *azbatch.Task) {
	id, ok := parseTask(*t.ID)
	if !ok {
		return
	}
	at := *t.StateTransitionTime
	if at.After(p.latest) {
		p.latest = at
	}
	r := w.runs[id]
	switch {
	case r == nil:
		r = &run{Event: engine.Event{Run: id}, part: p}
		w.runs[id] = r
		p.left++
	case r.part != p && r.part.end != nil && r.part.end.handed(): // another client has handed it over
		w.move(r, p)
	}
	if r.part != p || r.State >= engine.Exited || at.Before(r.changed) {
		return
	}
	r.changed = at
	ev := engine.Event{Time: at}
	if t.NodeInfo != nil && t.NodeInfo.NodeID != nil {
		ev.Node = *t.NodeInfo.NodeID
	}
	switch word(t.State) {
	case azbatch.TaskStateRunning:
		ev.State = engine.Running
	case azbatch.TaskStateCompleted:
		ev = p.verdict(ctx, t, ev)
	default:
		ev.State, ev.Node, ev.Reason = engine.Queued, "", r.Reason
		if r.State == engine.Running {
			ev.Reason = "lost its node " + r.Node + ", and waits for another"
		}
	}
	w.tell(r, ev)
}

// move makes a run, which waits, one of another part.
func (w *watch) move(r *run, to *part) {
	if r.State >= engine.Exited {
		return
	}
	if r.State == engine.Running {
		r.part.running--
		w.running--
		r.State = engine.Queued
	}
	r.part.left--
	to.left++
	r.part, r.changed = to, time.Time{}
}

// silence says of waiting runs that nobody knows more of them.
func (w *watch) silence(p *part, err error) {
	if time.Since(p.answered) < silenceTime || p.answered.IsZero() {
		return
	}
	reason := "nobody knows whether it still waits, since the service cannot be asked: " + explain(err).Error()
	for _, r := range w.runs {
		if r.part == p && r.State == engine.Queued {
			w.tell(r, engine.Event{State: engine.Queued, Reason: reason})
		}
	}
}

// vanished settles runs that are not among all tasks any more.
func (w *watch) vanished(p *part, tasks []azbatch.Task) {
	there := make(map[engine.Run]bool, len(tasks))
	for i := range tasks {
		if r, ok := parseTask(*tasks[i].ID); ok {
			there[r] = true
		}
	}
	for id, r := range w.runs {
		if r.part == p && !there[id] {
			w.tell(r, engine.Event{State: engine.Lost, Cause: engine.CauseLost, Node: r.Node, Reason: "somebody deleted the Batch task " + taskID(id)})
		}
	}
}

// finish settles runs that the end of the Batch job kept from starting, or, when that was completed before they were listed,
// whose tasks the service left as they were.
func (w *watch) finish(p *part, completed bool) {
	for _, r := range w.runs {
		if r.part == p && (r.State == engine.Queued || r.State == engine.Running && completed) {
			w.tell(r, engine.Event{State: engine.Exited, Cause: p.end.cause, Node: r.Node, Reason: p.end.text})
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
		r.part.running--
	}
	if ev.State == engine.Running {
		w.running++
		r.part.running++
	}
	if ev.State >= engine.Exited {
		r.part.left--
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
