package track

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// How calls are planned into tasks. An engine with slots at hand gets them as it goes: about target of work to a task,
// so that neither the cost of a task nor the wait for a straggler counts, and always one task more than it has slots,
// so that no slot waits. Others get all tasks at once.
const (
	target   = 250 * time.Millisecond
	least    = 2 * time.Millisecond // a smaller task is not worth it
	growth   = 64                   // how much longer a span may be than the longest so far
	maxTasks = 1000                 // of one submit, where the engine does not say what it has
)

// FirstTasks plans the first tasks of a job of n calls (inputs that are there so far), and returns with them how many
// calls they take. span is the user's wish, 0 for none.
func FirstTasks(n, span, slots int) []plan.Tasks {
	switch {
	case n == 0:
		return nil
	case span > 0 && slots == 0:
		return []plan.Tasks{{First: 0, Calls: n, Span: span}}
	case span > 0:
		return []plan.Tasks{{First: 0, Calls: min(n, 2*slots*span), Span: span}}
	case slots == 0:
		return []plan.Tasks{{First: 0, Calls: n, Span: (n + maxTasks - 1) / maxTasks}}
	}
	return []plan.Tasks{{First: 0, Calls: min(n, 2*slots), Span: 1}}
}

// spanSize is how many of the calls that are ready the next task gets. Callers hold mu.
func (t *Tracker) spanSize(ready int) int {
	if s := t.Ledger.Manifest.Span; s > 0 {
		return s
	}
	if t.slots == 0 {
		return max(1, (ready+maxTasks-1)/maxTasks)
	}
	if t.perCall <= 0 || t.longest == 0 {
		return 1
	}
	n := int(target / t.perCall)
	n = min(n, ready/(2*t.slots), growth*t.longest)
	return max(1, n, min(int(least/t.perCall), growth*t.longest))
}

// addReady notes calls whose inputs are there. Callers hold mu.
func (t *Tracker) addReady(s plan.Span, deps map[int][]plan.Dep) {
	at := s.First
	if len(deps) > 0 {
		for call := s.First; call < s.End; call++ {
			if len(deps[call]) == 0 {
				continue
			}
			t.blocked[call] = &blocked{left: len(deps[call])}
			if call > at {
				t.ready = append(t.ready, plan.Span{First: at, End: call})
			}
			at = call + 1
		}
	}
	if s.End > at {
		t.ready = append(t.ready, plan.Span{First: at, End: s.End})
	}
}

// await sees that blocked calls become ready when what they depend on has ended.
func (t *Tracker) await(deps map[int][]plan.Dep) {
	for call, ds := range deps {
		for _, d := range ds {
			t.awaitOne(call, d)
		}
	}
}

func (t *Tracker) awaitOne(call int, d plan.Dep) {
	other := t
	if d.Job != t.Job.ID {
		var err error
		if other, err = t.Tracker(t.ctx, d.Job); err != nil {
			t.unblock(call, fmt.Errorf("it needs the result of call %d of job %s: %w", d.Call, d.Job, err))
			return
		}
	}
	other.OnSettled(d.Call, func(ok bool) {
		if ok {
			t.unblock(call, nil)
			return
		}
		why := other.Why(t.ctx, d.Call)
		t.unblock(call, &depError{fmt.Sprintf("it needs the result of call %d of job %s, which failed: %s", d.Call, d.Job, why.Text), why.Error})
	})
}

// depError is a dependency that failed, with its error as it is stored.
type depError struct {
	text string
	err  []byte
}

func (d *depError) Error() string { return d.text }

// OnSettled calls f once when the call is settled, or never will be; at once if it is so already.
func (t *Tracker) OnSettled(call int, f func(ok bool)) {
	t.mu.Lock()
	switch {
	case call >= 0 && call < len(t.calls) && t.calls[call] != 0:
		_, bad := t.failed[call]
		t.mu.Unlock()
		f(!bad)
	case t.doneLocked(), t.ctx.Err() != nil, t.outside(call) != nil:
		t.mu.Unlock()
		f(false)
	default:
		t.waiters[call] = append(t.waiters[call], f)
		t.mu.Unlock()
	}
}

func (t *Tracker) unblock(call int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.blocked[call]
	if b == nil {
		return
	}
	b.left--
	if err != nil && b.err == nil {
		b.err = err
	}
	if b.left > 0 && b.err == nil {
		return
	}
	if b.err == nil {
		delete(t.blocked, call)
		t.ready = append(t.ready, plan.Span{First: call, End: call + 1})
	} // else the planner settles it
	t.kickLocked()
}

// kick starts the planner if there is something to plan.
func (t *Tracker) kick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kickLocked()
}

func (t *Tracker) kickLocked() {
	if t.planning || t.doneLocked() || t.ctx.Err() != nil || !t.wantsPlan() {
		return
	}
	t.planning = true
	t.wg.Add(1)
	go t.planner()
}

// wantsPlan says whether there is something to plan and room for it. Callers hold mu.
func (t *Tracker) wantsPlan() bool {
	if len(t.ready) > 0 && (t.slots == 0 || t.open < 2*t.slots) {
		return true
	}
	for _, b := range t.blocked {
		if b.err != nil {
			return true
		}
	}
	return false
}

// planner writes down further tasks and submits them, until there is no room or nothing to plan.
func (t *Tracker) planner() {
	defer t.wg.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.planning = false }()
	for !t.doneLocked() && t.ctx.Err() == nil && t.wantsPlan() {
		rec, failing := t.next()
		if len(rec.Tasks) == 0 {
			return
		}
		first, n := len(t.tasks), t.taken
		t.mu.Unlock()
		err := t.write(t.ctx, n, rec)
		t.mu.Lock()
		if err != nil {
			t.putBack(rec, failing)
			if t.ctx.Err() == nil {
				t.fatalLocked(fmt.Errorf("plan: %w", err))
			}
			return
		}
		t.takePlan()
		var fails []*task
		for _, k := range t.tasks[first:] {
			if err := failing[k.span.First]; err != nil && k.span.End == k.span.First+1 {
				k.attempt, k.busy = 1, true
				fails = append(fails, k)
			}
		}
		runs := t.firstRuns()
		t.mu.Unlock()
		for _, k := range fails {
			f := plan.Failure{Text: failing[k.span.First].Error(), Task: k.no}
			var dep *depError
			if errors.As(failing[k.span.First], &dep) {
				f.Error = dep.err
			}
			err := t.commitFailure(t.ctx, k, k.span.First, k.span.First+1, plan.Blocked, f)
			t.mu.Lock()
			k.busy = false
			if err == nil {
				err = t.readCommits(k)
			}
			if err != nil && t.ctx.Err() == nil {
				t.giveUp(k, err)
			}
			t.mu.Unlock()
		}
		if len(runs) > 0 {
			t.send(runs...)
		}
		t.mu.Lock()
	}
}

// next takes from what is ready the tasks of the next record. Callers hold mu.
func (t *Tracker) next() (rec plan.Record, failing map[int]error) {
	failing = map[int]error{}
	for call, b := range t.blocked {
		if b.err != nil {
			failing[call] = b.err
			delete(t.blocked, call)
			rec.Tasks = append(rec.Tasks, plan.Tasks{First: call, Calls: 1, Span: 1})
		}
	}
	left := 0
	for _, s := range t.ready {
		left += s.End - s.First
	}
	room := 2*t.slots - t.open
	for len(t.ready) > 0 && (t.slots == 0 || room > 0) {
		s := &t.ready[0]
		size := t.spanSize(left)
		n := s.End - s.First
		if t.slots > 0 {
			n = min(n, size)
		}
		rec.Tasks = append(rec.Tasks, plan.Tasks{First: s.First, Calls: n, Span: size})
		s.First += n
		left -= n
		room--
		if s.First == s.End {
			t.ready = t.ready[1:]
		}
	}
	return rec, failing
}

// putBack makes ready again what next took. Callers hold mu.
func (t *Tracker) putBack(rec plan.Record, failing map[int]error) {
	var ready []plan.Span
	for _, s := range rec.Tasks {
		if err := failing[s.First]; err != nil && s.Calls == 1 {
			t.blocked[s.First] = &blocked{err: err}
			continue
		}
		ready = append(ready, plan.Span{First: s.First, End: s.First + s.Calls})
	}
	t.ready = append(ready, t.ready...)
}

// write stores rec as record n of the plan: the one after those that were taken when rec was made. If another client has
// stored that one, its records are taken over first, and what they plan is left out of rec. Callers do not hold mu.
func (t *Tracker) write(ctx context.Context, n int, rec plan.Record) error {
	for {
		err := t.Store.Put(ctx, plan.RecordKey(t.Job.ID, n), bytes.NewReader(rec.Marshal()))
		if err == nil {
			return t.Ledger.Add(n, rec)
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, err := t.Ledger.Next(ctx); err != nil {
			return err
		}
		t.mu.Lock()
		t.takeForeign()
		rec.Tasks = t.unplanned(rec.Tasks)
		n = t.taken
		ended := t.total >= 0
		t.mu.Unlock()
		if ended && (len(rec.Parts) > 0 || rec.Total != nil) {
			return fmt.Errorf("another client took this one for dead, and ended the inputs: %w", ErrCut)
		}
		if len(rec.Tasks)+len(rec.Parts) == 0 && rec.Total == nil {
			return nil
		}
	}
}

// unplanned leaves out the calls that open or settled tasks have. Callers hold mu.
func (t *Tracker) unplanned(tasks []plan.Tasks) (out []plan.Tasks) {
	has := map[int]bool{}
	for _, k := range t.tasks {
		for c := k.next; c < k.end; c++ {
			has[c] = true
		}
	}
	for _, s := range tasks {
		from := -1
		for c := s.First; c <= s.First+s.Calls; c++ {
			free := c < s.First+s.Calls && !has[c] && t.calls[c] == 0
			if free && from < 0 {
				from = c
			}
			if !free && from >= 0 {
				out = append(out, plan.Tasks{First: from, Calls: c - from, Span: s.Span})
				from = -1
			}
		}
	}
	return out
}

// AddPart makes a stored part of the inputs known, with what its calls wait for. total ends the inputs if it is not
// negative. Only the client that makes the job calls it, and not at once.
func (t *Tracker) AddPart(ctx context.Context, part *plan.Part, total int, deps map[int][]plan.Dep) error {
	rec := plan.Record{}
	if part != nil {
		rec.Parts = []plan.Part{*part}
	}
	if total >= 0 {
		rec.Total = &total
	}
	return t.extend(ctx, rec, deps)
}

// extend writes a record with more inputs, or their end.
func (t *Tracker) extend(ctx context.Context, rec plan.Record, deps map[int][]plan.Dep) error {
	t.mu.Lock()
	for t.planning { // its records and ours must not cross
		ch := t.changed
		t.mu.Unlock()
		select {
		case <-ch:
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		t.mu.Lock()
	}
	if t.doneLocked() && t.fatal != nil {
		defer t.mu.Unlock()
		return t.fatal
	}
	t.planning = true
	n := t.taken
	t.mu.Unlock()
	err := t.Write(func() error { return t.write(ctx, n, rec) })
	t.mu.Lock()
	t.planning = false
	if err == nil {
		t.takePlan()
		for _, p := range rec.Parts {
			t.addReady(plan.Span{First: p.First, End: p.First + p.Calls}, deps)
		}
		t.change()
		t.kickLocked()
	}
	t.mu.Unlock()
	if err == nil {
		t.await(deps)
	}
	return err
}

// Retry makes the failed calls once more, and returns how many there are. Their outcomes so far are forgotten.
func (t *Tracker) Retry(ctx context.Context) (int, error) {
	deps, err := t.readDeps(ctx)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	if !t.doneLocked() {
		t.mu.Unlock()
		return 0, errors.New("the job is not finished")
	}
	if t.over != nil {
		t.mu.Unlock()
		return 0, t.over
	}
	for t.busyLocked() { // what was decided before is not to end what begins now
		t.mu.Unlock()
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		t.mu.Lock()
	}
	t.fatal = nil
	for call := range t.calls {
		_, bad := t.failed[call]
		if t.calls[call] != 0 && !bad {
			continue
		}
		if bad {
			t.calls[call] = 0
			t.settled--
			delete(t.failed, call)
			t.addReady(plan.Span{First: call, End: call + 1}, deps)
		}
	}
	t.onlyBlocked(deps)
	n := len(t.calls) - t.settled
	for _, k := range t.tasks { // after an error that ended the job
		if k.closed {
			continue
		}
		k.infra, k.deaths = 0, 0
		if k.last != nil && !k.busy {
			t.again(k, 0)
		}
	}
	t.change()
	if t.known {
		t.startWatch()
	}
	t.kickLocked()
	t.mu.Unlock()
	t.await(deps)
	return n, nil
}

// busyLocked says whether something is being read or decided. Callers hold mu.
func (t *Tracker) busyLocked() bool {
	if t.planning || t.sending {
		return true
	}
	for _, k := range t.tasks {
		if k.busy {
			return true
		}
	}
	return false
}

// Load reads what the store has of a job that another process began, or what it has gained.
func (t *Tracker) Load(ctx context.Context) error {
	for {
		more, err := t.Ledger.Next(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	t.mu.Lock()
	t.takePlan()
	var pend []*task
	pend = append(pend, t.tasks...)
	t.mu.Unlock()
	if err := t.readAll(ctx, pend); err != nil {
		return err
	}
	if err := t.recall(ctx, pend); err != nil {
		return err
	}
	for _, err := range t.Store.List(ctx, plan.TookPrefix(t.Job.ID)) {
		if err != nil {
			return err
		}
		t.SetTook()
		break
	}
	_, err := t.cancelled(ctx)
	return err
}

// Resume takes over a job that another process began: it reads what the store has, and submits what is missing.
func (t *Tracker) Resume(ctx context.Context) error {
	if err := t.Load(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	sent := t.total >= 0 || t.doneLocked()
	t.mu.Unlock()
	if sent {
		return t.claim(ctx)
	}
	// Another client may still be sending. While it lives, it plans.
	if err := t.join(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wg.Add(1)
	go t.followInputs()
	return nil
}

// join submits the tasks of the plan that are not closed. The engine has most of them already, and tells of them.
func (t *Tracker) join(ctx context.Context) error {
	t.mu.Lock()
	var runs []engine.Run
	for _, k := range t.tasks {
		if !k.closed && !k.joined {
			k.joined = true
			k.attempt++
			k.due = false
			t.recount(k)
			runs = append(runs, engine.Run{Task: k.no, Attempt: k.attempt})
		}
	}
	over := t.doneLocked()
	t.mu.Unlock()
	if over {
		return nil
	}
	return t.submit(ctx, runs)
}

// claim takes a share in deciding what becomes of the job: what has no task is planned, what has one is submitted.
func (t *Tracker) claim(ctx context.Context) error {
	deps, err := t.readDeps(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	if t.doneLocked() {
		t.mu.Unlock()
		return nil
	}
	has := make([]bool, len(t.calls))
	for _, k := range t.tasks {
		for c := k.next; c < k.end; c++ {
			has[c] = true
		}
	}
	// Also forgets what was handed back and planned again.
	t.ready = nil
	from := 0
	for c := 0; c <= len(has); c++ {
		if c < len(has) && !has[c] && t.calls[c] == 0 {
			continue
		}
		if c > from {
			t.addReady(plan.Span{First: from, End: c}, deps)
		}
		from = c + 1
	}
	t.onlyBlocked(deps)
	t.mu.Unlock()
	t.await(deps)
	if err := t.join(ctx); err != nil {
		return err
	}
	t.kick()
	return nil
}

// inputsEvery is how often a job is looked at whose inputs another client still sends.
const inputsEvery = 200 * time.Millisecond

// followInputs takes in what another client plans that still sends inputs, until it has sent all, or has died.
func (t *Tracker) followInputs() {
	defer t.wg.Done()
	for {
		alive := engine.Alive(t.Engine, t.Ledger.Manifest.Client)
		var err error
		for more := true; more && err == nil; { // also what it sent last, before it died
			if more, err = t.Ledger.Next(t.ctx); more {
				t.mu.Lock()
				t.takeForeign()
				t.change()
				t.mu.Unlock()
			}
		}
		if t.ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		sent := t.total >= 0 || t.doneLocked()
		t.mu.Unlock()
		if sent || err != nil || !alive {
			if !sent && err == nil && !t.writeCut(t.ctx) {
				continue // somebody wrote something else
			}
			if !sent {
				t.cutHere(err)
			}
			if err := t.claim(t.ctx); err != nil && t.ctx.Err() == nil {
				t.mu.Lock()
				t.fatalLocked(err)
				t.mu.Unlock()
			}
			return
		}
		if err := t.join(t.ctx); err != nil && t.ctx.Err() == nil {
			t.Logger.Warn("follow inputs", "job", t.Job.ID, "err", err)
		}
		select {
		case <-time.After(inputsEvery):
		case <-t.ctx.Done():
			return
		}
	}
}

// recall restores what is known of failed attempts at tasks that are not closed.
func (t *Tracker) recall(ctx context.Context, tasks []*task) error {
	open := map[int]bool{}
	t.mu.Lock()
	for _, k := range tasks {
		if !k.closed {
			open[k.no] = true
		}
	}
	t.mu.Unlock()
	if len(open) == 0 {
		return nil
	}
	attempts := map[int]int{}
	for info, err := range t.Store.List(ctx, plan.ErrPrefix(t.Job.ID)) {
		if err != nil {
			return err
		}
		if no, attempt, ok := plan.ParseErrKey(info.Key); ok && open[no] {
			attempts[no] = max(attempts[no], attempt)
		}
	}
	for no, n := range attempts {
		if err := t.recallOne(ctx, tasks[no], n); err != nil {
			return err
		}
	}
	return nil
}

// recallOne restores what is known of the attempts at a task, from the record of the last that failed.
func (t *Tracker) recallOne(ctx context.Context, k *task, attempt int) error {
	b, err := store.ReadAll(ctx, t.Store, plan.ErrKey(t.Job.ID, k.no, attempt))
	if err != nil {
		return err
	}
	var a plan.Attempt
	if err := json.Unmarshal(b, &a); err != nil {
		return fmt.Errorf("job %s: record of attempt %d of task %d: %w: %w", t.Job.ID, attempt, k.no, plan.ErrDamaged, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.attempt >= attempt { // as a tracker that runs knows already
		return nil
	}
	k.attempt, k.blame, k.deaths, k.infra = attempt, a.Call, a.Blame, 0
	k.due = a.Infra <= t.Ledger.Manifest.Retries // else the job ended with it
	t.recount(k)
	return nil
}

// readAll reads the commits of many tasks at once.
func (t *Tracker) readAll(ctx context.Context, tasks []*task) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range tasks {
		t.read(k)
	}
	for {
		busy := false
		for _, k := range tasks {
			busy = busy || k.busy
		}
		if !busy {
			return t.fatal
		}
		ch := t.changed
		t.mu.Unlock()
		select {
		case <-ch:
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			t.mu.Lock()
			return ctx.Err()
		}
		t.mu.Lock()
	}
}

// onlyBlocked leaves those of deps whose calls wait for them. Callers hold mu.
func (t *Tracker) onlyBlocked(deps map[int][]plan.Dep) {
	maps.DeleteFunc(deps, func(call int, _ []plan.Dep) bool { return t.blocked[call] == nil })
}

// readDeps reads what the calls of the job wait for.
func (t *Tracker) readDeps(ctx context.Context) (map[int][]plan.Dep, error) {
	var parts []plan.Part
	t.Ledger.Plan(func(p *plan.Plan) { parts = p.Parts })
	deps := map[int][]plan.Dep{}
	for _, part := range parts {
		if !part.Deps {
			continue
		}
		p, _, err := t.Ledger.Input(ctx, part.First)
		if err != nil {
			return nil, err
		}
		for _, e := range p.Entries {
			if e.N != 1 || len(e.Meta) == 0 {
				continue
			}
			if deps[e.First], err = plan.ParseDeps(e.Meta); err != nil {
				return nil, err
			}
		}
	}
	return deps, nil
}

// cancelled notes whether the job was cancelled.
func (t *Tracker) cancelled(ctx context.Context) (bool, error) {
	why, err := t.whyCancelled(ctx)
	if err != nil || why == nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total >= 0 && t.settled >= t.total {
		return true, nil
	}
	t.over = why
	t.change()
	return true, nil
}

// Cut ends the inputs of a job before their time, for a reason. Only the client that sends them calls it.
func (t *Tracker) Cut(why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 10*time.Second)
	defer cancel()
	t.mu.Lock()
	t.cutBy = why
	n, nobody := len(t.calls), t.total >= 0 || t.gone // is to know it
	t.mu.Unlock()
	if nobody {
		return
	}
	if err := t.extend(ctx, plan.Record{Total: &n, Cut: true}, nil); err != nil && !errors.Is(err, ErrCut) {
		t.Logger.Warn("cut off the inputs", "job", t.Job.ID, "err", err)
		t.cutHere(why)
	}
}

// writeCut writes down that the client that sends the inputs is dead; false if another record was there first.
func (t *Tracker) writeCut(ctx context.Context) bool {
	var n, total int
	t.Ledger.Plan(func(p *plan.Plan) { n, total = p.Records, p.Inputs })
	rec := plan.Record{Total: &total, Cut: true}
	err := t.Store.Put(ctx, plan.RecordKey(t.Job.ID, n), bytes.NewReader(rec.Marshal()))
	if errors.Is(err, fs.ErrExist) {
		return false
	}
	if err != nil {
		t.Logger.Warn("cut off the inputs", "job", t.Job.ID, "err", err)
		return true
	}
	if err := t.Ledger.Add(n, rec); err != nil {
		t.Logger.Warn("cut off the inputs", "job", t.Job.ID, "err", err)
	}
	t.mu.Lock()
	t.takeForeign()
	t.change()
	t.mu.Unlock()
	return true
}

// cutHere ends the inputs as far as this process knows.
func (t *Tracker) cutHere(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total < 0 {
		t.cut, t.total = true, len(t.calls)
		t.tellBeyond()
		t.change()
	}
	if t.cutBy == nil {
		t.cutBy = why
	}
}

// Ahead is how much input is stored for calls that have not ended.
func (t *Tracker) Ahead() (calls int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls = len(t.calls) - t.settled
	t.Ledger.Plan(func(p *plan.Plan) {
		left := calls
		for i := len(p.Parts) - 1; i >= 0 && left > 0; i-- {
			bytes += p.Parts[i].Size * int64(min(left, p.Parts[i].Calls)) / int64(p.Parts[i].Calls)
			left -= p.Parts[i].Calls
		}
	})
	return calls, bytes
}

// Over reports whether the job has ended.
func (t *Tracker) Over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doneLocked()
}
