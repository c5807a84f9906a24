// Package team is the processes of one task beside its worker: the ranks of an MPI program, the helpers of a map inside of a
// task, the agents on its other nodes. The worker leads: it listens on one address, and all others dial it and prove that
// they know the task's token. docs/worker.md specifies what they say to each other.
package team

import (
	"context"
	"errors"
	"sync"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// Roles of processes, the values of contract.EnvRole.
const (
	Rank   = "rank"   // one of an MPI program, started by mpiexec: makes one call together with the others
	Helper = "helper" // makes calls, one after another, for a map inside of a task
	Agent  = "agent"  // starts processes on its node
	Shell  = "shell"  // what mpiexec takes for ssh: has a command run on another node by its agent
	stream = "stream" // the second connection of an agent, for the output of one command
)

// Info is what a call knows of its task: what it takes to lead a team.
type Info struct {
	Role    string // of this process; "" for the task's worker
	Store   string // URL
	Access  string // with what to open it, a secret; "" where the machine has that by itself
	Cache   string
	Scratch string // directory for temporary files
	Dir     string // working directory of the call
	Node    string // name of this node
	Job     string
	Task    int
	Attempt int
	Call    int
	Shape   plan.Shape
	Cores   int  // of each node
	Hub     *Hub // where the agents dial in that the engine runs on the other nodes; nil if it runs none
	// Keep is for what a call keeps from one use of its team to the next.
	Keep *Keep
}

// A Keep holds what belongs to a call, or in a rank to the process. Its methods may be called at once.
type Keep struct {
	mu   sync.Mutex
	all  map[string]any
	ends []func()
	over bool
}

// errOver is for a goroutine of user code that outlives its call.
var errOver = errors.New("the function that this context was given to has returned, and what its task had is gone")

// Err says whether the call has returned.
func (k *Keep) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return errOver
	}
	return nil
}

// Value returns what is kept under a name: fresh, if nothing is.
func (k *Keep) Value(name string, fresh any) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.all[name]; ok {
		return v
	}
	if k.all == nil {
		k.all = map[string]any{}
	}
	k.all[name] = fresh
	return fresh
}

// AtEnd registers what is to be done when the call returns; in a rank, when all ranks have ended well. If that was before, it is
// done at once.
func (k *Keep) AtEnd(f func()) {
	k.mu.Lock()
	over := k.over
	if !over {
		k.ends = append(k.ends, f)
	}
	k.mu.Unlock()
	if over {
		f()
	}
}

// End does it.
func (k *Keep) End() {
	k.mu.Lock()
	ends := k.ends
	k.ends, k.all, k.over = nil, nil, true
	k.mu.Unlock()
	for _, f := range ends {
		f()
	}
}

// Key is the key of contexts under which calls are found.
type Key struct{}

// From returns what is known of the task that ctx belongs to; false outside of tasks.
func From(ctx context.Context) (Info, bool) {
	c, ok := ctx.Value(Key{}).(interface{ Team() Info })
	if !ok {
		return Info{}, false
	}
	return c.Team(), true
}

// A Failure is a call that failed in another process of the team.
type Failure struct {
	plan.Failure
	// Err is its error, decoded; nil if there is none.
	Err error
	// Who is the process: "rank 2".
	Who string
}

func (f *Failure) Error() string { return f.Who + ": " + f.Text }

// Unwrap returns the error of the function.
func (f *Failure) Unwrap() error { return f.Err }
