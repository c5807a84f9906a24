package rest

import (
	"net/http"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

var (
	readJobs        = of[model.CloudJob]("stats")
	readSchedules   = of[model.CloudJobSchedule]("stats")
	readPreparation = of[model.JobPreparationAndReleaseTaskExecutionInformation]()
)

func jobAdd(c *call) error {
	in, err := body[model.JobAddParameter](c)
	if err != nil {
		return err
	}
	tag, err := c.s.AddJob(c.r.Context(), in)
	if err != nil {
		return err
	}
	return c.created("/jobs/"+in.ID, tag)
}

func jobGet(c *call) error {
	q, err := readJobs.parse(c)
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	job, tag, err := c.s.Job(c.base, c.ids[0], q.Expands("stats"), conditions)
	if err != nil {
		return err
	}
	return entity(c, "jobs", q, job, &job.ODataMetadata, tag)
}

func jobPatch(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.JobPatchParameter, when odata.Conditions) (service.Tag, error) {
		return c.s.PatchJob(c.r.Context(), c.ids[0], in, when)
	})
}

// jobPut takes a whole job, since clients send back what they got; what cannot be changed is not looked at.
func jobPut(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.CloudJob, when odata.Conditions) (service.Tag, error) {
		return c.s.ReplaceJob(c.r.Context(), c.ids[0], in, when)
	})
}

func jobDelete(c *call) error {
	if _, err := c.flag("force"); err != nil {
		return err
	}
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return service.Tag{}, c.s.DeleteJob(c.r.Context(), c.ids[0], when)
	})
}

func jobDisable(c *call) error {
	return change(c, body, http.StatusAccepted, func(in *model.JobDisableParameter, when odata.Conditions) (service.Tag,
		error) {
		return c.s.DisableJob(c.r.Context(), c.ids[0], in.DisableTasks, when)
	})
}

func jobEnable(c *call) error {
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.EnableJob(c.r.Context(), c.ids[0], when)
	})
}

func jobTerminate(c *call) error {
	if _, err := c.flag("force"); err != nil {
		return err
	}
	return change(c, optional, http.StatusAccepted, func(in *model.JobTerminateParameter,
		when odata.Conditions) (service.Tag, error) {
		return c.s.TerminateJob(c.r.Context(), c.ids[0], in.TerminateReason, when)
	})
}

func jobTaskCounts(c *call) error {
	counts, err := c.s.TaskCounts(c.ids[0])
	if err != nil {
		return err
	}
	counts.ODataMetadata = element(c, "taskcountsresult/@Element")
	wire.JSON(c.w, c.r, http.StatusOK, counts)
	return nil
}

func scheduleAdd(c *call) error {
	in, err := body[model.JobScheduleAddParameter](c)
	if err != nil {
		return err
	}
	tag, err := c.s.AddSchedule(c.r.Context(), in)
	if err != nil {
		return err
	}
	return c.created("/jobschedules/"+in.ID, tag)
}

func scheduleGet(c *call) error {
	q, err := readSchedules.parse(c)
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	schedule, tag, err := c.s.Schedule(c.base, c.ids[0], conditions)
	if err != nil {
		return err
	}
	return entity(c, "jobschedules", q, schedule, &schedule.ODataMetadata, tag)
}

func schedulePatch(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.JobSchedulePatchParameter, when odata.Conditions) (service.Tag,
		error) {
		return c.s.UpdateSchedule(c.r.Context(), c.ids[0], in.Schedule, in.JobSpecification, in.Metadata, when)
	})
}

// schedulePut takes a whole schedule, as jobPut takes a job.
func schedulePut(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.CloudJobSchedule, when odata.Conditions) (service.Tag, error) {
		switch {
		case in.Schedule == nil:
			return service.Tag{}, apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "schedule")
		case in.JobSpecification == nil:
			return service.Tag{}, apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "jobSpecification")
		case in.Metadata == nil:
			in.Metadata = []model.MetadataItem{}
		}
		return c.s.UpdateSchedule(c.r.Context(), c.ids[0], in.Schedule, in.JobSpecification, in.Metadata, when)
	})
}

func scheduleDelete(c *call) error {
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return service.Tag{}, c.s.DeleteSchedule(c.r.Context(), c.ids[0], when)
	})
}

func scheduleDisable(c *call) error {
	return change(c, none, http.StatusNoContent, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.DisableSchedule(c.r.Context(), c.ids[0], when)
	})
}

func scheduleEnable(c *call) error {
	return change(c, none, http.StatusNoContent, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.EnableSchedule(c.r.Context(), c.ids[0], when)
	})
}

func scheduleTerminate(c *call) error {
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.TerminateSchedule(c.r.Context(), c.ids[0], when)
	})
}
