//go:build linux || darwin || freebsd

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

// An Engine runs jobs as processes of this machine. See the package's documentation.
type Engine struct {
	dir      string
	node     string
	total    need
	logLimit int64
	logger   *slog.Logger
	env      []string // of every process, before what is its own
	owner    *owner
	spawner  *spawner

	kick     chan struct{}  // wakes the keeper
	stopping chan struct{}  // closed first by Close
	running  sync.WaitGroup // goroutines of processes
	stopped  chan struct{}  // closed when they have ended
	tasks    sync.WaitGroup // the other goroutines
	linking  sync.Mutex     // held while links to logs are made
	memory   memoryGuard

	mu        sync.Mutex
	closed    bool
	jobs      map[string]*job
	opening   map[string]chan struct{} // jobs that a goroutine is reading or creating
	schedule  schedule
	processes map[*process]struct{}
	idle      []*process // the one used last at the end
	held      need       // by processes that are not ending
	serial    uint64     // of processes
	dirty     []*job     // have lines for their journal
	armed     bool       // the keeper has a timer running
	urgent    bool
	unlinked  []logLink
}

// New makes an engine. State that dead clients left in the directory is put in order first.
func New(c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("local: Config.Dir is empty")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	for _, sub := range []string{"jobs", "logs", "owners", "scratch", "cache"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("local: state directory: %w", err)
		}
	}
	e := &Engine{
		dir:       dir,
		total:     need{c.Slots, c.Memory},
		logLimit:  c.LogLimit,
		logger:    c.Logger,
		kick:      make(chan struct{}, 1),
		stopping:  make(chan struct{}),
		stopped:   make(chan struct{}),
		jobs:      map[string]*job{},
		opening:   map[string]chan struct{}{},
		processes: map[*process]struct{}{},
	}
	if e.total.cores <= 0 {
		e.total.cores = runtime.NumCPU()
	}
	if e.total.memory <= 0 {
		e.total.memory = physicalMemory()
	}
	if e.logLimit <= 0 {
		e.logLimit = DefaultLogLimit
	}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if e.node, err = os.Hostname(); err != nil {
		e.node = "localhost"
	}
	e.schedule.free = e.total
	e.env = baseEnv(os.Environ(), e)
	if e.owner, err = e.newOwner(); err != nil {
		return nil, err
	}
	if e.spawner, err = newSpawner(); err != nil {
		e.owner.leave(e)
		return nil, fmt.Errorf("local: %w", err)
	}
	e.memory.kills = oomKills()
	e.reapAll()
	e.tasks.Go(e.keep)
	if e.owner.mail != nil {
		e.tasks.Go(e.readMail)
	}
	return e, nil
}

// baseEnv is what all processes get: the environment of this one, which may itself be a process of an engine.
func baseEnv(environ []string, e *Engine) []string {
	env := make([]string, 0, len(environ)+3)
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case contract.EnvWorker, contract.EnvStore, contract.EnvJob, contract.EnvTask, contract.EnvAttempt,
			contract.EnvControl, contract.EnvScratch, contract.EnvCache, contract.EnvNode, contract.EnvProcess:
		default:
			env = append(env, v)
		}
	}
	return append(env,
		contract.EnvCache+"="+filepath.Join(e.dir, "cache"),
		contract.EnvNode+"="+e.node)
}

// Client implements engine.Attender.
func (e *Engine) Client() string { return e.owner.id }

// Alive implements engine.Attender.
func (e *Engine) Alive(client string) bool { return engine.ValidID(client) && e.alive(client) }

// Tell implements engine.Teller.
func (e *Engine) Tell(_ context.Context, job string) (string, error) {
	const nobody = "interrupted: no process works on it; its program, run again with OrAttach, makes the rest"
	if !engine.ValidID(job) {
		return "", nil
	}
	j, err := e.readJournal(job)
	switch {
	case errors.Is(err, engine.ErrNotExist):
		return nobody, nil // a client that attaches begins a new journal
	case err != nil:
		return "", err
	case !e.alive(j.owner):
		return nobody, nil
	}
	return fmt.Sprintf("process %d works on it", j.ownerPID), nil
}

// Slots implements engine.Sizer.
func (e *Engine) Slots(r engine.Resources) int {
	need := needOf(r)
	n := e.total.cores / need.cores
	if need.memory > 0 {
		n = int(min(int64(n), e.total.memory/need.memory))
	}
	return n
}

// check refuses a job that could never run.
func (e *Engine) check(job *engine.Job) error {
	if err := job.Check(); err != nil {
		return fmt.Errorf("local: submit %s: %w", job.ID, err)
	}
	if len(job.Settings) > 0 {
		return fmt.Errorf("local: submit %s: setting local.%s: there is none for a job: %w", job.ID, job.Settings[0], engine.ErrCannotRun)
	}
	need := needOf(job.Resources)
	if need.cores > e.total.cores {
		return fmt.Errorf("local: submit %s: a run asks for %d cores, the engine has %d: %w", job.ID, need.cores, e.total.cores, engine.ErrCannotRun)
	}
	if need.memory > e.total.memory {
		return fmt.Errorf("local: submit %s: a run asks for %s of memory, the engine has %s: %w",
			job.ID, inBytes(need.memory), inBytes(e.total.memory), engine.ErrCannotRun)
	}
	return nil
}

// Submit implements engine.Engine. Runs of a job that a living client owns are left to it; see follow.go.
func (e *Engine) Submit(ctx context.Context, job engine.Job) error {
	if err := e.check(&job); err != nil {
		return err
	}
	j, err := e.openJob(ctx, job.ID, &job)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	if j.foreign {
		return e.submitForeign(j, job.Command, job.Env, job.Runs)
	}
	e.addRuns(j, job.Runs)
	e.dispatch()
	return nil
}

// addRuns queues the runs that the job does not have.
func (e *Engine) addRuns(j *job, ids []engine.Run) {
	added := make([]*run, 0, len(ids))
	fresh := ids
	for i, id := range ids {
		if j.runs[id] != nil {
			if len(fresh) == len(ids) {
				fresh = ids[:i:i]
			}
			continue
		}
		if len(fresh) < len(ids) {
			fresh = append(fresh, id)
		}
		added = append(added, j.addRun(id))
	}
	if len(added) == 0 {
		return
	}
	if !j.noted {
		j.noted = true
		e.owner.note("job", j.ID)
	}
	if j.created { // with these runs in its journal
		j.created = false
	} else {
		j.journal = appendRuns(j.journal, fresh)
		e.markDirty(j)
	}
	e.schedule.add(&j.line, added...)
	j.notify()
}

// lookup finds a job and returns with the lock held, or with an error.
func (e *Engine) lookup(ctx context.Context, id string) (*job, error) {
	if !engine.ValidID(id) {
		return nil, fmt.Errorf("local: job %q: %w", id, engine.ErrNotExist)
	}
	return e.openJob(ctx, id, nil)
}

// openJob finds a job in memory or on disk, or makes it if create is given, with its runs recorded but not yet
// queued. Without error it returns with the lock held.
func (e *Engine) openJob(ctx context.Context, id string, create *engine.Job) (*job, error) {
	for {
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			return nil, fmt.Errorf("local: job %s: %w", id, engine.ErrClosed)
		}
		if j := e.jobs[id]; j != nil {
			return j, nil
		}
		busy := e.opening[id]
		if busy == nil {
			break
		}
		e.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	done := make(chan struct{})
	e.opening[id] = done
	e.mu.Unlock()

	j, err := e.readOrCreate(id, create)

	e.mu.Lock()
	delete(e.opening, id)
	close(done)
	if err == nil && e.closed {
		err = engine.ErrClosed
	}
	if err != nil {
		e.mu.Unlock()
		return nil, fmt.Errorf("local: job %s: %w", id, err)
	}
	e.jobs[id] = j
	return j, nil
}

func (e *Engine) readOrCreate(id string, create *engine.Job) (*job, error) {
	if create != nil {
		j, err := e.create(create)
		if !errors.Is(err, fs.ErrExist) {
			return j, err
		}
	}
	j, err := e.readJournal(id)
	if create != nil && errors.Is(err, engine.ErrNotExist) { // a journal without a first line, now gone
		return e.create(create)
	}
	return j, err
}

// create writes the journal of a new job, which makes it this client's. On a full disk the job goes on without.
func (e *Engine) create(job *engine.Job) (*job, error) {
	j := newJob(jobRecord{
		ID: job.ID, Command: job.Command, Env: job.Env, Resources: job.Resources, Priority: job.Priority,
		Timeout: job.Timeout, StartTimeout: job.StartTimeout, Resident: job.Resident, Isolated: job.Isolated,
		LogLimit: e.logLimit,
	})
	j.foreign = false
	j.owner, j.ownerPID, j.node = e.owner.id, os.Getpid(), e.node
	lines := appendRecord(nil, record{
		Op: opJob, Version: journalVersion, Job: &j.jobRecord, Owner: e.owner.id, PID: os.Getpid(), Node: e.node,
	})
	e.owner.note("job", j.ID)
	j.created, j.noted = true, true
	err := e.createJournal(j.ID, appendRuns(lines, job.Runs))
	if errors.Is(err, fs.ErrExist) {
		e.owner.note("rest", j.ID) // it is another's
		return nil, err
	}
	if err != nil {
		e.logger.Warn("local: the job has no journal: nobody can attach to it", "job", j.ID, "err", err)
		j.broken = true
	}
	return j, nil
}

// Cancel implements engine.Engine. The owner of a job cancels it at once; another client asks the owner to.
func (e *Engine) Cancel(ctx context.Context, jobID string) error {
	j, err := e.lookup(ctx, jobID)
	if err != nil {
		return err
	}
	if j.foreign {
		return e.cancelForeign(ctx, j)
	}
	e.cancel(j)
	e.mu.Unlock()
	return nil
}

// cancel ends all runs of a job of ours, and returns the processes that are about to end with them.
func (e *Engine) cancel(j *job) (dying []*process) {
	now := time.Now()
	for _, r := range e.schedule.clear(&j.line) {
		e.finish(r, engine.Event{State: engine.Exited, Time: now, Cause: engine.CauseCancelled, Reason: "cancelled before it started"})
	}
	for p := range e.processes {
		if p.run == nil || p.run.job != j {
			continue
		}
		dying = append(dying, p)
		if p.state == starting {
			e.release(p, engine.Event{State: engine.Exited, Time: now, Cause: engine.CauseCancelled, Reason: "cancelled while its process started"})
			p.single = true // so that it ends when it has started
		}
		p.kill(engine.CauseCancelled, "cancelled while it ran")
	}
	e.dispatch()
	j.notify()
	return dying
}

// Delete implements engine.Engine. The processes of the job, its journal and its logs are gone when it returns, unless
// another client owns the job and does not react.
func (e *Engine) Delete(ctx context.Context, jobID string) error {
	j, err := e.lookup(ctx, jobID)
	if errors.Is(err, engine.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if j.foreign {
		return e.deleteForeign(ctx, j)
	}
	return e.delete(ctx, j)
}

// delete deletes a job of this client. It is called with the lock held and frees it.
func (e *Engine) delete(ctx context.Context, j *job) error {
	dying := e.cancel(j)
	e.forget(j)
	e.mu.Unlock()
	for _, p := range dying { // or they would store what comes from them after whoever deletes the job has cleared the store
		select {
		case <-p.dead:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return e.removeFiles(j.ID)
}

// forget takes a job out of memory; nothing more is written for it.
func (e *Engine) forget(j *job) {
	j.deleted = true
	delete(e.jobs, j.ID)
	j.notify()
}

// removeFiles removes what the disk has of a job.
func (e *Engine) removeFiles(id string) error {
	err := os.Remove(e.journalPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err2 := os.RemoveAll(e.jobLogs(id)); err == nil {
		err = err2
	}
	if err != nil {
		return fmt.Errorf("local: delete %s: %w", id, err)
	}
	return nil
}

// Close implements engine.Engine: it ends all processes. Runs that were not finished are lost, and whoever opens
// the directory next may run them again.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		e.tasks.Wait()
		return nil
	}
	e.closed = true
	for p := range e.processes {
		if p.run != nil {
			p.kill(engine.CauseClient, "the client was closed")
		} else {
			p.dismiss()
		}
	}
	for _, j := range e.jobs {
		j.notify()
	}
	e.mu.Unlock()
	close(e.stopping)
	if e.owner.mail != nil {
		e.owner.mail.Close()
	}
	e.running.Wait()
	close(e.stopped)
	e.tasks.Wait()
	e.spawner.close()
	e.owner.leave(e)
	return nil
}
