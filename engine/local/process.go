//go:build linux || darwin || freebsd

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

const (
	startTimeout = 30 * time.Second // of a resident process, if the job does not say
	askGrace     = time.Second      // from the polite signal of a timeout to SIGKILL
	dismissGrace = time.Second      // from closing the control socket to SIGKILL
)

// processState is where a process is. The engine's lock guards it.
type processState uint8

const (
	starting processState = iota // not yet there, or has not yet greeted
	working                      // on a run
	resting                      // resident, without a run; in engine.idle
	ending                       // killed, dismissed or gone; its room is free
)

// A process is one process of the engine with its descendants. One goroutine starts it and waits for its end,
// another reads its control socket.
type process struct {
	e        *Engine
	name     string // of the process, its log and its scratch directory
	kind     string // see job.kind
	command  []string
	env      []string
	need     need
	resident bool
	single   bool // for one run only
	greet    time.Duration

	control *os.File // our end of the socket, if resident
	logFile *os.File
	logFD   int

	// Guarded by the engine's lock.
	os     *os.Process // once it is started; then control and logFile are set too
	state  processState
	run    *run
	timer  *time.Timer // start timeout, then timeout of the run, then grace
	why    *verdict    // why we killed it
	logCut int64       // bytes cut out of the log of the present run
	linked map[string]bool
	over   bool          // ended was called
	dead   chan struct{} // closed when it and its group are gone

	alive sync.Mutex // held while signalling, and while the end is reaped
	gone  bool
}

// verdict is why the engine ended a process.
type verdict struct {
	cause  engine.Cause
	reason string
}

func newProcess(e *Engine, j *job, r *run) *process {
	p := &process{
		e: e, kind: j.kind, command: j.Command, need: j.line.need,
		name:     e.owner.id + "-" + strconv.FormatUint(e.serial, 10),
		resident: j.Resident, single: !j.Resident || j.Isolated,
		greet: j.StartTimeout,
		run:   r,
		dead:  make(chan struct{}),
	}
	if p.greet <= 0 {
		p.greet = startTimeout
	}
	r.proc = p
	p.env = append(slices.Clip(e.env),
		contract.EnvProcess+"="+p.name,
		contract.EnvScratch+"="+p.scratch())
	if p.resident {
		p.env = append(p.env, contract.EnvControl+"=3")
	} else {
		p.env = append(p.env,
			contract.EnvJob+"="+j.ID,
			contract.EnvTask+"="+strconv.Itoa(r.Task),
			contract.EnvAttempt+"="+strconv.Itoa(r.Attempt))
	}
	p.env = lastWins(append(p.env, j.Env...))
	return p
}

// lastWins drops the variables that a later one replaces.
func lastWins(env []string) []string {
	seen := make(map[string]bool, len(env))
	kept := env[:0:0]
	for _, v := range slices.Backward(env) {
		name, _, _ := strings.Cut(v, "=")
		if !seen[name] {
			seen[name] = true
			kept = append(kept, v)
		}
	}
	slices.Reverse(kept)
	return kept
}

func (p *process) scratch() string { return filepath.Join(p.e.dir, "scratch", p.name) }

// start makes the process and what it needs. A text file that is busy is one that is still being written by a
// process we have just forked, so that is retried for a while.
func (p *process) start() (*os.Process, error) {
	path, err := exec.LookPath(p.command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return nil, err
	}
	if err := os.Mkdir(p.scratch(), 0o700); err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(p.e.logPath(p.name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p.e.mu.Lock()
	p.logFile, p.logFD = logFile, int(logFile.Fd())
	p.e.mu.Unlock()
	files := []*os.File{p.e.spawner.null, logFile, logFile}
	if p.resident {
		ours, theirs, err := socketpair()
		if err != nil {
			return nil, err
		}
		defer theirs.Close()
		p.e.mu.Lock()
		p.control = ours
		p.e.mu.Unlock()
		files = append(files, theirs)
	}
	for wait := time.Millisecond; ; wait *= 2 {
		proc, err := p.e.spawner.start(path, p.command, &os.ProcAttr{Env: p.env, Files: files, Sys: sysProcAttr()})
		if err == nil {
			p.e.owner.note("process", strconv.Itoa(proc.Pid), startTime(proc.Pid))
			return proc, nil
		}
		if !errors.Is(err, syscall.ETXTBSY) || wait > time.Second {
			return nil, err
		}
		time.Sleep(wait)
	}
}

// socketpair makes the control socket: our end for the runtime's poller, the other as a plain descriptor.
func socketpair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// live starts a process and sees it through to its end.
func (p *process) live() {
	defer p.cleanUp()
	defer close(p.dead)
	proc, err := p.start()
	p.e.mu.Lock()
	p.os = proc
	p.e.launched(p, err)
	p.e.mu.Unlock()
	if err != nil {
		return
	}
	var reading sync.WaitGroup
	if p.resident {
		reading.Go(p.read)
	}
	state, err := p.reap()
	if p.resident {
		endReading(p.control) // what it sent before its end is still read
		reading.Wait()
	}
	p.e.mu.Lock()
	p.e.ended(p, state, err)
	p.e.mu.Unlock()
}

// read takes the messages of a resident process.
func (p *process) read() {
	e := p.e
	r := contract.NewReader(p.control)
	for {
		m, err := r.Read()
		e.mu.Lock()
		switch {
		case err != nil:
			p.hungUp(err)
			e.mu.Unlock()
			return
		case m.Kind == contract.Ready:
			e.greeted(p)
		case m.Kind == contract.Beat && p.run != nil && p.state == working:
			e.beat(p.run)
		case m.Kind == contract.Done && p.state == working && p.run != nil && !ends(m, p.run):
			p.meddled(fmt.Errorf("it says that task %d has ended, which it does not run", m.Task))
		case m.Kind == contract.Done && p.state == working:
			e.done(p, m)
		}
		e.mu.Unlock()
	}
}

// hungUp is called when the control socket ended. That is the end of the process, which its other goroutine is
// about to see; if it is not, it is made to be. It is also called when something came that is no message, which user code wrote.
func (p *process) hungUp(err error) {
	if p.state == ending || p.why != nil {
		return
	}
	p.e.idle = slices.DeleteFunc(p.e.idle, func(q *process) bool { return q == p })
	if p.timer != nil {
		p.timer.Stop()
	}
	if errors.As(err, new(*contract.NoMessage)) {
		p.meddled(err)
		return
	}
	p.timer = time.AfterFunc(dismissGrace, func() {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		p.kill(engine.CauseSignal, fmt.Sprintf("killed, since it closed its control socket (%v) but did not end", err))
	})
}

// meddled kills a process that sent what a worker does not.
func (p *process) meddled(err error) {
	p.kill(engine.CauseDied, fmt.Sprintf("killed, since it wrote to the socket by which clusterless controls it (the function may have written to a descriptor that it does not own): %v", err))
}

// ends says whether a message is about the end of a run. Workers of earlier builds do not name the job.
func ends(m contract.Message, r *run) bool {
	return m.Task == r.Task && m.Attempt == r.Attempt && (m.Job == "" || m.Job == r.job.ID)
}

// greeted gives a process that came up its run.
func (e *Engine) greeted(p *process) {
	if p.state != starting || p.why != nil || e.closed {
		return
	}
	p.timer.Stop()
	p.timer = nil
	switch r := p.run; {
	case r == nil: // cancelled meanwhile
		p.dismiss()
	case !e.begin(p, r):
		p.kill(engine.CauseNotStarted, "its control socket broke as it was given its run")
	}
}

// beat passes on that a run committed something.
func (e *Engine) beat(r *run) {
	j := r.job
	j.change(r, engine.Event{State: engine.Running, Time: time.Now(), Node: e.node, Beat: true})
	j.journal = appendRun(j.journal, opBeat, r)
	e.markDirty(j)
	j.notify()
}

// launched is called when a process was started, or could not be.
func (e *Engine) launched(p *process, err error) {
	if err != nil {
		delete(e.processes, p)
		e.unhold(p)
		e.notStarted(p, fmt.Sprintf("start %s: %v", p.command[0], err))
		e.dispatch()
		return
	}
	switch {
	case e.closed:
		p.kill(engine.CauseClient, "the client was closed")
	case p.run == nil: // cancelled meanwhile
		p.kill(engine.CauseCancelled, "")
	case p.resident:
		p.timer = time.AfterFunc(p.greet, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if p.state == starting {
				p.kill(engine.CauseNotStarted, "")
			}
		})
	default:
		p.state = working
		e.started(p, p.run, 0)
	}
	e.wakeKeeper()
}

// ask ends a process that shall have a chance to say something first.
func (p *process) ask(cause engine.Cause, reason string) {
	if p.why != nil {
		return
	}
	p.why = &verdict{cause, reason}
	p.alive.Lock()
	if !p.gone {
		if p.resident {
			_ = p.os.Signal(syscall.SIGQUIT)
		} else {
			_ = syscall.Kill(-p.os.Pid, syscall.SIGTERM)
		}
	}
	p.alive.Unlock()
	p.timer = time.AfterFunc(askGrace, p.slay)
}

// kill ends a process and all of its descendants at once. The first reason counts.
func (p *process) kill(cause engine.Cause, reason string) {
	if p.why == nil {
		p.why = &verdict{cause, reason}
	}
	if p.os != nil && !p.over {
		p.e.running.Go(p.slay) // it reads /proc, which is nothing to do under the lock
	}
}

// slay is the act.
func (p *process) slay() {
	p.alive.Lock()
	defer p.alive.Unlock()
	if !p.gone {
		killTree(p.os.Pid, p.name)
	}
}

// sweep kills what is left of the group and the descendants of a process that has ended. Looking through /proc
// costs more than a short run, so after a plain process that ended by itself only its group is swept.
func (p *process) sweep(thorough bool) {
	_ = syscall.Kill(-p.os.Pid, syscall.SIGKILL)
	if thorough || p.resident {
		killMarked(p.name, startTime(p.os.Pid))
	}
}

// dismiss ends a process that has no run: by closing its socket, and if that does not help, with force.
func (p *process) dismiss() {
	p.e.unhold(p)
	if p.why == nil {
		p.why = &verdict{}
	}
	if p.control == nil || p.os == nil {
		p.kill("", "")
		return
	}
	endWriting(p.control)
	p.timer = time.AfterFunc(dismissGrace, p.slay)
}

// endWriting tells the process at the other end of the socket that we are done with it.
func endWriting(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// cleanUp removes what only the living process needed.
func (p *process) cleanUp() {
	if p.control != nil {
		p.control.Close()
	}
	if err := os.RemoveAll(p.scratch()); err != nil {
		p.e.logger.Warn("local: remove scratch", "dir", p.scratch(), "err", err)
	}
	if p.logFile != nil {
		p.e.linkNow()
		os.Remove(p.e.logPath(p.name))
		p.logFile.Close()
	}
	if p.os != nil {
		p.e.owner.note("gone", strconv.Itoa(p.os.Pid))
	}
}
