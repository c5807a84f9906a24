package service

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// The kinds of nodes a pool has, as indexes of its targets.
const (
	dedicated = iota
	lowPriority
	kinds
)

// Allocation states.
const (
	steady   = "steady"
	resizing = "resizing"
	stopping = "stopping"
)

// States that several kinds of entities have.
const (
	active    = "active"
	completed = "completed"
	deleting  = "deleting"
)

const defaultResizeTimeout = model.Duration(15 * time.Minute)

// A poolRecord is what is stored of a pool.
type poolRecord struct {
	stamp
	Spec         model.PoolAddParameter
	State        phase
	Allocation   phase
	Target       [kinds]int
	Timeout      time.Duration       // of the last resize
	Option       string              // how its nodes leave
	ResizeErrors []model.ResizeError `json:",omitempty"`
	Capacity     [kinds]int          // how many nodes can be had; -1: any number
	Identity     *model.BatchPoolIdentity
	FailFast     bool                // nodes that cannot be had fail a resize at once
	Run          *model.AutoScaleRun `json:",omitempty"`
	Enabled      moment              // when autoscaling was last enabled
	Lifetime     string              `json:",omitempty"` // of an auto pool: "job/…" or "jobschedule/…", by key
	KeepAlive    bool                `json:",omitempty"`
}

// A pool is a number of nodes that are alike.
type pool struct {
	poolRecord
	key      string
	cores    int
	slots    int // of a node
	nodes    ordered[*compute]
	count    [kinds]int   // of nodes, with those that are leaving
	staying  [kinds]int   // of nodes, without them
	free     [][]*compute // nodes that can take tasks, by the slots they have free
	jobs     []*job       // that are to run here, the most urgent first
	formula  *autoscale.Formula
	history  *autoscale.History
	evaluate *clock.Timer
	deadline *clock.Timer
	allocate *clock.Timer
	sim      *Simulation // nil: real nodes
	events   *clock.Timer
	usage    *usage
	reaching bool
}

func (s *Service) newPool(r poolRecord) *pool {
	p := &pool{poolRecord: r, key: model.Key(r.Spec.ID), cores: coresOf(r.Spec.VMSize),
		slots: int(model.Or(r.Spec.TaskSlotsPerNode, 1)), history: autoscale.NewHistory(24 * time.Hour)}
	p.free = make([][]*compute, p.slots+1)
	p.sim = s.simulationOf(&p.Spec)
	s.pools.add(p.key, p)
	for j := range s.jobs.all() {
		if j.poolKey() == p.key {
			p.attach(j)
		}
	}
	return p
}

func (s *Service) pool(id string) (*pool, error) {
	p, ok := s.pools.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.PoolNotFound)
	}
	return p, nil
}

// alive is pool, for requests that a pool which is being deleted refuses.
func (s *Service) alive(id string) (*pool, error) {
	p, err := s.pool(id)
	if err == nil && p.State.State == deleting {
		return nil, apierror.New(apierror.PoolBeingDeleted)
	}
	return p, err
}

// AddPool makes a pool.
func (s *Service) AddPool(ctx context.Context, spec *model.PoolAddParameter) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		if err := model.CheckID("id", spec.ID); err != nil {
			return err
		}
		if p, ok := s.pools.get(model.Key(spec.ID)); ok {
			if p.State.State == deleting {
				return apierror.New(apierror.PoolBeingDeleted)
			}
			return apierror.New(apierror.PoolExists)
		}
		p, err := s.addPool(spec)
		if err != nil {
			return err
		}
		tag = p.tag()
		return nil
	})
	return tag, err
}

func (s *Service) addPool(spec *model.PoolAddParameter) (*pool, error) {
	if q := s.opts.Quota.Pools; q > 0 && s.pools.len() >= q {
		return nil, apierror.New(apierror.PoolQuotaReached)
	}
	formula, err := s.checkPool(spec)
	if err != nil {
		return nil, err
	}
	now := s.now()
	r := poolRecord{Spec: *spec, stamp: stamp{now, now}, State: phase{State: active, Since: now},
		Allocation: phase{State: steady, Since: now}, Capacity: [kinds]int{-1, -1}}
	p := s.newPool(r)
	p.formula = formula
	s.storePool(p)
	s.happen(p)
	timeout := time.Duration(*spec.ResizeTimeout)
	if *spec.EnableAutoScale {
		p.Enabled = now
		s.evaluateLater(p, 0)
	} else if target := targets(spec.TargetDedicatedNodes, spec.TargetLowPriorityNodes); target != [kinds]int{} {
		s.resize(p, target, timeout, "")
	}
	return p, nil
}

func targets(dedicated, low *int32) [kinds]int {
	return [kinds]int{int(model.Or(dedicated, 0)), int(model.Or(low, 0))}
}

// checkPool checks what a pool is to be, and completes it with the defaults.
func (s *Service) checkPool(spec *model.PoolAddParameter) (*autoscale.Formula, error) {
	spec.VMSize = strings.ToLower(spec.VMSize)
	if coresOf(spec.VMSize) == 0 {
		return nil, apierror.Property("vmSize", spec.VMSize, "The specified vmSize is not a known size of virtual machines.")
	}
	if spec.VirtualMachineConfiguration == nil {
		return nil, apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "virtualMachineConfiguration")
	}
	if err := checkImage(spec.VirtualMachineConfiguration); err != nil {
		return nil, err
	}
	model.Default(&spec.TaskSlotsPerNode, 1)
	if err := checkSlots(spec); err != nil {
		return nil, err
	}
	model.Default(&spec.EnableAutoScale, false)
	model.Default(&spec.EnableInterNodeCommunication, false)
	model.Default(&spec.ResizeTimeout, defaultResizeTimeout)
	if spec.TaskSchedulingPolicy == nil {
		spec.TaskSchedulingPolicy = &model.TaskSchedulingPolicy{NodeFillType: "spread"}
	}
	if spec.StartTask != nil {
		if err := checkStartTask(spec.StartTask, spec.UserAccounts); err != nil {
			return nil, err
		}
	}
	if err := s.checkPackages(spec.ApplicationPackageReferences); err != nil {
		return nil, err
	}
	if err := s.checkCertificates(spec.CertificateReferences); err != nil {
		return nil, err
	}
	if _, err := parseSimulation(spec.Metadata); err != nil {
		return nil, apierror.Property("metadata", simulateKey, err.Error())
	}
	target := targets(spec.TargetDedicatedNodes, spec.TargetLowPriorityNodes)
	if !*spec.EnableAutoScale {
		if spec.AutoScaleFormula != "" {
			return nil, apierror.Property("autoScaleFormula", spec.AutoScaleFormula,
				"It may be given only when enableAutoScale is true.")
		}
		if err := checkTimeout(*spec.ResizeTimeout); err != nil {
			return nil, err
		}
		return nil, s.checkTarget(spec, target)
	}
	if spec.TargetDedicatedNodes != nil || spec.TargetLowPriorityNodes != nil {
		return nil, apierror.Property("targetDedicatedNodes", "", "It must not be given when enableAutoScale is true.")
	}
	if spec.AutoScaleFormula == "" {
		return nil, apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "autoScaleFormula")
	}
	model.Default(&spec.AutoScaleEvaluationInterval, defaultInterval)
	if err := checkInterval(*spec.AutoScaleEvaluationInterval); err != nil {
		return nil, err
	}
	return parseFormula(spec.AutoScaleFormula)
}

// checkTarget checks how many nodes a pool is to have.
func (s *Service) checkTarget(spec *model.PoolAddParameter, target [kinds]int) error {
	for k, name := range []string{"targetDedicatedNodes", "targetLowPriorityNodes"} {
		if target[k] < 0 {
			return apierror.Property(name, strconv.Itoa(target[k]), "It must not be negative.")
		}
	}
	limit := s.opts.Quota.Nodes
	if *spec.EnableInterNodeCommunication {
		limit = s.opts.Quota.InterNodeNodes
		if target[dedicated] > 0 && target[lowPriority] > 0 {
			return apierror.Property("enableInterNodeCommunication", "true",
				"A pool with inter-node communication cannot have both dedicated and low-priority nodes.")
		}
	}
	if n := target[dedicated] + target[lowPriority]; limit > 0 && n > limit {
		return apierror.Property("targetDedicatedNodes", strconv.Itoa(n),
			"A pool of this kind can have at most "+strconv.Itoa(limit)+" nodes.")
	}
	return nil
}

func checkTimeout(d model.Duration) error {
	if time.Duration(d) < 5*time.Minute {
		return apierror.Property("resizeTimeout", d.String(), "It must be at least PT5M.")
	}
	return nil
}

func checkSlots(spec *model.PoolAddParameter) error {
	n := int(*spec.TaskSlotsPerNode)
	if most := min(4*coresOf(spec.VMSize), 256); n < 1 || n > most {
		return apierror.Property("taskSlotsPerNode", strconv.Itoa(n),
			"It must be at least 1 and at most the smaller of 4 times the cores of a node and 256, which is "+strconv.Itoa(most)+".")
	}
	return nil
}

// coresOf is the number of cores that the name of a size tells, as 4 of standard_d4s_v3; 0 for a name that tells none.
func coresOf(size string) int {
	family, rest, ok := strings.Cut(strings.ToLower(size), "_")
	if !ok || family != "standard" && family != "basic" {
		return 0
	}
	i := strings.IndexAny(rest, "0123456789")
	if i <= 0 {
		return 0
	}
	n := 0
	for _, c := range rest[i:] {
		if c < '0' || c > '9' || n > 1000 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// PatchPool changes what the patch names.
func (s *Service) PatchPool(ctx context.Context, id string, patch *model.PoolPatchParameter, c odata.Conditions) (Tag, error) {
	return s.changePool(ctx, id, c, func(p *pool) error {
		spec := p.Spec
		replace(&spec.StartTask, patch.StartTask)
		replaceList(&spec.CertificateReferences, patch.CertificateReferences)
		replaceList(&spec.ApplicationPackageReferences, patch.ApplicationPackageReferences)
		replaceList(&spec.Metadata, patch.Metadata)
		replaceText(&spec.TargetNodeCommunicationMode, patch.TargetNodeCommunicationMode)
		replaceText(&spec.DisplayName, patch.DisplayName)
		replaceList(&spec.UserAccounts, patch.UserAccounts)
		replaceList(&spec.MountConfiguration, patch.MountConfiguration)
		replace(&spec.UpgradePolicy, patch.UpgradePolicy)
		replace(&spec.TaskSchedulingPolicy, patch.TaskSchedulingPolicy)
		if patch.ResourceTags != nil {
			spec.ResourceTags = patch.ResourceTags
		}
		if patch.VMSize != "" || patch.TaskSlotsPerNode != nil || patch.EnableInterNodeCommunication != nil ||
			patch.VirtualMachineConfiguration != nil || patch.NetworkConfiguration != nil {
			if p.count != [kinds]int{} {
				return apierror.New(apierror.OperationNotValidOnPool).With("Reason",
					"The nodes of a pool can be made otherwise only while it has none.")
			}
			replaceText(&spec.VMSize, patch.VMSize)
			replace(&spec.TaskSlotsPerNode, patch.TaskSlotsPerNode)
			replace(&spec.EnableInterNodeCommunication, patch.EnableInterNodeCommunication)
			replace(&spec.VirtualMachineConfiguration, patch.VirtualMachineConfiguration)
			replace(&spec.NetworkConfiguration, patch.NetworkConfiguration)
		}
		return s.respecify(p, spec)
	})
}

// UpdatePoolProperties replaces the properties that can be replaced at any time, with nothing when they are not given.
func (s *Service) UpdatePoolProperties(ctx context.Context, id string, u *model.PoolUpdatePropertiesParameter) (Tag, error) {
	return s.changePool(ctx, id, odata.Conditions{}, func(p *pool) error {
		spec := p.Spec
		spec.StartTask = u.StartTask
		spec.CertificateReferences = u.CertificateReferences
		spec.ApplicationPackageReferences = u.ApplicationPackageReferences
		spec.Metadata = u.Metadata
		spec.TargetNodeCommunicationMode = u.TargetNodeCommunicationMode
		return s.respecify(p, spec)
	})
}

// respecify gives a pool another specification. It is what nodes are made by from now on.
func (s *Service) respecify(p *pool, spec model.PoolAddParameter) error {
	scaled := spec
	if *scaled.EnableAutoScale { // they show the last targets, and are nothing that was given
		scaled.TargetDedicatedNodes, scaled.TargetLowPriorityNodes = nil, nil
	}
	if _, err := s.checkPool(&scaled); err != nil {
		return err
	}
	sim := s.simulationOf(&scaled)
	if (sim == nil) != (p.sim == nil) && p.nodes.len() > 0 {
		return apierror.New(apierror.OperationNotValidOnPool).With("Reason",
			"The nodes of a pool can become simulated or real ones only while it has none.")
	}
	p.Spec, p.sim = scaled, sim
	p.cores, p.slots = coresOf(scaled.VMSize), int(*scaled.TaskSlotsPerNode)
	if len(p.free) != p.slots+1 {
		p.free = make([][]*compute, p.slots+1)
	}
	return nil
}

func replace[T any](to **T, with *T) {
	if with != nil {
		*to = with
	}
}

func replaceList[T any](to *[]T, with []T) {
	if with != nil {
		*to = with
	}
}

func replaceText(to *string, with string) {
	if with != "" {
		*to = with
	}
}

// changePool changes a pool that is not being deleted.
func (s *Service) changePool(ctx context.Context, id string, c odata.Conditions, f func(p *pool) error) (tag Tag, err error) {
	err = s.change(ctx, func() error {
		p, err := s.alive(id)
		if err != nil {
			return err
		}
		if err := p.met(c); err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
		p.touch(s.now())
		s.storePool(p)
		tag = p.tag()
		return nil
	})
	return tag, err
}

// DeletePool begins to delete a pool. It is gone when its nodes are.
func (s *Service) DeletePool(ctx context.Context, id string, c odata.Conditions) error {
	_, err := s.changePool(ctx, id, c, func(p *pool) error {
		s.deletePool(p)
		return nil
	})
	return err
}

func (s *Service) deletePool(p *pool) {
	now := s.now()
	p.State.set(deleting, now)
	p.endResize()
	p.evaluate.Stop()
	p.events.Stop()
	p.Allocation.set(resizing, now)
	p.Target = [kinds]int{}
	s.storePool(p)
	for n := range p.nodes.all() {
		s.leave(n, requeue)
	}
	s.later(0, func() { s.settlePool(p) })
}

// settlePool removes a pool that is being deleted and has no nodes any more.
func (s *Service) settlePool(p *pool) {
	if p.State.State != deleting || p.count != [kinds]int{} {
		return
	}
	if known, ok := s.pools.get(p.key); !ok || known != p {
		return
	}
	s.endUsage(p)
	s.pools.remove(p.key)
	s.disk.remove(poolBucket, p.key)
	for _, j := range p.jobs {
		j.pool = nil
	}
	p.jobs = nil
}

func (s *Service) storePool(p *pool) {
	s.disk.put(poolBucket, p.key, &p.poolRecord)
}

// attach makes a pool the one that a job runs on.
func (p *pool) attach(j *job) {
	j.pool = p
	p.jobs = append(p.jobs, j)
	p.order()
}

// order puts the jobs of a pool in the order of their urgency: by priority, and then the older first.
func (p *pool) order() {
	slices.SortStableFunc(p.jobs, func(a, b *job) int {
		if d := int(*b.Spec.Priority) - int(*a.Spec.Priority); d != 0 {
			return d
		}
		return int(a.Created - b.Created)
	})
}

func (p *pool) detach(j *job) {
	p.jobs = slices.DeleteFunc(p.jobs, func(other *job) bool { return other == j })
	j.pool = nil
}
