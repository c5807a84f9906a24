package service

import (
	"strconv"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// checkJob checks a job and completes it with the defaults.
func (s *Service) checkJob(spec *model.JobAddParameter) error {
	model.Default(&spec.Priority, 0)
	model.Default(&spec.MaxParallelTasks, -1)
	model.Default(&spec.AllowTaskPreemption, false)
	model.Default(&spec.UsesTaskDependencies, false)
	if spec.Constraints == nil {
		spec.Constraints = &model.JobConstraints{}
	}
	model.Default(&spec.Constraints.MaxWallClockTime, model.Unlimited)
	model.Default(&spec.Constraints.MaxTaskRetryCount, 0)
	if spec.OnAllTasksComplete == "" {
		spec.OnAllTasksComplete = "noaction"
	}
	if spec.OnTaskFailure == "" {
		spec.OnTaskFailure = "noaction"
	}
	if err := checkPriority(spec.Priority); err != nil {
		return err
	}
	if err := checkParallel(spec.MaxParallelTasks); err != nil {
		return err
	}
	if err := checkRetries("constraints/maxTaskRetryCount", spec.Constraints.MaxTaskRetryCount); err != nil {
		return err
	}
	if err := checkWallClock("constraints/maxWallClockTime", spec.Constraints.MaxWallClockTime); err != nil {
		return err
	}
	if err := s.checkPoolInfo(spec.PoolInfo); err != nil {
		return err
	}
	if err := checkEnvironment("commonEnvironmentSettings", spec.CommonEnvironmentSettings); err != nil {
		return err
	}
	if m := spec.JobManagerTask; m != nil {
		model.Default(&m.KillJobOnCompletion, true)
		model.Default(&m.RunExclusive, true)
		model.Default(&m.AllowLowPriorityNode, true)
		model.Default(&m.RequiredSlots, 1)
		if n := managerTask(m); n.Err != nil {
			return n.Err
		}
	}
	if p := spec.JobPreparationTask; p != nil {
		if p.ID == "" {
			p.ID = "jobpreparation"
		}
		model.Default(&p.WaitForSuccess, true)
		model.Default(&p.RerunOnNodeRebootAfterSuccess, true)
		if p.Constraints == nil {
			p.Constraints = &model.TaskConstraints{}
		}
		model.Default(&p.Constraints.MaxWallClockTime, model.Unlimited)
		model.Default(&p.Constraints.RetentionTime, defaultRetention)
		model.Default(&p.Constraints.MaxTaskRetryCount, 0)
		if err := checkConstraints("jobPreparationTask/", p.Constraints); err != nil {
			return err
		}
		if err := checkAuxiliary("jobPreparationTask", p.ID, p.CommandLine, p.ResourceFiles, p.EnvironmentSettings,
			&p.UserIdentity); err != nil {
			return err
		}
	}
	if r := spec.JobReleaseTask; r != nil {
		if spec.JobPreparationTask == nil {
			return apierror.New(apierror.JobPreparationTaskNotSpecified)
		}
		if r.ID == "" {
			r.ID = "jobrelease"
		}
		model.Default(&r.MaxWallClockTime, defaultReleaseTime)
		model.Default(&r.RetentionTime, defaultRetention)
		if *r.MaxWallClockTime > defaultReleaseTime {
			return apierror.Property("jobReleaseTask/maxWallClockTime", r.MaxWallClockTime.String(),
				"It must be at most PT15M.")
		}
		if err := checkWallClock("jobReleaseTask/maxWallClockTime", r.MaxWallClockTime); err != nil {
			return err
		}
		return checkAuxiliary("jobReleaseTask", r.ID, r.CommandLine, r.ResourceFiles, r.EnvironmentSettings, &r.UserIdentity)
	}
	return nil
}

// checkAuxiliary checks a preparation or release task.
func checkAuxiliary(name, id, command string, files []model.ResourceFile, env []model.EnvironmentSetting,
	user **model.UserIdentity) error {
	if err := model.CheckID(name+"/id", id); err != nil {
		return err
	}
	if *user == nil {
		*user = &model.UserIdentity{AutoUser: &model.AutoUserSpecification{Scope: "pool", ElevationLevel: "nonadmin"}}
	}
	return checkCommon(name+"/", command, files, nil, env, *user)
}

func checkPriority(p *int32) error {
	if p != nil && (*p < -1000 || *p > 1000) {
		return apierror.Property("priority", strconv.Itoa(int(*p)), "It must be at least -1000 and at most 1000.")
	}
	return nil
}

func checkParallel(n *int32) error {
	if n != nil && *n < 1 && *n != -1 {
		return apierror.Property("maxParallelTasks", strconv.Itoa(int(*n)), "It must be greater than 0, or -1.")
	}
	return nil
}

func checkRetries(name string, n *int32) error {
	if n != nil && *n < -1 {
		return apierror.Property(name, strconv.Itoa(int(*n)), "It must be at least -1.")
	}
	return nil
}

// checkConstraints checks the constraints of a task; nil are none.
func checkConstraints(path string, c *model.TaskConstraints) error {
	if c == nil {
		return nil
	}
	if err := checkRetries(path+"constraints/maxTaskRetryCount", c.MaxTaskRetryCount); err != nil {
		return err
	}
	if r := c.RetentionTime; r != nil && *r < 0 {
		return apierror.Property(path+"constraints/retentionTime", r.String(), "It must not be negative.")
	}
	return checkWallClock(path+"constraints/maxWallClockTime", c.MaxWallClockTime)
}

func checkWallClock(name string, d *model.Duration) error {
	if d != nil && *d <= 0 {
		return apierror.Property(name, d.String(), "It must be longer than no time.")
	}
	return nil
}

func (s *Service) checkPoolInfo(info *model.PoolInformation) error {
	switch auto := info.AutoPoolSpecification; {
	case (info.PoolID == "") == (auto == nil):
		return apierror.Property("poolInfo", info.PoolID, "Exactly one of poolId and autoPoolSpecification must be given.")
	case auto == nil:
		return model.CheckID("poolInfo/poolId", info.PoolID)
	case len(auto.AutoPoolIDPrefix) > 20:
		return apierror.Property("poolInfo/autoPoolSpecification/autoPoolIdPrefix", auto.AutoPoolIDPrefix,
			"It must have at most 20 characters.")
	case auto.Pool == nil:
		return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "poolInfo/autoPoolSpecification/pool")
	default:
		return nil
	}
}
