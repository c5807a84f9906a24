package slurm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// How often the directory of a watched job is looked at: soon after a change, ever less without.
const (
	lookSoon = 40 * time.Millisecond
	lookLate = time.Second
	beatTime = 3 * time.Second // between events that say of running runs: look in the store
)

// Watch implements engine.Engine.
func (e *Engine) Watch(ctx context.Context, jobID string) iter.Seq2[engine.Event, error] {
	return func(yield func(engine.Event, error) bool) {
		d, err := e.openJob(jobID)
		if err != nil {
			yield(engine.Event{}, err)
			return
		}
		w := &watch{e: e, d: d, began: time.Now(), runs: map[engine.Run]*run{}, lastBeat: time.Now()}
		pause := lookSoon
		for {
			start := time.Now()
			events, err := w.look(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case w.elsewhere != nil:
				err = w.elsewhere
			case e.isClosed():
				err = fmt.Errorf("slurm: watch %s: %w", jobID, engine.ErrClosed)
			case err != nil && !e.current(d):
				err = fmt.Errorf("slurm: watch %s: deleted: %w", jobID, engine.ErrNotExist)
			case err != nil && !errors.Is(err, fs.ErrNotExist): // the directory does not answer
				e.log.Warn("slurm: watch", "job", jobID, "err", err)
				err = nil
			}
			for i := range events {
				if !yield(events[i], nil) {
					return
				}
			}
			if err != nil {
				yield(engine.Event{}, err)
				return
			}
			if pause = pause * 5 / 4; len(events) > 0 {
				pause = lookSoon
			}
			// A large directory is not looked at for more than a tenth of the time.
			pause = min(max(pause, 10*time.Since(start)), max(lookLate, 10*time.Since(start)))
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			case <-e.ctx.Done():
			}
		}
	}
}

// A watch follows one job through its directory and Slurm's queue.
type watch struct {
	e        *Engine
	d        *jobDir
	began    time.Time
	subs     []*submitted
	runs     map[engine.Run]*run
	left     int            // runs that are not final
	used     time.Time      // the snapshot of the queue that was worked on last
	finals   map[int]finals // of arrays that were asked for since
	lastBeat time.Time
	events   []engine.Event

	elsewhere error // the job is another cluster's
}

// submitted is one Submit, as it goes.
type submitted struct {
	*sub
	seen      time.Time // it, and its latest array
	left      int       // runs that are not final
	unclaimed int
	arrays    []array
	cancelled bool
	ending    time.Time // when it was noticed that it was cancelled, or Slurm was told so last
	retry     time.Time // arrays are not placed before
	trouble   string    // why they could not be
	trimmed   bool      // elements that have nothing to do were cancelled
	kept      int       // changes of the nodes that its elements were told to keep off
}

// run is a run as it goes.
type run struct {
	engine.Event // told last
	sub          *submitted
	index        int       // in sub
	noticed      time.Time // its claim
	claim        claim     // zero until it was read
	missed       time.Time // since when its element is gone, and another one may take it
	restarts     int       // of its element, since which it runs; 0 if it has not lost a node
	ended        *engine.Event
	endSeen      time.Time
}

// look brings everything up to date and returns what has changed.
func (w *watch) look(ctx context.Context) ([]engine.Event, error) {
	w.events = w.events[:0]
	if err := w.readJob(); err != nil {
		return nil, err
	}
	if w.left == 0 {
		return w.events, w.exists()
	}
	if err := w.readRuns(); err != nil {
		return w.events, err
	}
	w.judge(ctx)
	w.beat()
	return w.events, w.exists()
}

// exists is an error if the job was deleted.
func (w *watch) exists() error {
	if !w.e.current(w.d) {
		return fs.ErrNotExist
	}
	return nil
}

// tell notes an event, if it says something new.
func (w *watch) tell(r *run, ev engine.Event) {
	old := r.Event
	if old.State >= engine.Exited || ev.State == old.State && ev.Reason == old.Reason && ev.Node == old.Node {
		return
	}
	ev.Run = old.Run
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	r.Event = ev
	w.events = append(w.events, ev)
	if ev.State >= engine.Exited {
		w.left--
		r.sub.left--
		if r.claim == (claim{}) && r.noticed.IsZero() {
			r.sub.unclaimed--
		}
	}
}

// readJob reads what was submitted and cancelled.
func (w *watch) readJob() error {
	names, err := readNames(w.d.path)
	if err != nil {
		return err
	}
	subs := 0
	arrays := map[int][]array{}
	for _, name := range names {
		if strings.HasPrefix(name, "sub.") {
			subs++
		} else if a, ok := parseArray(name); ok {
			arrays[a.sub] = append(arrays[a.sub], a)
		}
	}
	for len(w.subs) < subs {
		s, err := w.d.readSub(len(w.subs))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		w.add(s)
	}
	for n, s := range w.subs {
		if len(arrays[n]) != len(s.arrays) {
			s.arrays, s.seen = arrays[n], time.Now()
		}
	}
	return nil
}

func (w *watch) add(s *sub) {
	t := &submitted{sub: s, seen: time.Now(), left: len(s.runs), unclaimed: len(s.runs)}
	if s.By == w.e.client { // Submit has tried already, or is at it
		t.retry = t.seen.Add(2 * time.Second)
	} else {
		t.retry = t.seen.Add(submitPatience + 10*time.Second) // a client that lives has done it by then
	}
	_, t.kept = w.e.exclude(&w.d.Placement)
	w.subs = append(w.subs, t)
	if s.Cancel {
		for _, old := range w.subs[:len(w.subs)-1] {
			old.cancelled, old.ending = true, t.seen
		}
	}
	for i, id := range s.runs {
		w.runs[id] = &run{sub: t, index: i, Event: engine.Event{Run: id}}
		w.left++
	}
}

// readRuns reads which runs were claimed and which have ended.
func (w *watch) readRuns() error {
	// Claims first: a run that has ended has one, so its end is not missed by those who wait for both.
	claims, err := readNames(filepath.Join(w.d.path, "claim"))
	if err != nil {
		return err
	}
	for _, name := range claims {
		id, ok := parseRun(name)
		r := w.runs[id]
		if !ok || r == nil || r.State >= engine.Exited || r.claim != (claim{}) {
			continue
		}
		if r.noticed.IsZero() {
			r.noticed = time.Now()
			r.sub.unclaimed--
		}
		r.claim, _ = w.d.readClaim(name)
	}
	ends, err := readNames(filepath.Join(w.d.path, "end"))
	if err != nil {
		return err
	}
	for _, name := range ends {
		id, ok := parseRun(name)
		r := w.runs[id]
		if !ok || r == nil || r.State >= engine.Exited || r.ended != nil {
			continue
		}
		if ev, ok := w.d.readEnd(id); ok {
			w.end(r, ev)
		}
	}
	for _, r := range w.runs {
		switch {
		case r.State >= engine.Exited:
		case r.claim != (claim{}) && r.State < engine.Running:
			if r.restarts > r.claim.restart { // until its element writes down where it is now
				if c, ok := w.d.readClaim(runName(r.Run)); ok {
					r.claim = c
				}
			}
			if r.restarts <= r.claim.restart && r.claim.node != "" {
				w.tell(r, engine.Event{State: engine.Running, Node: r.claim.node, Time: r.claim.time})
			}
		case r.State == 0:
			w.tell(r, engine.Event{State: engine.Queued})
		}
	}
	return nil
}

// end takes in how a run ended. If the kernel may have killed it for want of memory, Slurm is asked first.
func (w *watch) end(r *run, ev engine.Event) {
	if ev.Signal == "SIGKILL" && r.claim != (claim{}) {
		r.ended, r.endSeen = &ev, time.Now()
		return
	}
	if node := w.d.lostNode(r.Run); node != "" { // before Slurm notices it would give it to the next attempt
		w.e.avoid(node)
	}
	if ev.Cause == engine.CauseNotStarted && ev.Node != "" {
		w.e.avoid(ev.Node)
	}
	w.tell(r, ev)
}

// beat says now and then of all running runs that they may have stored something.
func (w *watch) beat() {
	if time.Since(w.lastBeat) < beatTime {
		return
	}
	w.lastBeat = time.Now()
	n := 0
	for _, r := range w.runs {
		if r.State == engine.Running {
			ev := r.Event
			ev.Beat = true
			w.events = append(w.events, ev)
			n++
		}
	}
	w.lastBeat = w.lastBeat.Add(time.Duration(n) * 5 * time.Millisecond) // so many are not asked for as often
}
