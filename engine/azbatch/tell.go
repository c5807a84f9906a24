package azbatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// Tell implements engine.Teller. It takes three requests for a job that runs, and a few more for one that only waits, or has several places.
func (e *Engine) Tell(ctx context.Context, jobID string) (string, error) {
	if !engine.ValidID(jobID) {
		return "", nil
	}
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return "", fmt.Errorf("azbatch: %w", err)
	}
	defer end()
	text, err := e.tell(policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: 2}), jobID) // somebody waits for it
	if err != nil {
		return "", fmt.Errorf("azbatch: %w", ended(ctx, explain(err)))
	}
	return text, nil
}

func (e *Engine) tell(ctx context.Context, jobID string) (string, error) {
	s, err := e.find(ctx, jobID)
	switch {
	case errors.Is(err, engine.ErrNotExist) && len(s.places) > 0:
		return "its Batch job is being deleted", nil
	case errors.Is(err, engine.ErrNotExist):
		return "nobody works on it, and Batch has no job for it; its program, run again with OrAttach, makes what is missing", nil
	case err != nil:
		return "", err
	}
	runs, waits := make([]int, len(s.places)), make([]int, len(s.places))
	running := 0
	for i, p := range s.places {
		n, err := p.client.GetJobTaskCounts(ctx, p.id, nil)
		if status(err) == http.StatusNotFound {
			continue // it could not be made there
		}
		if err != nil {
			return "", err
		}
		if c := n.TaskCounts; c != nil {
			runs[i], waits[i] = int(deref32(c.Running)), int(deref32(c.Active))
			running += runs[i]
		}
	}
	if running == 0 || len(s.places) > 1 { // tasks of a Batch job that has ended are left as they were
		m, err := e.inspect(ctx, s)
		if err != nil {
			return "", err
		}
		for i := range s.places {
			switch x := m.end(i); {
			case x != nil && !x.handed() && running == 0:
				return "its Batch job has ended: " + x.text, nil
			case x != nil:
				waits[i] = 0
			}
		}
	}
	waiting := 0
	var more []string
	for i, p := range s.places {
		if waits[i] == 0 {
			continue
		}
		waiting += waits[i]
		text, err := p.shortage(ctx, runs[i] > 0)
		if err != nil {
			return "", err
		}
		more = append(more, text)
	}
	switch {
	case running+waiting == 0:
		return "no task of it runs or waits; if nobody works on it, its program, run again with OrAttach, makes what is missing", nil
	case waiting == 0:
		return tasksText(running), nil
	}
	return strings.Join(append([]string{fmt.Sprintf("%s, %d wait", tasksText(running), waiting)}, more...), "; "), nil
}

func tasksText(n int) string {
	if n == 1 {
		return "1 task runs"
	}
	return fmt.Sprintf("%d tasks run", n)
}

// shortage says why tasks wait: of a place where others run, whether its pool is to have more nodes.
func (p place) shortage(ctx context.Context, run bool) (string, error) {
	if !run {
		d, err := p.diagnose(ctx, p.pool, p.id)
		return clip(strings.Join(strings.Fields(d.text), " "), 1000), err
	}
	r, err := p.client.GetPool(ctx, p.pool, nil)
	if err != nil {
		return "", err
	}
	n, want := deref32(r.CurrentDedicatedNodes)+deref32(r.CurrentLowPriorityNodes), deref32(r.TargetDedicatedNodes)+deref32(r.TargetLowPriorityNodes)
	switch {
	case len(r.ResizeErrors) > 0:
		return fmt.Sprintf("the pool %s has %d of %s: %s", p.pool, n, nodesText(int(want)), resizeText(r.ResizeErrors)), nil
	case word(r.AllocationState) != azbatch.AllocationStateSteady:
		return fmt.Sprintf("the pool %s has %s, and is being resized to %d", p.pool, nodesText(int(n)), want), nil
	}
	return fmt.Sprintf("the pool %s has %s", p.pool, nodesText(int(n))), nil
}
