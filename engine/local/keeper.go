//go:build linux || darwin || freebsd

package local

import (
	"errors"
	"io/fs"
	"time"
)

// The keeper is the goroutine for what is not urgent: it writes the journals, links logs, and looks after the
// memory and the logs of processes. It sleeps when there is nothing to look after.

const (
	keepEvery  = 50 * time.Millisecond // while runs are running or lines are unwritten
	keepSoon   = 10 * time.Millisecond // when a job has just finished
	keepSeldom = time.Second           // while only idle processes are there
)

// markDirty notes that a job has lines to be written. The caller holds the lock.
func (e *Engine) markDirty(j *job) {
	if !j.dirty {
		j.dirty = true
		e.dirty = append(e.dirty, j)
	}
	e.wakeKeeper()
}

// wakeKeeper has the keeper look within keepEvery.
func (e *Engine) wakeKeeper() {
	if !e.armed {
		e.armed = true
		e.poke()
	}
}

// hurry has it look within keepSoon.
func (e *Engine) hurry() {
	if !e.urgent {
		e.urgent = true
		e.poke()
	}
}

func (e *Engine) poke() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// keep is the keeper.
func (e *Engine) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-e.kick:
			e.mu.Lock()
			wait := keepEvery
			if e.urgent {
				wait = keepSoon
			}
			e.mu.Unlock()
			timer.Reset(wait)
		case <-timer.C:
			if wait := e.look(); wait > 0 {
				timer.Reset(wait)
			}
		case <-e.stopped:
			e.linkNow()
			e.writeJournals()
			return
		}
	}
}

// look does the rounds and says when the next are due; 0 is when the keeper is woken.
func (e *Engine) look() time.Duration {
	e.mu.Lock()
	e.urgent = false
	busy := len(e.idle) < len(e.processes)
	any := len(e.processes) > 0
	for _, j := range e.dirty {
		j.notify()
	}
	for p := range e.processes {
		if p.os != nil {
			p.trim()
		}
	}
	e.mu.Unlock()
	e.linkNow()
	e.writeJournals()
	if busy {
		e.guardMemory()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.armed = busy || len(e.dirty) > 0
	switch {
	case e.urgent:
		return keepSoon
	case e.armed:
		return keepEvery
	case any:
		return keepSeldom
	}
	return 0
}

// writeJournals appends what is due to the journals. What a full disk does not take is tried again next time.
func (e *Engine) writeJournals() {
	e.mu.Lock()
	due := e.dirty
	e.dirty = nil
	type page struct {
		job   *job
		lines []byte
		rest  bool
	}
	pages := make([]page, len(due))
	for i, j := range due {
		j.dirty = false
		pages[i] = page{j, j.journal, j.open == 0 && j.noted}
		if pages[i].rest {
			j.noted = false
		}
		j.journal, j.spare = j.spare[:0], nil
		if j.deleted || j.broken {
			pages[i].lines = nil
		}
	}
	e.mu.Unlock()
	for i := range pages {
		pg := &pages[i]
		if len(pg.lines) > 0 {
			n, err := e.appendJournal(pg.job.ID, pg.lines)
			if err != nil {
				e.journalTrouble(pg.job, pg.lines[n:], err)
				continue
			}
		}
		e.mu.Lock()
		if cap(pg.lines) <= 64<<10 {
			pg.job.spare = pg.lines[:0]
		}
		e.mu.Unlock()
		if pg.rest {
			e.owner.note("rest", pg.job.ID)
		}
	}
}

// journalTrouble keeps unwritten lines for later and says so once.
func (e *Engine) journalTrouble(j *job, lines []byte, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j.deleted || e.closed {
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		j.broken = true
		e.logger.Warn("local: the journal was removed: nobody can attach to the job any more", "job", j.ID, "err", err)
		return
	}
	j.journal = append(lines[:len(lines):len(lines)], j.journal...)
	if !j.dirty {
		j.dirty = true
		e.dirty = append(e.dirty, j)
	}
	if !j.trouble {
		j.trouble = true
		e.logger.Warn("local: write journal: until it can be written others see an old state of the job", "job", j.ID, "err", err)
	}
}
