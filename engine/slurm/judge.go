package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// judge compares the job's directory with Slurm's queue: it says why runs wait, settles those whose element is gone, cancels
// elements that have nothing left to do, and submits what was not submitted.
func (w *watch) judge(ctx context.Context) {
	urgent := false
	for _, s := range w.subs {
		if s.left > 0 && (s.cancelled || s.unclaimed == 0 && !s.trimmed && w.surplus(s) || w.used.IsZero() && time.Since(w.began) > firstAsk) {
			urgent = true
		}
		if s.cancelled && s.unclaimed > 0 {
			for _, id := range s.runs {
				if r := w.runs[id]; r.sub == s && r.State < engine.Exited && r.noticed.IsZero() {
					w.tell(r, engine.Event{State: engine.Exited, Cause: engine.CauseCancelled, Reason: "cancelled before it started"})
				}
			}
		}
		w.place(ctx, s, nil)
	}
	for _, r := range w.runs {
		if r.ended == nil || r.State >= engine.Exited {
			continue
		}
		if urgent = true; time.Since(r.endSeen) > askTime {
			w.tell(r, *r.ended)
		}
	}
	if w.left == 0 {
		return
	}
	q, since, failed := w.e.queue.look(w.e.ctx, &w.e.wg, urgent)
	if failed != nil {
		reason := fmt.Sprintf("nobody knows whether it waits in Slurm's queue: for %v it has not answered: %v", time.Since(since).Round(10*time.Second), failed)
		for _, r := range w.runs {
			if r.State == engine.Queued && time.Since(since) > 5*time.Second {
				w.tell(r, engine.Event{State: engine.Queued, Reason: reason})
			}
		}
	}
	if q == nil || !q.asked.After(w.used) {
		return
	}
	w.used = q.asked
	finals := map[int]map[int]final{}
	for _, s := range w.subs {
		if s.left == 0 {
			continue
		}
		if w.inQueue(ctx, q, s, finals) && s.unclaimed == 0 && !s.trimmed {
			w.trim(ctx, q, s)
		}
	}
}

// inQueue judges the runs of one Submit, and reports whether any of its elements are in the queue.
func (w *watch) inQueue(ctx context.Context, q *snapshot, s *submitted, finals map[int]map[int]final) (live bool) {
	waits := s.trouble
	for _, a := range s.arrays {
		if in := q.arrays[a.id]; in != nil {
			live = true
			for _, g := range in.pending {
				waits = why(g.reason)
			}
		}
	}
	var gone []*run
	for _, id := range s.runs {
		r := w.runs[id]
		if r.sub != s || r.State >= engine.Exited {
			continue
		}
		if !r.noticed.IsZero() { // claimed
			if r.noticed.After(q.asked) {
				continue
			}
			pending, active, reason := q.find(r.claim.element)
			switch {
			case r.claim == (claim{}): // it was never written down who has it
				if !live {
					gone = append(gone, r)
				}
			case pending:
				r.restarts = r.claim.restart + 1
				w.tell(r, engine.Event{State: engine.Queued, Reason: "lost its node " + r.claim.node + " or was preempted, and " + why(reason)})
			case active:
			default:
				gone = append(gone, r)
			}
			continue
		}
		el, known := s.element(r.index)
		if !known {
			w.tell(r, engine.Event{State: engine.Queued, Reason: waits})
			continue
		}
		pending, active, reason := q.find(el)
		switch {
		case pending:
			w.tell(r, engine.Event{State: engine.Queued, Reason: why(reason)})
		case active || live || s.seen.After(q.asked): // another element may take it
		default:
			gone = append(gone, r)
		}
	}
	if !live && len(s.arrays) > 0 && !s.cancelled && s.left > len(gone) {
		w.place(ctx, s, q)
	}
	for _, r := range gone {
		w.settle(ctx, r, finals)
	}
	return live
}

// element is the element whose own run is the one of this index.
func (s *submitted) element(index int) (element, bool) {
	for _, a := range s.arrays {
		if a.first <= index && index < a.first+a.count {
			return element{a.id, index - a.first}, true
		}
	}
	return element{}, false
}

// place submits arrays for runs that have none: whoever should have done it is gone, was refused by a limit, or could not
// reach Slurm. With a snapshot of the queue, none of the elements there are is in it.
func (w *watch) place(ctx context.Context, s *submitted, q *snapshot) {
	if s.Cancel || s.cancelled || s.unclaimed == 0 || time.Now().Before(s.retry) || q == nil && len(s.arrays) > 0 {
		return
	}
	first := 0
	for _, a := range s.arrays {
		first = max(first, a.first+a.count)
	}
	if first >= len(s.runs) {
		return
	}
	n, err := w.e.place(ctx, w.d, s.sub, first)
	if errors.Is(err, errBusy) {
		s.retry = time.Now().Add(time.Second)
		return
	}
	s.retry, s.trouble = time.Now().Add(w.e.queue.poll), ""
	switch {
	case err != nil:
		s.trouble = "not yet in Slurm's queue: " + err.Error()
		w.e.log.Warn("slurm: submit", "job", w.d.ID, "err", err)
	case n == 0:
		s.trouble = "not yet in Slurm's queue: the limit of jobs there is reached"
	}
	if s.trouble == "" || len(s.arrays) > 0 {
		return
	}
	for _, id := range s.runs {
		if r := w.runs[id]; r.sub == s && r.State == engine.Queued {
			w.tell(r, engine.Event{State: engine.Queued, Reason: s.trouble})
		}
	}
}

// surplus reports whether some elements may have nothing to do.
func (w *watch) surplus(s *submitted) bool {
	busy := map[element]bool{}
	elements := 0
	for _, a := range s.arrays {
		elements += a.count
	}
	for _, id := range s.runs {
		if r := w.runs[id]; r.sub == s && r.claim != (claim{}) {
			busy[r.claim.element] = true
		}
	}
	return elements > len(busy)
}

// trim cancels pending elements that have no run, when all runs of their Submit are claimed.
func (w *watch) trim(ctx context.Context, q *snapshot, s *submitted) {
	busy := map[element]bool{}
	for _, id := range s.runs {
		r := w.runs[id]
		if r.sub == s && r.State < engine.Exited && r.claim == (claim{}) {
			return // somebody has it, and it is not known who
		}
		busy[r.claim.element] = true
	}
	var ids []string
	for _, a := range s.arrays {
		in := q.arrays[a.id]
		if in == nil {
			continue
		}
		var idle []string
		for _, g := range in.pending {
			for _, r := range g.ranges {
				from := r.first
				for i := r.first; i <= r.last+1; i++ {
					if i <= r.last && !busy[element{a.id, i}] {
						continue
					}
					if from == i-1 {
						idle = append(idle, strconv.Itoa(from))
					} else if from < i {
						idle = append(idle, fmt.Sprintf("%d-%d", from, i-1))
					}
					from = i + 1
				}
			}
		}
		if len(idle) > 0 {
			ids = append(ids, fmt.Sprintf("%d_[%s]", a.id, strings.Join(idle, ",")))
		}
	}
	s.trimmed = true
	if err := scancel(ctx, ids); err != nil {
		w.e.log.Warn("slurm: elements with nothing to do are left to end by themselves", "job", w.d.ID, "err", err)
	}
}

// settle ends a run whose element is not in the queue any more and has not written down how the run ended.
func (w *watch) settle(ctx context.Context, r *run, finals map[int]map[int]final) {
	el, known := r.claim.element, true
	if r.claim == (claim{}) {
		el, known = r.sub.element(r.index)
	}
	if known && finals[el.array] == nil {
		all, err := w.e.finals(ctx, el.array)
		if err != nil {
			w.e.log.Warn("slurm: state of an array", "job", w.d.ID, "array", el.array, "err", err)
			w.used = time.Time{} // decide when Slurm answers
			return
		}
		finals[el.array] = all
	}
	f := finals[el.array][el.index]
	if f.inQueue() { // it was requeued meanwhile
		return
	}
	if r.ended != nil { // killed, by the kernel or by somebody
		ev := *r.ended
		if f.state == "OUT_OF_MEMORY" {
			ev.Cause, ev.Signal, ev.Reason = engine.CauseMemory, "", w.memory()
		}
		w.tell(r, ev)
		return
	}
	how, reason := w.verdict(r, el, f)
	if f.code == exitBlind {
		w.e.avoid(f.node)
	}
	node := f.node
	if r.claim != (claim{}) {
		node = r.claim.node
	}
	if ev, ok := w.d.writeEnd(r.Run, how, node, reason); ok {
		w.tell(r, ev)
	} else if info, err := os.Stat(filepath.Join(w.d.path, "end", runName(r.Run))); err == nil && info.Size() == 0 {
		w.tell(r, engine.Event{State: engine.Lost, Cause: engine.CauseLost, Node: node,
			Reason: "it ended, but how could not be written down: is the shared directory full?"})
	}
}

// firstAsk is after what time of a watch somebody may want to know why nothing happens.
const firstAsk = 2 * time.Second

// askTime is how long Slurm is asked why a run was killed.
const askTime = 30 * time.Second

// exitBlind is how an agent ends that does not see the shared directory.
const exitBlind = 91

func (w *watch) memory() string {
	if m := w.d.Resources.Memory; m > 0 {
		return fmt.Sprintf("used more than the %d MiB that it had reserved with the option Memory", m>>20)
	}
	return "used more memory than Slurm gives to a job that does not ask for a certain amount: ask with the option Memory"
}

// verdict says how a run ended whose element ended like f.
func (w *watch) verdict(r *run, el element, f final) (how, reason string) {
	where := ""
	if f.node != "" {
		where = " on " + f.node
	}
	switch f.state {
	case "CANCELLED", "REVOKED":
		switch {
		case r.sub.cancelled:
			return "cancelled", "cancelled while it ran"
		case f.by != "":
			return "withdrawn", fmt.Sprintf("cancelled by hand: user %s ended Slurm's job %v", f.by, el)
		}
		return "withdrawn", fmt.Sprintf("cancelled by hand: scancel, or an administrator, ended Slurm's job %v", el)
	case "TIMEOUT", "DEADLINE":
		return "walltime", fmt.Sprintf("ran into the time limit of Slurm's job %v%s%s: ask for more with the setting time, or put fewer calls into a task with the option Span", el, f.limit(), where)
	case "PREEMPTED":
		return "preempted", fmt.Sprintf("preempted%s to make room for another job", where)
	case "OUT_OF_MEMORY":
		return "memory", w.memory()
	case "NODE_FAIL":
		if w.d.Resources.Nodes > 1 {
			return "lost", fmt.Sprintf("one of its nodes %s failed", f.node)
		}
		return "lost", fmt.Sprintf("its node %s failed", f.node)
	case "BOOT_FAIL":
		return "notstarted", fmt.Sprintf("its node %s did not boot", f.node)
	case "":
		if r.sub.cancelled {
			return "cancelled", "cancelled while it ran"
		}
		return "lost", fmt.Sprintf("Slurm's job %v vanished from its queue, and Slurm knows nothing of it any more", el)
	}
	switch {
	case f.code == exitBlind:
		return "notstarted", fmt.Sprintf("node %s does not see the shared directory %s: mount it there, choose another directory, or keep off the node with the setting exclude", f.node, w.e.c.Dir)
	case r.sub.cancelled:
		return "cancelled", "cancelled while it ran"
	case r.claim == (claim{}):
		return "notstarted", fmt.Sprintf("Slurm's job %v ended as %s with exit code %d%s before it began the run: see slurmd's log there", el, f.state, f.code, where)
	}
	if f.sig == "9" { // the agent itself, which uses no memory to speak of: by Slurm (OverMemoryKill) or the kernel
		return "memory", "killed with its agent by SIGKILL, as Slurm and the kernel do with what " + w.memory()
	}
	return "lost", fmt.Sprintf("Slurm's job %v ended as %s%s and did not say how the run ended", el, f.state, where)
}

// A final is how an element ended.
type final struct {
	state string // JobState of scontrol; "" if nobody knows
	code  int    // exit code of the agent,
	sig   string // or the number of the signal that ended it, else "0"
	node  string
	by    string // who cancelled it, if that is known
	time  string // its limit, as Slurm writes it
}

func (f final) limit() string {
	if f.time == "" {
		return ""
	}
	return " of " + f.time
}

func (f final) inQueue() bool {
	return slices.Contains([]string{"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STAGE_OUT", "REQUEUED", "SIGNALING", "STOPPED", "RESIZING"}, f.state)
}

// finals are the states of an array's elements, as far as anybody knows: slurmctld for some minutes (MinJobAge), the
// accounting for ever.
func (e *Engine) finals(ctx context.Context, arrayID int) (map[int]final, error) {
	id := strconv.Itoa(arrayID)
	all := map[int]final{}
	out, err := command(ctx, "", "scontrol", "--oneliner", "show", "job", id)
	if err != nil && !says(err, "Invalid job id") {
		return nil, err
	}
	for line := range strings.Lines(out) {
		v := map[string]string{}
		for _, f := range strings.Fields(line) {
			name, value, _ := strings.Cut(f, "=")
			if _, twice := v[name]; !twice {
				v[name] = value
			}
		}
		indices, err := parseRanges(v["ArrayTaskId"])
		if err != nil || v["ArrayJobId"] != id {
			continue
		}
		code, sig, _ := strings.Cut(v["ExitCode"], ":")
		f := final{state: v["JobState"], sig: sig, node: none(v["NodeList"]), time: v["TimeLimit"]}
		f.code, _ = strconv.Atoi(code)
		for _, r := range indices {
			for i := r.first; i <= r.last; i++ {
				all[i] = f
			}
		}
	}
	e.account(ctx, id, all)
	return all, nil
}

// account adds what the accounting knows, if there is one: elements that slurmctld has forgotten, and who cancelled.
func (e *Engine) account(ctx context.Context, id string, all map[int]final) {
	e.mu.Lock()
	works := e.accounts >= 0
	e.mu.Unlock()
	if !works {
		return
	}
	out, err := command(ctx, "", "sacct", "--noheader", "--parsable2", "--allocations", "--jobs="+id, "--format=JobID,State,ExitCode,NodeList,Timelimit")
	if err != nil {
		e.mu.Lock()
		e.accounts = -1
		e.mu.Unlock()
		return
	}
	for line := range strings.Lines(out) {
		v := strings.Split(strings.TrimSpace(line), "|")
		if len(v) != 5 {
			continue
		}
		_, index, _ := strings.Cut(v[0], "_")
		i, err := strconv.Atoi(index)
		if err != nil {
			continue
		}
		state, by, _ := strings.Cut(v[1], " by ")
		f, known := all[i]
		if !known {
			code, sig, _ := strings.Cut(v[2], ":")
			f = final{state: state, sig: sig, node: none(v[3]), time: v[4]}
			f.code, _ = strconv.Atoi(code)
		}
		f.by = by
		all[i] = f
	}
}

// none is "" for what Slurm writes if there is nothing.
func none(s string) string {
	if s == "(null)" || s == "None assigned" {
		return ""
	}
	return s
}
