//go:build linux || darwin || freebsd

package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// A job belongs to the client that submitted it; other clients follow its journal. What they submit themselves
// they remember: the client that owns the job decides the same runs, usually. What has not turned up in the
// journal after a while they ask the owner by mail to run, and when the owner has died they take the job over and
// run it themselves.

const (
	followEvery = 50 * time.Millisecond
	askAfter    = 500 * time.Millisecond
	answerLimit = 5 * time.Second // for the owner to do what it was asked
)

// submitForeign remembers runs of a job that is not ours, or not yet.
func (e *Engine) submitForeign(j *job, command, env []string, ids []engine.Run) error {
	if n := j.line.need; n.cores > e.total.cores || n.memory > e.total.memory {
		e.letGo(j)
		return fmt.Errorf("local: submit %s: a run asks for %d cores and %s of memory, the engine has %d and %s: %w",
			j.ID, n.cores, inBytes(n.memory), e.total.cores, inBytes(e.total.memory), engine.ErrCannotRun)
	}
	for _, id := range ids {
		if j.runs[id] == nil {
			r := j.addRun(id)
			r.pending, r.asked = true, time.Now()
			j.pending = append(j.pending, r)
		}
	}
	// If this client takes the job over, it is its own command that runs: the dead one's may be gone with it.
	j.heir = func() { j.start(command, env) }
	j.notify()
	e.follow(j)
	e.letGo(j)
	return nil
}

// follow has a goroutine follow the journal of a job that is not ours, as long as it has watchers or pending runs.
// The caller holds the lock.
func (e *Engine) follow(j *job) {
	if !j.foreign || j.following || e.closed || len(j.watchers) == 0 && len(j.pending) == 0 {
		return
	}
	j.following = true
	e.tasks.Go(func() {
		for e.followOnce(j) {
			select {
			case <-time.After(followEvery):
			case <-e.stopping:
			}
		}
	})
}

// letGo drops a job that nobody follows, since what is known of it grows old.
func (e *Engine) letGo(j *job) {
	if j.foreign && !j.following {
		delete(e.jobs, j.ID)
	}
}

// followOnce brings a job up to date; false when there is nothing more to follow.
func (e *Engine) followOnce(j *job) bool {
	err := e.catchUp(j)
	if errors.Is(err, fs.ErrNotExist) {
		e.mu.Lock()
		defer e.mu.Unlock()
		j.following = false
		e.forget(j)
		return false
	}
	if err == nil {
		err = e.inherit(j)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && !j.trouble {
		j.trouble = true
		e.logger.Warn("local: follow job", "job", j.ID, "err", err)
	}
	if !j.foreign || e.closed || len(j.watchers) == 0 && len(j.pending) == 0 {
		j.following = false
		e.letGo(j)
		return false
	}
	return true
}

// catchUp applies what was added to the journal.
func (e *Engine) catchUp(j *job) error {
	var records []record
	if err := j.tail.read(func(r record) { records = append(records, r) }); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range records {
		e.apply(j, r)
	}
	left := j.pending[:0]
	for _, r := range j.pending {
		if r.pending {
			left = append(left, r)
		}
	}
	clear(j.pending[len(left):])
	j.pending = left
	j.notify()
	return nil
}

// inherit does what there is to do about the owner: nothing while it lives, except to send it what it does not
// seem to know; afterwards settle the job, and take it over if there is something to run.
func (e *Engine) inherit(j *job) error {
	e.mu.Lock()
	id, pid, wanted, settled := j.owner, j.ownerPID, len(j.pending) > 0, j.open == len(j.pending)
	e.mu.Unlock()
	if e.alive(id) {
		if wanted {
			e.askToRun(j)
		}
		return nil
	}
	if !wanted && settled {
		return nil
	}
	return e.takeover(func() error {
		if err := e.reap(id); err != nil {
			return err
		}
		if err := e.catchUp(j); err != nil {
			return err
		}
		e.mu.Lock()
		id := j.owner
		e.mu.Unlock()
		if e.alive(id) {
			return nil
		}
		return e.settle(j, wanted, lostEvent(pid))
	})
}

func lostEvent(pid int) engine.Event {
	return engine.Event{State: engine.Lost, Cause: engine.CauseClient,
		Reason: fmt.Sprintf("the process that ran this job (pid %d) is gone", pid)}
}

// settleFile ends the runs of a job of a dead owner in its journal, if it still is that owner's.
func (e *Engine) settleFile(id, owner string) error {
	j, err := e.readJournal(id)
	if errors.Is(err, engine.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if j.owner != owner {
		return nil
	}
	return e.settle(j, false, lostEvent(j.ownerPID))
}

// settle gives the unfinished runs of a job without living owner the end ev, and the job the owner it then has:
// this client if take is set, otherwise nobody. The caller is in takeover, and the job is up to date.
func (e *Engine) settle(j *job, take bool, ev engine.Event) error {
	if err := j.tail.mend(e, j.ID); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	e.mu.Lock()
	var ends []*run
	for _, r := range j.runs {
		if !r.final() && !r.pending {
			ends = append(ends, r)
		}
	}
	e.mu.Unlock()
	for _, r := range ends {
		if r.log == "" {
			continue
		}
		if err := e.link(j.ID, r.log); err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.logger.Warn("local: keep log", "job", j.ID, "err", err)
		}
	}
	next := record{Op: opOwner}
	if take {
		next.Owner, next.PID, next.Node = e.owner.id, os.Getpid(), e.node
		e.owner.note("job", j.ID)
	}
	var lines []byte
	e.mu.Lock()
	ev.Time = time.Now()
	for _, r := range ends {
		if r.log != "" {
			r.end = r.off
			if info, err := os.Stat(e.jobLogs(j.ID) + "/" + r.log + ".log"); err == nil {
				r.end = max(info.Size(), r.off)
			}
		}
		j.change(r, ev)
		lines = appendRun(lines, opEnd, r)
	}
	j.notify()
	e.mu.Unlock()
	if _, err := e.appendJournal(j.ID, appendRecord(lines, next)); err != nil {
		return fmt.Errorf("local: settle %s: %w", j.ID, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j.own(next)
	if !take || e.closed {
		return nil
	}
	j.foreign, j.noted, j.tail = false, true, nil
	if j.heir != nil {
		j.heir()
	}
	var ids []engine.Run
	for _, r := range j.pending {
		r.pending = false
		ids = append(ids, r.Run)
	}
	j.journal = appendRuns(j.journal, ids)
	e.markDirty(j)
	e.schedule.add(&j.line, j.pending...)
	j.pending = nil
	e.dispatch()
	return nil
}

// send puts a line into the mail of an owner; false if it is not there to read it.
func (e *Engine) send(owner, line string) bool {
	f, err := os.OpenFile(e.mailPath(owner), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	return err == nil
}

// askToRun sends the owner the runs that should have turned up by now.
func (e *Engine) askToRun(j *job) {
	e.mu.Lock()
	owner := j.owner
	var lines []string
	line := ""
	now := time.Now()
	for _, r := range j.pending {
		if now.Sub(r.asked) < askAfter {
			continue
		}
		r.asked = now.Add(answerLimit)
		if line == "" {
			line = "run " + j.ID
		}
		line += " " + strconv.Itoa(r.Task) + "/" + strconv.Itoa(r.Attempt)
		if len(line) > 512 { // what every system writes to a pipe in one piece
			lines, line = append(lines, line), ""
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	e.mu.Unlock()
	for _, line := range lines {
		e.send(owner, line)
	}
}

// readMail does what other clients ask for, until Close closes the mailbox.
func (e *Engine) readMail() {
	s := bufio.NewScanner(e.owner.mail)
	for s.Scan() {
		words := strings.Fields(s.Text())
		if len(words) < 2 {
			continue
		}
		e.mu.Lock()
		j := e.jobs[words[1]]
		if j == nil || j.foreign || e.closed {
			e.mu.Unlock()
			continue
		}
		switch words[0] {
		case "cancel":
			e.cancel(j)
			e.mu.Unlock()
		case "delete":
			if err := e.delete(context.Background(), j); err != nil {
				e.logger.Warn("local: delete for another client", "err", err)
			}
		case "run":
			var ids []engine.Run
			for _, word := range words[2:] {
				var id engine.Run
				if n, _ := fmt.Sscanf(word, "%d/%d", &id.Task, &id.Attempt); n == 2 {
					ids = append(ids, id)
				}
			}
			e.addRuns(j, ids)
			e.dispatch()
			e.mu.Unlock()
		default:
			e.mu.Unlock()
		}
	}
}

// cancelForeign cancels a job that another client owns, or nobody. It is called with the lock held and frees it.
func (e *Engine) cancelForeign(ctx context.Context, j *job) error {
	now := time.Now()
	for _, r := range j.pending {
		r.pending = false
		j.change(r, engine.Event{State: engine.Exited, Time: now, Cause: engine.CauseCancelled, Reason: "cancelled before it started"})
	}
	j.pending = nil
	j.notify()
	e.letGo(j)
	e.mu.Unlock()
	cancelled := engine.Event{State: engine.Exited, Cause: engine.CauseCancelled, Reason: "cancelled after its client had died"}
	return e.insist(ctx, j.ID, "cancel", func(j *job) (bool, error) {
		if j == nil || j.open == 0 {
			return true, nil
		}
		if e.alive(j.owner) {
			return false, nil
		}
		owner := j.owner
		if err := e.settle(j, false, cancelled); err != nil {
			return false, err
		}
		return true, e.reap(owner)
	})
}

// deleteForeign deletes a job that another client owns, or nobody. It is called with the lock held and frees it.
func (e *Engine) deleteForeign(ctx context.Context, j *job) error {
	e.letGo(j)
	e.mu.Unlock()
	return e.insist(ctx, j.ID, "delete", func(j *job) (bool, error) {
		if j == nil {
			return true, nil
		}
		if e.alive(j.owner) {
			return false, nil
		}
		if err := e.reap(j.owner); err != nil {
			return false, err
		}
		return true, e.removeFiles(j.ID)
	})
}

// insist asks the owner of a job by mail to do something, until try says that it is done or does it itself. The
// job that try gets is as the journal has it, nil if that is gone.
func (e *Engine) insist(ctx context.Context, id, verb string, try func(*job) (bool, error)) error {
	deadline := time.Now().Add(answerLimit)
	asked := ""
	for {
		var done bool
		pid := 0
		err := e.takeover(func() error {
			j, err := e.readJournal(id)
			if err != nil && !errors.Is(err, engine.ErrNotExist) {
				return err
			}
			if done, err = try(j); done || err != nil {
				return err
			}
			pid = j.ownerPID
			if asked != j.owner && e.send(j.owner, verb+" "+id) {
				asked = j.owner
			}
			return nil
		})
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("local: %s %s: the client that owns the job (pid %d) does not react", verb, id, pid)
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
