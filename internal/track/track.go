// Package track follows a job from the client's side. It joins what the engine says of processes with what the store
// holds of results, plans calls into tasks, tries lost tasks again, and tells whoever waits how each call ended. It
// works on bytes and knows no types. Several processes may track one job at once: what one of them decides is
// created once in the store, and the others take it over.
package track

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// Config is what a tracker works with.
type Config struct {
	Store  store.Store
	Engine engine.Engine
	Logger *slog.Logger
	// Job is what is submitted, but for the runs.
	Job engine.Job
	// Tracker returns the tracker of another job, on which a call of this one depends.
	Tracker func(ctx context.Context, job string) (*Tracker, error)
	// Prepare makes ready what runs need, before the first submit; it may change Job. It is nil if nothing is.
	Prepare func(ctx context.Context) error
	// Note is what who follows the job should know from the beginning; "" is nothing.
	Note string
}

// ErrCancelled is the outcome of calls of a cancelled job.
var ErrCancelled = errors.New("the job was cancelled")

// ErrBudget is the outcome of calls of a job that was cancelled because it had cost its budget.
var ErrBudget = errors.New("the job's budget is spent")

// budgetError is ErrBudget, and ErrCancelled, with what was spent.
type budgetError struct{ spent string }

func (e *budgetError) Error() string        { return ErrBudget.Error() + ": " + e.spent }
func (e *budgetError) Is(target error) bool { return target == ErrBudget || target == ErrCancelled }

// A Tracker follows one job. All methods may be called at once.
type Tracker struct {
	Config
	Ledger *ledger.Job
	ctx    context.Context // ends with Stop
	stop   context.CancelFunc
	wg     sync.WaitGroup
	sends  sync.WaitGroup // of who sends the inputs; see Write
	slots  int            // 0: the engine does not say

	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	taken    int           // records of the plan that tasks were made of
	tasks    []*task
	calls    []int32 // by call: number of the record that settled it, plus 1; 0: none; -n: given up, see gaveUp[n-1]
	gaveUp   []error
	failed   map[int]plan.Status
	records  []Record
	settled  int
	total    int // -1: not known yet
	ready    []plan.Span
	blocked  map[int]*blocked
	open     int  // tasks that are not closed
	known    bool // to the engine
	watching bool
	unwatch  context.CancelFunc
	planning bool // the planner runs
	submits  []engine.Run
	sending  bool
	fatal    error // no call that is not settled ever will be
	over     error // ErrCancelled, or what became of the store
	waiters  map[int][]func(ok bool)
	retries  int // attempts after the first, at tasks and at calls in their process
	outcomes int // of calls; one that was made again has several
	began    time.Time
	ended    time.Time
	perCall  time.Duration // estimate
	sum      time.Duration // of the time of calls
	longest  int           // span that was worked through so far
	nodes    map[string]int
	waits    string // why a task waits, as the engine said last
	cut      bool   // the inputs ended before their time,
	cutBy    error  // for this reason
	stopped  error  // why the tracking ended
	gone     bool   // and the job
	took     bool   // results were taken
	cost     engine.Cost
	asking   bool // why the job was cancelled
}

// A Record is one commit, as consumers see it.
type Record struct {
	Task, Seq  int
	First, End int
}

type blocked struct {
	left int
	err  error // of a dependency that failed
}

// task is one task of the plan as it goes.
type task struct {
	no      int
	span    plan.Span
	next    int // first call that is not settled
	end     int // calls from here on were handed back
	seq     int // next commit
	closed  bool
	attempt int  // that was submitted last, or is known to have failed
	due     bool // the attempt after that one was not submitted here
	tried   int  // last attempt that left something in the store
	retries int  // its share in Tracker.retries
	joined  bool // was submitted here
	running bool
	last    *engine.Event // that ended the attempt, if it has ended
	start   int           // next when the attempt was submitted
	busy    bool          // its commits are being read
	dirty   bool          // and shall be once more
	blame   int           // call that is blamed for deaths
	deaths  int           // of processes that made it
	infra   int           // deaths that are nobody's fault in particular
}

// New tracks a job whose manifest was just created, or read. Nothing happens before Start.
func New(cfg Config, l *ledger.Job) *Tracker {
	ctx, stop := context.WithCancel(context.Background())
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tracker{Config: cfg, Ledger: l, ctx: ctx, stop: stop, changed: make(chan struct{}), failed: map[int]plan.Status{}, total: -1,
		blocked: map[int]*blocked{}, waiters: map[int][]func(bool){}, nodes: map[string]int{}, began: l.Manifest.Created}
	if s, ok := cfg.Engine.(engine.Sizer); ok {
		t.slots = s.Slots(cfg.Job.Resources)
	}
	t.takePlan()
	return t
}

// takePlan makes tasks of what the plan has gained. Callers hold mu, or are New.
func (t *Tracker) takePlan() {
	t.Ledger.Plan(func(p *plan.Plan) {
		for i := len(t.tasks); i < len(p.Spans); i++ {
			s := p.Spans[i]
			t.tasks = append(t.tasks, &task{no: i, span: s, next: s.First, end: s.End, blame: -1, start: s.First})
			t.open++
		}
		if n := p.Inputs - len(t.calls); n > 0 {
			t.calls = append(t.calls, make([]int32, n)...)
		}
		t.taken = p.Records
		if !t.cut { // else it was cut here, and that could not be written down
			t.total, t.cut = p.Total, p.Cut
		}
	})
	t.tellBeyond()
}

// takeForeign is takePlan for records that another client wrote: what they plan is no longer ready. Callers hold mu.
func (t *Tracker) takeForeign() {
	n := len(t.tasks)
	t.takePlan()
	for _, k := range t.tasks[n:] {
		t.ready = subtract(t.ready, k.span)
		for c := k.span.First; c < k.span.End && len(t.blocked) > 0; c++ {
			delete(t.blocked, c)
		}
	}
}

// subtract takes the calls of one span out of others.
func subtract(spans []plan.Span, s plan.Span) (out []plan.Span) {
	for _, r := range spans {
		if r.End <= s.First || r.First >= s.End {
			out = append(out, r)
			continue
		}
		if r.First < s.First {
			out = append(out, plan.Span{First: r.First, End: s.First})
		}
		if r.End > s.End {
			out = append(out, plan.Span{First: s.End, End: r.End})
		}
	}
	return out
}

// Start begins a new job: the tasks of its plan are submitted. calls that the plan leaves over are planned as slots
// get free. deps are what calls wait for.
func (t *Tracker) Start(ctx context.Context, deps map[int][]plan.Dep) error {
	t.mu.Lock()
	planned := 0
	for _, k := range t.tasks {
		planned = max(planned, k.span.End)
	}
	inputs := len(t.calls)
	t.addReady(plan.Span{First: planned, End: inputs}, deps)
	runs := t.firstRuns()
	t.mu.Unlock()
	t.await(deps)
	if err := t.submit(ctx, runs); err != nil {
		return err
	}
	t.kick()
	return nil
}

// firstRuns are the runs of all tasks that were never submitted.
func (t *Tracker) firstRuns() (runs []engine.Run) {
	for _, k := range t.tasks {
		if k.attempt == 0 && !k.closed {
			k.attempt, k.joined = 1, true
			runs = append(runs, engine.Run{Task: k.no, Attempt: 1})
		}
	}
	return runs
}

// submit hands runs to the engine and sees that it is watched. Even with none the job becomes known to the engine.
func (t *Tracker) submit(ctx context.Context, runs []engine.Run) error {
	if len(runs) == 0 {
		return nil
	}
	if t.Prepare != nil { // one submit at a time: see send
		if err := t.Prepare(ctx); err != nil {
			return err
		}
		t.Prepare = nil
	}
	job := t.Job
	job.Runs = runs
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := t.Engine.Submit(ctx, job)
		if err == nil {
			break
		}
		if errors.Is(err, engine.ErrCannotRun) || ctx.Err() != nil || try == 5 {
			return err
		}
		t.Logger.Warn("submit", "job", job.ID, "try", try, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause *= 2
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = true
	t.startWatch()
	return nil
}

// startWatch sees that the engine is watched. Callers hold mu.
func (t *Tracker) startWatch() {
	if t.watching || t.ctx.Err() != nil || t.doneLocked() {
		return
	}
	t.watching = true
	ctx, cancel := context.WithCancel(t.ctx)
	t.unwatch = cancel
	t.wg.Add(1)
	go t.watch(ctx)
}

// watch follows the engine until the job is over.
func (t *Tracker) watch(ctx context.Context) {
	defer t.wg.Done()
	var lost error
	for ev, err := range t.Engine.Watch(ctx, t.Job.ID) {
		if err != nil {
			lost = err
			break
		}
		t.event(ev)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = false
	switch {
	case ctx.Err() == nil && lost == nil:
		lost = errors.New("it stopped telling what becomes of it")
		fallthrough
	case ctx.Err() == nil && errors.Is(lost, engine.ErrNotExist):
		t.fatalLocked(fmt.Errorf("the job was deleted: %w", lost))
	case ctx.Err() == nil:
		t.fatalLocked(fmt.Errorf("the engine lost sight of the job: %w", lost))
	case !t.doneLocked(): // it was over for a moment, and was begun again
		t.startWatch()
	}
}

// event takes in what the engine says.
func (t *Tracker) event(ev engine.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ev.Task >= len(t.tasks) { // another client planned on
		t.mu.Unlock()
		more, err := t.Ledger.Next(t.ctx)
		t.mu.Lock()
		if err != nil || !more {
			t.Logger.Warn("engine speaks of a task that the plan does not have", "job", t.Job.ID, "task", ev.Task, "err", err)
			return
		}
		t.takeForeign()
	}
	k := t.tasks[ev.Task]
	if k.closed {
		return
	}
	if ev.Attempt < k.attempt { // what it committed counts all the same
		if ev.Beat || ev.State == engine.Exited || ev.State == engine.Lost {
			t.read(k)
		}
		return
	}
	if ev.Attempt > k.attempt { // submitted by another client
		k.attempt, k.due, k.start, k.last = ev.Attempt, false, k.next, nil
		t.recount(k)
	}
	switch ev.State {
	case engine.Queued:
		if k.running || ev.Reason != t.waits {
			k.running, t.waits = false, ev.Reason
			t.change()
		}
	case engine.Running:
		was := k.running
		k.running = true
		if ev.Beat {
			t.read(k)
		} else if !was {
			t.change()
		}
	case engine.Exited, engine.Lost:
		if k.last != nil {
			return
		}
		k.running = false
		k.last = &ev
		t.read(k)
	}
}

// read sees that the commits of a task are read, in a goroutine of its own. Callers hold mu.
func (t *Tracker) read(k *task) {
	if k.busy {
		k.dirty = true
		return
	}
	k.busy = true
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		t.mu.Lock()
		defer t.mu.Unlock()
		for {
			k.dirty = false
			err := t.readCommits(k)
			if err != nil {
				t.fatalLocked(err)
			}
			if k.dirty && err == nil {
				continue
			}
			break
		}
		k.busy = false
		if k.last != nil && !k.closed && t.fatal == nil && t.over == nil {
			t.decide(k)
		}
	}()
}

// limit is how many commits are read from the store at once, by all trackers of this process.
var limit = make(chan struct{}, 32)

// readCommits takes in the commits that a task has gained. One that is damaged ends the task. Callers hold mu, which is let go
// of while reading.
func (t *Tracker) readCommits(k *task) error {
	err := t.takeCommits(k)
	if errors.Is(err, plan.ErrDamaged) && !k.closed {
		t.giveUp(k, fmt.Errorf("%w: its calls can be made again (Retry)", err))
		return nil
	}
	return err
}

func (t *Tracker) takeCommits(k *task) error {
	for !k.closed {
		seq := k.seq
		t.mu.Unlock()
		limit <- struct{}{}
		c, err := t.Ledger.Commit(t.ctx, k.no, seq)
		<-limit
		t.mu.Lock()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			if t.ctx.Err() != nil {
				return nil
			}
			return err
		}
		if k.seq != seq {
			c.Release()
			continue
		}
		err = t.apply(k, c)
		c.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// apply takes in one commit. Callers hold mu.
func (t *Tracker) apply(k *task, c *ledger.Commit) error {
	if c.First != k.next || c.End < c.First || c.End > k.span.End {
		return fmt.Errorf("job %s: commit %d of task %d has calls %d to %d, want them from %d: %w", t.Job.ID, c.Seq, k.no, c.First, c.End, k.next, plan.ErrDamaged)
	}
	at := c.First
	outcomes := make([]plan.Outcome, len(c.Pack.Entries))
	for i, e := range c.Pack.Entries {
		var err error
		if outcomes[i], err = c.Outcome(i); err != nil {
			return fmt.Errorf("job %s: commit %d of task %d: %w", t.Job.ID, c.Seq, k.no, err)
		}
		if e.First != at || e.First+e.N > c.End {
			return fmt.Errorf("job %s: commit %d of task %d has a gap at call %d: %w", t.Job.ID, c.Seq, k.no, at, plan.ErrDamaged)
		}
		at += e.N
	}
	if at != c.End {
		return fmt.Errorf("job %s: commit %d of task %d ends at call %d, not %d: %w", t.Job.ID, c.Seq, k.no, at, c.End, plan.ErrDamaged)
	}
	var told []func()
	rec := int32(len(t.records) + 1)
	for i, e := range c.Pack.Entries {
		o := outcomes[i]
		t.sum += o.Elapsed
		t.outcomes += e.N
		if o.Attempts > 1 {
			t.retries += o.Attempts - 1
		}
		for call := e.First; call < e.First+e.N; call++ {
			if t.later(call, k) {
				continue // made again by a later task, whose commit was read first
			}
			if t.calls[call] == 0 {
				t.settled++
			}
			t.calls[call] = rec
			if o.Status == plan.OK {
				delete(t.failed, call)
			} else {
				t.failed[call] = o.Status
			}
			if w := t.waiters[call]; w != nil {
				delete(t.waiters, call)
				ok := o.Status == plan.OK
				told = append(told, func() {
					for _, f := range w {
						f(ok)
					}
				})
			}
		}
	}
	if c.End > c.First {
		t.records = append(t.records, Record{k.no, c.Seq, c.First, c.End})
		if c.Attempt > 0 {
			per := max(1, c.Elapsed/time.Duration(c.End-c.First))
			if t.perCall == 0 || per < t.perCall/4 && c.End-c.First > 1 {
				t.perCall = per
			} else {
				t.perCall = (t.perCall + per) / 2
			}
			t.longest = max(t.longest, c.End-c.First)
			t.nodes[c.Node] += c.End - c.First
		}
	}
	k.seq++
	k.next = c.End
	k.tried = max(k.tried, c.Attempt)
	if c.Attempt == 0 && len(c.Pack.Entries) > 0 { // a client says what became of the attempt that was the last of these calls
		if f, err := c.Failure(0); err == nil {
			k.tried = max(k.tried, f.Attempt)
		}
	}
	if c.Back > 0 && c.Back < k.end {
		back := []plan.Span{{First: c.Back, End: k.end}}
		for _, later := range t.tasks[k.no+1:] { // another client may have planned them already
			back = subtract(back, later.span)
		}
		t.ready = append(back, t.ready...)
		k.end = c.Back
	}
	if c.Last && !k.closed {
		k.closed, k.running = true, false
		t.open--
	}
	t.recount(k)
	if c.Ended.After(t.ended) {
		t.ended = c.Ended
	}
	t.change()
	t.kickLocked()
	if len(told) > 0 {
		t.mu.Unlock()
		for _, f := range told {
			f()
		}
		t.mu.Lock()
	}
	return nil
}

// recount counts the attempts at a task anew. Of one that is over only what the store knows of counts, so that all who
// look at it count the same. Callers hold mu.
func (t *Tracker) recount(k *task) {
	n := max(1, k.tried)
	if !k.closed {
		n = max(n, k.attempt)
		if k.due {
			n = max(n, k.attempt+1)
		}
	}
	t.retries += n - 1 - k.retries
	k.retries = n - 1
}

// change wakes all who wait. Callers hold mu.
func (t *Tracker) change() {
	if t.watching && t.doneLocked() {
		t.unwatch()
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Tracker) fatalLocked(err error) {
	if t.fatal == nil && t.over == nil {
		t.fatal = err
		t.Logger.Error("job cannot go on", "job", t.Job.ID, "err", err)
		t.tellAll()
		t.change()
	}
}

// tellAll tells those who wait for calls that they will not come. Callers hold mu.
func (t *Tracker) tellAll() {
	for call := range t.waiters {
		t.tellLost(call)
	}
}

// tellBeyond is tellAll for calls that the job turned out not to have. Callers hold mu, or are New.
func (t *Tracker) tellBeyond() {
	for call := range t.waiters {
		if t.outside(call) != nil {
			t.tellLost(call)
		}
	}
}

// tellLost tells those who wait for a call that it will not come. Callers hold mu.
func (t *Tracker) tellLost(call int) {
	w := t.waiters[call]
	delete(t.waiters, call)
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		for _, f := range w {
			f(false)
		}
	}()
}

// doneLocked says that no more will come. Callers hold mu.
func (t *Tracker) doneLocked() bool {
	return t.over != nil || t.fatal != nil || t.total >= 0 && t.settled >= t.total
}

// Halt is the first half of Stop: from now on nothing is decided. Of trackers that are stopped together all are halted
// first, else one would take the silence of another for the failure of what its calls depend on.
func (t *Tracker) Halt(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped == nil {
		t.stopped = why
	}
	t.stop()
}

// Discard is Stop for a job that is about to be removed: nothing is stored for it any more.
func (t *Tracker) Discard(why error) {
	t.Halt(why)
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	t.sends.Wait()
	t.Stop(why)
}

// Write calls f, which stores something for the job, unless the job is being removed; then it returns why.
func (t *Tracker) Write(f func() error) error {
	t.mu.Lock()
	if t.gone {
		defer t.mu.Unlock()
		return t.stopped
	}
	t.sends.Add(1)
	t.mu.Unlock()
	defer t.sends.Done()
	return f()
}

// Stop ends the tracking, not the job, and waits for its goroutines. why is what those who wait for calls are told.
func (t *Tracker) Stop(why error) {
	t.Halt(why)
	t.mu.Lock()
	t.tellAll()
	t.change()
	t.mu.Unlock()
	t.wg.Wait()
	t.Ledger.Close()
}
