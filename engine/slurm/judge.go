package slurm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	_, changes := w.e.exclude(&w.d.Placement)
	for _, s := range w.subs {
		if s.left > 0 && (s.kept != changes || s.cancelled && time.Since(s.ending) < askTime || s.unclaimed == 0 && !s.trimmed && w.surplus(s) || w.used.IsZero() && time.Since(w.began) > firstAsk) {
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
	if w.elsewhere = w.e.here(ctx, w.d); w.elsewhere != nil {
		return
	}
	w.finals = map[int]finals{}
	for _, s := range w.subs {
		if s.left == 0 {
			continue
		}
		if w.inQueue(ctx, q, s) && s.unclaimed == 0 && !s.trimmed {
			w.trim(ctx, q, s)
		}
	}
}

// inQueue judges the runs of one Submit, and reports whether any of its elements are in the queue.
func (w *watch) inQueue(ctx context.Context, q *snapshot, s *submitted) (live bool) {
	waits, goesOn := s.trouble, false
	next := len(s.runs) // first that a pending element may take
	for _, a := range s.arrays {
		in := q.arrays[a.id]
		if in == nil {
			continue
		}
		live = true
		for _, g := range in.pending {
			waits = why(g.reason)
			if g.reason == "BadConstraints" { // perhaps no other nodes are left
				w.e.forgive()
			}
			for _, r := range g.ranges {
				next = min(next, a.first+r.first)
			}
		}
		for _, state := range in.active {
			goesOn = goesOn || state != "COMPLETING"
		}
	}
	if s.cancelled && (goesOn || next < len(s.runs)) && q.asked.Sub(s.ending) > w.e.queue.poll { // Slurm did not answer whoever cancelled it
		s.ending = time.Now()
		if err := w.e.scancelAll(ctx, w.d); err != nil {
			w.e.log.Warn("slurm: cancel", "job", w.d.ID, "err", err)
		}
	}
	var gone, missed []*run
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
		case active || s.seen.After(q.asked):
		case live: // another element may take it
			missed = append(missed, r)
		default:
			gone = append(gone, r)
		}
	}
	gone = append(gone, w.missed(ctx, missed, next)...)
	if !live && len(s.arrays) > 0 && !s.cancelled && s.left > len(gone) {
		w.place(ctx, s, q)
	}
	for _, r := range gone {
		w.settle(ctx, r)
	}
	w.keepOff(ctx, q, s)
	return live
}

// missed looks why elements ended before they took their own runs, while others go on: a node on which no run can be made would
// have them all. It returns the runs that no other element will take any more.
func (w *watch) missed(ctx context.Context, runs []*run, next int) (gone []*run) {
	for _, r := range runs {
		el, _ := r.sub.element(r.index)
		f, err := w.final(ctx, el)
		if err != nil {
			return nil
		}
		if r.missed.IsZero() && !f.inQueue() {
			r.missed = time.Now()
			if f.unfit() {
				w.e.avoid(f.host)
			}
		}
		if r.index < next && !r.missed.IsZero() && time.Since(r.missed) > w.patience() {
			gone = append(gone, r)
		}
	}
	return gone
}

// patience is how long an element may take further runs.
func (w *watch) patience() time.Duration { return max(w.e.c.Pack, DefaultPack) + w.e.queue.poll }

// keepOff tells the elements that wait which nodes to keep off, if that has changed.
func (w *watch) keepOff(ctx context.Context, q *snapshot, s *submitted) {
	exclude, changes := w.e.exclude(&w.d.Placement)
	if s.kept == changes {
		return
	}
	s.kept = changes
	for _, a := range s.arrays {
		if in := q.arrays[a.id]; in == nil || len(in.pending) == 0 {
			continue
		}
		_, err := command(ctx, "", "scontrol", "update", "jobid="+strconv.Itoa(a.id), "excnodelist="+exclude)
		if err != nil && !says(err, "no longer pending") { // as those that run
			w.e.log.Warn("slurm: elements are not kept off a node where no run can be made", "job", w.d.ID, "array", a.id, "err", err)
		}
	}
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
	if errors.Is(err, engine.ErrCannotRun) {
		w.refuse(s, err.Error())
		return
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

// refuse ends the runs of a Submit for which nobody works: Slurm will never take them.
func (w *watch) refuse(s *submitted, reason string) {
	for _, id := range s.runs {
		r := w.runs[id]
		if r.sub != s || r.State >= engine.Exited || !r.noticed.IsZero() || !w.d.withhold(r.Run, element{}) {
			continue
		}
		ev, _ := w.d.writeEnd(r.Run, "notstarted", "", reason)
		w.tell(r, ev)
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
					if from < i {
						idle = append(idle, span{from, i - 1}.String())
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
func (w *watch) settle(ctx context.Context, r *run) {
	el, known := r.claim.element, true
	if r.claim == (claim{}) {
		el, known = r.sub.element(r.index)
	}
	var f final
	if known {
		var err error
		if f, err = w.final(ctx, el); err != nil || f.inQueue() { // it was requeued meanwhile
			return
		}
	}
	if r.ended != nil { // killed, by the kernel or by somebody
		ev := *r.ended
		if f.state == "OUT_OF_MEMORY" {
			ev.Cause, ev.Signal, ev.Reason = engine.CauseMemory, "", w.memory()
		}
		w.tell(r, ev)
		return
	}
	if r.noticed.IsZero() && !w.d.withhold(r.Run, el) { // somebody has begun it after all
		return
	}
	how, reason := w.verdict(r, el, f)
	ev, err := w.d.writeEnd(r.Run, how, cmp.Or(r.claim.node, f.node), reason)
	if err != nil {
		w.e.log.Warn("slurm: how a run ended is not written down", "job", w.d.ID, "run", runName(r.Run), "err", err)
	} else if f.unfit() {
		w.e.avoid(f.host)
	}
	w.tell(r, ev)
}

// final is how an element ended, as far as anybody knows; an error if nobody answered.
func (w *watch) final(ctx context.Context, el element) (final, error) {
	all, asked := w.finals[el.array]
	if !asked {
		all = w.e.finals(ctx, el.array)
		w.finals[el.array] = all
		if all.err != nil {
			w.e.log.Warn("slurm: state of an array", "job", w.d.ID, "array", el.array, "err", all.err)
		}
	}
	if f, known := all.of[el.index]; known {
		return f, nil
	}
	return final{}, all.err
}

// firstAsk is after what time of a watch somebody may want to know why nothing happens.
const firstAsk = 2 * time.Second

// askTime is how long Slurm is asked why a run was killed.
const askTime = 30 * time.Second

// unfit says of the exit codes of an agent why no run can be made on its node; %[1]s is the node, %[2]s the shared directory.
var unfit = map[int]string{
	91: "node %[1]s does not see the shared directory %[2]s: mount it there, choose another directory, or keep off the node with the setting exclude",
	92: "node %[1]s cannot read the job's files in the shared directory %[2]s",
	93: "node %[1]s has no room for temporary files: see agent.log in the job's directory below %[2]s, and the setting scratch",
	94: "node %[1]s cannot start the program: see the log",
	95: "node %[1]s cannot write to the shared directory %[2]s: it is full, or mounted to be read only",
}

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
	case f.unfit():
		how = "notstarted"
		if r.claim != (claim{}) { // it may have done something
			how = "lost"
		}
		return how, fmt.Sprintf(unfit[f.code], f.host, w.e.c.Dir)
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
	node  string // several: n[1-2]
	host  string // the one of the agent
	by    string // who cancelled it, if that is known
	time  string // its limit, as Slurm writes it
}

func (f final) limit() string {
	if f.time == "" {
		return ""
	}
	return " of " + f.time
}

func (f final) unfit() bool { return unfit[f.code] != "" && f.host != "" }

func (f final) inQueue() bool {
	return slices.Contains([]string{"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STAGE_OUT", "REQUEUED", "SIGNALING", "STOPPED", "RESIZING",
		"REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE", "EXPEDITING"}, f.state)
}

// finals are how the elements of an array ended.
type finals struct {
	of  map[int]final
	err error // why that of the others is not known
}

// finals asks for the states of an array's elements: slurmctld, which knows them for some minutes (MinJobAge), and the accounting,
// which knows them for ever.
func (e *Engine) finals(ctx context.Context, arrayID int) finals {
	id := strconv.Itoa(arrayID)
	all := map[int]final{}
	out, err := command(ctx, "", "scontrol", "--oneliner", "show", "job", id)
	if err != nil && !says(err, "Invalid job id") {
		return finals{err: err}
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
		f := final{state: v["JobState"], sig: sig, node: none(v["NodeList"]), host: v["BatchHost"], time: v["TimeLimit"]}
		f.code, _ = strconv.Atoi(code)
		for _, r := range indices {
			for i := r.first; i <= r.last; i++ {
				all[i] = f
			}
		}
	}
	return finals{all, e.account(ctx, id, all)}
}

// account adds what the accounting knows, if there is one: elements that slurmctld has forgotten, and who cancelled.
func (e *Engine) account(ctx context.Context, id string, all map[int]final) error {
	e.mu.Lock()
	without := e.noAccounts
	e.mu.Unlock()
	if without {
		return nil
	}
	out, err := command(ctx, "", "sacct", "--noheader", "--parsable2", "--allocations", "--jobs="+id, "--format=JobID,State,ExitCode,NodeList,Timelimit")
	if ctx.Err() != nil || passing(err) {
		return err
	}
	if err != nil {
		e.mu.Lock()
		e.noAccounts = true
		e.mu.Unlock()
		return nil
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
			f = final{state: state, sig: sig, node: none(v[3]), host: none(v[3]), time: v[4]}
			f.code, _ = strconv.Atoi(code)
		}
		f.by = by
		all[i] = f
	}
	return nil
}

// none is "" for what Slurm writes if there is nothing.
func none(s string) string {
	if s == "(null)" || s == "None assigned" {
		return ""
	}
	return s
}
