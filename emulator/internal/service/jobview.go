package service

import (
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

var jobFields = odata.Fields[*job]{
	"id":                      odata.Text(func(j *job) string { return j.Spec.ID }),
	"state":                   odata.Text(func(j *job) string { return j.State.State }).Only("eq", "ne"),
	"stateTransitionTime":     odata.Time(func(j *job) time.Time { return j.State.Since.time() }),
	"creationTime":            odata.Time(func(j *job) time.Time { return j.Created.time() }),
	"lastModified":            odata.Time(func(j *job) time.Time { return j.Modified.time() }),
	"priority":                odata.Number(func(j *job) (int64, bool) { return int64(*j.Spec.Priority), true }),
	"executionInfo/startTime": odata.Time(func(j *job) time.Time { return j.Begun.time() }),
	"executionInfo/endTime":   odata.Time(func(j *job) time.Time { return j.Ended.time() }),
	"executionInfo/poolId":    odata.Text(func(j *job) string { return j.Pool }),
}

func (s *Service) jobView(base string, j *job, stats bool) model.CloudJob {
	spec := model.WithoutSecrets(&j.Spec)
	m := model.CloudJob{
		ID: spec.ID, DisplayName: spec.DisplayName, UsesTaskDependencies: spec.UsesTaskDependencies,
		URL: jobURL(base, spec.ID), ETag: j.tag().ETag,
		LastModified: j.Modified.time(), CreationTime: j.Created.time(), State: j.State.State,
		StateTransitionTime: j.State.Since.time(),
		PreviousState:       j.State.Previous, PreviousStateTransitionTime: j.State.Before.time(), Priority: spec.Priority,
		AllowTaskPreemption: spec.AllowTaskPreemption,
		MaxParallelTasks:    spec.MaxParallelTasks, Constraints: spec.Constraints, JobManagerTask: spec.JobManagerTask,
		JobPreparationTask: spec.JobPreparationTask,
		JobReleaseTask:     spec.JobReleaseTask, CommonEnvironmentSettings: spec.CommonEnvironmentSettings,
		PoolInfo:           spec.PoolInfo,
		OnAllTasksComplete: spec.OnAllTasksComplete, OnTaskFailure: spec.OnTaskFailure,
		NetworkConfiguration: spec.NetworkConfiguration, Metadata: spec.Metadata,
		ExecutionInfo: &model.JobExecutionInformation{StartTime: j.Begun.time(), EndTime: j.Ended.time(),
			PoolID: j.Pool, SchedulingError: j.Error, TerminateReason: j.Reason},
	}
	if stats {
		m.Stats = &model.JobStatistics{URL: m.URL + "/stats", StartTime: m.CreationTime, LastUpdateTime: s.clock.Now()}
		for t := range j.tasks.all() {
			m.Stats.WallClockTime += model.Duration(t.took())
			m.Stats.WaitTime += model.Duration(t.waited())
			m.Stats.NumTaskRetries += int64(t.Retries)
		}
		m.Stats.NumFailedTasks = int64(j.failed.tasks)
		m.Stats.NumSucceededTasks = int64(j.counts[taskCompleted].tasks - j.failed.tasks)
	}
	return m
}

// Job returns one.
func (s *Service) Job(base, id string, stats bool, c odata.Conditions) (*model.CloudJob, Tag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, err := s.job(id)
	if err != nil {
		return nil, Tag{}, err
	}
	tag := j.tag()
	if err := c.Check("GET", tag.ETag, tag.Modified); err != nil {
		return nil, tag, err
	}
	m := s.jobView(base, j, stats)
	return &m, tag, nil
}

// Jobs lists them, those of a schedule only unless that is empty.
func (s *Service) Jobs(base, scheduleID string, q odata.Query) ([]model.CloudJob, string, error) {
	match, err := jobFields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := func(*job) bool { return true }
	if scheduleID != "" {
		sch, err := s.jobSchedule(scheduleID)
		if err != nil {
			return nil, "", err
		}
		of = func(j *job) bool { return j.Schedule == sch.key }
	}
	page, after := odata.Page(q, s.jobs.from(q.After), func(j *job) bool { return of(j) && match(j) })
	out := make([]model.CloudJob, len(page))
	for i, j := range page {
		out[i] = s.jobView(base, j, q.Expands("stats"))
	}
	return out, after, nil
}

// TaskCounts counts the tasks of a job by state.
func (s *Service) TaskCounts(id string) (*model.TaskCountsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, err := s.job(id)
	if err != nil {
		return nil, err
	}
	c := &j.counts
	done := c[taskCompleted]
	return &model.TaskCountsResult{
		TaskCounts: &model.TaskCounts{Active: c[taskActive].tasks,
			Running: c[taskRunning].tasks + c[taskPreparing].tasks, Completed: done.tasks,
			Succeeded: done.tasks - j.failed.tasks, Failed: j.failed.tasks},
		TaskSlotCounts: &model.TaskCounts{Active: c[taskActive].slots,
			Running: c[taskRunning].slots + c[taskPreparing].slots, Completed: done.slots,
			Succeeded: done.slots - j.failed.slots, Failed: j.failed.slots},
	}, nil
}

var prepFields = odata.Fields[*prep]{
	"poolId":                                odata.Text(func(p *prep) string { return p.Pool }),
	"nodeId":                                odata.Text(func(p *prep) string { return p.Node }),
	"jobPreparationTaskExecutionInfo/state": odata.Text(func(p *prep) string { return p.Preparation.state() }),
	"jobPreparationTaskExecutionInfo/startTime": odata.Time(func(p *prep) time.Time { return p.Preparation.begun() }),
	"jobPreparationTaskExecutionInfo/endTime":   odata.Time(func(p *prep) time.Time { return p.Preparation.end() }),
	"jobPreparationTaskExecutionInfo/exitCode":  odata.Number(func(p *prep) (int64, bool) { return p.Preparation.exit() }),
	"jobPreparationTaskExecutionInfo/result":    odata.Text(func(p *prep) string { return p.Preparation.ended() }),
	"jobReleaseTaskExecutionInfo/state":         odata.Text(func(p *prep) string { return p.Release.state() }),
	"jobReleaseTaskExecutionInfo/startTime":     odata.Time(func(p *prep) time.Time { return p.Release.begun() }),
	"jobReleaseTaskExecutionInfo/endTime":       odata.Time(func(p *prep) time.Time { return p.Release.end() }),
	"jobReleaseTaskExecutionInfo/exitCode":      odata.Number(func(p *prep) (int64, bool) { return p.Release.exit() }),
	"jobReleaseTaskExecutionInfo/result":        odata.Text(func(p *prep) string { return p.Release.ended() }),
}

// What is known of a run of a preparation or release task; a nil one has not begun.

func (a *auxiliary) state() string {
	if a == nil {
		return ""
	}
	return a.State
}

func (a *auxiliary) begun() time.Time {
	if a == nil {
		return time.Time{}
	}
	return a.Begun.time()
}

func (a *auxiliary) end() time.Time {
	if a == nil {
		return time.Time{}
	}
	return a.Ended.time()
}

func (a *auxiliary) exit() (int64, bool) {
	if a == nil {
		return 0, false
	}
	return exitCode(&a.outcome)
}

func (a *auxiliary) ended() string {
	if a == nil || a.State != completed {
		return ""
	}
	return a.result()
}

// PreparationStatus lists the runs of a job's preparation and release tasks.
func (s *Service) PreparationStatus(base, id string,
	q odata.Query) ([]model.JobPreparationAndReleaseTaskExecutionInformation, string, error) {
	match, err := prepFields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, err := s.job(id)
	if err != nil {
		return nil, "", err
	}
	if j.Spec.JobPreparationTask == nil {
		return nil, "", apierror.New(apierror.JobPreparationTaskNotSpecified)
	}
	page, after := odata.Page(q, j.preps.from(q.After), match)
	out := make([]model.JobPreparationAndReleaseTaskExecutionInformation, len(page))
	for i, p := range page {
		m := model.JobPreparationAndReleaseTaskExecutionInformation{PoolID: p.Pool, NodeID: p.Node,
			NodeURL: nodeURL(base, p.Pool, p.Node)}
		if a := p.Preparation; a != nil {
			dir := taskDir(j.Spec.ID, j.Spec.JobPreparationTask.ID)
			m.JobPreparationTaskExecutionInfo = &model.JobPreparationTaskExecutionInformation{StartTime: a.begun(),
				EndTime: a.end(), State: a.State, TaskRootDirectory: dir,
				TaskRootDirectoryURL: m.NodeURL + "/files/" + dir, ExitCode: a.ExitCode, ContainerInfo: a.Container,
				FailureInfo: a.Failure, RetryCount: a.Retries, LastRetryTime: a.LastRetry.time(), Result: a.ended()}
		}
		if a := p.Release; a != nil {
			dir := taskDir(j.Spec.ID, j.Spec.JobReleaseTask.ID)
			m.JobReleaseTaskExecutionInfo = &model.JobReleaseTaskExecutionInformation{StartTime: a.begun(),
				EndTime: a.end(), State: a.State, TaskRootDirectory: dir,
				TaskRootDirectoryURL: m.NodeURL + "/files/" + dir, ExitCode: a.ExitCode, ContainerInfo: a.Container,
				FailureInfo: a.Failure, Result: a.ended()}
		}
		out[i] = m
	}
	return out, after, nil
}
