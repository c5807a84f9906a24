package service

import (
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

var scheduleFields = odata.Fields[*schedule]{
	"id":                     odata.Text(func(c *schedule) string { return c.Spec.ID }),
	"state":                  odata.Text(func(c *schedule) string { return c.State.State }).Only("eq", "ne"),
	"stateTransitionTime":    odata.Time(func(c *schedule) time.Time { return c.State.Since.time() }),
	"creationTime":           odata.Time(func(c *schedule) time.Time { return c.Created.time() }),
	"lastModified":           odata.Time(func(c *schedule) time.Time { return c.Modified.time() }),
	"executionInfo/endTime":  odata.Time(func(c *schedule) time.Time { return c.Ended.time() }),
	"schedule/doNotRunUntil": odata.Time(func(c *schedule) time.Time { return c.Spec.Schedule.DoNotRunUntil }),
	"schedule/doNotRunAfter": odata.Time(func(c *schedule) time.Time { return c.Spec.Schedule.DoNotRunAfter }),
}

func (s *Service) scheduleView(base string, c *schedule) model.CloudJobSchedule {
	m := model.CloudJobSchedule{ID: c.Spec.ID, DisplayName: c.Spec.DisplayName, URL: scheduleURL(base, c.Spec.ID),
		ETag: c.tag().ETag, LastModified: c.Modified.time(), CreationTime: c.Created.time(), State: c.State.State,
		StateTransitionTime: c.State.Since.time(), PreviousState: c.State.Previous,
		PreviousStateTransitionTime: c.State.Before.time(), Schedule: c.Spec.Schedule,
		JobSpecification: model.WithoutSecrets(c.Spec.JobSpecification), Metadata: c.Spec.Metadata,
		ExecutionInfo: &model.JobScheduleExecutionInformation{NextRunTime: c.Next.time(), EndTime: c.Ended.time()}}
	if c.Recent != "" {
		m.ExecutionInfo.RecentJob = &model.RecentJob{ID: c.Recent, URL: jobURL(base, c.Recent)}
	}
	return m
}

// Schedule returns one.
func (s *Service) Schedule(base, id string, c odata.Conditions) (*model.CloudJobSchedule, Tag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sch, err := s.jobSchedule(id)
	if err != nil {
		return nil, Tag{}, err
	}
	tag := sch.tag()
	if err := c.Check("GET", tag.ETag, tag.Modified); err != nil {
		return nil, tag, err
	}
	m := s.scheduleView(base, sch)
	return &m, tag, nil
}

// Schedules lists them.
func (s *Service) Schedules(base string, q odata.Query) ([]model.CloudJobSchedule, string, error) {
	return list(s, q, scheduleFields, &s.schedules, func(c *schedule) model.CloudJobSchedule { return s.scheduleView(base, c) })
}
