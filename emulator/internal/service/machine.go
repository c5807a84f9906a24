package service

import (
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// attempt makes one attempt at a start, preparation or release task on a node, and calls then with its outcome, under the
// mutex.
func (s *Service) attempt(n *compute, t node.Task, then func(outcome)) {
	if n.pool.sim != nil {
		s.later(n.pool.sim.aux(t.Kind), func() { then(n.pool.sim.auxOutcome(s.now())) })
		return
	}
	machine := n.machine
	s.background(func() func() {
		result := machine.Run(s.ctx, t)
		return func() {
			if !s.closed {
				then(outcomeOf(result))
			}
		}
	})
}

func (s *Service) startSpec(n *compute, t *model.StartTask) node.Task {
	return node.Task{Kind: node.KindStart, CommandLine: t.CommandLine, Environment: variables(t.EnvironmentSettings),
		User: identity(t.UserIdentity), ResourceFiles: resources(t.ResourceFiles), Container: container(t.ContainerSettings)}
}

func (s *Service) prepSpec(j *job, t *model.JobPreparationTask) node.Task {
	return node.Task{Kind: node.KindPreparation, Job: j.Spec.ID, ID: t.ID, CommandLine: t.CommandLine,
		Environment: variables(j.Spec.CommonEnvironmentSettings, t.EnvironmentSettings), User: identity(t.UserIdentity),
		ResourceFiles: resources(t.ResourceFiles), Container: container(t.ContainerSettings),
		MaxWallClock: s.limit(t.Constraints.MaxWallClockTime), Preparation: t.ID}
}

func (s *Service) releaseSpec(j *job, t *model.JobReleaseTask) node.Task {
	return node.Task{Kind: node.KindRelease, Job: j.Spec.ID, ID: t.ID, CommandLine: t.CommandLine,
		Environment: variables(j.Spec.CommonEnvironmentSettings, t.EnvironmentSettings), User: identity(t.UserIdentity),
		ResourceFiles: resources(t.ResourceFiles), Container: container(t.ContainerSettings),
		MaxWallClock: s.limit(t.MaxWallClockTime), Preparation: j.Spec.JobPreparationTask.ID}
}

func (s *Service) taskSpec(t *task, spec *model.TaskAddParameter) node.Task {
	j := t.job
	order := node.Task{Kind: node.KindTask, Job: j.Spec.ID, ID: t.ID, CommandLine: spec.CommandLine,
		Environment: variables(j.Spec.CommonEnvironmentSettings, spec.EnvironmentSettings),
		User:        identity(spec.UserIdentity), ResourceFiles: resources(spec.ResourceFiles),
		OutputFiles: outputs(spec.OutputFiles), Packages: s.packages(spec.ApplicationPackageReferences),
		Container: container(spec.ContainerSettings), MaxWallClock: s.limit(spec.Constraints.MaxWallClockTime)}
	if p := j.Spec.JobPreparationTask; p != nil {
		order.Preparation = p.ID
	}
	if a := spec.AuthenticationTokenSettings; a != nil && len(a.Access) > 0 && s.opts.TaskToken != nil {
		token, err := s.opts.TaskToken(j.Spec.ID)
		if err != nil {
			s.log.Warn("a task gets no token", "job", j.Spec.ID, "task", t.ID, "error", err)
		}
		order.AuthToken = token
	}
	return order
}

// identified is a task that can ask for tokens of its pool's managed identity, if that has one.
func (s *Service) identified(p *pool, t node.Task) node.Task {
	if p.Identity == nil {
		return t
	}
	for _, v := range s.opts.Identity {
		name, value, _ := strings.Cut(v, "=")
		t.Environment = append(t.Environment, node.Variable{Name: name, Value: value})
	}
	return t
}

// limit is a wall-clock limit as nodes take it, in real time: 0 is none.
func (s *Service) limit(d *model.Duration) time.Duration {
	if d == nil || *d == model.Unlimited {
		return 0
	}
	return max(s.clock.Real(durationOf(*d)), 1)
}

// durationOf is the time that a duration stands for. No limit is a century, which can be added to times.
func durationOf(d model.Duration) time.Duration {
	return min(time.Duration(d), 100*365*24*time.Hour)
}

func variables(lists ...[]model.EnvironmentSetting) (all []node.Variable) {
	for _, list := range lists {
		for _, e := range list {
			all = append(all, node.Variable{Name: e.Name, Value: e.Value})
		}
	}
	return all
}

func identity(u *model.UserIdentity) node.Identity {
	if u == nil {
		return node.Identity{}
	}
	if u.AutoUser == nil {
		return node.Identity{UserName: u.Username}
	}
	scope := map[string]node.Scope{"pool": node.ScopePool, "task": node.ScopeTask}[u.AutoUser.Scope]
	return node.Identity{Scope: scope, Admin: u.AutoUser.ElevationLevel == "admin"}
}

func usersOf(accounts []model.UserAccount) (users []node.User) {
	for _, a := range accounts {
		u := node.User{Name: a.Name, Admin: a.ElevationLevel == "admin"}
		if l := a.LinuxUserConfiguration; l != nil {
			u.UID, u.GID = int(model.Or(l.UID, 0)), int(model.Or(l.GID, 0))
		}
		users = append(users, u)
	}
	return users
}

func resources(files []model.ResourceFile) (list []node.ResourceFile) {
	for _, f := range files {
		list = append(list, node.ResourceFile{HTTPURL: f.HTTPURL, StorageContainerURL: f.StorageContainerURL,
			AutoStorageContainer: f.AutoStorageContainerName, BlobPrefix: f.BlobPrefix, FilePath: f.FilePath,
			FileMode: f.FileMode, Identity: managed(f.IdentityReference)})
	}
	return list
}

var conditions = map[string]node.Condition{"tasksuccess": node.OnSuccess, "taskfailure": node.OnFailure,
	"taskcompletion": node.OnCompletion}

func outputs(files []model.OutputFile) (list []node.OutputFile) {
	for _, f := range files {
		c := f.Destination.Container
		o := node.OutputFile{Pattern: f.FilePattern, Path: c.Path, ContainerURL: c.ContainerURL,
			Identity: managed(c.IdentityReference), Condition: conditions[f.UploadOptions.UploadCondition]}
		for _, h := range c.UploadHeaders {
			o.Headers = append(o.Headers, node.Variable{Name: h.Name, Value: h.Value})
		}
		list = append(list, o)
	}
	return list
}

func managed(r *model.ComputeNodeIdentityReference) string {
	if r == nil {
		return ""
	}
	return r.ResourceID
}

func container(c *model.TaskContainerSettings) *node.Container {
	if c == nil {
		return nil
	}
	n := &node.Container{Image: c.ImageName, RunOptions: c.ContainerRunOptions,
		InImage: c.WorkingDirectory == "containerImageDefault", MountsSelected: c.ContainerHostBatchBindMounts != nil}
	if r := c.Registry; r != nil {
		n.Registry = &node.Registry{Server: r.RegistryServer, User: r.Username, Password: r.Password}
	}
	for _, m := range c.ContainerHostBatchBindMounts {
		n.Mounts = append(n.Mounts, node.Mount{Source: m.Source, ReadOnly: model.Or(m.IsReadOnly, false)})
	}
	return n
}

func instancesOf(m *model.MultiInstanceSettings, cores int) node.MultiInstance {
	return node.MultiInstance{CoordinationCommandLine: m.CoordinationCommandLine,
		CommonResourceFiles: resources(m.CommonResourceFiles), Cores: cores}
}

func outcomeOf(r node.Result) outcome {
	o := outcome{Ended: at(r.Ended), Failure: failureOf(r.Failure), Retriable: r.Retriable, Lost: r.Lost}
	if r.Process {
		code := int32(r.ExitCode)
		o.ExitCode = &code
	}
	if c := r.Container; c != nil {
		o.Container = &model.TaskContainerExecutionInformation{ContainerID: c.ID, State: c.State, Error: c.Error}
	}
	return o
}

func failureOf(f *node.Failure) *model.TaskFailureInformation {
	if f == nil {
		return nil
	}
	info := &model.TaskFailureInformation{Category: strings.ToLower(f.Category), Code: f.Code, Message: f.Message}
	for _, d := range f.Details {
		info.Details = append(info.Details, model.NameValuePair{Name: d.Name, Value: d.Value})
	}
	return info
}

// isUpload says whether a task failed since its output files could not be uploaded.
func isUpload(f *model.TaskFailureInformation) bool { return strings.HasPrefix(f.Code, "FileUpload") }

// A subtask is one of a multi-instance task, apart from the primary.
type subtask struct {
	ID    int32
	Pool  string
	Node  string
	Dir   string
	State phase
	Begun moment
	outcome
}

// subtaskChanged takes note of what a node says of a subtask.
func (s *Service) subtaskChanged(r *run, sub node.Subtask) {
	t := r.t
	if t.run != r {
		return
	}
	var of *subtask
	for i := range t.Subtasks {
		if t.Subtasks[i].ID == int32(sub.ID) {
			of = &t.Subtasks[i]
		}
	}
	now := s.now()
	if of == nil {
		t.Subtasks = append(t.Subtasks, subtask{ID: int32(sub.ID), Pool: t.Pool, Node: sub.Node, Dir: sub.Dir,
			Begun: now, State: phase{State: "preparing", Since: now}})
		of = &t.Subtasks[len(t.Subtasks)-1]
	}
	of.Dir = sub.Dir
	switch {
	case !sub.Result.Ended.IsZero() || sub.Result.Failure != nil:
		of.State.set(completed, now)
		of.outcome = outcomeOf(sub.Result)
		if of.Ended == 0 {
			of.Ended = now
		}
	case sub.Running:
		of.State.set(running, now)
	}
	s.disk.touch(t)
}
