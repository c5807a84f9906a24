package azbatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// PoolSpec is a pool to be made. Nodes cost money from when they come until the pool is resized or deleted.
type PoolSpec struct {
	VMSize string // "Standard_D4s_v5"; needed
	Slots  int    // of a node; 0: as many as the VM size has cores, as far as its name says so, else 1
	// Image is "publisher:offer:sku" of the marketplace, or the resource ID of an image of a Compute Gallery, which needs
	// Agent. Empty is Ubuntu 24.04.
	Image string
	Agent string // the node agent for an image of a gallery; by default "batch.node.ubuntu 24.04"
	// StartScript is run as root by each node that joins, by bash unless its first line says otherwise.
	StartScript string
	InterNode   bool // nodes may talk to each other; at most 100 of them

	Nodes, Spot int // dedicated and spot nodes, for a pool of fixed size

	// A pool with one of these changes its size by itself. MaxNodes and MaxSpot make it follow the work that waits, spot nodes
	// first, and have none when nothing is to be done. Formula is one of the service's language.
	MaxNodes, MaxSpot int
	Formula           string
	Interval          time.Duration // between evaluations, 5 min to 168 h; 0: 5 min
}

// metaPool marks pools that were made here; its value is when, as RFC 3339.
const metaPool = "clusterless-pool"

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
		s.Interval, err = positive(value)
	default:
		return false, nil
	}
	return true, err
}

const poolNames = "vmsize, slots, image, agent, startscript, internode, nodes, spot, maxnodes, maxspot, formula, interval"

// check says what is wrong with a pool before anything is asked of the service.
func (s *PoolSpec) check() error {
	fixed, follows := s.Nodes+s.Spot > 0, s.MaxNodes+s.MaxSpot > 0
	switch {
	case s.VMSize == "":
		return errors.New("no VM size: name one, as Standard_D4s_v5")
	case fixed && (follows || s.Formula != "") || follows && s.Formula != "":
		return errors.New("a pool has a fixed size (nodes, spot), or follows the work (maxnodes, maxspot), or has a formula: choose one")
	case !fixed && !follows && s.Formula == "":
		return errors.New("the pool would have no nodes: say how many (nodes, spot), or how many at most (maxnodes, maxspot)")
	case s.Interval > 0 && (s.Interval < 5*time.Minute || s.Interval > 168*time.Hour):
		return errors.New("the interval of a formula is 5m to 168h")
	case s.InterNode && s.Nodes+s.Spot > 100:
		return errors.New("a pool whose nodes talk to each other has at most 100")
	}
	return nil
}

// scales reports whether the pool changes its size by itself.
func (s *PoolSpec) scales() bool { return s.Formula != "" || s.MaxNodes+s.MaxSpot > 0 }

// slots is how many runs of one core a node takes.
func (s *PoolSpec) slots() int { return cmp.Or(s.Slots, min(256, coresOf(s.VMSize)), 1) }

var sizeName = regexp.MustCompile(`^(?i:Standard|Basic)_[A-Za-z]+(\d+)(?:-(\d+))?`)

// coresOf is what the name of a VM size says of its cores: the number behind the letters of its series, or, where some are
// switched off, the one behind a dash. 0 if it says nothing.
func coresOf(size string) int {
	m := sizeName.FindStringSubmatch(size)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(cmp.Or(m[2], m[1]))
	return n
}

// FollowWork is a formula for a pool that has as many nodes as waiting and running tasks need, spot nodes first, and none
// without tasks. Nodes that leave end their tasks first. It counts tasks, not the slots that they take.
func FollowWork(maxNodes, maxSpot, slots int) string {
	return fmt.Sprintf(`seen = $PendingTasks.GetSamplePercent(5 * TimeInterval_Minute);
last = seen > 0 ? max(0, $PendingTasks.GetSample(1)) : 0;
tasks = seen < 70 ? last : max(last, avg($PendingTasks.GetSample(5 * TimeInterval_Minute)));
nodes = (tasks + %d) / %d;
spot = min(%d, nodes);
$TargetLowPriorityNodes = spot;
$TargetDedicatedNodes = min(%d, max(0, nodes - spot));
$NodeDeallocationOption = taskcompletion;
`, slots-1, slots, maxSpot, maxNodes)
}

// CreatePool makes a pool, unless there is one of that ID, which is joined as it is. It does not wait for nodes. A formula is
// evaluated, and a pool whose formula fails is deleted again.
func (e *Engine) CreatePool(ctx context.Context, id string, spec PoolSpec) (joined bool, err error) {
	ctx, end, err := e.begin(ctx)
	if err == nil {
		defer end()
		joined, err = e.createPool(ctx, id, spec)
	}
	if err != nil {
		return false, fmt.Errorf("azbatch: create pool %s: %w", id, ended(ctx, err))
	}
	return joined, nil
}

func (e *Engine) createPool(ctx context.Context, id string, spec PoolSpec) (joined bool, err error) {
	if !validPool(id) {
		return false, fmt.Errorf("want 1 to 64 letters, digits, '-' or '_': %w", engine.ErrCannotRun)
	}
	if err := spec.check(); err != nil {
		return false, fmt.Errorf("%w: %w", err, engine.ErrCannotRun)
	}
	machine, err := e.image(ctx, spec)
	if err != nil {
		return false, err
	}
	c := azbatch.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr(spec.VMSize), VirtualMachineConfiguration: machine,
		TaskSlotsPerNode: to.Ptr(int32(spec.slots())), TaskSchedulingPolicy: &azbatch.TaskSchedulingPolicy{NodeFillType: to.Ptr(azbatch.NodeFillTypePack)},
		EnableInterNodeCommunication: to.Ptr(spec.InterNode), Metadata: metadata(map[string]string{metaPool: time.Now().UTC().Format(time.RFC3339)})}
	if spec.StartScript != "" {
		c.StartTask = startTask(spec.StartScript)
	}
	if spec.scales() {
		formula := spec.Formula
		if formula == "" {
			formula = FollowWork(spec.MaxNodes, spec.MaxSpot, spec.slots())
		}
		c.EnableAutoScale, c.AutoScaleFormula = to.Ptr(true), to.Ptr(formula)
		c.AutoScaleEvaluationInterval = to.Ptr(isoDuration(cmp.Or(spec.Interval, 5*time.Minute)))
	} else {
		c.TargetDedicatedNodes, c.TargetLowPriorityNodes = to.Ptr(int32(spec.Nodes)), to.Ptr(int32(spec.Spot))
	}
	if _, err = e.client.CreatePool(ctx, c, nil); code(err) == "PoolExists" {
		return true, nil
	}
	if err != nil {
		return false, explain(err)
	}
	if spec.scales() {
		if err := e.evaluate(ctx, id, *c.AutoScaleFormula); err != nil {
			_, undo := e.client.DeletePool(context.WithoutCancel(ctx), id, nil)
			return false, errors.Join(err, undo)
		}
	}
	return false, nil
}

// evaluate lets the service compute a formula of a pool.
func (e *Engine) evaluate(ctx context.Context, id, formula string) error {
	r, err := e.client.EvaluatePoolAutoScale(ctx, id, azbatch.EvaluatePoolAutoScaleContent{AutoScaleFormula: to.Ptr(formula)}, nil)
	if err != nil {
		return fmt.Errorf("formula: %w", explain(err))
	}
	if x := r.Error; x != nil {
		text := deref(x.Code) + ": " + deref(x.Message)
		for _, v := range x.Values {
			text += fmt.Sprintf(" (%s: %s)", deref(v.Name), deref(v.Value))
		}
		return fmt.Errorf("formula: %s: %w", text, engine.ErrCannotRun)
	}
	return nil
}

func startTask(script string) *azbatch.StartTask {
	if !strings.HasPrefix(script, "#!") {
		script = "#!/bin/bash\n" + script
	}
	return &azbatch.StartTask{CommandLine: to.Ptr(`/bin/sh -c 'printf %s "$CLUSTERLESS_START" >start; chmod 700 start; unset CLUSTERLESS_START; exec ./start'`),
		EnvironmentSettings: []azbatch.EnvironmentSetting{setting("CLUSTERLESS_START", script)}, WaitForSuccess: to.Ptr(true), MaxTaskRetryCount: to.Ptr[int32](1),
		UserIdentity: &azbatch.UserIdentity{AutoUser: &azbatch.AutoUserSpecification{Scope: to.Ptr(azbatch.AutoUserScopePool), ElevationLevel: to.Ptr(azbatch.ElevationLevelAdmin)}}}
}

// defaultImage is that of the table "what a modern pool defaults to": publisher, offer, sku.
const defaultImage = "canonical:ubuntu-24_04-lts:server"

// image finds the image of a pool among those that the service supports, with its node agent.
func (e *Engine) image(ctx context.Context, spec PoolSpec) (*azbatch.VirtualMachineConfiguration, error) {
	if strings.HasPrefix(spec.Image, "/") {
		return &azbatch.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr(cmp.Or(spec.Agent, "batch.node.ubuntu 24.04")),
			ImageReference: &azbatch.ImageReference{VirtualMachineImageID: to.Ptr(spec.Image)}}, nil
	}
	want := cmp.Or(spec.Image, defaultImage)
	var found *azbatch.SupportedImage
	var others []string
	for pages := e.client.NewListSupportedImagesPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err)
		}
		for _, i := range page.Value {
			r := i.ImageReference
			if r == nil || *i.OSType != azbatch.OSTypeLinux || *i.VerificationType != azbatch.ImageVerificationTypeVerified {
				continue
			}
			name := strings.ToLower(deref(r.Publisher) + ":" + deref(r.Offer) + ":" + deref(r.SKU))
			if name == strings.ToLower(want) {
				found = &i
			} else if i.BatchSupportEndOfLife == nil || i.BatchSupportEndOfLife.After(time.Now()) {
				others = append(others, name)
			}
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("image %s is none that Batch has verified for Linux: choose one of %s: %w", want, strings.Join(others, ", "), engine.ErrCannotRun)
	case found.BatchSupportEndOfLife != nil && found.BatchSupportEndOfLife.Before(time.Now()):
		return nil, fmt.Errorf("image %s has not been supported by Batch since %s: choose one of %s: %w", want, found.BatchSupportEndOfLife.Format(time.DateOnly), strings.Join(others, ", "), engine.ErrCannotRun)
	}
	r := found.ImageReference
	return &azbatch.VirtualMachineConfiguration{NodeAgentSKUID: found.NodeAgentSKUID,
		ImageReference: &azbatch.ImageReference{Publisher: r.Publisher, Offer: r.Offer, SKU: r.SKU, Version: to.Ptr("latest")}}, nil
}

// ResizePool changes the size of a pool. Nodes that leave end their tasks first. A pool that scaled by itself keeps this size
// from now on. It does not wait.
func (e *Engine) ResizePool(ctx context.Context, id string, nodes, spot int) error {
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return fmt.Errorf("azbatch: resize pool %s: %w", id, err)
	}
	defer end()
	if err := e.resizePool(ctx, id, nodes, spot); err != nil {
		return fmt.Errorf("azbatch: resize pool %s: %w", id, ended(ctx, explain(err)))
	}
	return nil
}

func (e *Engine) resizePool(ctx context.Context, id string, nodes, spot int) error {
	p, err := e.client.GetPool(ctx, id, nil)
	if err != nil {
		return err
	}
	if p.EnableAutoScale != nil && *p.EnableAutoScale {
		if _, err := e.client.DisablePoolAutoScale(ctx, id, nil); err != nil {
			return err
		}
	}
	for {
		_, err := e.client.ResizePool(ctx, id, azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr(int32(nodes)), TargetLowPriorityNodes: to.Ptr(int32(spot)),
			NodeDeallocationOption: to.Ptr(azbatch.NodeDeallocationOptionTaskCompletion)}, nil)
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
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return fmt.Errorf("azbatch: delete pool %s: %w", id, err)
	}
	defer end()
	_, err = e.client.DeletePool(ctx, id, nil)
	if status(err) == http.StatusNotFound || code(err) == "PoolBeingDeleted" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("azbatch: delete pool %s: %w", id, ended(ctx, explain(err)))
	}
	return nil
}
