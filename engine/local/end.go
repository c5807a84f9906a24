//go:build linux || darwin || freebsd

package local

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterless-go/clusterless/engine"
)

// tailSize is how much of the output of a process that did not start goes into the reason.
const tailSize = 2 << 10

// ended is called when a process and its group are gone.
func (e *Engine) ended(p *process, state *os.ProcessState, err error) {
	p.over = true
	delete(e.processes, p)
	e.idle = slices.DeleteFunc(e.idle, func(q *process) bool { return q == p })
	greeted := p.state != starting
	e.unhold(p)
	if p.timer != nil {
		p.timer.Stop()
	}
	switch {
	case p.run == nil:
		if p.why == nil && !e.closed {
			e.logger.Warn("local: an idle worker ended", "process", p.name, "how", describe(state, err))
		}
	case !greeted && (p.why == nil || p.why.cause == engine.CauseNotStarted):
		e.notStarted(p, p.startReason(state, err))
	default:
		e.release(p, e.judge(p, state, err))
	}
	e.dispatch()
}

// judge says how a run ended from how its process did.
func (e *Engine) judge(p *process, state *os.ProcessState, err error) engine.Event {
	ev := engine.Event{State: engine.Exited, Time: time.Now(), Node: e.node}
	if p.why != nil {
		ev.Cause, ev.Reason = p.why.cause, p.why.reason
		if ev.Cause == engine.CauseSignal || ev.Cause == engine.CauseDied {
			ev.Signal = "SIGKILL"
		}
		return ev
	}
	if err != nil { // somebody else reaped it
		ev.State, ev.Cause, ev.Reason = engine.Lost, engine.CauseLost, "its process ended, but how is unknown: "+err.Error()
		return ev
	}
	status := state.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		ev.Cause, ev.Signal = engine.CauseSignal, unix.SignalName(status.Signal())
		if status.Signal() == syscall.SIGKILL {
			if e.memory.killedLately() {
				ev.Cause, ev.Signal = engine.CauseMemory, ""
				ev.Reason = fmt.Sprintf("the kernel killed a process because memory ran out just as this one, which had used up to %s, was killed; ask for fewer runs at once or more memory", inBytes(peak(state)))
			} else {
				ev.Reason = fmt.Sprintf("killed from outside; the usual cause is that memory ran out; it had used up to %s", inBytes(peak(state)))
			}
		}
	case p.resident:
		// Exit code 0 without Done is no success either: os.Exit was called in the middle of the run.
		ev.Cause, ev.ExitCode = engine.CauseDied, status.ExitStatus()
		ev.Reason = fmt.Sprintf("its process exited with code %d in the middle of the run", ev.ExitCode)
	case status.ExitStatus() != 0:
		ev.Cause, ev.ExitCode = engine.CauseExit, status.ExitStatus()
	}
	return ev
}

// startReason explains why a resident process did not come up.
func (p *process) startReason(state *os.ProcessState, err error) string {
	var b strings.Builder
	switch {
	case p.why != nil && p.why.reason != "":
		fmt.Fprintf(&b, "%s: %s", p.command[0], p.why.reason)
	case p.why != nil:
		fmt.Fprintf(&b, "%s did not greet its engine within %v", p.command[0], p.greet)
	default:
		fmt.Fprintf(&b, "%s ended before it greeted its engine: %s", p.command[0], describe(state, err))
	}
	b.WriteString("; does main call clusterless.Main or clusterless.Init first?")
	if output := p.lastOutput(); output != "" {
		fmt.Fprintf(&b, " Its output ends with:\n%s", output)
	} else {
		b.WriteString(" It printed nothing.")
	}
	return b.String()
}

// lastOutput is the end of what a process printed.
func (p *process) lastOutput() string {
	size := p.logSize()
	b := make([]byte, min(size, tailSize))
	n, _ := p.logFile.ReadAt(b, size-int64(len(b)))
	return strings.TrimSpace(strings.ToValidUTF8(string(b[:n]), "?"))
}

// describe says how a process ended.
func describe(state *os.ProcessState, err error) string {
	if err != nil {
		return err.Error()
	}
	return state.String()
}

// peak is the most memory that a process had at once.
func peak(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss * maxrssUnit
}
