package azbatch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// How long runs wait before somebody wants to know why, and how often that is looked at after that, in polls.
const (
	firstAsk = 5 * time.Second
	askPolls = 10
)

// diagnose says of the waiting runs of a place, none of which is being made, what they wait for, and gives it up if it is in
// vain, or if others can do it.
func (w *watch) diagnose(ctx context.Context, p *part) {
	if time.Since(p.began) < min(firstAsk, askPolls*w.e.c.Poll) || time.Since(p.why) < askPolls*w.e.c.Poll {
		return
	}
	p.why = time.Now()
	d, err := p.diagnose(ctx, p.pool, p.id)
	if err != nil {
		w.e.log.Warn("azbatch: why nothing runs is not known", "job", w.jobID, "account", p.host, "err", explain(err))
		return
	}
	if !d.failed {
		p.failing = time.Time{}
	} else if p.failing.IsZero() {
		p.failing = time.Now()
	} else if time.Since(p.failing) > w.e.c.Start/4 { // further nodes would not do better, and cost money
		d.hopeless = true
	}
	if !d.hopeless && !d.usable && time.Since(p.began) > w.e.c.Start {
		d.hopeless, d.text = true, fmt.Sprintf("no node could be used within %v: %s", w.e.c.Start, d.text)
	}
	if d.hopeless || d.stuck && len(w.heirs(p)) > 0 {
		w.giveUp(ctx, p, d.text)
		return
	}
	for _, r := range w.runs {
		if r.part == p && r.State == engine.Queued {
			w.tell(r, engine.Event{State: engine.Queued, Reason: d.text})
		}
	}
}

// A diagnosis is why nothing runs.
type diagnosis struct {
	text     string
	usable   bool // there are nodes that could run something
	stuck    bool // none is to be had for now
	hopeless bool // or ever
	failed   bool // all that there are failed, though there may come more
	nodes    int  // that are there, but for those that are
	bad      int  // of no use
	busy     int  // slots of them in use
}

// diagnose looks at a pool, its nodes, and what they made of the preparation of a job, if one is named.
func (a *account) diagnose(ctx context.Context, poolID, batchJob string) (diagnosis, error) {
	p, err := a.client.GetPool(ctx, poolID, nil)
	if status(err) == http.StatusNotFound || err == nil && word(p.State) == azbatch.PoolStateDeleting {
		return diagnosis{text: fmt.Sprintf("the pool %s is not there any more", poolID), hopeless: true}, nil
	}
	if err != nil {
		return diagnosis{}, err
	}
	var nodes []azbatch.Node
	o := &azbatch.ListNodesOptions{SelectParam: []string{"id", "state", "startTaskInfo", "errors", "runningTaskSlotsCount"}}
	for pages := a.client.NewListNodesPager(poolID, o); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return diagnosis{}, err
		}
		nodes = append(nodes, page.Value...)
	}
	failed, err := a.preparationFailed(ctx, batchJob)
	if err != nil {
		return diagnosis{}, err
	}
	states := map[azbatch.NodeState]int{}
	bad, broken, usable, busy := 0, 0, 0, 0
	var sick, unprepared *azbatch.Node
	for i := range nodes {
		n := &nodes[i]
		states[word(n.State)]++
		busy += int(deref32(n.RunningTaskSlotsCount))
		switch word(n.State) {
		case azbatch.NodeStateStartTaskFailed, azbatch.NodeStateUnusable:
			bad++
			if word(n.State) == azbatch.NodeStateUnusable {
				broken++
			}
			if sick == nil || word(n.State) == azbatch.NodeStateStartTaskFailed {
				sick = n
			}
		case azbatch.NodeStateIdle, azbatch.NodeStateRunning:
			if _, is := failed[*n.ID]; is {
				bad++
				unprepared = n
			} else {
				usable++
			}
		}
	}
	scales := p.EnableAutoScale != nil && *p.EnableAutoScale
	steady := word(p.AllocationState) == azbatch.AllocationStateSteady
	d := diagnosis{usable: usable > 0, nodes: len(nodes) - bad, bad: bad, busy: busy}
	switch {
	case usable > 0:
		d.text = fmt.Sprintf("waits for a free slot: %s of the pool %s could make it", nodesText(usable), poolID)
	case unprepared != nil:
		d.text = fmt.Sprintf("nodes of the pool %s cannot be prepared for the job: %s", poolID, failed[*unprepared.ID]())
	case sick != nil:
		d.text = fmt.Sprintf("%s of the pool %s cannot be used: %s", nodesText(bad), poolID, a.sickness(ctx, poolID, sick))
	case len(p.ResizeErrors) > 0:
		d.stuck = steady
		d.text = fmt.Sprintf("the pool %s gets no nodes: %s", poolID, resizeText(p.ResizeErrors))
	case len(nodes) > 0:
		d.text = fmt.Sprintf("no node of the pool %s can be used yet: %s", poolID, statesText(states))
	case scales && p.AutoScaleRun != nil && p.AutoScaleRun.Error != nil:
		d.text = fmt.Sprintf("the pool %s has no nodes, since its formula fails: %s", poolID, deref(p.AutoScaleRun.Error.Message))
	case scales:
		d.text = fmt.Sprintf("the pool %s has no nodes yet: its formula decides, every %s", poolID, deref(p.AutoScaleEvaluationInterval))
	case !steady:
		d.text = fmt.Sprintf("the pool %s is being given nodes", poolID)
	default:
		d.text = fmt.Sprintf("the pool %s has no nodes: resize it", poolID)
	}
	none := steady && bad > 0 && bad == len(nodes)
	d.failed = none && broken == 0 // the service goes on trying to mend nodes that are unusable
	d.hopeless = d.failed && ofFixedSize(&p.Pool)
	d.stuck = d.stuck || none && ofFixedSize(&p.Pool)
	return d, nil
}

// preparationFailed are the nodes that could not be prepared for a job, each with a text that is read when it is needed.
func (a *account) preparationFailed(ctx context.Context, batchJob string) (map[string]func() string, error) {
	failed := map[string]func() string{}
	if batchJob == "" {
		return failed, nil
	}
	for pages := a.client.NewListJobPreparationAndReleaseTaskStatusPager(batchJob, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Value {
			x := s.JobPreparationTaskExecutionInfo
			if x == nil || word(x.State) != azbatch.JobPreparationTaskStateCompleted || x.FailureInfo == nil && deref32(x.ExitCode) == 0 {
				continue
			}
			failed[*s.NodeID] = func() string {
				_, text := failure(x.FailureInfo)
				if x.ExitCode != nil {
					text += fmt.Sprintf(", exit code %d", *x.ExitCode)
				}
				return text + a.tail(ctx, *s.PoolID, *s.NodeID, strings.ReplaceAll(deref(x.TaskRootDirectory), `\`, "/"))
			}
		}
	}
	return failed, nil
}

// sickness says what is wrong with a node, with the output of its start task.
func (a *account) sickness(ctx context.Context, poolID string, n *azbatch.Node) string {
	if word(n.State) != azbatch.NodeStateStartTaskFailed {
		text := "node " + *n.ID + " is unusable"
		for _, x := range n.Errors {
			text += fmt.Sprintf(": %s: %s", deref(x.Code), deref(x.Message))
		}
		return text + "; Batch goes on trying to mend it"
	}
	text := "the start task of node " + *n.ID + " failed"
	if x := n.StartTaskInfo; x != nil && x.ExitCode != nil {
		text += fmt.Sprintf(" with exit code %d", *x.ExitCode)
	} else if x != nil && x.FailureInfo != nil {
		_, said := failure(x.FailureInfo)
		text += ": " + said
	}
	return text + a.tail(ctx, poolID, *n.ID, "startup")
}

// tail is the end of what a task of a node wrote.
func (a *account) tail(ctx context.Context, poolID, nodeID, dir string) (text string) {
	const most = 1024
	for _, name := range []string{"stdout.txt", "stderr.txt"} {
		file := strings.Trim(dir, "/") + "/" + name
		h, err := a.client.GetNodeFileProperties(ctx, poolID, nodeID, file, nil)
		if err != nil || h.ContentLength == nil || *h.ContentLength == 0 {
			continue
		}
		from := max(0, *h.ContentLength-most)
		r, err := a.client.GetNodeFile(ctx, poolID, nodeID, file, &azbatch.GetNodeFileOptions{OCPRange: to.Ptr(fmt.Sprintf("bytes=%d-%d", from, *h.ContentLength-1))})
		if err != nil {
			continue
		}
		b, _ := io.ReadAll(io.LimitReader(r.Body, *h.ContentLength))
		r.Body.Close()
		if s := strings.TrimSpace(string(b[max(0, len(b)-most):])); s != "" {
			text += "\n" + name + ": " + s
		}
	}
	return text
}

func resizeText(all []azbatch.ResizeError) string {
	var texts []string
	for _, x := range all {
		text := deref(x.Code) + ": " + deref(x.Message)
		for _, v := range x.Values {
			text += fmt.Sprintf(" (%s: %s)", deref(v.Name), deref(v.Value))
		}
		if do := advice[deref(x.Code)]; do != "" {
			text += ": " + do
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// stateMeans says what is behind states of nodes that do not explain themselves.
var stateMeans = map[azbatch.NodeState]string{
	azbatch.NodeStatePreempted: " (spot nodes that Azure has taken away, and gives back when it has room)",
	azbatch.NodeStateOffline:   " (somebody has switched off the scheduling of tasks on them)",
	azbatch.NodeStateUnknown:   " (the service has no word from them)",
}

func statesText(states map[azbatch.NodeState]int) string {
	var texts []string
	for _, s := range azbatch.PossibleNodeStateValues() {
		if n := states[s]; n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s%s", n, s, stateMeans[s]))
		}
	}
	return strings.Join(texts, ", ")
}

func nodesText(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// clip shortens a text in the middle: it ends with what a script said last.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n/3]+" … "+s[len(s)-n+n/3+5:], "")
}
