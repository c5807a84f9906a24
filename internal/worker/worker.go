// Package worker is the other side of an engine: it loads a task, makes its calls, and commits what they return.
// docs/worker.md specifies what it does; the rules for user code are there too.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
	"github.com/clusterless-go/clusterless/store"
)

// A Func is a defined function without its types.
type Func interface {
	Name() string
	// Decode makes the inputs of one message by calling decode with a pointer: one input, or with flat a slice of n.
	Decode(decode func(ptr any) error, flat bool, n int) (inputs any, err error)
	// Gather makes one input, a slice of n, by calling decode with a pointer to each element.
	Gather(n int, decode func(i int, ptr any) error) (inputs any, err error)
	// Call runs the function on the i-th of the inputs, and returns a pointer to its result.
	Call(ctx context.Context, inputs any, i int) (out any, err error)
	// Encode writes one message: the result, or with flat the slice of results.
	Encode(e *codec.Encoder, w io.Writer, outs []any, flat bool) error
}

// Config is what a program brings to its workers.
type Config struct {
	// Func finds a function by name.
	Func func(name string) (Func, bool)
	// Names are the functions there are, for the error when one is missing.
	Names func() []string
	// Setup runs once in each process, before its first call.
	Setup func(context.Context) error
	// Program is the hash of the executable, "" if it is not known yet.
	Program func() string
	// Attach puts what user code may ask for into the context of a call.
	Attach func(ctx context.Context, c *Call) context.Context
}

// Asked reports whether this process was started as a worker.
func Asked() bool { return os.Getenv(contract.EnvWorker) != "" }

// A Worker is this process.
type Worker struct {
	Config
	store   store.Store
	access  string // with what it was opened, for processes of a team
	cache   *cache.Cache
	scratch string
	node    string
	env     map[string]string // of the contract
	hub     *team.Hub         // where the agents on the task's other nodes dial in, if the engine runs them
	beat    func()
	umask   int // that the process began with

	jobs   map[string]*job
	setup  sync.Once
	setErr error
	maps   maps
	kids   children
}

// job is what a worker keeps of a job between its tasks.
type job struct {
	*ledger.Job
	fn       Func
	file     os.FileInfo // of its manifest
	includes string      // directory with the included files, once they are there
}

// maxJobs is how many jobs a worker keeps in memory.
const maxJobs = 64

// Serve does what the environment tells this process to do, and returns its exit code.
func Serve(cfg Config) int {
	env := map[string]string{}
	for _, k := range []string{contract.EnvWorker, contract.EnvStore, contract.EnvJob, contract.EnvTask, contract.EnvAttempt, contract.EnvBegun,
		contract.EnvControl, contract.EnvScratch, contract.EnvCache, contract.EnvNode, contract.EnvLog, contract.EnvRole, contract.EnvTeam, contract.EnvToken, contract.EnvNodes} {
		env[k] = os.Getenv(k)
		os.Unsetenv(k)
	}
	if v := env[contract.EnvWorker]; v != contract.Version {
		fmt.Fprintf(os.Stderr, "clusterless: worker: the client speaks version %q of the worker contract, this program version %s: build both from one version of clusterless\n", v, contract.Version)
		return contract.ExitStart
	}
	if env[contract.EnvRole] == contract.RoleLog {
		return keepLog(env)
	}
	if role := env[contract.EnvRole]; role != "" {
		return join(cfg, role, env)
	}
	// With as many Ps as cores, a call that keeps them all busy has them taken away whenever the goroutine that watches
	// it, or the runtime's monitor during a system call, wants one: 30 % of the time with one core. One more, mostly
	// idle, is what they use.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	ctx := context.Background()
	w := &Worker{Config: cfg, scratch: env[contract.EnvScratch], node: env[contract.EnvNode], env: env, beat: func() {}, umask: readUmask(), jobs: map[string]*job{}}
	if err := w.open(ctx, env[contract.EnvStore], env[contract.EnvCache]); err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: worker: %v\n", err)
		return contract.ExitStart
	}
	if addr := env[contract.EnvTeam]; addr != "" { // for agents that the engine runs
		var err error
		if w.hub, err = team.Listen(addr, env[contract.EnvToken]); err != nil {
			fmt.Fprintf(os.Stderr, "clusterless: worker: %v\n", err)
			return contract.ExitTask // it may be free on the next try
		}
		defer w.hub.Close()
		defer onNoMore(w.hub.NoMore)()
	}
	adoptOrphans()
	if fd := env[contract.EnvControl]; fd != "" {
		n, err := strconv.Atoi(fd)
		if err != nil {
			fmt.Fprintf(os.Stderr, "clusterless: worker: %s=%q is no descriptor\n", contract.EnvControl, fd)
			return contract.ExitStart
		}
		return w.reside(ctx, n)
	}
	task, err1 := strconv.Atoi(env[contract.EnvTask])
	attempt, err2 := strconv.Atoi(env[contract.EnvAttempt])
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: worker: the engine did not say which task: %v\n", err)
		return contract.ExitStart
	}
	r := w.run(ctx, env[contract.EnvJob], task, attempt)
	if r.reason != "" {
		fmt.Fprintf(os.Stderr, "clusterless: worker: %s\n", r.reason)
	}
	return r.code
}

func (w *Worker) open(ctx context.Context, url, cacheDir string) (err error) {
	w.access = os.Getenv(contract.EnvAccess)
	w.store, err = store.Open(ctx, url)
	os.Unsetenv(contract.EnvAccess) // the driver has read it; user code has no use for it
	if err != nil {
		return err
	}
	if w.scratch == "" {
		if w.scratch, err = os.MkdirTemp("", "clusterless-*"); err != nil {
			return err
		}
	}
	// Absolute paths, since calls change the working directory.
	if w.scratch, err = filepath.Abs(w.scratch); err != nil {
		return err
	}
	if err := os.MkdirAll(w.scratch, 0o700); err != nil {
		return err
	}
	if cacheDir == "" {
		cacheDir = filepath.Join(os.TempDir(), "clusterless-cache-"+strconv.Itoa(os.Getuid()))
	}
	if cacheDir, err = filepath.Abs(cacheDir); err != nil {
		return err
	}
	if w.cache, err = cache.Open(cacheDir); err != nil {
		return err
	}
	if w.node == "" {
		w.node, _ = os.Hostname()
	}
	return os.Chdir(w.scratch)
}

// reside makes one run after another until the control socket closes.
func (w *Worker) reside(ctx context.Context, fd int) int {
	conn := os.NewFile(uintptr(fd), "control")
	if conn == nil {
		return contract.ExitStart
	}
	closeOnExec(fd)
	var mu sync.Mutex
	send := func(m contract.Message) {
		mu.Lock()
		defer mu.Unlock()
		if contract.Write(conn, m) != nil {
			die()
		}
	}
	w.beat = func() { send(contract.Message{Kind: contract.Beat}) }
	runs := make(chan contract.Message)
	go func() {
		r := contract.NewReader(conn)
		for {
			m, err := r.Read()
			if err != nil { // the engine is gone, and with it whoever wants this work
				die()
			}
			if m.Kind == contract.RunIt {
				runs <- m
			}
		}
	}()
	send(contract.Message{Kind: contract.Ready})
	for m := range runs {
		r := w.run(ctx, m.Job, m.Task, m.Attempt)
		if w.maps.full() {
			r.retire = true
		}
		if r.reason != "" {
			fmt.Fprintf(os.Stderr, "clusterless: worker: %s\n", r.reason)
		}
		send(contract.Message{Kind: contract.Done, Job: m.Job, Task: m.Task, Attempt: m.Attempt, Code: r.code, Reason: r.reason, Retire: r.retire})
		if r.retire {
			break
		}
	}
	return 0
}

// result is how a run ended.
type result struct {
	code   int
	reason string
	retire bool
}

func fail(err error) result { return result{code: contract.ExitTask, reason: err.Error()} }

// run makes one task.
func (w *Worker) run(ctx context.Context, jobID string, taskNo, attempt int) result {
	j, err := w.job(ctx, jobID)
	if err != nil {
		return result{code: contract.ExitStart, reason: err.Error()}
	}
	span, err := j.Span(ctx, taskNo)
	if errors.Is(err, plan.ErrDamaged) { // for all tasks
		return result{code: contract.ExitStart, reason: err.Error()}
	}
	if err != nil {
		return fail(err)
	}
	t := &task{w: w, job: j, no: taskNo, attempt: attempt, span: span, next: span.First}
	w.setup.Do(func() {
		w.setErr = w.runSetup(ctx)
		w.kids.keep()
	})
	r := t.run(ctx)
	if w.setErr != nil {
		r.retire = true
	}
	return r
}

func (w *Worker) runSetup(ctx context.Context) (err error) {
	if w.Setup == nil {
		return nil
	}
	done := make(chan struct{})
	go func() { // a goroutine of its own, so that Goexit in it ends only that
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("worker set-up: panic: %v\n%s", p, debug.Stack())
			}
		}()
		err = errors.New("worker set-up: runtime.Goexit was called")
		if e := w.Setup(ctx); e != nil {
			err = fmt.Errorf("worker set-up: %w", e)
		} else {
			err = nil
		}
	}()
	<-done
	return err
}

func (w *Worker) job(ctx context.Context, id string) (*job, error) {
	if j := w.known(ctx, id); j != nil {
		return j, nil
	}
	file := w.manifestFile(ctx, id)
	l, err := ledger.Open(ctx, w.store, id)
	if err != nil {
		return nil, err
	}
	j := &job{Job: l, file: file}
	m := &l.Manifest
	fn, ok := w.Func(m.Func)
	if !ok {
		return nil, fmt.Errorf("job %s calls the function %q, which this program does not define (it defines %q): clusterless.Define it at package level, in a package that the program imports", id, m.Func, w.Names())
	}
	j.fn = fn
	if len(w.jobs) >= maxJobs {
		for k, old := range w.jobs {
			old.Close()
			delete(w.jobs, k)
		}
	}
	w.jobs[id] = j
	return j, nil
}

// known returns a job that is in memory, if it is still the one of that name: it may have been deleted, and another one
// made. Stores without files do not tell cheaply, so there nothing is known.
func (w *Worker) known(ctx context.Context, id string) *job {
	j := w.jobs[id]
	if j == nil {
		return nil
	}
	file := w.manifestFile(ctx, id)
	if j.file != nil && file != nil && os.SameFile(j.file, file) && j.file.ModTime().Equal(file.ModTime()) {
		return j
	}
	j.Close()
	delete(w.jobs, id)
	return nil
}

func (w *Worker) manifestFile(ctx context.Context, id string) os.FileInfo {
	path, ok, err := store.File(ctx, w.store, plan.ManifestKey(id))
	if err != nil || !ok {
		return nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return st
}

// peek returns a job to read results from.
func (w *Worker) peek(ctx context.Context, id string) (*ledger.Job, error) {
	if j := w.known(ctx, id); j != nil {
		return j.Job, nil
	}
	return ledger.Open(ctx, w.store, id)
}

// manifest of the task's job.
func (t *task) manifest() *plan.Manifest { return &t.job.Manifest }
