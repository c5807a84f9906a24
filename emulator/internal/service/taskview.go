package service

import (
	"path"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// taskDir is where the files of a task are, below the root of its node.
func taskDir(job, task string) string { return path.Join("workitems", job, "job-1", task) }

var taskFields = odata.Fields[*task]{
	"id":                      odata.Text(func(t *task) string { return t.ID }),
	"state":                   odata.Text(func(t *task) string { return t.State.String() }).Only("eq", "ne"),
	"stateTransitionTime":     odata.Time(func(t *task) time.Time { return t.Since.time() }),
	"creationTime":            odata.Time(func(t *task) time.Time { return t.Created.time() }),
	"lastModified":            odata.Time(func(t *task) time.Time { return t.Modified.time() }),
	"lastModifiedTime":        odata.Time(func(t *task) time.Time { return t.Modified.time() }),
	"executionInfo/startTime": odata.Time(func(t *task) time.Time { return t.Begun.time() }),
	"executionInfo/endTime":   odata.Time(func(t *task) time.Time { return t.Ended.time() }),
	"executionInfo/exitCode":  odata.Number(func(t *task) (int64, bool) { return exitCode(&t.outcome) }),
	"executionInfo/result":    odata.Text((*task).result).Only("eq", "ne"),
}

// result is the task's, once it is completed.
func (t *task) result() string {
	if t.State != taskCompleted {
		return ""
	}
	return t.outcome.result()
}

func (t *task) execution() *model.TaskExecutionInformation {
	return &model.TaskExecutionInformation{StartTime: t.Begun.time(), EndTime: t.Ended.time(), ExitCode: t.ExitCode,
		ContainerInfo: t.Container, FailureInfo: t.Failure, RetryCount: t.Retries, LastRetryTime: t.LastRetry.time(),
		RequeueCount: t.Requeues, LastRequeueTime: t.LastRequeue.time(), Result: t.result()}
}

// took is how long the task ran, as far as that is over.
func (t *task) took() time.Duration {
	if t.Begun == 0 || t.Ended < t.Begun {
		return 0
	}
	return t.Ended.time().Sub(t.Begun.time())
}

// waited is how long it waited to run.
func (t *task) waited() time.Duration {
	if t.Begun == 0 {
		return 0
	}
	return t.Begun.time().Sub(t.Created.time())
}

func on(base, pool, node, dir string) *model.ComputeNodeInformation {
	url := nodeURL(base, pool, node)
	return &model.ComputeNodeInformation{AffinityID: affinityPrefix + node, NodeURL: url, PoolID: pool, NodeID: node,
		TaskRootDirectory: dir, TaskRootDirectoryURL: url + "/files/" + dir}
}

// A TaskView is a task as it was at one moment. Model makes what the API shows of it, without the service.
type TaskView struct {
	taskRecord
	spec []byte
	job  string
}

func (t *task) view() TaskView {
	return TaskView{taskRecord: t.taskRecord, spec: t.spec, job: t.job.Spec.ID}
}

// Model is the task in the API's form. Without the specification it has only what changes while the task runs.
func (v *TaskView) Model(base string, specification, stats bool) *model.CloudTask {
	t := &task{taskRecord: v.taskRecord}
	tag := t.tag()
	m := &model.CloudTask{ID: t.ID, URL: taskURL(base, v.job, t.ID), ETag: tag.ETag, LastModified: t.Modified.time(),
		CreationTime: t.Created.time(), State: t.State.String(), StateTransitionTime: t.Since.time(),
		PreviousState: t.Previous.String(), PreviousStateTransitionTime: t.Before.time(), RequiredSlots: ptr(t.Slots),
		ExecutionInfo: t.execution()}
	if t.Node != "" {
		m.NodeInfo = on(base, t.Pool, t.Node, taskDir(v.job, t.ID))
	}
	if stats {
		m.Stats = &model.TaskStatistics{URL: m.URL + "/stats", StartTime: m.CreationTime,
			LastUpdateTime: t.Since.time(), WallClockTime: model.Duration(t.took()), WaitTime: model.Duration(t.waited())}
	}
	if !specification {
		return m
	}
	t.spec = v.spec
	s := model.WithoutSecrets(t.specify())
	m.DisplayName, m.CommandLine, m.ContainerSettings, m.ExitConditions = s.DisplayName, s.CommandLine, s.ContainerSettings, s.ExitConditions
	m.ResourceFiles, m.OutputFiles, m.EnvironmentSettings, m.AffinityInfo = s.ResourceFiles, s.OutputFiles, s.EnvironmentSettings, s.AffinityInfo
	m.Constraints, m.UserIdentity, m.MultiInstanceSettings, m.DependsOn = s.Constraints, s.UserIdentity, s.MultiInstanceSettings, s.DependsOn
	m.ApplicationPackageReferences, m.AuthenticationTokenSettings = s.ApplicationPackageReferences, s.AuthenticationTokenSettings
	return m
}

// Task returns one.
func (s *Service) Task(jobID, taskID string, c odata.Conditions) (TaskView, Tag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(jobID, taskID)
	if err != nil {
		return TaskView{}, Tag{}, err
	}
	tag := t.tag()
	return t.view(), tag, c.Check("GET", tag.ETag, tag.Modified)
}

// Tasks lists those of a job.
func (s *Service) Tasks(jobID string, q odata.Query) ([]TaskView, string, error) {
	s.mu.Lock()
	j, err := s.job(jobID)
	s.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
	return list(s, q, taskFields, &j.tasks, (*task).view)
}

// Subtasks lists those of a multi-instance task.
func (s *Service) Subtasks(base, jobID, taskID string) ([]model.SubtaskInformation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(jobID, taskID)
	if err != nil {
		return nil, err
	}
	all := []model.SubtaskInformation{}
	for i := range t.Subtasks {
		sub := &t.Subtasks[i]
		m := model.SubtaskInformation{ID: ptr(sub.ID), NodeInfo: on(base, sub.Pool, sub.Node, sub.Dir),
			StartTime: sub.Begun.time(), EndTime: sub.Ended.time(), ExitCode: sub.ExitCode,
			ContainerInfo: sub.Container, FailureInfo: sub.Failure, State: sub.State.State,
			StateTransitionTime: sub.State.Since.time(), PreviousState: sub.State.Previous,
			PreviousStateTransitionTime: sub.State.Before.time()}
		if sub.State.State == completed {
			m.Result = sub.result()
		}
		all = append(all, m)
	}
	return all, nil
}
