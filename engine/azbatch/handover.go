package azbatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// A place whose pool cannot start gives up: its Batch job is ended, and the reason, which the service keeps, names the places that
// make what is left. So it is decided once, and every client that sees it adds the runs there, as does one that comes later. The
// service refuses what another has added already.

// heirs are the places that could make what another leaves: those that go on.
func (w *watch) heirs(of *part) (all []int) {
	for _, p := range w.parts {
		if p != of && p.end == nil && !p.answered.IsZero() {
			all = append(all, p.no)
		}
	}
	return all
}

// giveUp ends a place at which nothing can run. If there is no other, that is the end of the job.
func (w *watch) giveUp(ctx context.Context, p *part, why string) {
	w.e.mu.Lock()
	delete(w.e.pools, p.key())
	w.e.mu.Unlock()
	end := &jobEnd{cause: engine.CauseNotStarted, heirs: w.heirs(p)}
	reason := reasonNotStarted
	if end.handed() {
		end.text = clip(why, 1000)
		reason = reasonHandedOver + strings.Trim(fmt.Sprint(end.heirs), "[]") + ": "
		names := make([]string, len(end.heirs))
		for i, h := range end.heirs {
			names[i] = w.s.places[h].name()
		}
		w.e.log.Warn("azbatch: a pool cannot start, and hands its share of the job over to the others", "job", w.jobID, "pool", p.pool, "account", p.host,
			"runs", p.left, "to", strings.Join(names, ", "), "why", why)
	} else {
		end.text = clip(w.alsoFailed(p, why), 1000)
		w.e.log.Warn("azbatch: the job is ended, since nothing can run", "job", w.jobID, "why", end.text)
	}
	if err := p.terminate(ctx, reason+end.text); err != nil {
		if !errors.Is(err, engine.ErrNotExist) {
			w.e.log.Warn("azbatch: end the job", "job", w.jobID, "account", p.host, "err", explain(err))
		}
		return
	}
	p.end = end // until the service says what is so
	w.e.changed(w.jobID)
}

// alsoFailed adds to why a place failed why the others had failed before.
func (w *watch) alsoFailed(p *part, why string) string {
	for _, other := range w.parts {
		if other != p && other.end != nil && other.end.handed() {
			why += "; and before, " + other.name() + ": " + clip(other.end.text, 300)
		}
	}
	return why
}

// handOver adds what a place has left to its heirs. What does not succeed is tried again with the next answer of the place.
func (w *watch) handOver(ctx context.Context, p *part, completed bool) {
	left := map[int][]engine.Run{}
	n := 0
	for id, r := range w.runs {
		if r.part == p && (r.State == engine.Queued || r.State == engine.Running && completed) {
			i := w.s.where(id, func(i int) *jobEnd { return w.parts[i].end })
			left[i] = append(left[i], id)
			n++
		}
	}
	if n == 0 {
		p.done = completed && p.left == 0
		return
	}
	if slices.ContainsFunc(w.parts, func(p *part) bool { return !p.done && p.answered.IsZero() }) {
		return // it may have them already
	}
	var tasks map[engine.Run]azbatch.CreateTaskContent
	for i, runs := range left {
		if end := w.noHeir(p, i); end != nil {
			for _, id := range runs {
				w.tell(w.runs[id], engine.Event{State: engine.Exited, Cause: end.cause, Reason: end.text})
			}
			continue
		}
		var err error
		if tasks == nil {
			tasks, err = p.tasksOf(ctx)
		}
		if err == nil {
			var from, to machine
			if from, err = w.e.machineAt(ctx, p.place); err == nil {
				to, err = w.e.machineAt(ctx, w.s.places[i])
			}
			if err == nil {
				err = addTasks(ctx, w.s.places[i], runs, func(r engine.Run) azbatch.CreateTaskContent { return p.forNodes(to, to.take(tasks[r], from)) })
			}
		}
		if err != nil {
			w.e.log.Warn("azbatch: hand over", "job", w.jobID, "to", w.s.places[i].name(), "err", explain(err))
			continue
		}
		for _, id := range runs {
			r := w.runs[id]
			w.move(r, w.parts[i])
			w.tell(r, engine.Event{State: engine.Queued, Reason: fmt.Sprintf("waits in the %s, since the %s cannot start: %s", w.s.places[i].name(), p.name(), p.end.text)})
		}
		w.parts[i].due = p.due.Add(-w.e.c.Poll)
	}
}

// forNodes gives a task as many slots of other nodes as have what it needs.
func (p *part) forNodes(to machine, t azbatch.CreateTaskContent) azbatch.CreateTaskContent {
	if slots, err := to.slotsFor(p.needs, ""); err == nil && p.needs != (engine.Resources{}) {
		n := int32(slots)
		t.RequiredSlots = &n
	}
	return t
}

// noHeir is why nobody makes what a place has left; nil if place i does.
func (w *watch) noHeir(p *part, i int) *jobEnd {
	if i < 0 {
		return &jobEnd{cause: engine.CauseNotStarted, text: w.alsoFailed(p, p.end.text)}
	}
	return w.parts[i].end
}
