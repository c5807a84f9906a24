package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// What happens to the tasks of a node that is taken from them.
const (
	requeue        = "requeue"
	terminate      = "terminate"
	taskCompletion = "taskcompletion"
	retainedData   = "retaineddata"
)

// ResizePool gives a pool another number of nodes.
func (s *Service) ResizePool(ctx context.Context, id string, r *model.PoolResizeParameter, c odata.Conditions) (Tag, error) {
	return s.changePool(ctx, id, c, func(p *pool) error {
		if *p.Spec.EnableAutoScale {
			return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason", "Autoscaling is enabled on the pool.")
		}
		if p.Allocation.State != steady {
			return apierror.New(apierror.PoolBeingResized)
		}
		if r.TargetDedicatedNodes == nil && r.TargetLowPriorityNodes == nil {
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "targetDedicatedNodes")
		}
		timeout := model.Or(r.ResizeTimeout, defaultResizeTimeout)
		if err := checkTimeout(timeout); err != nil {
			return err
		}
		target := p.Target
		for k, t := range []*int32{r.TargetDedicatedNodes, r.TargetLowPriorityNodes} {
			if t != nil {
				target[k] = int(*t)
			}
		}
		if err := s.checkTarget(&p.Spec, target); err != nil {
			return err
		}
		s.resize(p, target, time.Duration(timeout), r.NodeDeallocationOption)
		return nil
	})
}

// StopResize ends a resize where it is.
func (s *Service) StopResize(ctx context.Context, id string, c odata.Conditions) (Tag, error) {
	return s.changePool(ctx, id, c, func(p *pool) error {
		if p.Allocation.State != resizing {
			return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason", "The pool is not being resized.")
		}
		p.endResize()
		p.Allocation.set(stopping, s.now())
		p.ResizeErrors = []model.ResizeError{resizeError(apierror.ResizeStopped)}
		s.later(s.opts.AllocationTime/4, func() {
			if p.Allocation.State == stopping {
				s.becomeSteady(p)
			}
		})
		return nil
	})
}

// RemoveNodes takes certain nodes out of a pool, which is the smaller afterwards.
func (s *Service) RemoveNodes(ctx context.Context, id string, r *model.NodeRemoveParameter, c odata.Conditions) (Tag, error) {
	return s.changePool(ctx, id, c, func(p *pool) error {
		if p.Allocation.State != steady {
			return apierror.New(apierror.PoolBeingResized)
		}
		if len(r.NodeList) == 0 || len(r.NodeList) > 100 {
			return apierror.Property("nodeList", fmt.Sprintf("%d nodes", len(r.NodeList)), "It must name 1 to 100 nodes.")
		}
		timeout := model.Or(r.ResizeTimeout, defaultResizeTimeout)
		if err := checkTimeout(timeout); err != nil {
			return err
		}
		var leaving []*compute
		target := p.Target
		for _, id := range r.NodeList {
			n, err := p.node(id)
			if err != nil {
				return err
			}
			if !slices.Contains(leaving, n) {
				leaving = append(leaving, n)
				target[n.kind()] = max(target[n.kind()]-1, 0)
			}
		}
		s.beginResize(p, target, time.Duration(timeout), r.NodeDeallocationOption)
		for _, n := range leaving {
			s.leave(n, p.Option)
		}
		s.later(0, func() { s.reach(p) })
		return nil
	})
}

// resize begins to bring a pool to its target.
func (s *Service) resize(p *pool, target [kinds]int, timeout time.Duration, option string) {
	s.beginResize(p, target, timeout, option)
	p.allocate = s.later(s.opts.AllocationTime, func() {
		p.allocate = nil
		s.reach(p)
	})
}

func (s *Service) beginResize(p *pool, target [kinds]int, timeout time.Duration, option string) {
	p.endResize()
	if option == "" {
		option = requeue
	}
	p.Target, p.Timeout, p.Option, p.ResizeErrors = target, timeout, option, nil
	p.Allocation.set(resizing, s.now())
	s.storePool(p)
	p.deadline = s.later(timeout, func() { s.resizeTimedOut(p) })
}

// endResize makes sure that nothing of a resize happens any more.
func (p *pool) endResize() {
	p.allocate.Stop()
	p.deadline.Stop()
	p.allocate, p.deadline = nil, nil
}

func (s *Service) becomeSteady(p *pool) {
	p.endResize()
	p.Allocation.set(steady, s.now())
	s.storePool(p)
}

func (s *Service) resizeTimedOut(p *pool) {
	if p.Allocation.State != resizing {
		return
	}
	for k := range kinds {
		if p.staying[k] < p.Target[k] {
			p.ResizeErrors = append(p.ResizeErrors, resizeError(apierror.AllocationTimedout))
			break
		}
	}
	if p.leaving() > 0 {
		p.ResizeErrors = append(p.ResizeErrors, resizeError(apierror.RemoveNodesFailed))
	}
	s.becomeSteady(p)
}

func resizeError(code string) model.ResizeError {
	return model.ResizeError{Code: code, Message: apierror.Message(code)}
}

// leaving is how many nodes are on their way out.
func (p *pool) leaving() int {
	return p.count[dedicated] + p.count[lowPriority] - p.staying[dedicated] - p.staying[lowPriority]
}

// reach makes and removes nodes as far as possible to reach the target, and ends the resize when it is reached or cannot be.
func (s *Service) reach(p *pool) {
	if p.Allocation.State != resizing || p.State.State == deleting || p.allocate != nil || p.reaching {
		return
	}
	p.reaching = true // a node that leaves at once has this called again
	defer func() { p.reaching = false }()
	met := true
	for k := range kinds {
		if surplus := p.staying[k] - p.Target[k]; surplus > 0 {
			for _, n := range p.expendable(k)[:surplus] {
				s.leave(n, p.Option)
			}
		}
		missing := p.Target[k] - p.staying[k]
		if missing <= 0 {
			continue
		}
		can, code := s.room(p, k, missing)
		for range can {
			s.addNode(p, k)
		}
		if can > 0 {
			s.happen(p)
		}
		if can < missing {
			met = false
			if code != "" {
				p.ResizeErrors = append(p.ResizeErrors, resizeError(code))
			}
		}
	}
	if len(p.ResizeErrors) > 0 || met && p.leaving() == 0 {
		s.becomeSteady(p)
	}
	s.storePool(p)
}

// room is how many of the missing nodes can be had, and the code of the error if it is certain that the rest cannot.
func (s *Service) room(p *pool, kind, missing int) (can int, code string) {
	can = missing
	if c := p.Capacity[kind]; c >= 0 && can > c-p.count[kind] {
		can = max(c-p.count[kind], 0)
		if p.FailFast {
			code = apierror.AllocationFailed
		}
	}
	quota := [kinds]int{s.opts.Quota.DedicatedCores, s.opts.Quota.LowPriorityCores}[kind]
	if quota > 0 {
		used := 0
		for other := range s.pools.all() {
			used += other.count[kind] * other.cores
		}
		if left := max(quota-used, 0) / p.cores; can > left {
			can, code = left, apierror.AccountCoreQuotaReached
		}
	}
	return can, code
}

// expendable are the nodes of a kind that stay, those first that are missed least.
func (p *pool) expendable(kind int) []*compute {
	var list []*compute
	for n := range p.nodes.all() {
		if n.kind() == kind && n.State.State != leavingPool {
			list = append(list, n)
		}
	}
	rank := func(n *compute) int {
		switch {
		case n.usable() && len(n.runs) > 0:
			return 2 + len(n.runs)
		case n.usable():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b *compute) int { return rank(a) - rank(b) })
	return list
}
