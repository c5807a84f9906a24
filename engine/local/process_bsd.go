//go:build darwin || freebsd

package local

import (
	"os"
	"syscall"
	"time"
)

// Here is no /proc, no PDEATHSIG and no wait that leaves the child: only process groups are killed, descendants
// that left theirs are not found, and memory limits are not enforced.

func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// reap waits for the end of the process and kills what is left of its group.
func (p *process) reap() (*os.ProcessState, error) {
	state, err := p.os.Wait()
	p.alive.Lock()
	defer p.alive.Unlock()
	p.sweep(false)
	p.gone = true
	return state, err
}

// endReading gives a reader of the socket a moment for what was sent.
func endReading(f *os.File) { _ = f.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) }

func killTree(pid int, _ string)                { _ = syscall.Kill(-pid, syscall.SIGKILL) }
func killMarked(_, _ string)                    {}
func startTime(int) string                      { return "" }
func treeMemory(map[int]*process) map[int]int64 { return nil }
func oomKills() int64                           { return 0 }
