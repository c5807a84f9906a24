package azbatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// PoolSpec is a pool to be made. Nodes cost money from when they come until they leave.
type PoolSpec struct {
	VMSize string // "Standard_D4s_v5"; needed
	Slots  int    // of a node; 0: as many as the VM size has cores, as far as its name says so, else 1
	// Image is "publisher:offer:sku" of the marketplace, or the beginning of that up to a colon, which means the newest that Batch
	// has verified; or the resource ID of an image of a Compute Gallery, which needs Agent. Empty is Ubuntu 24.04, or with a
	// Container the newest that runs containers.
	Image string
	Agent string // the node agent for an image of a gallery; by default "batch.node.ubuntu 24.04"
	// StartScript is run as root by each node that joins, by bash unless its first line says otherwise.
	StartScript string
	InterNode   bool // nodes may talk to each other; at most 100 of them

	// Container is the image that tasks run in, as "docker pull" takes it; nodes fetch it when they join. It needs /bin/sh.
	Container        string
	ContainerOptions string // arguments of "docker create"
	Registry         string // of a private image: "myregistry.azurecr.io"
	RegistryUser     string // who may read there, with the password in the variable [RegistryPassword] of who makes the pool;
	RegistryIdentity string // or resource ID of a managed identity that may, which is Identity too

	// Identity is the resource ID of a user-assigned managed identity that nodes have: they open the store by it, and are sent no
	// token. Such a pool is made through ARM, by "clusterless azure pool create" or by a program that imports
	// engine/azbatch/managed.
	Identity string

	// Nodes and Spot are how many dedicated and spot nodes there are, for as long as the lease lasts. A pool with MaxNodes or
	// MaxSpot follows the work: it has up to so many, by the ready-made formula that Formula names ([Formulas]; by default
	// "follow"), and when nothing is to be done Nodes and Spot until the lease ends, and then none. Formula may also be one of
	// the service's language, which decides alone.
	Nodes, Spot       int
	MaxNodes, MaxSpot int
	Formula           string
	Interval          time.Duration // between evaluations, 5 min to 168 h; 0: 5 min
	// Lease is how long after the last Submit idle nodes stay. The pool itself keeps to it, also when no client is left. 0:
	// DefaultLease; negative: for ever.
	Lease time.Duration
}

// DefaultLease is a working day's half: who comes back after lunch finds the nodes.
const DefaultLease = 4 * time.Hour

// Metadata of pools that were made here.
const (
	metaPool = "clusterless-pool" // when, as RFC 3339
	metaSpec = "clusterless-spec" // what is needed of the PoolSpec later on, as settings in a query
)

func (s *PoolSpec) set(name, value string) (known bool, err error) {
	count := func(n *int, least int) {
		if *n, err = strconv.Atoi(value); err == nil && *n < least {
			err = fmt.Errorf("want at least %d", least)
		}
	}
	switch name {
	case "vmsize":
		s.VMSize = value
	case "slots":
		count(&s.Slots, 1)
	case "image":
		s.Image = value
	case "agent":
		s.Agent = value
	case "startscript":
		s.StartScript = value
	case "internode":
		s.InterNode, err = strconv.ParseBool(value)
	case "nodes":
		count(&s.Nodes, 0)
	case "spot":
		count(&s.Spot, 0)
	case "maxnodes":
		count(&s.MaxNodes, 0)
	case "maxspot":
		count(&s.MaxSpot, 0)
	case "formula":
		s.Formula = value
	case "interval":
		s.Interval, err = engine.ParseDuration(value)
	case "lease":
		if s.Lease = -1; value != "none" {
			s.Lease, err = engine.ParseDuration(value)
		}
	case "identity":
		s.Identity = value
	case "container":
		s.Container = value
	case "containeroptions":
		s.ContainerOptions = value
	case "registry":
		s.Registry = value
	case "registryuser":
		s.RegistryUser = value
	case "registryidentity":
		s.RegistryIdentity = value
	default:
		return false, nil
	}
	return true, err
}

// ParsePool reads a PoolSpec from settings, as those in an engine's URL; settings of other things are left out. The start script
// is read from its file.
func ParsePool(settings url.Values) (s PoolSpec, err error) {
	for name := range settings {
		if _, err := s.set(name, settings.Get(name)); err != nil {
			return s, fmt.Errorf("azbatch: %s=%s: %w", name, settings.Get(name), err)
		}
	}
	return s, s.readScript()
}

func (s *PoolSpec) readScript() error {
	if s.StartScript == "" {
		return nil
	}
	b, err := os.ReadFile(s.StartScript)
	if err != nil {
		return fmt.Errorf("azbatch: setting startscript: %w", err)
	}
	s.StartScript = string(b)
	return nil
}

const poolNames = "vmsize, slots, image, agent, startscript, internode, nodes, spot, maxnodes, maxspot, formula, interval, lease, " +
	"identity, container, containeroptions, registry, registryuser, registryidentity"

// check says what is wrong with a pool before anything is asked of the service.
func (s *PoolSpec) check() error {
	if s.VMSize == "" {
		return errors.New("no VM size: name one, as Standard_D4s_v5")
	}
	if err := s.checkFormula(); err != nil {
		return err
	}
	switch {
	case s.Interval > 0 && (s.Interval < 5*time.Minute || s.Interval > 168*time.Hour):
		return errors.New("the interval of a formula is 5m to 168h")
	case s.InterNode && max(s.Nodes, s.MaxNodes)+max(s.Spot, s.MaxSpot) > 100:
		return errors.New("a pool whose nodes talk to each other has at most 100")
	case len(s.StartScript) > maxVariable:
		return fmt.Errorf("the start script has %d KiB, and nodes take %d: let it fetch what is larger", len(s.StartScript)>>10, maxVariable>>10)
	case s.Identity != "" && !strings.HasPrefix(s.Identity, "/subscriptions/"):
		return errors.New("an identity is named by its resource ID, /subscriptions/…/userAssignedIdentities/NAME")
	}
	return s.checkContainer()
}

// slots is how many runs of one core a node takes.
func (s *PoolSpec) slots() int { return cmp.Or(s.Slots, min(256, coresOf(s.VMSize)), 1) }

var sizeName = regexp.MustCompile(`^(?i:Standard|Basic)_[A-Za-z]+(\d+)(?:-(\d+))?`)

// coresOf is what the name of a VM size says of its cores: the number behind the letters of its series, or, where some are
// switched off, the one behind a dash. 0 if it says nothing, as the oldest series D, whose numbers only count.
func coresOf(size string) int {
	m := sizeName.FindStringSubmatch(size)
	if m == nil || oldSize.MatchString(size) {
		return 0
	}
	n, _ := strconv.Atoi(cmp.Or(m[2], m[1]))
	return n
}

// oldSize fits the series D, DS and G of version 1, D and DS of version 2, and A of version 1: Standard_D11_v2 has 2 cores.
var oldSize = regexp.MustCompile(`^(?i:(Standard|Basic)_([ADG]S?\d+(_v1)?|DS?\d+(-\d+)?_v2))$`)

// CreatePool makes a pool, unless there is one of that ID, which is joined as it is. It does not wait for nodes. A formula is
// evaluated, and a pool whose formula fails is deleted again.
func (e *Engine) CreatePool(ctx context.Context, id string, spec PoolSpec) (joined bool, err error) {
	err = e.onPool(ctx, "create", id, func(ctx context.Context) error {
		joined, err = e.createPool(ctx, id, spec)
		return err
	})
	return joined, err
}

// onPool does something to a pool.
func (e *Engine) onPool(ctx context.Context, what, id string, do func(context.Context) error) error {
	ctx, end, err := e.begin(ctx)
	if err == nil {
		defer end()
		err = ended(ctx, explain(do(ctx)))
	}
	if err != nil {
		return fmt.Errorf("azbatch: %s pool %s: %w", what, id, err)
	}
	return nil
}

func (e *Engine) createPool(ctx context.Context, id string, spec PoolSpec) (joined bool, err error) {
	if !validPool(id) {
		return false, fmt.Errorf("want 1 to 64 letters, digits, '-' or '_': %w", engine.ErrCannotRun)
	}
	if err := cmp.Or(spec.check(), spec.checkPassword()); err != nil {
		return false, fmt.Errorf("%w: %w", err, engine.ErrCannotRun)
	}
	machine, err := e.image(ctx, spec)
	if err != nil {
		return false, err
	}
	c := azbatch.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr(spec.VMSize), VirtualMachineConfiguration: machine,
		TaskSlotsPerNode: to.Ptr(int32(spec.slots())), TaskSchedulingPolicy: &azbatch.TaskSchedulingPolicy{NodeFillType: to.Ptr(azbatch.NodeFillTypePack)},
		EnableInterNodeCommunication: to.Ptr(spec.InterNode),
		Metadata:                     metadata(map[string]string{metaPool: time.Now().UTC().Format(time.RFC3339), metaSpec: spec.encode()})}
	if spec.StartScript != "" {
		c.StartTask = startTask(spec.StartScript)
	}
	if formula := spec.formula(spec.slots(), time.Now().Add(spec.lease())); formula != "" {
		c.EnableAutoScale, c.AutoScaleFormula = to.Ptr(true), to.Ptr(formula)
		c.AutoScaleEvaluationInterval = to.Ptr(isoDuration(cmp.Or(spec.Interval, 5*time.Minute)))
	} else {
		c.TargetDedicatedNodes, c.TargetLowPriorityNodes = to.Ptr(int32(spec.Nodes)), to.Ptr(int32(spec.Spot))
	}
	if spec.Identity == "" {
		_, err = e.client.CreatePool(ctx, c, nil)
	} else {
		err = e.createManaged(ctx, c, spec.Identity)
	}
	if code(err) == "PoolExists" {
		return true, nil
	}
	if err != nil {
		return false, explain(err)
	}
	if c.AutoScaleFormula != nil {
		if _, err := e.evaluate(ctx, id, *c.AutoScaleFormula); err != nil {
			if !errors.Is(err, engine.ErrCannotRun) && status(err) != http.StatusBadRequest { // it may be a good one, and in use already
				return false, err
			}
			_, undo := e.client.DeletePool(context.WithoutCancel(ctx), id, nil)
			return false, errors.Join(err, undo)
		}
	}
	return false, nil
}

// lease is how long the pool's lease is at first.
func (s *PoolSpec) lease() time.Duration { return cmp.Or(s.Lease, DefaultLease) }

// encode writes what of a PoolSpec has to be known of a pool that is there.
func (s *PoolSpec) encode() string {
	q := url.Values{"lease": {"none"}}
	if s.Lease >= 0 {
		q.Set("lease", s.lease().String())
	}
	for name, n := range map[string]int{"nodes": s.Nodes, "spot": s.Spot, "maxnodes": s.MaxNodes, "maxspot": s.MaxSpot} {
		if n > 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	if s.Formula != "" && !s.custom() {
		q.Set("formula", s.Formula)
	}
	if s.ContainerOptions != "" {
		q.Set("containeroptions", s.ContainerOptions)
	}
	return q.Encode()
}

// specOf is what encode wrote of a pool, and whether the pool was made here.
func specOf(p *azbatch.Pool) (s PoolSpec, ours bool) {
	meta := metaOf(p.Metadata)
	q, _ := url.ParseQuery(meta[metaSpec])
	for name := range q {
		_, _ = s.set(name, q.Get(name)) // of a later version, perhaps
	}
	return s, meta[metaPool] != ""
}

// EvaluateFormula lets the service compute a formula for a pool that scales by itself, and returns what comes of it, as
// "$TargetDedicatedNodes=2;…". Nothing is changed. A ready-made formula is computed with the limits of the spec.
func (e *Engine) EvaluateFormula(ctx context.Context, id string, spec PoolSpec) (result string, err error) {
	err = e.onPool(ctx, "evaluate a formula for", id, func(ctx context.Context) error {
		p, err := e.client.GetPool(ctx, id, nil)
		if err != nil {
			return err
		}
		if err := spec.checkFormula(); err != nil {
			return err
		}
		result, err = e.evaluate(ctx, id, spec.formula(slotsOf(&p.Pool), time.Now().Add(spec.lease())))
		return err
	})
	return result, err
}

// evaluate lets the service compute a formula of a pool.
func (e *Engine) evaluate(ctx context.Context, id, formula string) (string, error) {
	r, err := e.client.EvaluatePoolAutoScale(ctx, id, azbatch.EvaluatePoolAutoScaleContent{AutoScaleFormula: to.Ptr(formula)}, nil)
	if err != nil {
		return "", fmt.Errorf("formula: %w", explain(err))
	}
	if x := r.Error; x != nil {
		text := deref(x.Code) + ": " + deref(x.Message)
		for _, v := range x.Values {
			text += fmt.Sprintf(" (%s: %s)", deref(v.Name), deref(v.Value))
		}
		return "", fmt.Errorf("formula: %s: %w", text, engine.ErrCannotRun)
	}
	return deref(r.Results), nil
}

func slotsOf(p *azbatch.Pool) int {
	if p.TaskSlotsPerNode == nil {
		return 1
	}
	return int(*p.TaskSlotsPerNode)
}

func startTask(script string) *azbatch.StartTask {
	if !strings.HasPrefix(script, "#!") {
		script = "#!/bin/bash\n" + script
	}
	return &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c 'set -e; printf %b "$CLUSTERLESS_START" >start; chmod 700 start; unset CLUSTERLESS_START; exec ./start'`),
		EnvironmentSettings: []azbatch.EnvironmentSetting{setting("CLUSTERLESS_START", oneLine(script))}, WaitForSuccess: to.Ptr(true), MaxTaskRetryCount: to.Ptr[int32](1),
		UserIdentity: &azbatch.UserIdentity{AutoUser: &azbatch.AutoUserSpecification{Scope: to.Ptr(azbatch.AutoUserScopePool), ElevationLevel: to.Ptr(azbatch.ElevationLevelAdmin)}}}
}

// ResizePool changes how many nodes a pool has. Of the spec only Nodes, Spot, MaxNodes, MaxSpot, Formula, Interval and Lease
// count; a Lease of 0 is the one that the pool has. Nodes that leave end their tasks first. It does not wait for nodes.
func (e *Engine) ResizePool(ctx context.Context, id string, size PoolSpec) error {
	return e.onPool(ctx, "resize", id, func(ctx context.Context) error { return e.resizePool(ctx, id, size) })
}

func (e *Engine) resizePool(ctx context.Context, id string, size PoolSpec) error {
	p, err := e.client.GetPool(ctx, id, nil)
	if err != nil {
		return err
	}
	spec, ours := specOf(&p.Pool)
	spec.Nodes, spec.Spot, spec.MaxNodes, spec.MaxSpot, spec.Formula = size.Nodes, size.Spot, size.MaxNodes, size.MaxSpot, size.Formula
	if spec.Lease = cmp.Or(size.Lease, spec.Lease); !ours {
		spec.Lease = cmp.Or(size.Lease, -1) // a pool of others is not given a lease unasked
	}
	none := spec.Nodes+spec.Spot+spec.MaxNodes+spec.MaxSpot == 0 && spec.Formula == ""
	if err := spec.checkFormula(); err != nil && !none {
		return err
	}
	if ours {
		others := slices.DeleteFunc(slices.Clone(p.Metadata), func(m azbatch.MetadataItem) bool { return deref(m.Name) == metaSpec })
		if _, err := e.client.UpdatePool(ctx, id, azbatch.UpdatePoolContent{Metadata: append(others, metadata(map[string]string{metaSpec: spec.encode()})...)}, nil); err != nil {
			return err
		}
	}
	formula := ""
	if !none {
		formula = spec.formula(slotsOf(&p.Pool), time.Now().Add(spec.lease()))
	}
	return e.setSize(ctx, &p.Pool, spec, formula, size.Interval)
}

// setSize gives a pool a formula, or a size where there is none. A resize that is under way is stopped.
func (e *Engine) setSize(ctx context.Context, p *azbatch.Pool, spec PoolSpec, formula string, interval time.Duration) error {
	id, scales := *p.ID, p.EnableAutoScale != nil && *p.EnableAutoScale
	if formula == "" && scales {
		if _, err := e.client.DisablePoolAutoScale(ctx, id, nil); err != nil {
			return err
		}
	}
	for {
		var err error
		if formula != "" {
			c := azbatch.EnablePoolAutoScaleContent{AutoScaleFormula: to.Ptr(formula)}
			if !scales || interval > 0 {
				c.AutoScaleEvaluationInterval = to.Ptr(isoDuration(cmp.Or(interval, 5*time.Minute)))
			}
			_, err = e.client.EnablePoolAutoScale(ctx, id, c, nil)
		} else {
			_, err = e.client.ResizePool(ctx, id, azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr(int32(spec.Nodes)), TargetLowPriorityNodes: to.Ptr(int32(spec.Spot)),
				NodeDeallocationOption: to.Ptr(azbatch.NodeDeallocationOptionTaskCompletion)}, nil)
		}
		if code(err) != "PoolBeingResized" {
			return err
		}
		if _, err := e.client.StopPoolResize(ctx, id, nil); err != nil && status(err) != http.StatusConflict { // it may just have ended
			return err
		}
		select {
		case <-time.After(min(time.Second, e.c.Poll)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// DeletePool deletes a pool with its nodes, and ends what runs there. One that is not there is no error.
func (e *Engine) DeletePool(ctx context.Context, id string) error {
	return e.onPool(ctx, "delete", id, func(ctx context.Context) error {
		_, err := e.client.DeletePool(ctx, id, nil)
		if status(err) == http.StatusNotFound || code(err) == "PoolBeingDeleted" {
			return nil
		}
		return err
	})
}
