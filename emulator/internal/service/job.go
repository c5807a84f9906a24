package service

import (
	"context"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// States of jobs, besides those that nodes and pools have too.
const (
	disabling   = "disabling"
	enabling    = "enabling"
	terminating = "terminating"
)

// A jobRecord is what is stored of a job.
type jobRecord struct {
	stamp
	Spec       model.JobAddParameter
	State      phase
	Begun      moment
	Ended      moment                    `json:",omitempty"`
	Reason     string                    `json:",omitempty"` // why it was terminated
	Error      *model.JobSchedulingError `json:",omitempty"`
	Pool       string                    // the one it runs on, also of an auto pool
	Schedule   string                    `json:",omitempty"` // the key of its job schedule
	DisableHow string                    `json:",omitempty"`
}

type counts struct{ tasks, slots int32 }

// A job is a number of tasks.
type job struct {
	jobRecord
	service *Service
	key     string
	pool    *pool // nil: there is none of that ID
	tasks   ordered[*task]
	queue   queue
	counts  [len(taskStates)]counts
	failed  counts
	waiters map[string][]*task // tasks that wait for others, by the others' keys
	ranges  []*waiting
	preps   ordered[*prep]
	refused map[*compute]bool // nodes that the preparation failed on
	limit   *clock.Timer      // of its wall-clock time
	then    func()            // what follows when its release tasks have run
}

func (j *job) poolKey() string { return model.Key(j.Pool) }

func (s *Service) job(id string) (*job, error) {
	j, ok := s.jobs.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.JobNotFound)
	}
	return j, nil
}

func (s *Service) storeJob(j *job) { s.disk.put(jobBucket, j.key, &j.jobRecord) }

// AddJob makes a job.
func (s *Service) AddJob(ctx context.Context, spec *model.JobAddParameter) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		if err := model.CheckID("id", spec.ID); err != nil {
			return err
		}
		if j, ok := s.jobs.get(model.Key(spec.ID)); ok {
			if j.State.State == deleting {
				return apierror.New(apierror.JobBeingDeleted)
			}
			return apierror.New(apierror.JobExists)
		}
		if _, ok := s.schedules.get(model.Key(spec.ID)); ok {
			return apierror.New(apierror.JobScheduleWithSameIdExists)
		}
		if s.overQuota() {
			return apierror.New(apierror.ActiveJobAndScheduleQuotaReached)
		}
		j, err := s.addJob(spec, nil)
		if err != nil {
			return err
		}
		tag = j.tag()
		return nil
	})
	return tag, err
}

// overQuota says whether there are as many active jobs and job schedules as there may be.
func (s *Service) overQuota() bool {
	if s.opts.Quota.Jobs == 0 {
		return false
	}
	n := 0
	for j := range s.jobs.all() {
		if j.State.State != completed {
			n++
		}
	}
	for sch := range s.schedules.all() {
		if sch.State.State != completed {
			n++
		}
	}
	return n >= s.opts.Quota.Jobs
}

// addJob makes a job, of a schedule unless that is nil.
func (s *Service) addJob(spec *model.JobAddParameter, of *schedule) (*job, error) {
	if err := s.checkJob(spec); err != nil {
		return nil, err
	}
	now := s.now()
	r := jobRecord{stamp: stamp{now, now}, Spec: *spec, State: phase{State: active, Since: now}, Begun: now,
		Pool: spec.PoolInfo.PoolID}
	if of != nil {
		r.Schedule = of.key
	}
	j := s.newJob(r)
	if spec.PoolInfo.AutoPoolSpecification != nil {
		s.autoPool(j, of)
	} else if p, ok := s.pools.get(j.poolKey()); ok {
		p.attach(j)
	}
	if j.Error != nil { // without its pool the job is at its end
		s.later(0, func() { s.terminateJob(j, "AutoPoolCreationFailed") })
	}
	s.limitJob(j)
	if m := spec.JobManagerTask; m != nil {
		n := managerTask(m)
		if _, err := s.addTask(j, n); err != nil {
			s.forgetJob(j)
			return nil, err
		}
	}
	s.storeJob(j)
	s.schedule(j.pool)
	return j, nil
}

func (s *Service) newJob(r jobRecord) *job {
	j := &job{jobRecord: r, service: s, key: model.Key(r.Spec.ID)}
	s.jobs.add(j.key, j)
	return j
}

// managerTask is the job manager as a task.
func managerTask(m *model.JobManagerTask) NewTask {
	return PrepareTask(&model.TaskAddParameter{ID: m.ID, DisplayName: m.DisplayName, CommandLine: m.CommandLine,
		ContainerSettings: m.ContainerSettings, ResourceFiles: m.ResourceFiles, OutputFiles: m.OutputFiles,
		EnvironmentSettings: m.EnvironmentSettings, Constraints: m.Constraints, RequiredSlots: m.RequiredSlots,
		UserIdentity: m.UserIdentity, ApplicationPackageReferences: m.ApplicationPackageReferences,
		AuthenticationTokenSettings: m.AuthenticationTokenSettings})
}

// limitJob has a job terminated when its wall-clock time is over.
func (s *Service) limitJob(j *job) {
	j.limit.Stop()
	j.limit = nil
	limit := *j.Spec.Constraints.MaxWallClockTime
	if limit == model.Unlimited || j.State.State == completed {
		return
	}
	left := j.Begun.time().Add(time.Duration(limit)).Sub(s.clock.Now())
	j.limit = s.later(left, func() { s.terminateJob(j, "MaxWallClockTimeExpiry") })
}

func (s *Service) changeJob(ctx context.Context, id string, c odata.Conditions, f func(j *job) error) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		j, err := s.job(id)
		if err != nil {
			return err
		}
		if j.State.State == deleting {
			return apierror.New(apierror.JobBeingDeleted)
		}
		if err := j.met(c); err != nil {
			return err
		}
		if err := f(j); err != nil {
			return err
		}
		j.touch(s.now())
		s.storeJob(j)
		tag = j.tag()
		return nil
	})
	return tag, err
}

// PatchJob changes what the patch names.
func (s *Service) PatchJob(ctx context.Context, id string, u *model.JobPatchParameter, c odata.Conditions) (Tag, error) {
	return s.changeJob(ctx, id, c, func(j *job) error {
		spec := j.Spec
		replace(&spec.Priority, u.Priority)
		replace(&spec.MaxParallelTasks, u.MaxParallelTasks)
		replace(&spec.AllowTaskPreemption, u.AllowTaskPreemption)
		replace(&spec.Constraints, u.Constraints)
		replace(&spec.PoolInfo, u.PoolInfo)
		replace(&spec.NetworkConfiguration, u.NetworkConfiguration)
		replaceList(&spec.Metadata, u.Metadata)
		replaceText(&spec.OnAllTasksComplete, u.OnAllTasksComplete)
		return s.respecifyJob(j, spec, u.PoolInfo)
	})
}

// ReplaceJob gives a job those properties that can be changed, or the defaults for those that are not given.
func (s *Service) ReplaceJob(ctx context.Context, id string, u *model.CloudJob, c odata.Conditions) (Tag, error) {
	return s.changeJob(ctx, id, c, func(j *job) error {
		if u.PoolInfo == nil {
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "poolInfo")
		}
		spec := j.Spec
		spec.Priority, spec.MaxParallelTasks, spec.AllowTaskPreemption = u.Priority, u.MaxParallelTasks, u.AllowTaskPreemption
		spec.Constraints, spec.PoolInfo, spec.Metadata, spec.OnAllTasksComplete = u.Constraints, u.PoolInfo, u.Metadata, u.OnAllTasksComplete
		return s.respecifyJob(j, spec, u.PoolInfo)
	})
}

func (s *Service) respecifyJob(j *job, spec model.JobAddParameter, info *model.PoolInformation) error {
	if j.State.State == completed || j.State.State == terminating {
		return notActive(j)
	}
	if spec.Constraints != nil {
		constraints := *spec.Constraints
		spec.Constraints = &constraints
	}
	if err := s.checkJob(&spec); err != nil {
		return err
	}
	if j.Spec.OnAllTasksComplete == "terminatejob" && spec.OnAllTasksComplete == "noaction" {
		return apierror.Property("onAllTasksComplete", spec.OnAllTasksComplete, "It cannot be changed from terminatejob to noaction.")
	}
	if info != nil && info.PoolID != "" && model.Key(info.PoolID) != j.poolKey() {
		if j.State.State != disabled {
			return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason",
				"A job can get another pool only while it is disabled.")
		}
		if j.pool != nil {
			j.pool.detach(j)
		}
		j.Pool = info.PoolID
		if p, ok := s.pools.get(j.poolKey()); ok {
			p.attach(j)
		}
	}
	ends := spec.OnAllTasksComplete == "terminatejob" && spec.OnAllTasksComplete != j.Spec.OnAllTasksComplete
	j.Spec = spec
	if j.pool != nil {
		j.pool.order()
	}
	s.limitJob(j)
	if ends && j.unfinished() == 0 {
		s.terminateJob(j, "AllTasksComplete")
	}
	s.schedule(j.pool)
	return nil
}

// notActive is why nothing can be changed of a job that is at its end.
func notActive(j *job) error {
	switch j.State.State {
	case terminating:
		return apierror.New(apierror.JobBeingTerminated)
	case deleting:
		return apierror.New(apierror.JobBeingDeleted)
	}
	return apierror.New(apierror.JobCompleted)
}

// unfinished is how many tasks are not completed.
func (j *job) unfinished() int32 {
	return int32(j.tasks.len()) - j.counts[taskCompleted].tasks
}

// checkDone terminates a job whose tasks are all completed, when it is to be. A job without tasks goes on, since clients
// first make the job.
func (s *Service) checkDone(j *job) {
	if j.Spec.OnAllTasksComplete != "terminatejob" || j.State.State != active && j.State.State != enabling {
		return
	}
	if j.tasks.len() > 0 && j.unfinished() == 0 {
		s.terminateJob(j, "AllTasksComplete")
	}
}

// DisableJob keeps a job's tasks from running.
func (s *Service) DisableJob(ctx context.Context, id, how string, c odata.Conditions) (Tag, error) {
	return s.changeJob(ctx, id, c, func(j *job) error {
		switch j.State.State {
		case disabled: // it is no mistake to ask again
		case active, enabling, disabling:
			s.disableJob(j, how)
		default:
			return notActive(j)
		}
		return nil
	})
}

func (s *Service) disableJob(j *job, how string) {
	j.State.set(disabling, s.now())
	j.DisableHow = how
	s.storeJob(j)
	if how != "wait" {
		s.stopTasks(j, how)
	}
	s.emptied(j)
}

// EnableJob lets a disabled job's tasks run again.
func (s *Service) EnableJob(ctx context.Context, id string, c odata.Conditions) (Tag, error) {
	return s.changeJob(ctx, id, c, func(j *job) error {
		switch j.State.State {
		case disabled, disabling:
		case active, enabling:
			return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason", "The job is not disabled.")
		default:
			return notActive(j)
		}
		j.State.set(enabling, s.now())
		s.later(0, func() {
			if j.State.State == enabling {
				j.State.set(active, s.now())
				s.storeJob(j)
				s.schedule(j.pool)
				s.checkDone(j)
			}
		})
		return nil
	})
}

// stopTasks ends all tasks of a job that have nodes.
func (s *Service) stopTasks(j *job, why string) {
	if j.running() == 0 {
		return
	}
	for t := range j.tasks.all() {
		if t.run != nil {
			s.stop(t.run, why)
		}
	}
}

func (j *job) running() int32 { return j.counts[taskRunning].tasks + j.counts[taskPreparing].tasks }

// emptied goes on with a job that is to have no running tasks, when it has none.
func (s *Service) emptied(j *job) {
	if j.running() > 0 {
		return
	}
	switch j.State.State {
	case disabling:
		j.State.set(disabled, s.now())
		s.storeJob(j)
	case terminating, deleting:
		if j.Ended == 0 { // also when a preparation has ended for which the end waits
			j.then = func() { s.jobEnded(j) }
			s.release(j)
		}
	}
}

// TerminateJob ends a job.
func (s *Service) TerminateJob(ctx context.Context, id, reason string, c odata.Conditions) (Tag, error) {
	return s.changeJob(ctx, id, c, func(j *job) error {
		if j.State.State == completed || j.State.State == terminating {
			return notActive(j)
		}
		if reason == "" {
			reason = "UserTerminate"
		}
		s.terminateJob(j, reason)
		return nil
	})
}

func (s *Service) terminateJob(j *job, reason string) {
	switch j.State.State {
	case terminating, completed, deleting:
		return
	}
	j.State.set(terminating, s.now())
	j.Reason = reason
	s.endJob(j)
}

// endJob ends the tasks of a job that is being terminated or deleted. The rest follows when they are gone, and never within
// the call.
func (s *Service) endJob(j *job) {
	s.storeJob(j)
	j.limit.Stop()
	s.stopTasks(j, terminate)
	s.later(0, func() { s.emptied(j) })
}

// jobEnded is called when a job has no running tasks and its release tasks have run.
func (s *Service) jobEnded(j *job) {
	if j.Ended == 0 {
		j.Ended = s.now()
	}
	s.endAutoPool(j)
	if j.State.State == deleting {
		s.forgetJob(j)
	} else {
		j.State.set(completed, s.now())
		s.storeJob(j)
		s.refreshTasks(j)
	}
	s.scheduledEnded(j)
}

// refreshTasks frees what only tasks that can still run need.
func (s *Service) refreshTasks(j *job) {
	j.queue, j.waiters, j.ranges = queue{}, nil, nil
}

// DeleteJob begins to delete a job with its tasks and their files.
func (s *Service) DeleteJob(ctx context.Context, id string, c odata.Conditions) error {
	_, err := s.changeJob(ctx, id, c, func(j *job) error {
		s.deleteJob(j)
		return nil
	})
	return err
}

func (s *Service) deleteJob(j *job) {
	if j.State.State == deleting {
		return
	}
	if j.Ended != 0 {
		j.State.set(deleting, s.now())
		s.storeJob(j)
		s.later(0, func() { s.forgetJob(j) })
		return
	}
	j.State.set(deleting, s.now())
	s.endJob(j)
}

// forgetJob removes a job and all that is left of it.
func (s *Service) forgetJob(j *job) {
	if known, ok := s.jobs.get(j.key); !ok || known != j {
		return
	}
	s.jobs.remove(j.key)
	j.limit.Stop()
	for t := range j.tasks.all() {
		t.retained.Stop()
		s.unretain(t)
		s.disk.forget(t)
	}
	for pr := range j.preps.all() {
		s.disk.remove(prepBucket, j.key+"\x00"+prepKey(pr))
	}
	s.disk.remove(jobBucket, j.key)
	if j.pool == nil {
		return
	}
	for n := range j.pool.nodes.all() {
		if n.machine != nil {
			finish, err := n.machine.RemoveJob(j.Spec.ID)
			s.dispose(finish, err)
		}
	}
	j.pool.detach(j)
}
