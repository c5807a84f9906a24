//go:build linux || darwin || freebsd

package local

import (
	"fmt"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// memoryGuard watches the memory of processes that have a limit, and the kernel's count of processes that it
// killed for want of memory.
type memoryGuard struct {
	looked time.Time // used by the keeper only

	mu     sync.Mutex
	kills  int64
	killed time.Time // when kills was last seen to grow
}

// killedLately reports whether the kernel killed some process for want of memory within the last seconds.
func (m *memoryGuard) killedLately() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count()
	return !m.killed.IsZero() && time.Since(m.killed) < 3*time.Second
}

func (m *memoryGuard) count() {
	if n := oomKills(); n > m.kills {
		m.kills, m.killed = n, time.Now()
	}
}

// guardMemory kills what uses more than its limit: the memory of the process and its descendants that is its own,
// so that files which many map are not counted.
func (e *Engine) guardMemory() {
	now := time.Now()
	if now.Sub(e.memory.looked) < 2*keepEvery-5*time.Millisecond {
		return
	}
	e.memory.looked = now
	e.memory.mu.Lock()
	e.memory.count()
	e.memory.mu.Unlock()
	limits := map[int]*process{}
	e.mu.Lock()
	for p := range e.processes {
		if p.need.memory > 0 && p.run != nil && p.os != nil {
			limits[p.os.Pid] = p
		}
	}
	e.mu.Unlock()
	if len(limits) == 0 {
		return
	}
	for pid, used := range treeMemory(limits) {
		p := limits[pid]
		if used <= p.need.memory {
			continue
		}
		e.mu.Lock()
		if p.run != nil {
			p.kill(engine.CauseMemory, fmt.Sprintf("used %s of memory, its limit is %s", inBytes(used), inBytes(p.need.memory)))
		}
		e.mu.Unlock()
	}
}
