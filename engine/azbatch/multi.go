package azbatch

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

// Runs on several nodes are multi-instance tasks. The coordination command starts the program as an agent on all nodes but the
// first, and leaves it there; then the worker is started on the first. See "The processes of a task" in docs/worker.md.

// coordinate is the coordination command. What it has to do is in the job's environment, as for the task itself.
const coordinate = `/bin/sh -c 'case $AZ_BATCH_IS_CURRENT_NODE_MASTER in [tT]rue) ;; *) clusterless_part=agent; eval "$(printf %b "$CLUSTERLESS_AGENT")" ;; esac'`

// spread makes a task one of several nodes. Their agents and the worker share a token.
func spread(t *azbatch.CreateTaskContent, nodes int) {
	t.RequiredSlots = nil // it has its nodes to itself
	t.MultiInstanceSettings = &azbatch.MultiInstanceSettings{NumberOfInstances: to.Ptr(int32(nodes)), CoordinationCommandLine: to.Ptr(coordinate)}
	var secret [16]byte
	rand.Read(secret[:])
	env := t.EnvironmentSettings
	t.EnvironmentSettings = append(env[:len(env):len(env)], setting(contract.EnvToken, hex.EncodeToString(secret[:])))
}

// room is what a pool has for runs on several nodes.
type room struct {
	internode bool
	container bool
	nodes     int // that there will be at most, as far as that is known; 0: it is not
	follows   bool
}

func roomOf(p *azbatch.Pool) room {
	r := room{internode: p.EnableInterNodeCommunication != nil && *p.EnableInterNodeCommunication, container: taskContainer(p) != nil}
	spec, ours := specOf(p)
	switch {
	case ofFixedSize(p) && ours:
		r.nodes = max(spec.Nodes+spec.Spot, int(deref32(p.TargetDedicatedNodes)+deref32(p.TargetLowPriorityNodes)))
	case ofFixedSize(p):
		r.nodes = int(deref32(p.TargetDedicatedNodes) + deref32(p.TargetLowPriorityNodes))
	case ours && spec.follows():
		r.nodes, r.follows = spec.Nodes+spec.Spot, true
	}
	return r
}

// holds refuses runs on n nodes that would wait in a pool for ever.
func (p *pool) holds(n int, id string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("a run needs %d nodes at once, and the pool %s %s: %w", n, id, fmt.Sprintf(format, args...), engine.ErrCannotRun)
	}
	switch r := p.room; {
	case !r.internode:
		return fail("does not let its nodes talk to each other: name another pool, or create one with the settings internode=true and slots=1")
	case p.slots != 1:
		return fail("has %d slots on a node, where Batch wants one: name another pool, or create one with the settings internode=true and slots=1", p.slots)
	case r.container:
		return fail("runs tasks in containers, where agents cannot be left running: name another pool")
	case r.follows && n > r.nodes:
		return fail("has %d nodes and follows the work by counting tasks, not nodes: give it enough with the setting nodes or spot, or a formula of its own", r.nodes)
	case r.nodes > 0 && n > r.nodes:
		return fail("has no %d nodes, but %d: resize it, or ask for fewer", n, r.nodes)
	}
	return nil
}

// needs is how many slots of a pool a run takes.
func needs(job *engine.Job) int {
	if n := job.Resources.Nodes; n > 1 {
		return n
	}
	return max(1, job.Resources.Cores)
}
