package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// A taskState is the state of a task, small since there are many.
type taskState uint8

const (
	taskNone taskState = iota
	taskActive
	taskPreparing
	taskRunning
	taskCompleted
)

var taskStates = [...]string{"", "active", "preparing", "running", "completed"}

func (s taskState) String() string { return taskStates[s] }

// A taskRecord is what is stored of a task besides its specification.
type taskRecord struct {
	ID string
	stamp
	State, Previous taskState
	Since           moment
	Before          moment `json:",omitempty"`
	Slots           int32
	Retries         int32  `json:",omitempty"`
	Requeues        int32  `json:",omitempty"`
	LastRetry       moment `json:",omitempty"`
	LastRequeue     moment `json:",omitempty"`
	Begun           moment `json:",omitempty"`
	outcome
	Pool, Node string    `json:",omitempty"` // where it ran last
	Cleaned    bool      `json:",omitempty"` // its files are deleted
	Subtasks   []subtask `json:",omitempty"`
}

// An outcome is what came of one attempt at anything that nodes run.
type outcome struct {
	Ended     moment                                   `json:",omitempty"`
	ExitCode  *int32                                   `json:",omitempty"`
	Failure   *model.TaskFailureInformation            `json:",omitempty"` // nil: success
	Container *model.TaskContainerExecutionInformation `json:",omitempty"`
	Retriable bool                                     `json:"-"`
	Lost      bool                                     `json:"-"`
}

func (o *outcome) result() string {
	if o.Failure != nil {
		return "failure"
	}
	return "success"
}

// A task is one of a job.
type task struct {
	taskRecord
	job      *job
	spec     []byte // the JSON of its model.TaskAddParameter, complete with defaults
	run      *run   // while it has a node
	waits    int32  // dependencies that are not satisfied yet
	queued   bool
	queuedAt int64 // its turn in the queue
	special  *special
	retained *clock.Timer
}

// special is what few tasks have, and placement needs.
type special struct {
	instances     int
	affinity      string // the key of a node
	exclusive     bool   // needs a whole node
	dedicatedOnly bool
	manager       bool
}

func (t *task) specify() *model.TaskAddParameter {
	spec := new(model.TaskAddParameter)
	if err := json.Unmarshal(t.spec, spec); err != nil {
		panic(fmt.Sprintf("service: the stored specification of task %s: %v", t.ID, err))
	}
	return spec
}

func (t *task) rare() *special {
	if t.special == nil {
		t.special = &special{}
	}
	return t.special
}

func (j *job) task(id string) (*task, error) {
	t, ok := j.tasks.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.TaskNotFound)
	}
	return t, nil
}

func (s *Service) task(jobID, taskID string) (*task, error) {
	j, err := s.job(jobID)
	if err != nil {
		return nil, err
	}
	return j.task(taskID)
}

const defaultRetention = model.Duration(7 * 24 * 3600 * 1e9)

// A NewTask is a task that was checked as far as it can be without its job.
type NewTask struct {
	Spec *model.TaskAddParameter
	Err  error // why it cannot be added
}

// PrepareTask checks a task and completes it with defaults. It needs no lock.
func PrepareTask(spec *model.TaskAddParameter) NewTask {
	n := NewTask{Spec: spec}
	if n.Err = checkTask(spec); n.Err != nil {
		return n
	}
	model.Default(&spec.RequiredSlots, 1)
	if spec.UserIdentity == nil {
		spec.UserIdentity = &model.UserIdentity{AutoUser: &model.AutoUserSpecification{Scope: "pool",
			ElevationLevel: "nonadmin"}}
	}
	if spec.Constraints == nil {
		spec.Constraints = &model.TaskConstraints{}
	}
	model.Default(&spec.Constraints.MaxWallClockTime, model.Unlimited)
	model.Default(&spec.Constraints.RetentionTime, defaultRetention)
	return n
}

func checkTask(spec *model.TaskAddParameter) error {
	if err := model.CheckID("id", spec.ID); err != nil {
		return err
	}
	if n := model.Or(spec.RequiredSlots, 1); n < 1 || n > 256 {
		return apierror.Property("requiredSlots", strconv.Itoa(int(n)), "It must be at least 1 and at most 256.")
	}
	if err := checkCommon("", spec.CommandLine, spec.ResourceFiles, spec.OutputFiles, spec.EnvironmentSettings,
		spec.UserIdentity); err != nil {
		return err
	}
	if err := checkConstraints("", spec.Constraints); err != nil {
		return err
	}
	if m := spec.MultiInstanceSettings; m != nil {
		model.Default(&m.NumberOfInstances, 1)
		if *m.NumberOfInstances < 1 {
			return apierror.Property("multiInstanceSettings/numberOfInstances", strconv.Itoa(int(*m.NumberOfInstances)),
				"It must be at least 1.")
		}
		if err := checkFiles("multiInstanceSettings/commonResourceFiles", m.CommonResourceFiles); err != nil {
			return err
		}
		if model.Or(spec.RequiredSlots, 1) != 1 {
			return apierror.Property("requiredSlots", strconv.Itoa(int(*spec.RequiredSlots)),
				"A multi-instance task must have one slot.")
		}
	}
	return checkDependencies(spec.DependsOn)
}

// AddTask adds one task.
func (s *Service) AddTask(ctx context.Context, jobID string, n NewTask) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		j, err := s.open(jobID)
		if err != nil {
			return err
		}
		t, err := s.addTask(j, n)
		if err != nil {
			return err
		}
		tag = t.tag()
		s.schedule(j.pool)
		return nil
	})
	return tag, err
}

// Added is what came of one task of a collection.
type Added struct {
	Tag Tag
	Err error
}

// AddTasks adds tasks, each by itself: one that cannot be added keeps none of the others from it.
func (s *Service) AddTasks(ctx context.Context, jobID string, tasks []NewTask) (added []Added, err error) {
	err = s.change(ctx, func() error {
		j, err := s.open(jobID)
		if err != nil {
			return err
		}
		added = make([]Added, len(tasks))
		for i, n := range tasks {
			t, err := s.addTask(j, n)
			if err != nil {
				added[i].Err = err
			} else {
				added[i].Tag = t.tag()
			}
		}
		s.schedule(j.pool)
		return nil
	})
	return added, err
}

// open is the job, if tasks can be added to it.
func (s *Service) open(id string) (*job, error) {
	j, err := s.job(id)
	if err != nil {
		return nil, err
	}
	switch j.State.State {
	case deleting:
		return nil, apierror.New(apierror.JobBeingDeleted)
	case terminating:
		return nil, apierror.New(apierror.JobBeingTerminated)
	case completed:
		return nil, apierror.New(apierror.JobCompleted)
	}
	return j, nil
}

func (s *Service) addTask(j *job, n NewTask) (*task, error) {
	if n.Err != nil {
		return nil, n.Err
	}
	key := model.Key(n.Spec.ID)
	if _, ok := j.tasks.get(key); ok {
		return nil, apierror.New(apierror.TaskExists)
	}
	if err := s.checkForJob(j, n.Spec); err != nil {
		return nil, err
	}
	if n.Spec.Constraints.MaxTaskRetryCount == nil {
		n.Spec.Constraints.MaxTaskRetryCount = j.Spec.Constraints.MaxTaskRetryCount
	}
	now := s.now()
	t := s.newTask(j, taskRecord{ID: n.Spec.ID, stamp: stamp{now, now}, Slots: *n.Spec.RequiredSlots}, encode(n.Spec), n.Spec)
	t.Since = now
	j.move(t, taskActive)
	s.storeSpec(t)
	s.await(t, n.Spec.DependsOn)
	if t.waits == 0 {
		j.enqueue(t)
	}
	s.disk.touch(t)
	return t, nil
}

// checkForJob checks what of a task depends on its job.
func (s *Service) checkForJob(j *job, spec *model.TaskAddParameter) error {
	if p := j.Spec.JobPreparationTask; p != nil && strings.EqualFold(p.ID, spec.ID) {
		return apierror.New(apierror.TaskIdSameAsJobPreparationTask)
	}
	if r := j.Spec.JobReleaseTask; r != nil && strings.EqualFold(r.ID, spec.ID) {
		return apierror.New(apierror.TaskIdSameAsJobReleaseTask)
	}
	if spec.DependsOn != nil && !*j.Spec.UsesTaskDependencies {
		return apierror.New(apierror.TaskDependenciesNotSpecifiedOnJob)
	}
	if e := spec.ExitConditions; e != nil && j.Spec.OnTaskFailure != "performexitoptionsjobaction" {
		for _, o := range allExitOptions(e) {
			if o != nil && o.JobAction != "" {
				return apierror.Property("exitConditions/jobAction", o.JobAction,
					"The job's onTaskFailure must be performexitoptionsjobaction.")
			}
		}
	}
	if err := s.checkPackages(spec.ApplicationPackageReferences); err != nil {
		return err
	}
	return checkTaskUser(j.pool, spec.UserIdentity)
}

// newTask makes the task of a record. spec may be nil; then it is read when it is needed.
func (s *Service) newTask(j *job, r taskRecord, encoded []byte, spec *model.TaskAddParameter) *task {
	t := &task{taskRecord: r, job: j, spec: encoded}
	if spec == nil {
		spec = t.specify()
	}
	if spec.MultiInstanceSettings != nil {
		t.rare().instances = int(*spec.MultiInstanceSettings.NumberOfInstances)
	}
	if spec.AffinityInfo != nil {
		t.rare().affinity = model.Key(strings.TrimPrefix(spec.AffinityInfo.AffinityID, affinityPrefix))
	}
	if m := j.Spec.JobManagerTask; m != nil && strings.EqualFold(m.ID, t.ID) {
		r := t.rare()
		r.manager, r.exclusive, r.dedicatedOnly = true, *m.RunExclusive, !*m.AllowLowPriorityNode
	}
	j.tasks.add(model.Key(t.ID), t)
	return t
}

const affinityPrefix = "TVM:"

// encode is the form in which specifications are kept.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("service: encode %T: %v", v, err))
	}
	return bytes.Clone(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// move changes the state of a task, and the counts of its job.
func (j *job) move(t *task, state taskState) {
	if t.State != taskNone {
		j.countTask(t, -1)
		t.Previous, t.Before = t.State, t.Since
		t.Since = j.service.now()
	}
	t.State = state
	j.countTask(t, 1)
	j.service.disk.touch(t)
}

func (j *job) countTask(t *task, by int32) {
	c := &j.counts[t.State]
	c.tasks += by
	c.slots += by * t.Slots
	if t.State == taskCompleted && t.Failure != nil {
		j.failed.tasks += by
		j.failed.slots += by * t.Slots
	}
}

// UpdateTask changes a task's constraints.
func (s *Service) UpdateTask(ctx context.Context, jobID, taskID string, constraints *model.TaskConstraints,
	c odata.Conditions) (Tag, error) {
	return s.changeTask(ctx, jobID, taskID, c, func(t *task) error {
		if t.State == taskCompleted {
			return apierror.New(apierror.TaskCompleted)
		}
		spec := t.specify()
		spec.Constraints = constraints
		if spec.Constraints == nil {
			spec.Constraints = &model.TaskConstraints{}
		}
		if err := checkConstraints("", spec.Constraints); err != nil {
			return err
		}
		model.Default(&spec.Constraints.MaxWallClockTime, model.Unlimited)
		model.Default(&spec.Constraints.RetentionTime, defaultRetention)
		model.Default(&spec.Constraints.MaxTaskRetryCount, *t.job.Spec.Constraints.MaxTaskRetryCount)
		t.spec = encode(spec)
		s.storeSpec(t)
		return nil
	})
}

func (s *Service) changeTask(ctx context.Context, jobID, taskID string, c odata.Conditions,
	f func(t *task) error) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		t, err := s.task(jobID, taskID)
		if err != nil {
			return err
		}
		if t.job.State.State == deleting {
			return apierror.New(apierror.JobBeingDeleted)
		}
		if err := t.met(c); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		t.touch(s.now())
		s.disk.touch(t)
		tag = t.tag()
		return nil
	})
	return tag, err
}

// TerminateTask ends a task: it is completed, and failed. It returns when its process is gone.
func (s *Service) TerminateTask(ctx context.Context, jobID, taskID string, c odata.Conditions) (Tag, error) {
	var ended <-chan struct{}
	tag, err := s.changeTask(ctx, jobID, taskID, c, func(t *task) error {
		if t.State == taskCompleted {
			return apierror.New(apierror.TaskCompleted)
		}
		if t.run != nil {
			ended = t.run.done
			s.stop(t.run, terminate)
			return nil
		}
		s.complete(t, terminated(s.now()))
		return nil
	})
	return tag, s.awaitEnd(ctx, ended, err)
}

// awaitEnd waits for the end of a run, if there is one and no error, and until what came of it is on disk.
func (s *Service) awaitEnd(ctx context.Context, ended <-chan struct{}, err error) error {
	if err != nil || ended == nil {
		return err
	}
	select {
	case <-ended:
		return s.change(ctx, func() error { return nil })
	case <-ctx.Done():
		return apierror.New(apierror.OperationTimedOut)
	}
}

// terminated is the outcome of what was ended on request.
func terminated(now moment) outcome {
	return outcome{Ended: now, Failure: &model.TaskFailureInformation{Category: "usererror", Code: apierror.TaskEnded,
		Message: "Task Was Ended by User Request"}}
}

// ReactivateTask makes a failed task active again, as if it had never run.
func (s *Service) ReactivateTask(ctx context.Context, jobID, taskID string, c odata.Conditions) (Tag, error) {
	return s.changeTask(ctx, jobID, taskID, c, func(t *task) error {
		switch {
		case t.job.State.State == completed:
			return apierror.New(apierror.JobCompleted)
		case t.job.State.State == terminating:
			return apierror.New(apierror.JobBeingTerminated)
		case t.State != taskCompleted:
			return apierror.New(apierror.TaskNotCompleted)
		case t.Failure == nil:
			return apierror.New(apierror.TaskSucceeded)
		}
		t.retained.Stop()
		s.unretain(t)
		t.job.move(t, taskActive)
		t.outcome, t.Retries, t.LastRetry, t.Requeues, t.LastRequeue, t.Begun = outcome{}, 0, 0, 0, 0, 0
		t.Subtasks = nil
		if t.waits == 0 {
			t.job.enqueue(t)
			s.schedule(t.job.pool)
		}
		return nil
	})
}

// DeleteTask deletes a task and its files. It returns when its process is gone.
func (s *Service) DeleteTask(ctx context.Context, jobID, taskID string, c odata.Conditions) error {
	var ended <-chan struct{}
	_, err := s.changeTask(ctx, jobID, taskID, c, func(t *task) error {
		if t.run != nil {
			ended = t.run.done
			s.stop(t.run, remove)
			return nil
		}
		s.removeTask(t)
		return nil
	})
	return s.awaitEnd(ctx, ended, err)
}

// removeTask forgets a task that does not run.
func (s *Service) removeTask(t *task) {
	j := t.job
	key := model.Key(t.ID)
	if known, ok := j.tasks.get(key); !ok || known != t {
		return
	}
	t.queued = false
	s.cleanTask(t)
	j.countTask(t, -1)
	j.tasks.remove(key)
	s.disk.forget(t)
	s.checkDone(j)
}

// cleanTask deletes the files of a task.
func (s *Service) cleanTask(t *task) {
	t.retained.Stop()
	s.unretain(t)
	if t.Cleaned || t.Node == "" {
		return
	}
	t.Cleaned = true
	nodes := []*compute{s.whereRan(t)}
	for _, sub := range t.Subtasks {
		nodes = append(nodes, s.nodeOf(sub.Pool, sub.Node))
	}
	for _, n := range nodes {
		if n != nil && n.machine != nil {
			finish, err := n.machine.RemoveTask(t.job.Spec.ID, t.ID)
			s.dispose(finish, err)
		}
	}
}

// dispose deletes in the background what was taken out of the tree of a node.
func (s *Service) dispose(finish func() error, err error) {
	if err != nil {
		s.log.Warn("files could not be deleted", "error", err)
		return
	}
	s.background(func() func() {
		if err := finish(); err != nil {
			s.log.Warn("files could not be deleted", "error", err)
		}
		return nil
	})
}

// whereRan is the node that a task ran on, nil when that is gone.
func (s *Service) whereRan(t *task) *compute { return s.nodeOf(t.Pool, t.Node) }

// nodeOf is a node by the IDs of its pool and its own, nil when it is gone.
func (s *Service) nodeOf(poolID, nodeID string) *compute {
	n, err := s.node(poolID, nodeID)
	if err != nil {
		return nil
	}
	return n
}

// unretain says that a node may leave as far as this task's files are concerned.
func (s *Service) unretain(t *task) {
	if t.retained == nil {
		return
	}
	t.retained = nil
	if n := s.whereRan(t); n != nil {
		n.retain--
		s.rest(n)
	}
}
