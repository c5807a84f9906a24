//go:build linux || darwin || freebsd

package local

import (
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// A job is what an engine knows of one job: its own, or one that another client owns and whose journal it follows.
// The engine's lock guards it.
type job struct {
	jobRecord
	line line
	kind string // what its resident processes must agree in to be shared

	runs   map[engine.Run]*run
	newest *run   // of the list of runs in the order of their last change
	tick   uint64 // counts changes
	open   int    // runs that are not final

	watchers map[*watcher]struct{}

	journal []byte // lines not yet written
	spare   []byte // room for the next ones
	dirty   bool   // is in engine.dirty
	created bool   // its first runs are in the journal, but were not queued
	noted   bool   // the owner's file says that it has unfinished runs
	broken  bool   // it has no journal
	trouble bool   // with the journal was reported

	failed int // processes in a row that did not start

	// Of a job of another client, or of none.
	foreign   bool
	following bool // a goroutine follows the journal
	owner     string
	ownerPID  int
	node      string
	tail      *tail
	pending   []*run // submitted here, not yet seen in the journal
	heir      func() // makes the job start what this client submitted it with
	deleted   bool
}

// A run is one run of a job, with its present state.
type run struct {
	engine.Run
	job   *job
	event engine.Event
	older *run // neighbours in the order of change
	newer *run
	tick  uint64

	proc *process // while it runs here
	log  string   // file name; "" if it never started
	off  int64    // its part of the log
	end  int64

	pending bool // see job.pending
	asked   time.Time
}

func (r *run) final() bool { return r.event.State >= engine.Exited }

// needOf is what a run takes of this machine, on which all nodes of a run are.
func needOf(r engine.Resources) need {
	nodes := max(r.Nodes, 1)
	return need{nodes * max(r.Cores, 1), int64(nodes) * r.Memory}
}

// newJob makes a job without runs and owner.
func newJob(rec jobRecord) *job {
	j := &job{
		jobRecord: rec,
		runs:      map[engine.Run]*run{},
		watchers:  map[*watcher]struct{}{},
		foreign:   true,
	}
	j.line = line{job: j, priority: rec.Priority, need: needOf(rec.Resources)}
	j.start(rec.Command, rec.Env)
	return j
}

// start says what is started for the job's runs.
func (j *job) start(command, env []string) {
	j.Command, j.Env = command, env
	j.kind = strings.Join([]string{
		strings.Join(command, "\x00"), strings.Join(env, "\x00"),
		strconv.Itoa(j.line.need.cores), strconv.FormatInt(j.line.need.memory, 10),
	}, "\x01")
}

// addRun makes a queued run.
func (j *job) addRun(id engine.Run) *run {
	r := &run{Run: id, job: j}
	j.runs[id] = r
	j.open++
	j.change(r, engine.Event{State: engine.Queued, Time: time.Now()})
	return r
}

// change gives a run another state and puts it at the end of the order of change.
func (j *job) change(r *run, ev engine.Event) {
	ev.Run = r.Run
	if ev.Node == "" {
		ev.Node = r.event.Node
	}
	if ev.State >= engine.Exited && !r.final() {
		j.open--
	}
	r.event = ev
	j.tick++
	r.tick = j.tick
	if j.newest == r {
		return
	}
	if r.newer != nil {
		r.newer.older = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	}
	r.older, r.newer = j.newest, nil
	if j.newest != nil {
		j.newest.newer = r
	}
	j.newest = r
}

// since appends the states of the runs that changed after tick, in the order of their last changes.
func (j *job) since(tick uint64, events []engine.Event) []engine.Event {
	r := j.newest
	if r == nil || r.tick <= tick {
		return events
	}
	for r.older != nil && r.older.tick > tick {
		r = r.older
	}
	for ; r != nil; r = r.newer {
		events = append(events, r.event)
	}
	return events
}

// notify wakes those that watch the job.
func (j *job) notify() {
	for w := range j.watchers {
		w.wakeUp()
	}
}

// own notes who owns the job.
func (j *job) own(r record) {
	j.owner, j.ownerPID = r.Owner, r.PID
	if r.Node != "" {
		j.node = r.Node
	}
}

// apply makes of a record of a journal what it meant. The caller holds the lock, if the job is known to others.
func (e *Engine) apply(j *job, rec record) {
	if rec.Op == opOwner {
		j.own(rec)
		return
	}
	if rec.Op == opRuns {
		for _, span := range rec.Runs {
			for task := span[0]; task < span[0]+span[1]; task++ {
				id := engine.Run{Task: task, Attempt: span[2]}
				if r := j.runs[id]; r == nil {
					j.addRun(id)
				} else {
					r.pending = false
				}
			}
		}
		return
	}
	r := j.runs[engine.Run{Task: rec.Run[0], Attempt: rec.Run[1]}]
	if r == nil || r.final() {
		return
	}
	r.pending = false
	ev := engine.Event{Time: time.Unix(0, rec.Time), Node: j.node}
	switch rec.Op {
	case opStart:
		r.log, r.off, r.end = rec.Log, rec.Off, -1
		ev.State = engine.Running
	case opBeat:
		ev.State, ev.Beat = engine.Running, true
	case opEnd:
		r.end = rec.Off
		ev.State, ev.Cause, ev.ExitCode, ev.Signal, ev.Reason = rec.State, rec.Cause, rec.Code, rec.Signal, rec.Reason
	default:
		return
	}
	j.change(r, ev)
}
