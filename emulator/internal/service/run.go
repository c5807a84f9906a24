package service

import (
	"context"
	"errors"
	"slices"

	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// remove is why a run is stopped whose task is deleted. The other reasons are requeue and terminate.
const remove = "remove"

var errTaken = errors.New("service: the node is taken from the task")

// A run is a task on its nodes, from when it is put there until it leaves them. Retries are in one run.
type run struct {
	t       *task
	nodes   []*compute // the first one is the primary
	started bool
	cancel  context.CancelCauseFunc // of a real attempt
	timer   *clock.Timer            // of a simulated one
	stop    string                  // why it is being stopped
	done    chan struct{}           // closed when it has left its nodes
}

// assign puts a task on nodes.
func (s *Service) assign(t *task, nodes []*compute) {
	r := &run{t: t, nodes: nodes, done: make(chan struct{})}
	t.run = r
	t.Pool, t.Node, t.Cleaned, t.Subtasks = nodes[0].pool.Spec.ID, nodes[0].ID, false, nil
	slots := int(t.Slots)
	if t.special != nil && t.special.exclusive {
		slots = nodes[0].pool.slots
	}
	for i, n := range nodes {
		n.runs = append(n.runs, r)
		n.used += slots
		n.recall(t, int32(i))
		n.State.set(running, s.now())
		n.refile()
	}
	if t.job.Spec.JobPreparationTask != nil {
		t.job.move(t, taskPreparing)
		s.prepare(r)
		return
	}
	s.start(r)
}

// start runs a task whose nodes are prepared.
func (s *Service) start(r *run) {
	t := r.t
	r.started = true
	t.job.move(t, taskRunning)
	t.Begun = t.Since
	s.attemptTask(r)
}

// attemptTask makes one attempt at a task.
func (s *Service) attemptTask(r *run) {
	n := r.nodes[0]
	if n.pool.sim != nil {
		s.simulate(r)
		return
	}
	spec := r.t.specify()
	order := s.identified(r.t.job.pool, s.taskSpec(r.t, spec))
	ctx, cancel := context.WithCancelCause(s.ctx)
	r.cancel = cancel
	var machines []*node.Node
	for _, n := range r.nodes {
		machines = append(machines, n.machine)
	}
	s.background(func() func() {
		defer cancel(nil)
		var result node.Result
		if m := spec.MultiInstanceSettings; m == nil {
			result = machines[0].Run(ctx, order)
		} else {
			result = node.RunInstances(ctx, machines, order, instancesOf(m, n.pool.cores), func(sub node.Subtask) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.subtaskChanged(r, sub)
			})
		}
		return func() { s.ended(r, outcomeOf(result)) }
	})
}

// stop ends a run, for a reason. A run that is being stopped for a weaker one goes on being stopped, for the stronger.
func (s *Service) stop(r *run, why string) {
	if r.stop != "" {
		if why == remove || r.stop == requeue {
			r.stop = why
		}
		return
	}
	r.stop = why
	switch {
	case r.cancel != nil:
		cause := errTaken
		if why == terminate {
			cause = node.ErrTerminated
		}
		r.cancel(cause)
	default: // it is simulated, or waits for its nodes to be prepared
		r.timer.Stop()
		s.ended(r, terminated(s.now()))
	}
}

// ended is called when an attempt is over.
func (s *Service) ended(r *run, o outcome) {
	t := r.t
	if s.closed || t.run != r { // it is active again when the service is opened next
		return
	}
	if r.stop == "" && o.Retriable && s.mayRetry(t) {
		t.Retries++
		t.LastRetry = s.now()
		t.outcome = o
		t.outcome.Failure, t.outcome.ExitCode, t.Ended = nil, nil, 0
		t.Begun = t.LastRetry
		s.disk.touch(t)
		s.attemptTask(r)
		return
	}
	s.vacate(r)
	j := t.job
	switch r.stop {
	case requeue:
		t.Requeues++
		t.LastRequeue = s.now()
		s.again(t)
	case remove:
		s.removeTask(t)
	case terminate:
		if o.Failure == nil {
			o = terminated(s.now())
		}
		s.complete(t, o)
	default:
		if o.Lost { // the node's own process was killed
			o.Failure = &model.TaskFailureInformation{Category: "servererror", Code: "TaskEnded",
				Message: "The process of the node that kept the task ended unexpectedly."}
			o.Ended = s.now()
		}
		s.complete(t, o)
	}
	close(r.done)
	s.emptied(j)
	for _, n := range r.nodes {
		s.rest(n)
	}
	s.schedule(r.nodes[0].pool)
}

func (s *Service) mayRetry(t *task) bool {
	most := *t.specify().Constraints.MaxTaskRetryCount
	return (most < 0 || t.Retries < most) && t.job.State.State != terminating && t.job.State.State != deleting
}

// again makes a task active that had a node, so that it is the next to get one.
func (s *Service) again(t *task) {
	t.outcome, t.Begun = outcome{}, 0
	t.job.move(t, taskActive)
	t.job.queue.addFirst(t)
}

// vacate takes a run off its nodes.
func (s *Service) vacate(r *run) {
	r.t.run = nil
	slots := int(r.t.Slots)
	if sp := r.t.special; sp != nil && sp.exclusive {
		slots = r.nodes[0].pool.slots
	}
	for _, n := range r.nodes {
		n.runs = slices.DeleteFunc(n.runs, func(other *run) bool { return other == r })
		n.used -= slots
		n.Total++
		if len(n.runs) == 0 && n.State.State == running {
			n.State.set(idle, s.now())
		}
		n.refile()
	}
}

// complete gives a task its outcome, and does what follows from it.
func (s *Service) complete(t *task, o outcome) {
	j := t.job
	t.queued = false
	t.outcome = o
	if t.Ended == 0 {
		t.Ended = s.now()
	}
	j.move(t, taskCompleted)
	var ran *compute
	if t.Begun != 0 {
		ran = s.whereRan(t)
	}
	if ran != nil && o.Failure == nil {
		ran.Succeeded++
	}
	if s.satisfies(t) {
		s.satisfied(t)
	}
	if ran != nil && ran.machine != nil {
		s.retain(t, ran)
	}
	s.exit(t)
	s.checkDone(j)
}

// retain has the files of a completed task deleted when its time comes.
func (s *Service) retain(t *task, n *compute) {
	retention := *t.specify().Constraints.RetentionTime
	n.retain++
	t.retained = s.clock.At(t.Ended.time().Add(durationOf(retention)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.State == taskCompleted && !s.closed {
			s.cleanTask(t)
			s.disk.touch(t)
		}
	})
}

// exit does what a task's exit conditions want of the job.
func (s *Service) exit(t *task) {
	j := t.job
	if t.special != nil && t.special.manager && *j.Spec.JobManagerTask.KillJobOnCompletion {
		s.terminateJob(j, "JMComplete")
		return
	}
	if j.Spec.OnTaskFailure != "performexitoptionsjobaction" {
		return
	}
	options := exitOptions(t.specify().ExitConditions, &t.outcome)
	if options == nil {
		return
	}
	action := options.JobAction
	if action == "" && t.Failure != nil {
		action = terminate
	}
	switch action {
	case terminate:
		s.terminateJob(j, "TaskFailed")
	case "disable":
		if j.State.State == active {
			s.disableJob(j, requeue)
		}
	}
}
