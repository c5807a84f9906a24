package service

import (
	"context"
	"fmt"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// operable checks that a node is in one of the states in which an operation can be done.
func operable(n *compute, states ...string) error {
	for _, s := range states {
		if n.State.State == s {
			return nil
		}
	}
	code := apierror.OperationNotValidOnNode
	switch n.State.State {
	case creating:
		code = apierror.NodeBeingCreated
	case starting, waitingForStartTask:
		code = apierror.NodeBeingStarted
	case rebooting:
		code = apierror.NodeBeingRebooted
	case reimaging:
		code = apierror.NodeBeingReimaged
	case unusable:
		code = apierror.NodeStateUnusable
	}
	return apierror.New(code).With("NodeState", n.State.State)
}

// restartable are the states in which a node can be rebooted, reimaged or deallocated. The service says idle and running;
// nodes whose start task failed, or that are unusable, can be restarted too, since there is no other way to save them.
var restartable = []string{idle, running, startTaskFailed, unusable}

// nodeInUse is a node that something can be done with: one in a restartable state.
func (s *Service) nodeInUse(poolID, nodeID string) (*compute, error) {
	n, err := s.node(poolID, nodeID)
	if err != nil {
		return nil, err
	}
	return n, operable(n, restartable...)
}

// Reboot restarts a node.
func (s *Service) Reboot(ctx context.Context, poolID, nodeID, option string) error {
	return s.restart(ctx, poolID, nodeID, option, rebooting, func(n *compute) { s.boot(n, false) })
}

// Reimage restarts a node with an empty tree.
func (s *Service) Reimage(ctx context.Context, poolID, nodeID, option string) error {
	return s.restart(ctx, poolID, nodeID, option, reimaging, func(n *compute) { s.boot(n, true) })
}

// Deallocate stops a node, which keeps its place in the pool.
func (s *Service) Deallocate(ctx context.Context, poolID, nodeID, option string) error {
	return s.restart(ctx, poolID, nodeID, option, deallocating, func(n *compute) {
		life := n.life
		s.later(s.opts.BootTime/2, func() {
			if n.life == life {
				s.become(n, deallocated)
			}
		})
	})
}

// restart takes a node from its tasks, and then goes on with it.
func (s *Service) restart(ctx context.Context, poolID, nodeID, option, state string, then func(n *compute)) error {
	return s.change(ctx, func() error {
		n, err := s.nodeInUse(poolID, nodeID)
		if err != nil {
			return err
		}
		if option == taskCompletion || option == retainedData {
			n.leave = option
		}
		if !n.usable() {
			n.life++
		}
		s.become(n, state)
		s.evict(n, option, func() {
			n.leave = ""
			s.down(n, state)
			n.Errors = nil
			then(n)
		})
		return nil
	})
}

// StartNode starts a node that is deallocated.
func (s *Service) StartNode(ctx context.Context, poolID, nodeID string) error {
	return s.change(ctx, func() error {
		n, err := s.node(poolID, nodeID)
		if err != nil {
			return err
		}
		if err := operable(n, deallocated); err != nil {
			return err
		}
		s.become(n, starting)
		s.boot(n, false)
		return nil
	})
}

// SetScheduling says whether new tasks are put on a node.
func (s *Service) SetScheduling(ctx context.Context, poolID, nodeID string, on bool, option string) error {
	return s.change(ctx, func() error {
		n, err := s.node(poolID, nodeID)
		if err != nil {
			return err
		}
		if n.Disabled == !on {
			return apierror.New(apierror.NodeAlreadyInTargetSchedulingState)
		}
		if !on {
			if err := operable(n, restartable...); err != nil {
				return err
			}
		}
		n.Disabled = !on
		n.refile()
		s.storeNode(n)
		if on {
			s.schedule(n.pool)
			return nil
		}
		s.evict(n, option, func() {})
		return nil
	})
}

// AddUser adds a user that can log in to a node. Nobody can: the user is only kept.
func (s *Service) AddUser(ctx context.Context, poolID, nodeID string, u *model.ComputeNodeUser) error {
	return s.withUser(ctx, poolID, nodeID, func(n *compute) error {
		if n.Users == nil {
			n.Users = map[string]model.ComputeNodeUser{}
		}
		if len(u.Name) > 20 {
			return apierror.Property("name", u.Name, "It must have at most 20 characters.")
		}
		if _, ok := n.Users[u.Name]; ok {
			return apierror.New(apierror.NodeUserExists)
		}
		n.Users[u.Name] = withoutSecrets(*u)
		return nil
	})
}

// UpdateUser changes a user's credentials.
func (s *Service) UpdateUser(ctx context.Context, poolID, nodeID, name string, u *model.NodeUpdateUserParameter) error {
	return s.withUser(ctx, poolID, nodeID, func(n *compute) error {
		user, ok := n.Users[name]
		if !ok {
			return apierror.New(apierror.NodeUserNotFound)
		}
		user.ExpiryTime = u.ExpiryTime
		n.Users[name] = user
		return nil
	})
}

// DeleteUser deletes a user.
func (s *Service) DeleteUser(ctx context.Context, poolID, nodeID, name string) error {
	return s.withUser(ctx, poolID, nodeID, func(n *compute) error {
		if _, ok := n.Users[name]; !ok {
			return apierror.New(apierror.NodeUserNotFound)
		}
		delete(n.Users, name)
		return nil
	})
}

func (s *Service) withUser(ctx context.Context, poolID, nodeID string, f func(n *compute) error) error {
	return s.change(ctx, func() error {
		n, err := s.nodeInUse(poolID, nodeID)
		if err != nil {
			return err
		}
		if err := f(n); err != nil {
			return err
		}
		s.storeNode(n)
		return nil
	})
}

// withoutSecrets is what of a user is kept: nothing needs the password.
func withoutSecrets(u model.ComputeNodeUser) model.ComputeNodeUser {
	u.Password, u.SSHPublicKey = "", ""
	return u
}

// RemoteLogin is where a node would be logged in to.
func (s *Service) RemoteLogin(poolID, nodeID string) (*model.ComputeNodeGetRemoteLoginSettingsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.nodeInUse(poolID, nodeID)
	if err != nil {
		return nil, err
	}
	return &model.ComputeNodeGetRemoteLoginSettingsResult{RemoteLoginIPAddress: n.address(), RemoteLoginPort: 22}, nil
}

// address is the node's IP address: in the emulator's loopback network, or made up for a simulated one.
func (n *compute) address() string {
	if n.machine != nil {
		return n.machine.Address().String()
	}
	return fmt.Sprintf("10.0.%d.%d", n.Index>>8&255, n.Index&255)
}
