package service

import (
	"net/url"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// list makes a page of what an ordered map has.
func list[T, M any](s *Service, q odata.Query, fields odata.Fields[T], of *ordered[T], view func(T) M) ([]M, string, error) {
	match, err := fields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page, after := odata.Page(q, of.from(q.After), match)
	out := make([]M, len(page))
	for i, v := range page {
		out[i] = view(v)
	}
	return out, after, nil
}

func ptr[T any](v T) *T { return &v }

func poolURL(base, id string) string       { return base + "/pools/" + id }
func nodeURL(base, pool, id string) string { return poolURL(base, pool) + "/nodes/" + id }
func jobURL(base, id string) string        { return base + "/jobs/" + url.PathEscape(id) }
func taskURL(base, job, id string) string  { return jobURL(base, job) + "/tasks/" + id }
func scheduleURL(base, id string) string   { return base + "/jobschedules/" + id }

var poolFields = odata.Fields[*pool]{
	"id":                            odata.Text(func(p *pool) string { return p.Spec.ID }),
	"state":                         odata.Text(func(p *pool) string { return p.State.State }).Only("eq", "ne"),
	"stateTransitionTime":           odata.Time(func(p *pool) time.Time { return p.State.Since.time() }),
	"allocationState":               odata.Text(func(p *pool) string { return p.Allocation.State }).Only("eq", "ne"),
	"allocationStateTransitionTime": odata.Time(func(p *pool) time.Time { return p.Allocation.Since.time() }),
	"creationTime":                  odata.Time(func(p *pool) time.Time { return p.Created.time() }),
	"lastModified":                  odata.Time(func(p *pool) time.Time { return p.Modified.time() }),
	"enableAutoScale":               odata.Bool(func(p *pool) bool { return *p.Spec.EnableAutoScale }),
	"enableInterNodeCommunication":  odata.Bool(func(p *pool) bool { return *p.Spec.EnableInterNodeCommunication }),
	"vmSize":                        odata.Text(func(p *pool) string { return p.Spec.VMSize }),
}

func (s *Service) poolView(base string, p *pool, stats bool) model.CloudPool {
	spec := model.WithoutSecrets(&p.Spec)
	m := model.CloudPool{
		ID: spec.ID, DisplayName: spec.DisplayName, URL: poolURL(base, spec.ID), ETag: p.tag().ETag,
		LastModified: p.Modified.time(), CreationTime: p.Created.time(),
		State: p.State.State, StateTransitionTime: p.State.Since.time(), AllocationState: p.Allocation.State,
		AllocationStateTransitionTime: p.Allocation.Since.time(),
		VMSize:                        spec.VMSize, VirtualMachineConfiguration: spec.VirtualMachineConfiguration,
		ResizeTimeout: spec.ResizeTimeout, ResizeErrors: p.ResizeErrors,
		CurrentDedicatedNodes: ptr(int32(p.count[dedicated])), CurrentLowPriorityNodes: ptr(int32(p.count[lowPriority])),
		TargetDedicatedNodes: ptr(int32(p.Target[dedicated])), TargetLowPriorityNodes: ptr(int32(p.Target[lowPriority])),
		EnableAutoScale: spec.EnableAutoScale, AutoScaleFormula: spec.AutoScaleFormula,
		AutoScaleEvaluationInterval: spec.AutoScaleEvaluationInterval, AutoScaleRun: p.Run,
		EnableInterNodeCommunication: spec.EnableInterNodeCommunication,
		NetworkConfiguration:         spec.NetworkConfiguration, StartTask: spec.StartTask,
		CertificateReferences:        spec.CertificateReferences,
		ApplicationPackageReferences: spec.ApplicationPackageReferences, TaskSlotsPerNode: spec.TaskSlotsPerNode,
		TaskSchedulingPolicy: spec.TaskSchedulingPolicy, UserAccounts: spec.UserAccounts, Metadata: spec.Metadata,
		MountConfiguration:          spec.MountConfiguration,
		TargetNodeCommunicationMode: spec.TargetNodeCommunicationMode, CurrentNodeCommunicationMode: "simplified",
		UpgradePolicy: spec.UpgradePolicy, ResourceTags: spec.ResourceTags, Identity: p.Identity,
	}
	if m.TargetNodeCommunicationMode == "" {
		m.TargetNodeCommunicationMode = "default"
	}
	if stats {
		now := s.clock.Now()
		m.Stats = &model.PoolStatistics{URL: m.URL + "/poolstats", StartTime: m.CreationTime, LastUpdateTime: now}
		if u := p.usage; u != nil {
			u.advance(s.now(), p.nodes.len()*p.cores)
			m.Stats.UsageStats = &model.UsageStatistics{StartTime: m.CreationTime, LastUpdateTime: now,
				DedicatedCoreTime: model.Duration(u.Hours * float64(time.Hour))}
		}
	}
	return m
}

// Pool returns one, if it is as the conditions want.
func (s *Service) Pool(base, id string, stats bool, c odata.Conditions) (*model.CloudPool, Tag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.pool(id)
	if err != nil {
		return nil, Tag{}, err
	}
	tag := p.tag()
	if err := c.Check("GET", tag.ETag, tag.Modified); err != nil {
		return nil, tag, err
	}
	m := s.poolView(base, p, stats)
	return &m, tag, nil
}

// Pools lists them.
func (s *Service) Pools(base string, q odata.Query) ([]model.CloudPool, string, error) {
	return list(s, q, poolFields, &s.pools, func(p *pool) model.CloudPool { return s.poolView(base, p, q.Expands("stats")) })
}
