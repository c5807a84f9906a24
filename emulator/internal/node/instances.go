package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

// A MultiInstance says how a task runs on several nodes at once.
type MultiInstance struct {
	CoordinationCommandLine string
	CommonResourceFiles     []ResourceFile // for the task's directory on all nodes
	Cores                   int            // of each node, for CCP_NODES
}

// A Subtask is the part of a multi-instance task on a node that is not the primary's.
type Subtask struct {
	ID      int // from 1
	Node    string
	Dir     string // in the node's tree
	Running bool
	Result  Result // when it does not run any more
}

// masterPort is the port in AZ_BATCH_MASTER_NODE, as in the example on Microsoft's page of variables.
const masterPort = 6000

// An instance is the part of a multi-instance task on one node.
type instance struct {
	id     int // 0 is the primary
	nodes  []*Node
	cores  int
	common []ResourceFile
}

// variables are those that multi-instance tasks have. The task's directory is the one that all nodes have.
func (i *instance) variables(dir string) []Variable {
	var hosts, ccp []string
	for _, n := range i.nodes {
		hosts = append(hosts, n.Address().String())
		ccp = append(ccp, n.Address().String(), strconv.Itoa(i.cores))
	}
	return []Variable{
		{"AZ_BATCH_HOST_LIST", strings.Join(hosts, ",")},
		{"AZ_BATCH_NODE_LIST", strings.Join(hosts, ";")},
		{"AZ_BATCH_MASTER_NODE", fmt.Sprintf("%s:%d", hosts[0], masterPort)},
		{"AZ_BATCH_IS_CURRENT_NODE_MASTER", strconv.FormatBool(i.id == 0)},
		{"AZ_BATCH_TASK_SHARED_DIR", dir},
		{"CCP_NODES", fmt.Sprintf("%d %s", len(hosts), strings.Join(ccp, " "))},
	}
}

// common is the directory of common resource files: that of the task, whichever instance this is.
func (a *attempt) common() (place, error) {
	p := place{a.n.tree, a.dir.uid, a.dir.gid}
	return p.open(taskDir(a.t.Job, a.t.ID))
}

// RunInstances makes one attempt at a multi-instance task on nodes of which the first is the primary: on all of them the
// common resource files and the coordination command; when that ended well on all, the command line on the primary. What the
// coordination commands left running goes when the primary ends. A subtask that fails is a failure of the task.
//
// The result is the primary's. Subtasks are reported from several goroutines: when they begin, and when they are over. The
// directory of a subtask is the task's with its number; AZ_BATCH_TASK_SHARED_DIR is the task's on every node, which is the
// same path on all if the nodes have a mount point.
func RunInstances(ctx context.Context, nodes []*Node, t Task, m MultiInstance, report func(Subtask)) Result {
	primary := nodes[0]
	var lives []*life
	for _, n := range nodes {
		l := n.begin()
		if l == nil {
			now := primary.c.Now()
			return Result{Started: now, Ended: now, Lost: true}
		}
		lives = append(lives, l)
		defer l.runs.Done()
	}
	ctx, end := bound(ctx, lives...)
	defer end()

	r := &instancesRun{t: &t, m: &m, report: report}
	for id, n := range nodes {
		r.attempts = append(r.attempts, n.attempt(&t, &instance{id: id, nodes: nodes, cores: m.Cores, common: m.CommonResourceFiles}))
	}
	defer r.close()
	err := r.work(ctx)
	r.finish()
	return r.attempts[0].over(ctx, err)
}

type instancesRun struct {
	t        *Task
	m        *MultiInstance
	report   func(Subtask)
	attempts []*attempt
	keepers  []*keeper.Keeper // of the coordination commands, by attempt
	errs     []error          // of them
}

func (r *instancesRun) work(ctx context.Context) error {
	ctx, cancel := r.t.limited(ctx)
	defer cancel()
	// The first failure ends the others.
	together, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	r.keepers, r.errs = make([]*keeper.Keeper, len(r.attempts)), make([]error, len(r.attempts))
	var all sync.WaitGroup
	for i, a := range r.attempts {
		all.Go(func() {
			r.tell(i, true)
			err := cut(together, r.coordinate(together, i))
			if r.errs[i] = err; err != nil {
				stop(instanceError{a.n.c.ID, i, err})
			}
		})
	}
	all.Wait()
	if together.Err() != nil {
		return blame(context.Cause(together))
	}
	// A keeper that is killed takes a subtask with it.
	for i, k := range r.keepers[1:] {
		watching.Go(func() {
			select {
			case <-k.Lost():
				stop(instanceError{r.attempts[i+1].n.c.ID, i + 1, keeper.ErrLost})
			case <-together.Done():
			}
		})
	}
	a := r.attempts[0]
	a.result.Process = false
	return blame(cut(together, a.command(together, r.t.CommandLine, false)))
}

// An instanceError says on which node of a task something failed.
type instanceError struct {
	node string
	id   int
	error
}

// blame is the failure that ended the others: that of a subtask says which.
func blame(err error) error {
	var i instanceError
	if !errors.As(err, &i) {
		return err
	}
	var f *Failure
	if i.id == 0 || !errors.As(i.error, &f) {
		return i.error
	}
	told := *f
	told.Details = append(told.Details[:len(told.Details):len(told.Details)],
		Variable{"SubtaskId", strconv.Itoa(i.id)}, Variable{"NodeId", i.node})
	return &told
}

// coordinate does what comes before the command line on one node.
func (r *instancesRun) coordinate(ctx context.Context, i int) error {
	a := r.attempts[i]
	if err := a.prepare(ctx); err != nil {
		return err
	}
	k, err := a.n.keeper()
	if err != nil {
		return fail(CommandLaunchFailed, err.Error())
	}
	r.keepers[i] = k
	return a.runOn(ctx, k, r.m.CoordinationCommandLine)
}

// finish ends what is left on all nodes and reports the subtasks.
func (r *instancesRun) finish() {
	var all sync.WaitGroup
	for i, a := range r.attempts {
		all.Go(func() {
			if k := r.keepers[i]; k != nil {
				a.release(k)
			}
			if i == 0 {
				return
			}
			// What ended the others ends a subtask that had not ended; one that had has its own outcome.
			own := r.errs[i]
			var other instanceError
			if errors.As(own, &other) && other.id != i {
				own = fail(TaskEnded, "another subtask or the primary failed")
			}
			a.result.Failure, a.result.Lost = a.failure(own)
			a.result.Ended = a.n.c.Now()
			r.tell(i, false)
		})
	}
	all.Wait()
}

func (r *instancesRun) tell(i int, running bool) {
	if i == 0 || r.report == nil {
		return
	}
	a := r.attempts[i]
	s := Subtask{ID: i, Node: a.n.c.ID, Dir: a.rel, Running: running}
	if !running {
		s.Result = a.result
	}
	r.report(s)
}

func (r *instancesRun) close() {
	for _, a := range r.attempts {
		a.close()
	}
}
