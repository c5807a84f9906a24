package service

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// simulateKey is the name of a pool's metadata and of a task's environment variable that say how it is simulated.
const simulateKey = "EMULATOR_SIMULATE"

// A Simulation says what nodes do that run nothing: their tasks end after a time. Times are in the service's time.
type Simulation struct {
	Task      time.Duration // that a task takes
	Spread    float64       // how far a task's time may be from that, as a fraction of it
	Start     time.Duration // that a start, preparation or release task takes
	Fail      float64       // the probability that a task fails with exit code 1
	Preempt   float64       // how often in an hour a low-priority node is preempted
	Unusable  float64       // how often in an hour a node becomes unusable
	Slow      float64       // the fraction of nodes that are slow
	SlowBy    float64       // how many times longer tasks take there
	StartFail float64       // the probability that a start task fails
}

// ParseSimulation reads a simulation as "task=2s,spread=0.1,fail=0.01,start=1s,startfail=0,preempt=0.5,unusable=0,slow=0.05,slowby=4".
// All of it may be left out.
func ParseSimulation(s string) (*Simulation, error) {
	sim := &Simulation{SlowBy: 4}
	durations := map[string]*time.Duration{"task": &sim.Task, "start": &sim.Start}
	numbers := map[string]*float64{"spread": &sim.Spread, "fail": &sim.Fail, "preempt": &sim.Preempt,
		"unusable": &sim.Unusable, "slow": &sim.Slow, "slowby": &sim.SlowBy, "startfail": &sim.StartFail}
	for _, part := range strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' }) {
		name, value, _ := strings.Cut(part, "=")
		var err error
		if d := durations[name]; d != nil {
			*d, err = time.ParseDuration(value)
		} else if f := numbers[name]; f != nil {
			*f, err = strconv.ParseFloat(value, 64)
			if err == nil && !(*f >= 0 && *f <= mostOfSimulation) {
				err = fmt.Errorf("%q is not between 0 and %g", part, float64(mostOfSimulation))
			}
		} else {
			err = fmt.Errorf("there is no %q in a simulation", name)
		}
		if err != nil {
			return nil, err
		}
	}
	if sim.Task < 0 || sim.Start < 0 {
		return nil, fmt.Errorf("a time in %q is negative", s)
	}
	return sim, nil
}

// mostOfSimulation is more than any rate or factor can usefully be, and little enough to be counted with.
const mostOfSimulation = 1e6

func parseSimulation(metadata []model.MetadataItem) (*Simulation, error) {
	for _, m := range metadata {
		if m.Name == simulateKey {
			return ParseSimulation(m.Value)
		}
	}
	return nil, nil
}

// simulationOf is how a pool is simulated; nil: it has real nodes.
func (s *Service) simulationOf(spec *model.PoolAddParameter) *Simulation {
	if sim, err := parseSimulation(spec.Metadata); err == nil && sim != nil {
		return sim
	}
	return s.opts.Simulate
}

// simulate has a simulated attempt at a task end in its time.
func (s *Service) simulate(r *run) {
	n := r.nodes[0]
	sim := n.pool.sim
	took, code := sim.Task, int32(0)
	if sim.Spread > 0 {
		took = time.Duration(float64(took) * (1 + sim.Spread*(2*rand.Float64()-1)))
	}
	if sim.Fail > 0 && rand.Float64() < sim.Fail {
		code = 1
	}
	if bytes.Contains(r.t.spec, []byte(simulateKey)) {
		took, code = simulatedTask(r.t.specify(), took, code)
	}
	if n.Slow > 0 {
		took = time.Duration(float64(took) * n.Slow)
	}
	o := outcome{ExitCode: &code}
	if code != 0 {
		o.Retriable = true
		o.Failure = exitFailure()
	}
	if bytes.Contains(r.t.spec, []byte(unlimitedTime)) {
		r.timer = s.later(took, func() { s.ended(r, o) })
		return
	}
	if limit := durationOf(*r.t.specify().Constraints.MaxWallClockTime); took > limit {
		took = limit
		o = outcome{Retriable: true, Failure: &model.TaskFailureInformation{Category: "usererror", Code: node.TaskEnded,
			Message: "The task exceeded its wall-clock time."}}
	}
	r.timer = s.later(took, func() { s.ended(r, o) })
}

// unlimitedTime is how the specification of a task reads that has no wall-clock limit.
var unlimitedTime = `"maxWallClockTime":"` + model.Unlimited.String() + `"`

func exitFailure() *model.TaskFailureInformation {
	return &model.TaskFailureInformation{Category: "usererror", Code: node.FailureExitCode,
		Message: "The task exited with an exit code representing a failure"}
}

// simulatedTask reads what a task's environment says of how it is simulated, as "time=3s,exit=2".
func simulatedTask(spec *model.TaskAddParameter, took time.Duration, code int32) (time.Duration, int32) {
	for _, e := range spec.EnvironmentSettings {
		if e.Name != simulateKey {
			continue
		}
		for _, part := range strings.Split(e.Value, ",") {
			name, value, _ := strings.Cut(part, "=")
			if d, err := time.ParseDuration(value); err == nil && name == "time" {
				took = d
			}
			if c, err := strconv.ParseInt(value, 10, 32); err == nil && name == "exit" {
				code = int32(c)
			}
		}
	}
	return took, code
}

// aux is how long a start, preparation or release task takes.
func (sim *Simulation) aux(node.Kind) time.Duration { return sim.Start }

func (sim *Simulation) auxOutcome(now moment) outcome {
	code := int32(0)
	o := outcome{Ended: now, ExitCode: &code}
	if sim.StartFail > 0 && rand.Float64() < sim.StartFail {
		code = 1
		o.Retriable, o.Failure = true, exitFailure()
	}
	return o
}

// happen plans the next of the things that happen to simulated nodes by themselves.
func (s *Service) happen(p *pool) {
	p.events.Stop()
	p.events = nil
	if p.sim == nil || p.sim.Preempt == 0 && p.sim.Unusable == 0 {
		return
	}
	rates := [2]float64{p.sim.Preempt * float64(p.count[lowPriority]), p.sim.Unusable * float64(p.nodes.len())}
	hours := 1.0
	if sum := rates[0] + rates[1]; sum > 0 {
		hours = min(rand.ExpFloat64()/sum, 1)
		if hours < 1 {
			what := 0
			if rand.Float64()*sum > rates[0] {
				what = 1
			}
			p.events = s.later(time.Duration(hours*float64(time.Hour)), func() {
				s.strike(p, what)
				s.happen(p)
			})
			return
		}
	}
	p.events = s.later(time.Hour, func() { s.happen(p) })
}

// strike preempts a node, or makes one unusable.
func (s *Service) strike(p *pool, what int) {
	var able []*compute
	for n := range p.nodes.all() {
		if n.usable() && (what == 1 || !n.Dedicated) {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		return
	}
	n := able[rand.IntN(len(able))]
	if what == 0 {
		s.preempt(n)
	} else {
		s.down(n, unusable)
	}
}

// preempt takes a low-priority node away for a while.
func (s *Service) preempt(n *compute) {
	s.down(n, preempted)
	s.reviveLater(n)
}

// reviveLater starts a preempted node again, when the pool may have it.
func (s *Service) reviveLater(n *compute) {
	life := n.life
	s.later(s.opts.PreemptedTime, func() {
		if n.life != life || n.State.State != preempted {
			return
		}
		if c := n.pool.Capacity[n.kind()]; c >= 0 {
			present := 0
			for other := range n.pool.nodes.all() {
				if other.kind() == n.kind() && other.State.State != preempted {
					present++
				}
			}
			if present >= c {
				s.reviveLater(n)
				return
			}
		}
		s.become(n, creating)
		s.boot(n, true)
	})
}
