package clusterless

import (
	"github.com/clusterless-go/clusterless/internal/config"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// Nodes gives a task several machines. Its function runs on the first; functions of package mpi have their ranks on all,
// and package task makes calls on all. Cores and Memory are of each node. On the local engine the nodes are all this
// machine. Default 1.
func Nodes(n int) Option {
	return func(o *options) {
		if o.shape.Nodes = n; n < 1 {
			o.errorf("option Nodes(%d): want at least 1", n)
		}
	}
}

// Ranks is how many processes an MPI task has, on all its nodes together; see package mpi. With RanksPerNode the default is
// as many as fit its nodes, else 1.
func Ranks(n int) Option {
	return func(o *options) {
		if o.shape.Ranks = n; n < 1 {
			o.errorf("option Ranks(%d): want at least 1", n)
		}
	}
}

// RanksPerNode is how many of them are on each node; the last may have fewer. Default: Ranks shared out evenly.
func RanksPerNode(n int) Option {
	return func(o *options) {
		if o.shape.RanksPerNode = n; n < 1 {
			o.errorf("option RanksPerNode(%d): want at least 1", n)
		}
	}
}

// Threads is how many cores each rank has: its GOMAXPROCS and OMP_NUM_THREADS. An MPI task that does not say Cores takes
// RanksPerNode times Threads cores of each node. Default 1.
func Threads(n int) Option {
	return func(o *options) {
		if o.shape.Threads = n; n < 1 {
			o.errorf("option Threads(%d): want at least 1", n)
		}
	}
}

// BindCores ties each rank to cores of its own, as many as Threads. It is for tasks that have their nodes to themselves: two
// tasks on one node would be bound to the same cores. Default: the system places ranks.
func BindCores(on bool) Option { return func(o *options) { o.shape.Bind = on } }

// settleShape works out what the options left open, and what of them does not fit together.
func (o *options) settleShape() {
	s := &o.shape
	if s.Ranks == 0 && s.RanksPerNode == 0 {
		if s.Threads > 0 || s.Bind {
			o.errorf("options Threads and BindCores: they are for tasks with ranks: say how many (Ranks), or use Cores")
		}
		*s = plan.Shape{Nodes: s.Nodes}
		return
	}
	nodes := max(1, s.Nodes)
	if s.RanksPerNode == 0 {
		s.RanksPerNode = (s.Ranks + nodes - 1) / nodes
	}
	if s.Ranks == 0 {
		s.Ranks = nodes * s.RanksPerNode
	}
	s.RanksPerNode, s.Threads = min(s.RanksPerNode, s.Ranks), max(1, s.Threads)
	switch need := s.RanksPerNode * s.Threads; {
	case s.Ranks > nodes*s.RanksPerNode:
		o.errorf("options Ranks(%d), RanksPerNode(%d), Nodes(%d): only %d ranks fit", s.Ranks, s.RanksPerNode, nodes, nodes*s.RanksPerNode)
	case s.Ranks <= (nodes-1)*s.RanksPerNode:
		o.errorf("options Ranks(%d), RanksPerNode(%d), Nodes(%d): the last node would have none", s.Ranks, s.RanksPerNode, nodes)
	case o.cores > 0 && o.cores < need:
		o.errorf("options Cores(%d), Threads(%d): the %d ranks of a node need %d cores", o.cores, s.Threads, s.RanksPerNode, need)
	case o.cores == 0:
		o.cores = need
	}
}

// byDefault fills in what the configuration says of tasks, where options of the session do not.
func (o *options) byDefault(t config.Task) {
	if o.shape == (plan.Shape{}) && (t.Nodes > 1 || t.RanksPerNode > 0) {
		o.shape = plan.Shape{Nodes: t.Nodes, RanksPerNode: t.RanksPerNode, Threads: t.Threads}
	}
	if o.cores == 0 && o.shape.RanksPerNode == 0 {
		o.cores = t.Cores
	}
}
