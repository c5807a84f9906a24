package service

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// A scheduleRecord is what is stored of a job schedule.
type scheduleRecord struct {
	stamp
	Spec     model.JobScheduleAddParameter
	State    phase
	Next     moment // when the next job is due; 0: none will be
	Runs     int    // jobs made so far
	Recent   string // the ID of the latest
	Ended    moment
	AutoPool string `json:",omitempty"`
}

// A schedule makes jobs at certain times.
type schedule struct {
	scheduleRecord
	key   string
	timer *clock.Timer
}

func (s *Service) jobSchedule(id string) (*schedule, error) {
	sch, ok := s.schedules.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.JobScheduleNotFound)
	}
	return sch, nil
}

func (s *Service) storeSchedule(sch *schedule) {
	s.disk.put(scheduleBucket, sch.key, &sch.scheduleRecord)
}

// AddSchedule makes a job schedule.
func (s *Service) AddSchedule(ctx context.Context, spec *model.JobScheduleAddParameter) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		if err := model.CheckID("id", spec.ID); err != nil {
			return err
		}
		if _, ok := s.schedules.get(model.Key(spec.ID)); ok {
			return apierror.New(apierror.JobScheduleExists)
		}
		if _, ok := s.jobs.get(model.Key(spec.ID)); ok {
			return apierror.New(apierror.JobWithSameIdExists)
		}
		if s.overQuota() {
			return apierror.New(apierror.ActiveJobAndScheduleQuotaReached)
		}
		if err := s.checkSchedule(spec); err != nil {
			return err
		}
		now := s.now()
		sch := &schedule{scheduleRecord: scheduleRecord{stamp: stamp{now, now}, Spec: *spec,
			State: phase{State: active, Since: now}}, key: model.Key(spec.ID)}
		s.schedules.add(sch.key, sch)
		sch.Next = max(now, at(spec.Schedule.DoNotRunUntil))
		s.plan(sch)
		s.storeSchedule(sch)
		tag = sch.tag()
		return nil
	})
	return tag, err
}

func (s *Service) checkSchedule(spec *model.JobScheduleAddParameter) error {
	c := spec.Schedule
	if c.RecurrenceInterval != nil && time.Duration(*c.RecurrenceInterval) < time.Minute {
		return apierror.Property("schedule/recurrenceInterval", c.RecurrenceInterval.String(), "It must be at least PT1M.")
	}
	if c.StartWindow != nil && time.Duration(*c.StartWindow) < time.Minute {
		return apierror.Property("schedule/startWindow", c.StartWindow.String(), "It must be at least PT1M.")
	}
	if !c.DoNotRunAfter.IsZero() && c.DoNotRunAfter.Before(s.clock.Now()) {
		return apierror.Property("schedule/doNotRunAfter", c.DoNotRunAfter.Format(time.RFC3339), "It is past.")
	}
	job := jobOf(spec.JobSpecification, spec.ID)
	return s.checkJob(job)
}

// jobOf is the job that a specification asks for.
func jobOf(js *model.JobSpecification, id string) *model.JobAddParameter {
	constraints := model.JobConstraints{}
	if js.Constraints != nil {
		constraints = *js.Constraints
	}
	return &model.JobAddParameter{ID: id, DisplayName: js.DisplayName, Priority: js.Priority,
		MaxParallelTasks: js.MaxParallelTasks, AllowTaskPreemption: js.AllowTaskPreemption, Constraints: &constraints,
		JobManagerTask: js.JobManagerTask, JobPreparationTask: js.JobPreparationTask, JobReleaseTask: js.JobReleaseTask,
		CommonEnvironmentSettings: js.CommonEnvironmentSettings, PoolInfo: js.PoolInfo,
		OnAllTasksComplete: js.OnAllTasksComplete, OnTaskFailure: js.OnTaskFailure, Metadata: js.Metadata,
		UsesTaskDependencies: js.UsesTaskDependencies, NetworkConfiguration: js.NetworkConfiguration}
}

// plan has the next job made when it is due.
func (s *Service) plan(sch *schedule) {
	sch.timer.Stop()
	sch.timer = nil
	if sch.Next == 0 || sch.State.State != active {
		return
	}
	sch.timer = s.later(sch.Next.time().Sub(s.clock.Now()), func() { s.due(sch) })
}

// due makes a job of a schedule, unless the one before is still there: then it is made when that is completed.
func (s *Service) due(sch *schedule) {
	if sch.State.State != active {
		return
	}
	c := sch.Spec.Schedule
	now := s.now()
	if !c.DoNotRunAfter.IsZero() && now > at(c.DoNotRunAfter) {
		s.finishSchedule(sch)
		return
	}
	if s.activeJob(sch) != nil {
		return
	}
	missed := c.StartWindow != nil && now.time().Sub(sch.Next.time()) > time.Duration(*c.StartWindow)
	due := sch.Next
	sch.Next = 0
	if c.RecurrenceInterval != nil {
		step := moment(time.Duration(*c.RecurrenceInterval) / 100)
		sch.Next = due + step
		if missed {
			sch.Next += (now - due) / step * step
		}
	}
	if !missed {
		sch.Runs++
		id := fmt.Sprintf("%s:job-%d", sch.Spec.ID, sch.Runs)
		if _, err := s.addJob(jobOf(sch.Spec.JobSpecification, id), sch); err != nil {
			s.log.Warn("a job schedule could not make its job", "schedule", sch.Spec.ID, "error", err)
		} else {
			sch.Recent = id
		}
	}
	s.storeSchedule(sch)
	s.plan(sch)
}

// activeJob is the job of a schedule that is not completed, nil when there is none.
func (s *Service) activeJob(sch *schedule) *job {
	j, ok := s.jobs.get(model.Key(sch.Recent))
	if sch.Recent == "" || !ok || j.State.State == completed {
		return nil
	}
	return j
}

// scheduledEnded goes on with the schedule of a job that is completed or deleted.
func (s *Service) scheduledEnded(j *job) {
	sch, ok := s.schedules.get(j.Schedule)
	if j.Schedule == "" || !ok {
		return
	}
	switch {
	case sch.State.State == terminating || sch.State.State == deleting:
		s.finishSchedule(sch)
	case sch.Next == 0:
		s.finishSchedule(sch)
	default:
		s.plan(sch)
	}
}

// finishSchedule completes a schedule that makes no more jobs, or removes it, once its last job is completed.
func (s *Service) finishSchedule(sch *schedule) {
	sch.Next = 0
	sch.timer.Stop()
	if s.activeJob(sch) != nil && sch.State.State != deleting {
		return
	}
	now := s.now()
	if sch.State.State == deleting {
		for j := range s.jobs.all() {
			if j.Schedule == sch.key {
				return
			}
		}
		s.schedules.remove(sch.key)
		s.disk.remove(scheduleBucket, sch.key)
	} else {
		sch.State.set(completed, now)
		sch.Ended = now
		s.storeSchedule(sch)
	}
	if p, ok := s.pools.get(model.Key(sch.AutoPool)); ok && sch.AutoPool != "" && !p.KeepAlive && p.State.State != deleting {
		s.deletePool(p)
	}
}

func (s *Service) changeSchedule(ctx context.Context, id string, c odata.Conditions,
	f func(sch *schedule) error) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		sch, err := s.jobSchedule(id)
		if err != nil {
			return err
		}
		if sch.State.State == deleting {
			return apierror.New(apierror.JobScheduleBeingDeleted)
		}
		if err := sch.met(c); err != nil {
			return err
		}
		if err := f(sch); err != nil {
			return err
		}
		sch.touch(s.now())
		s.storeSchedule(sch)
		tag = sch.tag()
		return nil
	})
	return tag, err
}

// goesOn checks that a schedule is not at its end.
func goesOn(sch *schedule) error {
	switch sch.State.State {
	case completed:
		return apierror.New(apierror.JobScheduleCompleted)
	case terminating:
		return apierror.New(apierror.JobScheduleBeingTerminated)
	}
	return nil
}

// UpdateSchedule gives a schedule what is not nil.
func (s *Service) UpdateSchedule(ctx context.Context, id string, when *model.Schedule, spec *model.JobSpecification,
	metadata []model.MetadataItem, c odata.Conditions) (Tag, error) {
	return s.changeSchedule(ctx, id, c, func(sch *schedule) error {
		if err := goesOn(sch); err != nil {
			return err
		}
		next := sch.Spec
		replace(&next.Schedule, when)
		replace(&next.JobSpecification, spec)
		replaceList(&next.Metadata, metadata)
		if err := s.checkSchedule(&next); err != nil {
			return err
		}
		sch.Spec = next
		if when != nil {
			now := s.now()
			sch.Next = max(now, at(when.DoNotRunUntil))
			if r := when.RecurrenceInterval; sch.Runs > 0 && r != nil {
				sch.Next = max(sch.Next, now+moment(time.Duration(*r)/100))
			} else if sch.Runs > 0 && s.activeJob(sch) != nil {
				sch.Next = 0
			}
			s.plan(sch)
		}
		return nil
	})
}

// DisableSchedule keeps a schedule from making jobs.
func (s *Service) DisableSchedule(ctx context.Context, id string, c odata.Conditions) (Tag, error) {
	return s.changeSchedule(ctx, id, c, func(sch *schedule) error {
		if err := goesOn(sch); err != nil {
			return err
		}
		if !sch.State.set(disabled, s.now()) {
			return apierror.New(apierror.JobScheduleDisabled)
		}
		sch.timer.Stop()
		return nil
	})
}

// EnableSchedule lets it make jobs again.
func (s *Service) EnableSchedule(ctx context.Context, id string, c odata.Conditions) (Tag, error) {
	return s.changeSchedule(ctx, id, c, func(sch *schedule) error {
		if err := goesOn(sch); err != nil {
			return err
		}
		sch.State.set(active, s.now())
		s.plan(sch)
		return nil
	})
}

// TerminateSchedule ends a schedule and its job.
func (s *Service) TerminateSchedule(ctx context.Context, id string, c odata.Conditions) (Tag, error) {
	return s.changeSchedule(ctx, id, c, func(sch *schedule) error {
		if err := goesOn(sch); err != nil {
			return err
		}
		sch.State.set(terminating, s.now())
		sch.timer.Stop()
		if j := s.activeJob(sch); j != nil {
			s.terminateJob(j, "TerminateJobSchedule")
		}
		s.later(0, func() {
			if sch.State.State == terminating {
				s.finishSchedule(sch)
			}
		})
		return nil
	})
}

// DeleteSchedule begins to delete a schedule with its jobs.
func (s *Service) DeleteSchedule(ctx context.Context, id string, c odata.Conditions) error {
	_, err := s.changeSchedule(ctx, id, c, func(sch *schedule) error {
		sch.State.set(deleting, s.now())
		sch.timer.Stop()
		for j := range s.jobs.all() {
			if j.Schedule == sch.key {
				s.deleteJob(j)
			}
		}
		s.later(0, func() { s.finishSchedule(sch) })
		return nil
	})
	return err
}

// autoPool makes the pool of a job, or of its schedule, or finds the one that the schedule has.
func (s *Service) autoPool(j *job, of *schedule) {
	auto := j.Spec.PoolInfo.AutoPoolSpecification
	forSchedule := of != nil && auto.PoolLifetimeOption == "jobschedule"
	if forSchedule {
		if p, ok := s.pools.get(model.Key(of.AutoPool)); ok && of.AutoPool != "" {
			j.Pool = p.Spec.ID
			p.attach(j)
			return
		}
	}
	spec := poolOf(auto.Pool, auto.AutoPoolIDPrefix+uuid.NewString())
	p, err := s.addPool(spec)
	if err != nil {
		e := apierror.Of(err)
		j.Error = &model.JobSchedulingError{Category: "usererror", Code: e.Code, Message: e.Message}
		switch e.Code {
		case apierror.PoolQuotaReached:
			j.Error.Code = apierror.AutoPoolCreationFailedWithQuotaReached
		case apierror.AutoScalingFormulaSyntaxError, apierror.AutoScalingFormulaTooLong:
			j.Error.Code = apierror.InvalidAutoScaleFormulaInAutoPool
		}
		for _, v := range e.Values {
			j.Error.Details = append(j.Error.Details, model.NameValuePair{Name: v.Key, Value: v.Value})
		}
		return
	}
	p.KeepAlive = model.Or(auto.KeepAlive, false)
	p.Lifetime = "job/" + j.key
	if forSchedule {
		p.Lifetime = "jobschedule/" + of.key
		of.AutoPool = spec.ID
	}
	j.Pool = spec.ID
	s.storePool(p)
	p.attach(j)
}

// endAutoPool deletes the pool that was made for a job alone.
func (s *Service) endAutoPool(j *job) {
	if p := j.pool; p != nil && p.Lifetime == "job/"+j.key && !p.KeepAlive && p.State.State != deleting {
		s.deletePool(p)
	}
}

// poolOf is the pool that a specification asks for.
func poolOf(ps *model.PoolSpecification, id string) *model.PoolAddParameter {
	return &model.PoolAddParameter{ID: id, DisplayName: ps.DisplayName, VMSize: ps.VMSize,
		VirtualMachineConfiguration: ps.VirtualMachineConfiguration, ResizeTimeout: ps.ResizeTimeout,
		TargetDedicatedNodes: ps.TargetDedicatedNodes, TargetLowPriorityNodes: ps.TargetLowPriorityNodes,
		EnableAutoScale: ps.EnableAutoScale, AutoScaleFormula: ps.AutoScaleFormula,
		AutoScaleEvaluationInterval:  ps.AutoScaleEvaluationInterval,
		EnableInterNodeCommunication: ps.EnableInterNodeCommunication, NetworkConfiguration: ps.NetworkConfiguration,
		StartTask: ps.StartTask, CertificateReferences: ps.CertificateReferences,
		ApplicationPackageReferences: ps.ApplicationPackageReferences, TaskSlotsPerNode: ps.TaskSlotsPerNode,
		TaskSchedulingPolicy: ps.TaskSchedulingPolicy, UserAccounts: ps.UserAccounts, Metadata: ps.Metadata,
		MountConfiguration: ps.MountConfiguration, TargetNodeCommunicationMode: ps.TargetNodeCommunicationMode,
		UpgradePolicy: ps.UpgradePolicy, ResourceTags: ps.ResourceTags}
}
