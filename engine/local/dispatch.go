//go:build linux || darwin || freebsd

package local

import (
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

// startFailures is after how many processes in a row that did not start the other runs of the job are not tried:
// they would fail the same way, each after its start timeout.
const startFailures = 3

// dispatch starts what can be started. The caller holds the lock.
func (e *Engine) dispatch() {
	for !e.closed {
		l := e.schedule.next()
		if l == nil {
			return
		}
		j := l.job
		r := e.schedule.start(l)
		if j.Resident && !j.Isolated && e.reuse(j, r) {
			continue
		}
		e.launch(j, r)
	}
}

// reuse gives a run to the idle process of its kind that was used last.
func (e *Engine) reuse(j *job, r *run) bool {
	for i := len(e.idle) - 1; i >= 0; i-- {
		p := e.idle[i]
		if p.kind != j.kind {
			continue
		}
		e.idle = append(e.idle[:i], e.idle[i+1:]...)
		if e.begin(p, r) {
			return true
		}
		p.kill("", "its control socket broke while it was idle") // it never saw the run
	}
	return false
}

// begin tells an idle process to make a run; false if it cannot be told.
func (e *Engine) begin(p *process, r *run) bool {
	off := p.logSize()
	// Now, so that the worker starts while we keep the books.
	if err := contract.Write(p.control, contract.Message{Kind: contract.RunIt, Job: r.job.ID, Task: r.Task, Attempt: r.Attempt}); err != nil {
		return false
	}
	p.state = working
	e.started(p, r, off)
	return true
}

// started notes that a run began in a process whose log had the size off before.
func (e *Engine) started(p *process, r *run, off int64) {
	j := r.job
	p.run, r.proc = r, p
	r.log, r.off, r.end = p.name, off, -1
	p.logCut = 0
	j.failed = 0
	j.change(r, engine.Event{State: engine.Running, Time: time.Now(), Node: e.node})
	j.journal = appendRun(j.journal, opStart, r)
	e.markDirty(j) // which lets watchers see it soon; to wake them at once would cost short runs a quarter of their time
	if j.Timeout > 0 {
		p.timer = time.AfterFunc(j.Timeout, func() { e.timeout(p, r) })
	}
}

// launch starts a process for a run, and ends idle ones if it takes their place.
func (e *Engine) launch(j *job, r *run) {
	n := j.line.need
	for len(e.idle) > 0 && (e.held.cores+n.cores > e.total.cores || n.memory > 0 && e.held.memory+n.memory > e.total.memory) {
		p := e.idle[0]
		e.idle = e.idle[1:]
		p.dismiss()
	}
	e.serial++
	p := newProcess(e, j, r)
	e.held.cores += n.cores
	e.held.memory += n.memory
	e.processes[p] = struct{}{}
	e.running.Go(p.live)
}

// unhold takes a process out of those that occupy room; once.
func (e *Engine) unhold(p *process) {
	if p.state != ending {
		p.state = ending
		e.held.cores -= p.need.cores
		e.held.memory -= p.need.memory
	}
}

// done ends the run of a resident process that reported it, and gives the process the next one.
func (e *Engine) done(p *process, m contract.Message) {
	if p.run == nil {
		return
	}
	ev := engine.Event{State: engine.Exited, Time: time.Now()}
	if m.Code != 0 {
		ev.Cause, ev.ExitCode, ev.Reason = engine.CauseExit, m.Code, m.Reason
	}
	killed, r := p.why != nil, p.run
	e.release(p, ev)
	switch {
	case killed || e.closed: // as it was about to be killed; it still is
		p.kill("", "")
	case m.Retire || m.Code != 0 || p.single || r.end > e.logLimit:
		p.dismiss()
	default:
		p.state = resting
		e.idle = append(e.idle, p)
	}
	e.dispatch()
}

// release parts a process from its run, which ends with ev.
func (e *Engine) release(p *process, ev engine.Event) {
	r := p.run
	if r == nil {
		return
	}
	if r.log != "" {
		p.trim()
	}
	p.run, r.proc = nil, nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if r.log != "" {
		r.end = p.logSize()
		if r.end > r.off {
			e.linkLater(r.job, p)
		}
	}
	if ev.Node == "" && r.event.State != engine.Queued {
		ev.Node = e.node
	}
	e.schedule.finish(&r.job.line)
	e.finish(r, ev)
}

// finish makes a run final.
func (e *Engine) finish(r *run, ev engine.Event) {
	j := r.job
	if e.closed {
		return // not final: it may be run again by whoever comes next
	}
	j.change(r, ev)
	j.journal = appendRun(j.journal, opEnd, r)
	e.markDirty(j)
	if j.open == 0 {
		e.hurry()
	}
	j.notify()
}

// notStarted ends a run whose process did not come up, and after some of them the others that wait in its job.
func (e *Engine) notStarted(p *process, reason string) {
	r := p.run
	if r == nil {
		return
	}
	j := r.job
	now := time.Now()
	e.release(p, engine.Event{State: engine.Exited, Time: now, Cause: engine.CauseNotStarted, Reason: reason})
	j.failed++
	if j.failed < startFailures || e.closed {
		return
	}
	for _, r := range e.schedule.clear(&j.line) {
		e.finish(r, engine.Event{State: engine.Exited, Time: now, Cause: engine.CauseNotStarted,
			Reason: "not tried, since no process of this job has started lately; the last one: " + reason})
	}
}

// timeout ends a run that takes too long.
func (e *Engine) timeout(p *process, r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.run != r {
		return
	}
	p.ask(engine.CauseTimeout, "ran longer than its limit of "+r.job.Timeout.String())
}
