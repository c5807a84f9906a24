package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

var (
	errWallClock = errors.New("the task reached its maximum wall clock time")
	errOff       = errors.New("the node went off")
)

// An attempt is one run of a task on one node.
type attempt struct {
	n            *Node
	t            *Task
	instance     *instance // of a multi-instance task
	user         login
	rel          string // the task's directory in the tree
	dir, wd      place  // it, and wd in it
	out, err     *os.File
	applications []Variable
	env          []string
	told         bool // OnRunning was called
	result       Result
}

// Run makes one attempt at a task and returns when it is over, including its uploads, and nothing of it runs any more. It
// is over early when ctx is done: see ErrTerminated. The next attempt at the task works in the same directory.
func (n *Node) Run(ctx context.Context, t Task) Result {
	l := n.begin()
	if l == nil {
		now := n.c.Now()
		return Result{Started: now, Ended: now, Lost: true}
	}
	defer l.runs.Done()
	ctx, end := bound(ctx, l)
	defer end()
	a := n.attempt(&t, nil)
	defer a.close()
	err := a.work(ctx)
	return a.over(ctx, err)
}

// bound is a context that ends with the life of a node.
func bound(ctx context.Context, lives ...*life) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var stops []func() bool
	for _, l := range lives {
		stops = append(stops, context.AfterFunc(l.ctx, func() { cancel(errOff) }))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

// limited is a context for all but the uploads.
func (t *Task) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.MaxWallClock <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, t.MaxWallClock, errWallClock)
}

func (n *Node) attempt(t *Task, i *instance) *attempt {
	a := &attempt{n: n, t: t, instance: i, rel: "startup", result: Result{Started: n.c.Now()}}
	if t.Kind != KindStart {
		a.rel = taskDir(t.Job, t.ID)
	}
	if i != nil && i.id > 0 {
		a.rel += fmt.Sprintf("/%d", i.id)
	}
	return a
}

// seen is the task's directory as the task sees it.
func (a *attempt) seen() string { return path.Join(a.n.RootDir(), a.rel) }

// work does everything up to the end of the process. The error is why the task has failed or was cut short.
func (a *attempt) work(ctx context.Context) error {
	ctx, cancel := a.t.limited(ctx)
	defer cancel()
	if err := a.prepare(ctx); err != nil {
		return cut(ctx, err)
	}
	return cut(ctx, a.command(ctx, a.t.CommandLine, a.t.Kind == KindStart || a.t.Kind == KindPreparation))
}

// cut is what ended something: the end of its context if that is over, else the error.
func cut(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// over makes the result, after the uploads if there are any.
func (a *attempt) over(ctx context.Context, err error) Result {
	r := &a.result
	r.Failure, r.Lost = a.failure(err)
	if r.Process && !r.Lost && len(a.t.OutputFiles) > 0 && (a.instance == nil || a.instance.id == 0) {
		if errors.Is(context.Cause(ctx), ErrTerminated) {
			l := a.n.begin()
			if l != nil {
				defer l.runs.Done()
				upload, end := bound(context.WithoutCancel(ctx), l)
				defer end()
				ctx = upload
			}
		}
		err := cut(ctx, a.upload(ctx, err == nil))
		if err != nil && r.Failure == nil {
			r.Failure, r.Lost = a.failure(err)
		}
	}
	r.Ended = a.n.c.Now()
	r.Retriable = r.Failure != nil && r.Failure.Code == FailureExitCode
	return *r
}

// failure is how an error is reported; lost says that it is not the task's.
func (a *attempt) failure(err error) (f *Failure, lost bool) {
	switch {
	case err == nil:
		return nil, false
	case errors.As(err, &f):
		return f, false
	case errors.Is(err, ErrTerminated):
		return fail(TaskEnded, "the task was terminated"), false
	case errors.Is(err, errWallClock):
		// Which code the service gives is not documented.
		f := fail(TaskEnded, errWallClock.Error(), Variable{"Reason", "MaxWallClockTimeExpiry"})
		f.Message = "Task was ended since it reached its maximum wall clock time"
		return f, false
	case errors.Is(err, keeper.ErrLost):
		return &Failure{Category: ServerError, Code: "Unknown", Message: "An unknown error has occurred on the node",
			Details: []Variable{{"Message", "the node's process that keeps the command of the task was killed"}}}, false
	default:
		return nil, true
	}
}

// prepare makes all that the command needs.
func (a *attempt) prepare(ctx context.Context) error {
	var err error
	if a.user, err = a.n.login(a.t); err != nil {
		return fail(CommandLaunchFailed, err.Error())
	}
	if err := a.directories(); err != nil {
		return failFile(ResourceDirectoryCreateFailed, err)
	}
	if a.applications, err = a.n.install(ctx, a.t.Packages); err != nil {
		return err
	}
	if a.instance != nil {
		common, err := a.common()
		if err != nil {
			return failFile(ResourceDirectoryCreateFailed, err)
		}
		defer common.root.Close()
		if err := a.n.download(ctx, a.instance.common, common); err != nil {
			return err
		}
	}
	if a.instance == nil || a.instance.id == 0 {
		if err := a.n.download(ctx, a.t.ResourceFiles, a.wd); err != nil {
			return err
		}
	}
	a.env = a.environment()
	return nil
}

// directories makes the task's directory with what is always in it. Of an earlier attempt it keeps all but the output.
// Others may look into those of start and preparation tasks, which have things for them.
func (a *attempt) directories() error {
	mode := fs.FileMode(0o700)
	if a.t.Kind == KindStart || a.t.Kind == KindPreparation {
		mode = 0o755
	}
	tree := place{root: a.n.tree, uid: -1}
	own := place{root: a.n.tree, uid: -1}
	if a.n.root {
		own.uid, own.gid = a.user.uid, a.user.gid
	}
	if a.t.Kind != KindStart {
		if !component(a.t.Job) || !component(a.t.ID) {
			return fmt.Errorf("job %q, task %q: not names of directories", a.t.Job, a.t.ID)
		}
		for _, dir := range []string{"workitems/" + a.t.Job, jobDir(a.t.Job)} {
			if err := tree.mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		if err := own.mkdir(taskDir(a.t.Job, a.t.ID), mode); err != nil {
			return err
		}
	}
	if err := own.mkdir(a.rel, mode); err != nil {
		return err
	}
	var err error
	if a.dir, err = own.open(a.rel); err != nil {
		return err
	}
	for _, dir := range []string{"wd", "certs"} {
		if err := a.dir.mkdir(dir, mode); err != nil {
			return err
		}
	}
	if a.wd, err = a.dir.open("wd"); err != nil {
		return err
	}
	if a.out, err = a.dir.create("stdout.txt", 0o644); err != nil {
		return err
	}
	a.err, err = a.dir.create("stderr.txt", 0o644)
	return err
}

func (a *attempt) close() {
	for _, root := range []*os.Root{a.dir.root, a.wd.root} {
		if root != nil {
			root.Close()
		}
	}
	for _, f := range []*os.File{a.out, a.err} {
		if f != nil {
			f.Close()
		}
	}
}

// command runs a command line. With keep, processes that it leaves go on until the node or the job ends.
func (a *attempt) command(ctx context.Context, line string, keep bool) error {
	k, err := a.n.keeper()
	if err != nil {
		return fail(CommandLaunchFailed, err.Error())
	}
	err = a.runOn(ctx, k, line)
	if err == nil && keep {
		if some, lost := k.Left(); lost == nil && some {
			a.n.retain(a.t.Job, k)
			return nil
		}
	}
	a.release(k)
	return err
}

// release ends what runs on a keeper.
func (a *attempt) release(k *keeper.Keeper) {
	if err := a.n.release(k); errors.Is(err, keeper.ErrStuck) {
		a.n.c.Log.Warn("node: processes of a task do not end", "node", a.n.c.ID, "job", a.t.Job, "task", a.t.ID, "err", err)
	}
}

// runOn runs a command line on a keeper until its process ends. Others that it started are left.
func (a *attempt) runOn(ctx context.Context, k *keeper.Keeper, line string) error {
	if a.t.Container != nil {
		return a.runContainer(ctx, k, line)
	}
	args, err := splitCommand(line)
	if err == nil && len(args) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fail(CommandLaunchFailed, "the command line cannot be split: "+err.Error())
	}
	return a.process(ctx, k, keeper.Command{
		Args: args, Env: a.env, Dir: path.Join(a.seen(), "wd"), User: a.n.keeperUser(a.user),
		Passwd: a.n.passwd(a.user, path.Join(a.seen(), "wd")), Group: a.n.groups(),
	}, a.exited)
}

// process runs a command to its end, which exited judges.
func (a *attempt) process(ctx context.Context, k *keeper.Keeper, c keeper.Command, exited func(keeper.Status) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := k.Run(c, a.out, a.err); err != nil {
		var failed *keeper.StartError
		if !errors.As(err, &failed) {
			return err
		}
		code := CommandLaunchFailed
		if failed.NotFound {
			code = CommandProgramNotFound
		}
		return fail(code, failed.Error())
	}
	a.result.Process = true
	if a.t.OnRunning != nil && !a.told && (a.instance == nil || a.instance.id == 0) {
		a.told = true
		a.t.OnRunning(a.n.c.Now())
	}
	select {
	case s := <-k.Ended():
		return exited(s)
	case <-k.Lost():
		a.result.Process = false
		keeper.Sweep("AZ_BATCH_NODE_ID="+a.n.c.ID, "AZ_BATCH_TASK_DIR="+a.seen())
		return keeper.ErrLost
	case <-ctx.Done():
		if err := k.Kill(); err != nil {
			return context.Cause(ctx)
		}
		_ = exited(<-k.Ended())
		return context.Cause(ctx)
	}
}

// exited notes how the process of the task ended.
func (a *attempt) exited(s keeper.Status) error {
	a.result.ExitCode = s.Code
	how := fmt.Sprintf("exit code %d", s.Code)
	if s.Signal > 0 {
		a.result.ExitCode = 128 + s.Signal
		how = "ended by " + signalName(s.Signal)
	}
	if a.result.ExitCode == 0 {
		return nil
	}
	// Detail names and texts as in a message that a program of Microsoft's logged.
	return fail(FailureExitCode, "The task process exited with an unexpected exit code",
		Variable{"AdditionalErrorCode", FailureExitCode}, Variable{"Exit", how})
}

// RemoveTask takes a task's directory out of the tree at once, so that the next task of the name finds nothing of it, and returns
// what deletes it. Nothing of the task may run.
func (n *Node) RemoveTask(job, task string) (finish func() error, err error) {
	if !component(job) || !component(task) {
		return nil, fmt.Errorf("node: remove the directory of task %q of job %q: no such names", task, job)
	}
	if finish, err = n.setAside(taskDir(job, task)); err != nil {
		return nil, fmt.Errorf("node: remove a task's directory: %w", err)
	}
	return finish, nil
}

// RemoveJob does that for the directories of all tasks of a job. What it returns ends what the job's preparation left running,
// too.
func (n *Node) RemoveJob(job string) (finish func() error, err error) {
	if !component(job) {
		return nil, fmt.Errorf("node: remove the directories of job %q: no such name", job)
	}
	end := n.EndJob(job)
	remove, err := n.setAside("workitems/" + job)
	if err != nil {
		return nil, fmt.Errorf("node: remove a job's directories: %w", err)
	}
	return func() error {
		end()
		return remove()
	}, nil
}
