package service

import (
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

var nodeCountFields = odata.Fields[*pool]{"poolId": odata.Text(func(p *pool) string { return p.Spec.ID })}

// NodeCounts lists how many nodes each pool has in each state.
func (s *Service) NodeCounts(q odata.Query) ([]model.PoolNodeCounts, string, error) {
	return list(s, q, nodeCountFields, &s.pools, func(p *pool) model.PoolNodeCounts {
		m := model.PoolNodeCounts{PoolID: p.Spec.ID, Dedicated: &model.NodeCounts{}, LowPriority: &model.NodeCounts{}}
		for n := range p.nodes.all() {
			c := m.Dedicated
			if !n.Dedicated {
				c = m.LowPriority
			}
			c.Total++
			state := n.State.State
			if n.usable() && n.Disabled {
				state = offline
			}
			*map[string]*int32{creating: &c.Creating, idle: &c.Idle, offline: &c.Offline, preempted: &c.Preempted,
				rebooting: &c.Rebooting, reimaging: &c.Reimaging, running: &c.Running, starting: &c.Starting,
				startTaskFailed: &c.StartTaskFailed, leavingPool: &c.LeavingPool, "unknown": &c.Unknown,
				unusable: &c.Unusable, waitingForStartTask: &c.WaitingForStartTask, deallocated: &c.Deallocated,
				deallocating: &c.Deallocating}[state]++
		}
		return m
	})
}

var nodeFields = odata.Fields[*compute]{
	"id":                      odata.Text(func(n *compute) string { return n.ID }),
	"state":                   odata.Text(func(n *compute) string { return n.State.State }).Only("eq", "ne"),
	"stateTransitionTime":     odata.Time(func(n *compute) time.Time { return n.State.Since.time() }),
	"lastBootTime":            odata.Time(func(n *compute) time.Time { return n.Booted.time() }),
	"allocationTime":          odata.Time(func(n *compute) time.Time { return n.Created.time() }),
	"schedulingState":         odata.Text((*compute).scheduling).Only("eq", "ne"),
	"startTaskInfo/state":     odata.Text(func(n *compute) string { return n.start().State }).Only("eq", "ne"),
	"startTaskInfo/result":    odata.Text(func(n *compute) string { return n.start().ended() }).Only("eq", "ne"),
	"startTaskInfo/exitCode":  odata.Number(func(n *compute) (int64, bool) { return exitCode(&n.start().outcome) }),
	"startTaskInfo/startTime": odata.Time(func(n *compute) time.Time { return n.start().Begun.time() }),
	"startTaskInfo/endTime":   odata.Time(func(n *compute) time.Time { return n.start().Ended.time() }),
}

func (n *compute) scheduling() string {
	if n.Disabled {
		return disabled
	}
	return enabled
}

// start is what is known of the start task; nothing, if it has not begun.
func (n *compute) start() *startInfo {
	if n.Start == nil {
		return &startInfo{}
	}
	return n.Start
}

// ended is the result, once there is one.
func (i *startInfo) ended() string {
	if i.State != completed {
		return ""
	}
	return i.result()
}

func exitCode(o *outcome) (int64, bool) {
	if o.ExitCode == nil {
		return 0, false
	}
	return int64(*o.ExitCode), true
}

func (s *Service) nodeView(base string, n *compute) model.ComputeNode {
	p := n.pool
	m := model.ComputeNode{
		ID: n.ID, URL: nodeURL(base, p.Spec.ID, n.ID), State: n.State.State, SchedulingState: n.scheduling(),
		StateTransitionTime: n.State.Since.time(),
		LastBootTime:        n.Booted.time(), AllocationTime: n.Created.time(), IPAddress: n.address(),
		AffinityID: affinityPrefix + n.ID, VMSize: p.Spec.VMSize,
		TotalTasksRun: ptr(n.Total), RunningTasksCount: ptr(int32(len(n.runs))),
		RunningTaskSlotsCount: ptr(int32(n.used)), TotalTasksSucceeded: ptr(n.Succeeded),
		StartTask: model.WithoutSecrets(p.Spec.StartTask), CertificateReferences: p.Spec.CertificateReferences, Errors: n.Errors,
		IsDedicated: ptr(n.Dedicated),
		EndpointConfiguration: &model.ComputeNodeEndpointConfiguration{InboundEndpoints: []model.InboundEndpoint{{
			Name: "SSHRule.0", Protocol: "tcp", PublicIPAddress: n.address(), PublicFQDN: "localhost", FrontendPort: 22,
			BackendPort: 22}}},
		NodeAgentInfo:      &model.NodeAgentInformation{Version: "clusterless-emulator", LastUpdateTime: n.Created.time()},
		VirtualMachineInfo: &model.VirtualMachineInfo{},
	}
	if v := p.Spec.VirtualMachineConfiguration; v != nil && v.ImageReference != nil {
		image := *v.ImageReference
		if image.ExactVersion == "" && image.Publisher != "" {
			image.ExactVersion = "1.0.0"
		}
		m.VirtualMachineInfo.ImageReference = &image
	}
	if c := p.Spec.NetworkConfiguration; c != nil && c.EndpointConfiguration != nil {
		for i, pool := range c.EndpointConfiguration.InboundNATPools {
			m.EndpointConfiguration.InboundEndpoints = append(m.EndpointConfiguration.InboundEndpoints,
				model.InboundEndpoint{Name: pool.Name + "." + strconv.Itoa(i), Protocol: pool.Protocol,
					PublicIPAddress: n.address(), PublicFQDN: "localhost", FrontendPort: *pool.FrontendPortRangeStart,
					BackendPort: *pool.BackendPort})
		}
	}
	if i := n.Start; i != nil {
		m.StartTaskInfo = &model.StartTaskInformation{State: i.State, StartTime: i.Begun.time(),
			EndTime: i.Ended.time(), ExitCode: i.ExitCode, ContainerInfo: i.Container, FailureInfo: i.Failure,
			RetryCount: i.Retries, LastRetryTime: i.LastRetry.time(), Result: i.ended()}
	}
	for k := len(n.recent) - 1; k >= 0; k-- {
		r := n.recent[k]
		info := model.TaskInformation{TaskURL: taskURL(base, r.job, r.task), JobID: r.job, TaskID: r.task,
			TaskState: r.t.State.String(), ExecutionInfo: r.t.execution()}
		if r.subtask > 0 {
			info.SubtaskID = ptr(r.subtask)
		}
		m.RecentTasks = append(m.RecentTasks, info)
	}
	return m
}

// Node returns one.
func (s *Service) Node(base, poolID, nodeID string) (*model.ComputeNode, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.node(poolID, nodeID)
	if err != nil {
		return nil, err
	}
	m := s.nodeView(base, n)
	return &m, nil
}

// Nodes lists those of a pool.
func (s *Service) Nodes(base, poolID string, q odata.Query) ([]model.ComputeNode, string, error) {
	s.mu.Lock()
	p, err := s.pool(poolID)
	s.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
	return list(s, q, nodeFields, &p.nodes, func(n *compute) model.ComputeNode { return s.nodeView(base, n) })
}

// Extensions lists the extensions of a node: those of its pool, which do nothing here.
func (s *Service) Extensions(poolID, nodeID string) ([]model.NodeVMExtension, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.node(poolID, nodeID)
	if err != nil {
		return nil, err
	}
	var all []model.NodeVMExtension
	if v := n.pool.Spec.VirtualMachineConfiguration; v != nil {
		for _, e := range model.WithoutSecrets(v.Extensions) {
			all = append(all, model.NodeVMExtension{ProvisioningState: "Succeeded", VMExtension: &e,
				InstanceView: &model.VMExtensionInstanceView{Name: e.Name,
					Statuses: []model.InstanceViewStatus{{Code: "ProvisioningState/succeeded",
						DisplayStatus: "Provisioning succeeded", Level: "Info"}}}})
		}
	}
	return all, nil
}
