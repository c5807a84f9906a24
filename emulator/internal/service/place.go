package service

// schedule puts tasks on the free nodes of a pool, those of more urgent jobs first. p may be nil.
func (s *Service) schedule(p *pool) {
	if p == nil || s.closed {
		return
	}
	for _, j := range p.jobs {
		if j.State.State == active && !s.place(j) {
			return
		}
	}
}

// place puts tasks of a job on nodes until there are none left, or no nodes. It says false when the nodes that are free must
// stay so, for a multi-instance task that waits for more of them.
func (s *Service) place(j *job) bool {
	var stuck [8]*line
	blocked := stuck[:0]
	for {
		if most := *j.Spec.MaxParallelTasks; most >= 0 && j.counts[taskRunning].tasks+j.counts[taskPreparing].tasks >= most {
			return true
		}
		l := j.queue.earliest(blocked)
		if l == nil {
			return true
		}
		t := l.peek()
		nodes, wait := j.pool.find(t)
		if nodes == nil {
			if wait {
				return false
			}
			blocked = append(blocked, l)
			continue
		}
		l.pop()
		s.assign(t, nodes)
	}
}

// earliest is the line whose first task had its turn first, of those that are not blocked.
func (q *queue) earliest(blocked []*line) *line {
	var best *line
	var turn int64
next:
	for _, l := range q.lines {
		for _, b := range blocked {
			if b == l {
				continue next
			}
		}
		if t := l.peek(); t != nil && (best == nil || t.queuedAt < turn) {
			best, turn = l, t.queuedAt
		}
	}
	return best
}

// find is where a task can run now: one node, or as many as it has instances. wait says that they must be kept for it.
func (p *pool) find(t *task) (nodes []*compute, wait bool) {
	sp := t.special
	if sp == nil && t.job.refused == nil {
		if n := p.pick(int(t.Slots), nil); n != nil {
			return []*compute{n}, false
		}
		return nil, false
	}
	if sp == nil {
		sp = &special{}
	}
	fits := func(n *compute) bool { return !t.job.refused[n] && !(sp.dedicatedOnly && !n.Dedicated) }
	if sp.instances > 0 {
		return p.pickAll(sp.instances, fits)
	}
	slots := int(t.Slots)
	if sp.exclusive {
		slots = p.slots
	}
	if n, ok := p.nodes.get(sp.affinity); ok && sp.affinity != "" && n.bucket >= slots && fits(n) {
		return []*compute{n}, false
	}
	if n := p.pick(slots, fits); n != nil {
		return []*compute{n}, false
	}
	return nil, false
}

// pick finds a node with free slots: the fullest one that has enough where tasks are packed, else the emptiest.
func (p *pool) pick(slots int, fits func(*compute) bool) *compute {
	pack := p.Spec.TaskSchedulingPolicy.NodeFillType == "pack"
	for i := slots; i <= p.slots; i++ {
		at := i
		if !pack {
			at = p.slots + slots - i
		}
		b := p.free[at]
		for k := len(b) - 1; k >= 0; k-- {
			if fits == nil || fits(b[k]) {
				return b[k]
			}
		}
	}
	return nil
}

// pickAll finds nodes that are wholly free. When there are not enough now, wait says whether the pool has enough that will be.
// A pool that has no inter-node communication, or several slots on a node, never runs a multi-instance task.
func (p *pool) pickAll(count int, fits func(*compute) bool) (nodes []*compute, wait bool) {
	if !*p.Spec.EnableInterNodeCommunication || p.slots != 1 {
		return nil, false
	}
	for _, n := range p.free[p.slots] {
		if fits(n) {
			nodes = append(nodes, n)
			if len(nodes) == count {
				return nodes, false
			}
		}
	}
	able := 0
	for n := range p.nodes.all() {
		if n.usable() && !n.Disabled && fits(n) {
			able++
		}
	}
	return nil, able >= count
}
