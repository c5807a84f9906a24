package service

import (
	"context"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// What can be made to happen to nodes on request. The real service has nothing like it: there such things just happen.

// PreemptNode takes a low-priority node away, as Azure does when it needs it: its tasks are active again, and the node comes
// back empty after a while.
func (s *Service) PreemptNode(ctx context.Context, poolID, nodeID string) error {
	return s.strikeNode(ctx, poolID, nodeID, func(n *compute) error {
		if n.Dedicated {
			return apierror.New(apierror.OperationNotValidOnNode).With("Reason", "Only low-priority nodes are preempted.")
		}
		s.preempt(n)
		return nil
	})
}

// BreakNode makes a node unusable, until it is rebooted or reimaged.
func (s *Service) BreakNode(ctx context.Context, poolID, nodeID string) error {
	return s.strikeNode(ctx, poolID, nodeID, func(n *compute) error {
		s.down(n, unusable)
		return nil
	})
}

// SlowNode makes the tasks of a simulated node take that many times longer from the next one on.
func (s *Service) SlowNode(ctx context.Context, poolID, nodeID string, factor float64) error {
	return s.strikeNode(ctx, poolID, nodeID, func(n *compute) error {
		if n.pool.sim == nil {
			return apierror.New(apierror.OperationNotValidOnNode).With("Reason", "Only simulated nodes can be made slow.")
		}
		if !(factor > 0 && factor <= mostOfSimulation) {
			return apierror.New(apierror.OperationNotValidOnNode).With("Reason", "The factor must be more than 0 and at most a million.")
		}
		n.Slow = factor
		s.storeNode(n)
		return nil
	})
}

func (s *Service) strikeNode(ctx context.Context, poolID, nodeID string, f func(n *compute) error) error {
	return s.change(ctx, func() error {
		n, err := s.node(poolID, nodeID)
		if err != nil {
			return err
		}
		if n.State.State == leavingPool {
			return apierror.New(apierror.OperationNotValidOnNode).With("NodeState", leavingPool)
		}
		if err := f(n); err != nil {
			return err
		}
		s.schedule(n.pool)
		return nil
	})
}

// SetCapacity says how many nodes of each kind a pool can have at most; -1 is any number. A resize that wants more waits until
// it times out, or fails at once.
func (s *Service) SetCapacity(ctx context.Context, poolID string, most [kinds]int, failFast bool) error {
	return s.change(ctx, func() error {
		p, err := s.alive(poolID)
		if err != nil {
			return err
		}
		p.Capacity, p.FailFast = most, failFast
		s.storePool(p)
		s.reach(p)
		return nil
	})
}

// SetIdentity gives a pool a managed identity, as ARM does when it makes one.
func (s *Service) SetIdentity(ctx context.Context, poolID, resourceID, clientID string) error {
	return s.change(ctx, func() error {
		p, err := s.alive(poolID)
		if err != nil {
			return err
		}
		p.Identity = &model.BatchPoolIdentity{Type: "UserAssigned", UserAssignedIdentities: []model.UserAssignedIdentity{{ResourceID: resourceID, ClientID: clientID, PrincipalID: clientID}}}
		s.storePool(p)
		return nil
	})
}

// SetQuota gives the account another quota. It counts for what is asked from now on.
func (s *Service) SetQuota(q Quota) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Quota = q
}

// Quota is what the account may have.
func (s *Service) Quota() Quota {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Quota
}
