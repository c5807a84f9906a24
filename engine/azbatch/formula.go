package azbatch

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// Formulas says of each ready-made formula, by the name that [PoolSpec].Formula takes, what it does with the limits of a pool.
var Formulas = map[string]string{
	"follow":   "as many nodes as waiting and running tasks need, spot nodes first",
	"fallback": "as follow, and dedicated nodes for spot nodes that Azure has not given for 10 minutes",
	"burst":    "all nodes at once as soon as a task waits, until none is left",
}

// bodies are what is special in each ready-made formula. They know tasks (waiting and running ones), nodes (how many these
// need), leastNodes and leastSpot (how many stay without tasks). "%d" is MaxSpot, then MaxNodes.
var bodies = map[string]string{
	"follow": `spot = min(%d, max(leastSpot, nodes));
$TargetLowPriorityNodes = spot;
$TargetDedicatedNodes = min(%d, max(leastNodes, nodes - spot));
`,
	"fallback": `spot = min(%d, max(leastSpot, nodes));
waited = $PendingTasks.GetSamplePercent(10 * TimeInterval_Minute) < 70 ? 0 : min($PendingTasks.GetSample(10 * TimeInterval_Minute));
got = seen > 0 ? max(0, $CurrentLowPriorityNodes.GetSample(1)) - max(0, $PreemptedNodeCount.GetSample(1)) : 0;
missing = waited > 0 ? max(0, spot - got) : 0;
$TargetLowPriorityNodes = spot;
$TargetDedicatedNodes = min(%d, max(leastNodes, nodes - spot + missing));
`,
	"burst": `$TargetLowPriorityNodes = tasks > 0 ? %d : leastSpot;
$TargetDedicatedNodes = tasks > 0 ? %d : leastNodes;
`,
}

// fixed is the body of a pool that has its nodes for as long as its lease: the limits are not used.
const fixed = `$TargetLowPriorityNodes = leastSpot;
$TargetDedicatedNodes = leastNodes;
`

// formula is the autoscale formula of a pool whose lease ends at a time; "" for a pool of a size that nothing changes. Nodes
// that leave end their tasks first. It counts tasks, not the slots that they take.
func (s *PoolSpec) formula(slots int, lease time.Time) string {
	body := fixed
	switch {
	case s.custom():
		return s.Formula
	case s.follows():
		name := s.Formula
		if name == "" {
			name = "follow"
		}
		body = fmt.Sprintf(bodies[name], s.MaxSpot, s.MaxNodes)
	case s.Lease < 0:
		return ""
	}
	wanted := "1"
	if s.leased() {
		wanted = fmt.Sprintf(`time() < time("%s") || tasks > 0`, lease.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf(`seen = $PendingTasks.GetSamplePercent(5 * TimeInterval_Minute);
last = seen > 0 ? max(0, $PendingTasks.GetSample(1)) : 0;
tasks = seen < 70 ? last : max(last, avg($PendingTasks.GetSample(5 * TimeInterval_Minute)));
nodes = (tasks + %d) / %d;
wanted = %s;
leastNodes = wanted ? %d : 0;
leastSpot = wanted ? %d : 0;
%s$NodeDeallocationOption = taskcompletion;
`, slots-1, slots, wanted, s.Nodes, s.Spot, body)
}

// custom reports whether the formula is one of the user's own.
func (s *PoolSpec) custom() bool { return s.Formula != "" && bodies[s.Formula] == "" }

// follows reports whether the number of nodes depends on the work.
func (s *PoolSpec) follows() bool { return !s.custom() && s.MaxNodes+s.MaxSpot > 0 }

// leased reports whether there are nodes that only the end of the lease takes away.
func (s *PoolSpec) leased() bool { return !s.custom() && s.Nodes+s.Spot > 0 && s.Lease >= 0 }

func (s *PoolSpec) checkFormula() error {
	least, most := s.Nodes+s.Spot, s.MaxNodes+s.MaxSpot
	switch {
	case s.custom() && !strings.Contains(s.Formula, "$"):
		return fmt.Errorf("there is no formula %s: name one of %s, or write one in the service's language", s.Formula, strings.Join(slices.Sorted(maps.Keys(bodies)), ", "))
	case s.custom() && least+most > 0:
		return errors.New("a formula of your own decides how many nodes there are: leave out nodes, spot, maxnodes and maxspot, or the formula")
	case s.custom():
	case s.Formula != "" && most == 0:
		return fmt.Errorf("the formula %s needs a limit: say how many nodes at most (maxnodes, maxspot)", s.Formula)
	case most > 0 && (s.Nodes > s.MaxNodes || s.Spot > s.MaxSpot):
		return errors.New("a pool that follows the work keeps nodes and spot when idle, and cannot keep more than maxnodes and maxspot")
	case least+most == 0:
		return errors.New("the pool would have no nodes: say how many (nodes, spot), or how many at most (maxnodes, maxspot)")
	}
	return nil
}

var leaseEnd = regexp.MustCompile(`(?m)^wanted = time\(\) < time\("([^"]+)"\)`)

// leaseOf is when the lease of a pool ends, by its formula; zero if it has none.
func leaseOf(p *azbatch.Pool) time.Time {
	if m := leaseEnd.FindStringSubmatch(deref(p.AutoScaleFormula)); m != nil {
		t, _ := time.Parse(time.RFC3339, m[1])
		return t
	}
	return time.Time{}
}
