package slurm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/clusterless-go/clusterless/engine"
)

// An Engine runs jobs on a Slurm cluster. See the package's documentation.
type Engine struct {
	c      Config
	log    *slog.Logger
	client string // name of this one
	queue  *queue
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	asking sync.Mutex // slurmctld for
	answer limits
	asked  time.Time

	mu         sync.Mutex
	closed     bool
	unfit      map[string]time.Time // nodes on which no run could be made, or that a run lost, and when
	changes    int                  // of their names
	placing    map[placing]bool     // Submits whose arrays this process is placing
	noAccounts bool                 // sacct has none
}

type placing struct {
	dir string
	sub int
}

// New makes an engine. It makes the directory's parts, and does not ask Slurm for anything yet.
func New(c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("slurm: no shared directory: name it in the URL, as in slurm:///shared/me")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("slurm: %w", err)
	}
	c.Dir = dir
	for _, name := range []string{"sbatch", "squeue", "scontrol", "scancel"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("slurm: %s is not in PATH: run this on a login node of the cluster, or load the module that has Slurm's commands", name)
		}
	}
	for _, sub := range []string{"jobs", "runs", "clients", "cache"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("slurm: shared directory: %w", err)
		}
	}
	e := &Engine{c: c, log: c.Logger, unfit: map[string]time.Time{}, placing: map[placing]bool{}}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.queue = newQueue(c.Poll)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.beginBeat(); err != nil {
		e.cancel()
		return nil, fmt.Errorf("slurm: %w", err)
	}
	return e, nil
}

// Shared implements engine.Sharer.
func (e *Engine) Shared() string { return e.c.Dir }

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// avoidTime is how long submits keep off a node on which no run could be made.
const avoidTime = time.Hour

// avoid keeps elements off a node.
func (e *Engine) avoid(node string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.unfit[node]; !known {
		e.changes++
	}
	e.unfit[node] = time.Now()
}

// forgive allows all nodes again; false if they were allowed.
func (e *Engine) forgive() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	some := len(e.unfit) > 0
	if some {
		e.changes++
	}
	clear(e.unfit)
	return some
}

// exclude is what elements are to keep off, and how often that has changed.
func (e *Engine) exclude(p *Placement) (list string, changes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.unfit)
	maps.DeleteFunc(e.unfit, func(_ string, since time.Time) bool { return time.Since(since) > avoidTime })
	e.changes += n - len(e.unfit)
	nodes := slices.Sorted(maps.Keys(e.unfit))
	if p.Exclude != "" {
		nodes = append(nodes, p.Exclude)
	}
	return strings.Join(nodes, ","), e.changes
}

// check refuses a job that could never run.
func (e *Engine) check(job *engine.Job) error {
	if err := job.Check(); err != nil {
		return fmt.Errorf("slurm: submit %s: %w", job.ID, err)
	}
	if err := engine.CheckExports(job.Env); err != nil {
		return fmt.Errorf("slurm: submit %s: %w", job.ID, err)
	}
	for _, s := range slices.Concat(job.Command, job.Env, job.Settings) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			name, _, _ := strings.Cut(s, "=")
			return fmt.Errorf("slurm: submit %s: command, environment or settings are no UTF-8 text at %q: %w", job.ID, name, engine.ErrCannotRun)
		}
	}
	if _, err := e.c.placement(job.Settings); err != nil {
		return fmt.Errorf("slurm: submit %s: %w: %w", job.ID, err, engine.ErrCannotRun)
	}
	return nil
}

// Cancel implements engine.Engine.
func (e *Engine) Cancel(ctx context.Context, jobID string) error {
	d, err := e.openJob(jobID)
	if err != nil {
		return err
	}
	if err := e.here(ctx, d); err != nil {
		return err
	}
	s, err := e.addSub(d, nil, true)
	if err == nil { // for elements of which nobody knows here
		err = replace(filepath.Join(d.path, "cancelled"), fmt.Appendln(nil, s.n))
	}
	if err := errors.Join(err, e.scancelAll(ctx, d)); err != nil {
		return fmt.Errorf("slurm: cancel job %s: %w", d.ID, err)
	}
	return nil
}

// scancelAll ends all arrays of a job.
func (e *Engine) scancelAll(ctx context.Context, d *jobDir) error {
	arrays, err := d.arrays()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var ids []string
	for _, a := range arrays {
		ids = append(ids, strconv.Itoa(a.id))
	}
	return scancel(ctx, ids)
}

// scancel ends arrays, or elements of them. Those that have ended, or that nobody knows any more, are no error.
func scancel(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := command(ctx, "", "scancel", append([]string{"--quiet"}, ids...)...)
	if says(err, "Invalid job id", "already completing or completed", "Job/step already") {
		return nil
	}
	return err
}

// Delete implements engine.Engine. When it returns the name is free, and Slurm was told to end what runs.
func (e *Engine) Delete(ctx context.Context, jobID string) error {
	d, err := e.openJob(jobID)
	if errors.Is(err, engine.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.here(ctx, d); err != nil {
		return err
	}
	if err := e.scancelAll(ctx, d); err != nil {
		return fmt.Errorf("slurm: delete job %s: %w", d.ID, err)
	}
	if err := os.Remove(e.jobPath(jobID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("slurm: delete %s: %w", jobID, err)
	}
	// An agent that is being killed may still write; what is left then goes with the next New.
	for range 3 {
		if err = os.RemoveAll(d.path); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	e.log.Warn("slurm: files of a deleted job are left", "dir", d.path, "err", err)
	return nil
}

// Close implements engine.Engine. Jobs go on.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	return nil
}
