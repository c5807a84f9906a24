package task

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/team"
)

// A pool is the processes that make the calls of a task's maps. It lasts from the first Map of the task's call to the
// call's end. One Map uses it at a time.
type pool struct {
	info    team.Info
	lead    *team.Lead
	stop    context.CancelFunc
	nodes   []string // names; the first is this one
	workers map[*team.Peer]*worker
	lost    map[string]bool // nodes
	started int             // processes that are there, or on their way
	vacant  []int           // nodes of processes that ended
	died    chan death
	gone    <-chan struct{} // closed at the end
	once    sync.Once       // for the end
}

// death is the end of a process.
type death struct {
	node int
	err  error
}

// worker is a process that makes calls.
type worker struct {
	peer  *team.Peer
	calls []int // sent and not done, in order
	alone bool  // with a suspect
	began time.Time
	made  int
}

// kept is the pool of a call between its maps.
type kept struct {
	mu sync.Mutex
	p  *pool
}

// open returns the call's pool, or one of its own for a Map beside another. done gives it back, if all went well.
func open(ctx context.Context, info team.Info) (p *pool, done func(well bool), err error) {
	k := info.Keep.Value("task.pool", &kept{}).(*kept)
	if !k.mu.TryLock() {
		p, err := newPool(ctx, info)
		return p, func(bool) { p.close() }, err // with an error it is not called
	}
	if k.p == nil {
		if k.p, err = newPool(ctx, info); err != nil {
			k.mu.Unlock()
			return nil, nil, err
		}
	}
	return k.p, func(well bool) {
		if !well { // calls are still being made
			k.p.close()
			k.p = nil
		}
		k.mu.Unlock()
	}, nil
}

func newPool(call context.Context, info team.Info) (*pool, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(call))
	stop := context.AfterFunc(call, cancel)
	lead, err := team.New(ctx, info)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &pool{info: info, lead: lead, stop: cancel, workers: map[*team.Peer]*worker{}, lost: map[string]bool{}, died: make(chan death), gone: ctx.Done()}
	info.Keep.AtEnd(p.close)
	if p.nodes, err = lead.Nodes(); !stop() {
		err = context.Cause(call)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pool) close() {
	p.once.Do(func() {
		p.stop()
		p.lead.Close()
	})
}

// slots is how many processes there can be.
func (p *pool) slots() int { return (len(p.nodes) - len(p.lost)) * p.info.Cores }

// fill starts processes for n calls, as many as there is room for, and nodes have the first in turn.
func (p *pool) fill(n int) error {
	if err := p.replace(); err != nil {
		return err
	}
	for p.started < min(n, p.slots()) {
		node := p.started % len(p.nodes)
		if p.lost[p.nodes[node]] {
			node = 0
		}
		if err := p.start(node); err != nil {
			return err
		}
	}
	return nil
}

var one = []string{"GOMAXPROCS=1", "OMP_NUM_THREADS=1"}

func (p *pool) start(node int) error {
	err := p.lead.StartHelper(p.nodes[node], node == 0, one, func(err error) {
		select {
		case p.died <- death{node, err}:
		case <-p.gone:
		}
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", p.nodes[node], err)
	}
	p.started++
	return nil
}

// vacate notes that a process has ended.
func (p *pool) vacate(node int) {
	p.started--
	p.vacant = append(p.vacant, node)
}

// replace starts processes in the place of those that ended; those of a lost node on this one, if no others are left.
func (p *pool) replace() error {
	for len(p.vacant) > 0 {
		node := p.vacant[0]
		p.vacant = p.vacant[1:]
		if p.lost[p.nodes[node]] {
			if p.started > 0 {
				continue
			}
			node = 0
		}
		if err := p.start(node); err != nil {
			if node == 0 {
				return err
			}
			p.vacant = append(p.vacant, 0) // that node is being lost
		}
	}
	return nil
}
