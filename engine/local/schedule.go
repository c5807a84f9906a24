//go:build linux || darwin || freebsd

package local

import (
	"container/heap"
	"slices"
)

// need is what a run takes of the machine.
type need struct {
	cores  int
	memory int64
}

// schedule decides which run starts next, and knows what is free. The order is in the package's documentation.
// Runs of equal need are interchangeable as to whether they fit, so jobs are kept in a heap for each need, and a
// decision costs the logarithm of the number of waiting jobs times the number of different needs.
type schedule struct {
	free    need
	classes []*class
	clock   uint64
	heads   []*line // scratch of next
}

// A line holds the waiting runs of one job.
type line struct {
	job      *job
	need     need
	priority int

	waiting []*run
	first   int    // waiting[:first] have left
	busy    int    // cores that runs of the job use
	since   uint64 // tick at which the job last started a run, or began to wait
	class   *class
	index   int // in the heap of its class, while it has waiting runs
}

func (l *line) len() int { return len(l.waiting) - l.first }

// before is the order in which lines are served.
func (l *line) before(m *line) bool {
	if l.priority != m.priority {
		return l.priority > m.priority
	}
	if l.busy != m.busy {
		return l.busy < m.busy
	}
	return l.since < m.since
}

// add lets runs wait at the end of their line.
func (s *schedule) add(l *line, runs ...*run) {
	if len(runs) == 0 {
		return
	}
	enter := l.len() == 0
	l.waiting = append(l.waiting, runs...)
	if !enter {
		return
	}
	s.clock++
	l.since = s.clock
	if l.class == nil {
		i := slices.IndexFunc(s.classes, func(c *class) bool { return c.need == l.need })
		if i < 0 {
			i = len(s.classes)
			s.classes = append(s.classes, &class{need: l.need})
		}
		l.class = s.classes[i]
	}
	heap.Push(l.class, l)
}

// next is the line whose first run is to start now; nil if nothing may.
func (s *schedule) next() *line {
	s.heads = s.heads[:0]
	for _, c := range s.classes {
		if len(c.lines) > 0 {
			s.heads = append(s.heads, c.lines[0])
		}
	}
	if len(s.heads) > 1 {
		slices.SortFunc(s.heads, func(a, b *line) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
	}
	for i, l := range s.heads {
		if s.fits(l.need, s.heads[:i]) {
			return l
		}
	}
	return nil
}

// fits reports whether n is free and, taken, would not lengthen the wait of those before it.
func (s *schedule) fits(n need, before []*line) bool {
	cores, memory := s.free.cores-n.cores, s.free.memory-n.memory
	if cores < 0 || n.memory > 0 && memory < 0 {
		return false
	}
	for _, l := range before {
		if cores < l.need.cores || n.memory > 0 && memory < l.need.memory {
			return false
		}
	}
	return true
}

// start takes the first run of a line and what it needs.
func (s *schedule) start(l *line) *run {
	r := l.waiting[l.first]
	l.waiting[l.first] = nil
	l.first++
	s.clock++
	l.since = s.clock
	l.busy += l.need.cores
	s.free.cores -= l.need.cores
	s.free.memory -= l.need.memory
	if l.len() > 0 {
		heap.Fix(l.class, l.index)
		if l.first > 1024 && l.first > len(l.waiting)/2 {
			l.waiting = append([]*run(nil), l.waiting[l.first:]...)
			l.first = 0
		}
	} else {
		s.leave(l)
	}
	return r
}

// finish gives back what a started run took.
func (s *schedule) finish(l *line) {
	l.busy -= l.need.cores
	s.free.cores += l.need.cores
	s.free.memory += l.need.memory
	if l.len() > 0 {
		heap.Fix(l.class, l.index)
	}
}

// clear empties a line and returns the runs that waited.
func (s *schedule) clear(l *line) []*run {
	waiting := l.waiting[l.first:]
	if len(waiting) > 0 {
		s.leave(l)
	}
	return waiting
}

// leave takes an emptied line out of its class.
func (s *schedule) leave(l *line) {
	heap.Remove(l.class, l.index)
	l.waiting, l.first = nil, 0
	if c := l.class; len(c.lines) == 0 {
		s.classes = slices.DeleteFunc(s.classes, func(d *class) bool { return d == c })
	}
	l.class = nil
}

// class is a heap of lines whose runs need the same.
type class struct {
	need  need
	lines []*line
}

func (c *class) Len() int           { return len(c.lines) }
func (c *class) Less(i, j int) bool { return c.lines[i].before(c.lines[j]) }
func (c *class) Swap(i, j int) {
	c.lines[i], c.lines[j] = c.lines[j], c.lines[i]
	c.lines[i].index, c.lines[j].index = i, j
}
func (c *class) Push(x any) {
	l := x.(*line)
	l.index = len(c.lines)
	c.lines = append(c.lines, l)
}
func (c *class) Pop() any {
	l := c.lines[len(c.lines)-1]
	c.lines = c.lines[:len(c.lines)-1]
	return l
}
