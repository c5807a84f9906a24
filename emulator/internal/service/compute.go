package service

import (
	"os"
	"path/filepath"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// States of nodes.
const (
	creating            = "creating"
	starting            = "starting"
	waitingForStartTask = "waitingforstarttask"
	startTaskFailed     = "starttaskfailed"
	idle                = "idle"
	running             = "running"
	rebooting           = "rebooting"
	reimaging           = "reimaging"
	preempted           = "preempted"
	unusable            = "unusable"
	leavingPool         = "leavingpool"
	offline             = "offline"
	deallocating        = "deallocating"
	deallocated         = "deallocated"
)

const (
	enabled  = "enabled"
	disabled = "disabled"
)

// A computeRecord is what is stored of a node.
type computeRecord struct {
	ID        string
	Index     int // its number, which its address is made of
	Dedicated bool
	State     phase
	Created   moment
	Booted    moment
	Disabled  bool // for scheduling
	Total     int32
	Succeeded int32
	Start     *startInfo                       `json:",omitempty"`
	Errors    []model.ComputeNodeError         `json:",omitempty"`
	Users     map[string]model.ComputeNodeUser `json:",omitempty"`
	Slow      float64                          `json:",omitempty"` // how many times longer a simulated task takes
}

// A startInfo is what is known of a node's run of the start task.
type startInfo struct {
	State     string // running, completed
	Begun     moment
	Ended     moment
	LastRetry moment
	outcome
	Retries int32
}

// A compute is a node of a pool.
type compute struct {
	computeRecord
	pool    *pool
	key     string
	life    int        // how often it was started: what began in an earlier life has no say in this one
	machine *node.Node // nil: simulated, or not there yet
	opening bool       // it is about to be there
	runs    []*run
	preps   map[*job]*prep // of jobs that ran here
	used    int            // slots
	bucket  int            // of pool.free; -1: none
	place   int            // in that
	recent  []recentTask   // the latest last
	leave   string         // what becomes of its tasks when it leaves
	idle    []func()       // to be called when no task runs any more
	retain  int            // directories of tasks that have to be kept
}

type recentTask struct {
	job, task string
	subtask   int32
	t         *task
}

const recentTasks = 10

func (n *compute) kind() int {
	if n.Dedicated {
		return dedicated
	}
	return lowPriority
}

// usable says whether tasks run on the node, apart from scheduling being disabled.
func (n *compute) usable() bool { return n.State.State == idle || n.State.State == running }

func (p *pool) node(id string) (*compute, error) {
	n, ok := p.nodes.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.NodeNotFound)
	}
	return n, nil
}

func (s *Service) node(poolID, nodeID string) (*compute, error) {
	p, err := s.pool(poolID)
	if err != nil {
		return nil, err
	}
	return p.node(nodeID)
}

// addNode makes a node of a pool, which starts by itself.
func (s *Service) addNode(p *pool, kind int) {
	now := s.now()
	n := s.newNode(p, computeRecord{ID: node.NewID(kind == dedicated), Dedicated: kind == dedicated,
		State: phase{State: creating, Since: now}, Created: now})
	s.number(n)
	s.storeNode(n)
	s.startUsage(p)
	s.boot(n, false)
}

// number gives a real node a number of its own, if another has that which it has.
func (s *Service) number(n *compute) {
	if n.pool.sim != nil {
		return
	}
	for s.indexes[n.Index] {
		n.Index++
	}
	s.indexes[n.Index] = true
}

func (s *Service) newNode(p *pool, r computeRecord) *compute {
	n := &compute{computeRecord: r, pool: p, key: model.Key(r.ID), bucket: -1}
	p.nodes.add(n.key, n)
	p.count[n.kind()]++
	p.staying[n.kind()]++
	return n
}

func (s *Service) storeNode(n *compute) {
	s.disk.put(nodeBucket, n.pool.key+"\x00"+n.key, &n.computeRecord)
}

// become changes a node's state.
func (s *Service) become(n *compute, state string) {
	if !n.State.set(state, s.now()) {
		return
	}
	if state != idle && state != running { // these two alternate with every task, and are not kept
		s.storeNode(n)
	}
	n.refile()
}

// refile puts a node where placement finds it: by its free slots, if it takes tasks at all.
func (n *compute) refile() {
	want := -1
	if n.usable() && !n.Disabled {
		want = n.pool.slots - n.used
	}
	if want == n.bucket || want < 0 && n.bucket < 0 {
		return
	}
	free := n.pool.free
	if n.bucket >= 0 {
		b := free[n.bucket]
		last := b[len(b)-1]
		b[n.place] = last
		last.place = n.place
		b[len(b)-1] = nil
		free[n.bucket] = b[:len(b)-1]
	}
	n.bucket = want
	if want >= 0 && want < len(free) {
		n.place = len(free[want])
		free[want] = append(free[want], n)
	}
}

// boot starts a node: after its time a machine is there, which runs the start task. A node that is wiped begins with an empty
// tree.
func (s *Service) boot(n *compute, wiped bool) {
	n.life++
	life := n.life
	s.later(s.opts.BootTime/2, func() {
		if n.life != life {
			return
		}
		s.become(n, starting)
		s.later(s.opts.BootTime/2, func() {
			if n.life == life {
				s.powerOn(n, wiped)
			}
		})
	})
}

func (s *Service) powerOn(n *compute, wiped bool) {
	n.Booted = s.now()
	life := n.life
	if n.pool.sim != nil {
		s.startTask(n)
		return
	}
	config := s.machineConfig(n)
	machine := n.machine
	opens := machine == nil
	n.opening = opens
	s.background(func() func() {
		var err error
		switch {
		case opens:
			if config.Network, err = s.nets.make(s.ctx); err == nil {
				machine, err = node.Open(s.ctx, config)
			}
			if err == nil && wiped {
				err = machine.Reimage()
			}
		case wiped:
			err = machine.Reimage()
		default:
			err = machine.Reboot()
		}
		return func() {
			n.opening = false
			if n.life != life || s.closed {
				if opens {
					s.abandon(n, machine)
				}
				return
			}
			n.machine = machine
			if err != nil {
				s.log.Error("a node does not start", "pool", n.pool.Spec.ID, "node", n.ID, "error", err)
				n.Errors = append(n.Errors, model.ComputeNodeError{Code: "NodeStartFailed",
					Message:      "The node could not be started.",
					ErrorDetails: []model.NameValuePair{{Name: "Reason", Value: err.Error()}}})
				s.become(n, unusable)
				return
			}
			s.startTask(n)
		}
	})
}

func (s *Service) machineConfig(n *compute) node.Config {
	p := n.pool
	return node.Config{
		ID: n.ID, Dir: filepath.Join(s.opts.Dir, "nodes", p.key, n.key), MountPoint: s.opts.Mount,
		Address: node.LoopbackAddress(n.Index),
		Account: s.opts.Account, AccountURL: s.opts.URL, Pool: p.Spec.ID, Dedicated: n.Dedicated,
		Users: usersOf(p.Spec.UserAccounts), Packages: s.packages(p.Spec.ApplicationPackageReferences), Now: s.clock.Now,
		Token: s.opts.ManagedToken, AutoStorage: s.opts.AutoStorage, Log: s.log,
	}
}

// abandon gives up a machine that is there when its node is in another life, or gone; nil: it did not come to be.
func (s *Service) abandon(n *compute, machine *node.Node) {
	known, ok := n.pool.nodes.get(n.key)
	switch {
	case !s.closed && (!ok || known != n):
		s.raze(n, machine)
	case machine != nil: // the node's next life begins with the directory as it is
		s.work.Go(func() { machine.Close() })
	}
}

// raze removes the machine of a node that is gone, and its directory. Without a machine it opens one, which ends what an emulator
// that died has left running.
func (s *Service) raze(n *compute, machine *node.Node) {
	config := s.machineConfig(n)
	s.background(func() func() {
		s.remove(config, machine)
		return func() { delete(s.indexes, n.Index) }
	})
}

// remove removes a machine, or what is in the directory of one; it needs no lock.
func (s *Service) remove(config node.Config, machine *node.Node) {
	var err error
	if machine == nil {
		machine, err = node.Open(s.ctx, config)
	}
	switch {
	case err == nil:
		err = machine.Destroy()
	case s.ctx.Err() != nil: // the next emulator finds it
		return
	default:
		err = os.RemoveAll(config.Dir)
	}
	if err != nil {
		s.log.Warn("a node could not be removed", "node", config.ID, "error", err)
	}
}

// startTask runs the pool's start task, if it has one, on a node that was started.
func (s *Service) startTask(n *compute) {
	task := n.pool.Spec.StartTask
	if task == nil {
		s.ready(n)
		return
	}
	n.Start = &startInfo{State: running, Begun: s.now()}
	s.become(n, waitingForStartTask)
	if !model.Or(task.WaitForSuccess, true) {
		s.ready(n)
	}
	s.tryStartTask(n, task)
}

func (s *Service) tryStartTask(n *compute, task *model.StartTask) {
	life := n.life
	s.attempt(n, s.identified(n.pool, s.startSpec(n, task)), func(o outcome) {
		if n.life != life || n.Start == nil {
			return
		}
		now := s.now()
		if most := model.Or(task.MaxTaskRetryCount, 0); o.Retriable && (most < 0 || n.Start.Retries < most) {
			n.Start.Retries++
			n.Start.LastRetry = now
			n.Start.outcome = o
			s.tryStartTask(n, task)
			return
		}
		n.Start.State, n.Start.Ended, n.Start.outcome = completed, now, o
		s.storeNode(n)
		switch {
		case n.State.State != waitingForStartTask: // tasks did not wait for it
		case o.Failure == nil:
			s.ready(n)
		default:
			s.become(n, startTaskFailed)
		}
	})
}

// ready makes a node one that tasks can run on.
func (s *Service) ready(n *compute) {
	s.become(n, idle)
	s.storeNode(n)
	s.schedule(n.pool)
}

// down takes a node from its tasks, which run elsewhere or again, and ends what it does.
func (s *Service) down(n *compute, state string) {
	n.life++
	s.become(n, state)
	n.Start, n.idle = nil, nil
	for _, r := range append([]*run(nil), n.runs...) {
		s.stop(r, requeue)
	}
	for j, pr := range n.preps {
		// What a reboot does not undo: a preparation that failed, and one that need not run again.
		kept := !pr.prepared() || !*j.Spec.JobPreparationTask.RerunOnNodeRebootAfterSuccess
		if state != rebooting || pr.busy() || !kept {
			s.dropPrep(j, n, pr)
		}
	}
}

// evict deals with the tasks of a node as an option says, and calls then when none is left.
func (s *Service) evict(n *compute, option string, then func()) {
	life := n.life
	n.idle = append(n.idle, func() {
		if n.life == life {
			then()
		}
	})
	if option == requeue || option == terminate || option == "" {
		if option == "" {
			option = requeue
		}
		for _, r := range append([]*run(nil), n.runs...) {
			s.stop(r, option)
		}
	}
	s.rest(n)
}

// rest calls what waits for a node to have no tasks.
func (s *Service) rest(n *compute) {
	if len(n.runs) > 0 || n.preparing() || n.leave == retainedData && n.retain > 0 {
		return
	}
	waiting := n.idle
	n.idle = nil
	for _, f := range waiting {
		f()
	}
}

// preparing says whether a preparation or release task runs.
func (n *compute) preparing() bool {
	for _, p := range n.preps {
		if p.busy() {
			return true
		}
	}
	return false
}

// leave begins to take a node out of its pool.
func (s *Service) leave(n *compute, option string) {
	if n.State.State == leavingPool {
		return
	}
	n.pool.staying[n.kind()]--
	n.leave = option
	if !n.usable() {
		n.life++
	}
	s.become(n, leavingPool)
	s.evict(n, option, func() { s.gone(n) })
}

// gone removes a node that nothing runs on.
func (s *Service) gone(n *compute) {
	p := n.pool
	if known, ok := p.nodes.get(n.key); !ok || known != n {
		return
	}
	n.life++
	for j, pr := range n.preps {
		s.dropPrep(j, n, pr)
	}
	if p.usage != nil {
		p.usage.advance(s.now(), p.nodes.len()*p.cores)
	}
	p.nodes.remove(n.key)
	p.count[n.kind()]--
	s.disk.remove(nodeBucket, p.key+"\x00"+n.key)
	if p.sim == nil && !n.opening {
		s.raze(n, n.machine)
		n.machine = nil
	}
	s.reach(p)
	if p.State.State == deleting {
		s.settlePool(p)
	}
}

// recall keeps a task among those that a node ran last.
func (n *compute) recall(t *task, subtask int32) {
	if len(n.recent) == recentTasks {
		n.recent = append(n.recent[:0], n.recent[1:]...)
	}
	n.recent = append(n.recent, recentTask{job: t.job.Spec.ID, task: t.ID, subtask: subtask, t: t})
}
