package track

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// decide says what becomes of a task whose attempt has ended before all its calls were settled. Callers hold mu; the
// commits of the attempt have been read.
func (t *Tracker) decide(k *task) {
	ev := *k.last
	m := &t.Ledger.Manifest
	exit := func(code int) bool {
		return ev.State == engine.Exited && (ev.Cause == engine.CauseExit || ev.Cause == "") && ev.ExitCode == code
	}
	progress := k.next > k.start
	switch {
	case ev.Cause == engine.CauseCancelled:
		if !t.asking { // once, however many tasks end so
			t.asking = true
			t.wg.Add(1)
			go t.endCancelled()
		}
		return
	case ev.Cause == engine.CauseWithdrawn:
		t.note(k, ev)
		t.wg.Add(1)
		k.busy = true
		go t.failCalls(k, k.next, k.end, ev)
		return
	case ev.Cause == engine.CauseWalltime && progress: // the task was too long; the call that ran may be the shortest
		t.note(k, ev)
		t.again(k, 0)
		return
	case ev.Cause == engine.CauseNotStarted, exit(contract.ExitStart):
		t.note(k, ev)
		if k.infra++; k.infra > m.Retries {
			t.wg.Add(1)
			k.busy = true
			go t.giveUpStarting(k, ev)
			return
		}
		t.again(k, t.backoff(k.infra))
		return
	case ev.Cause == engine.CauseClient:
		// No evidence against the call. Where no call may be begun twice, the worker sees to that itself.
		t.again(k, 0)
		return
	case exit(contract.ExitAgain) && progress:
		t.again(k, 0)
		return
	case exit(contract.ExitTask):
		t.note(k, ev)
		if progress {
			k.infra = 0
		}
		if k.infra++; k.infra > m.Retries { // the call at hand may be why; the others get their chance
			k.infra = 0
			t.wg.Add(1)
			k.busy = true
			go t.failCalls(k, k.next, k.next+1, ev)
			return
		}
		t.again(k, t.backoff(k.infra))
		return
	}
	// The process died under a call. Which one is sure only if the attempt committed each call by itself.
	precise := k.attempt > 1 || m.Retries == 0 || k.end-k.next == 1
	budget := m.RetryErrors
	switch ev.Cause {
	case engine.CauseSignal, engine.CauseMemory, engine.CauseLost, engine.CausePreempted:
		budget = max(budget, m.Retries)
	}
	if precise {
		if k.blame != k.next {
			k.blame, k.deaths = k.next, 0
		}
		k.deaths++
	}
	t.note(k, ev)
	if precise && k.deaths > budget {
		t.wg.Add(1)
		k.busy = true
		go t.failCalls(k, k.next, k.next+1, ev)
		return
	}
	if !precise {
		t.again(k, 0)
		return
	}
	t.again(k, t.backoff(k.deaths))
}

// giveUpStarting ends the job, since its workers do not start.
func (t *Tracker) giveUpStarting(k *task, ev engine.Event) {
	defer t.wg.Done()
	why := reason(ev)
	if ev.Reason == "" { // the engine knows the exit code only
		tail, _ := t.tail(k.no, ev.Attempt)
		why = said(tail, why)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k.busy = false
	t.fatalLocked(fmt.Errorf("workers do not start: %s", why))
}

// said is what a worker wrote last about itself, or else.
func said(log, otherwise string) string {
	const mark = "clusterless: worker: "
	if i := strings.LastIndex("\n"+log, "\n"+mark); i >= 0 {
		line, _, _ := strings.Cut(log[i+len(mark):], "\n")
		return line
	}
	return otherwise
}

func reason(ev engine.Event) string {
	switch {
	case ev.Reason != "":
		return ev.Reason
	case ev.Cause == engine.CauseSignal:
		return "killed by " + ev.Signal
	case ev.Cause == engine.CauseExit || ev.State == engine.Exited && ev.Cause == "":
		return fmt.Sprintf("exit code %d", ev.ExitCode)
	}
	return string(ev.Cause)
}

func (t *Tracker) backoff(n int) time.Duration {
	d := t.Ledger.Manifest.Backoff
	for i := 1; i < n && d < time.Minute; i++ {
		d *= 2
	}
	return d
}

// note writes down a failed attempt, for whoever attaches later. Callers hold mu.
func (t *Tracker) note(k *task, ev engine.Event) {
	a := plan.Attempt{Call: k.next, Blame: k.deaths, Infra: k.infra, Time: ev.Time, Cause: string(ev.Cause), Exit: ev.ExitCode, Signal: ev.Signal, Reason: ev.Reason, Node: ev.Node}
	if a.Cause == "" {
		a.Cause = string(engine.CauseExit)
	}
	t.Logger.Info("attempt failed", "job", t.Job.ID, "task", k.no, "attempt", k.attempt, "cause", a.Cause, "reason", reason(ev), "node", ev.Node)
	b, err := json.Marshal(a)
	if err != nil {
		return
	}
	key := plan.ErrKey(t.Job.ID, k.no, k.attempt)
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		if err := t.Store.Put(t.ctx, key, strings.NewReader(string(b))); err != nil && !errors.Is(err, fs.ErrExist) && t.ctx.Err() == nil {
			t.Logger.Warn("record of a failed attempt", "err", err)
		}
	}()
}

// again submits the next attempt, after a pause. Callers hold mu.
func (t *Tracker) again(k *task, pause time.Duration) {
	k.attempt++
	k.due, k.start, k.last = false, k.next, nil
	t.recount(k)
	run := engine.Run{Task: k.no, Attempt: k.attempt}
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		if pause > 0 {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-t.ctx.Done():
				return
			}
		}
		t.send(run)
	}()
}

// send submits runs, gathered with those that others send meanwhile.
func (t *Tracker) send(runs ...engine.Run) {
	t.mu.Lock()
	t.submits = append(t.submits, runs...)
	if t.sending {
		t.mu.Unlock()
		return
	}
	t.sending = true
	for len(t.submits) > 0 && t.over == nil && t.ctx.Err() == nil {
		runs := t.submits
		t.submits = nil
		t.mu.Unlock()
		err := t.submit(t.ctx, runs)
		t.mu.Lock()
		if err != nil && t.ctx.Err() == nil {
			t.fatalLocked(fmt.Errorf("submit: %w", err))
		}
	}
	t.sending = false
	t.mu.Unlock()
}

// later reports whether a task after k has settled the call: then that counts. Callers hold mu.
func (t *Tracker) later(call int, k *task) bool {
	rec := t.calls[call]
	return rec > 0 && t.records[rec-1].Task > k.no
}

// giveUp ends a task whose calls cannot be settled in the store. Only this process knows of it: a later Attach tries
// again. Callers hold mu.
func (t *Tracker) giveUp(k *task, err error) {
	t.gaveUp = append(t.gaveUp, err)
	for call := k.next; call < k.end; call++ {
		if t.later(call, k) {
			continue
		}
		if t.calls[call] == 0 {
			t.settled++
			t.outcomes++
		}
		t.calls[call] = int32(-len(t.gaveUp))
		t.failed[call] = plan.Crashed
		if t.waiters[call] != nil {
			t.tellLost(call)
		}
	}
	t.records = append(t.records, Record{-1, len(t.gaveUp) - 1, k.next, k.end})
	k.tried = max(k.tried, k.attempt)
	k.closed, k.running = true, false
	t.open--
	t.change()
	t.kickLocked()
}

// failCalls settles calls: one that ended its process too often, or all of a task that was cancelled by hand. It goes on with
// the calls after them.
func (t *Tracker) failCalls(k *task, first, end int, ev engine.Event) {
	defer t.wg.Done()
	t.mu.Lock()
	if t.fatal != nil || t.over != nil { // Retry may begin anew, and shall not find an old failure
		k.busy = false
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	status := plan.Crashed
	text := "the process ended before the call returned: " + reason(ev)
	if ev.Cause == engine.CauseWithdrawn {
		status, text = plan.Cancelled, reason(ev)
	} else if ev.Cause == engine.CauseTimeout || ev.Cause == engine.CauseWalltime || ev.Cause == engine.CauseExit && ev.ExitCode == contract.ExitHung {
		status, text = plan.TimedOut, reason(ev)
	} else if ev.State == engine.Exited && ev.Signal == "" && (ev.Cause == "" || ev.Cause == engine.CauseExit || ev.Cause == engine.CauseDied) {
		text = fmt.Sprintf("the process ended with exit code %d before the call returned (did it call os.Exit, or panic in a goroutine of its own?)", ev.ExitCode)
	}
	tail, crash := t.tail(k.no, ev.Attempt)
	if ev.Cause == engine.CauseExit && ev.ExitCode == contract.ExitTask {
		if text = reason(ev); ev.Reason == "" {
			text = said(tail, text)
		}
	}
	if line, _, _ := strings.Cut(crash, "\n"); line != "" {
		text += ": " + line
	}
	f := plan.Failure{Text: text, Cause: string(ev.Cause), Exit: ev.ExitCode, Signal: ev.Signal, Node: ev.Node, Task: k.no, Attempt: ev.Attempt,
		Log: tail, Stack: crash}
	if f.Cause == "" {
		f.Cause = string(engine.CauseExit)
	}
	err := t.commitFailure(t.ctx, k, first, end, status, f)
	t.mu.Lock()
	defer t.mu.Unlock()
	k.busy = false
	if err != nil {
		if t.ctx.Err() == nil {
			t.giveUp(k, fmt.Errorf("%s; and that could not be stored either: %w", text, err))
		}
		return
	}
	if err := t.readCommits(k); err != nil {
		t.fatalLocked(err)
		return
	}
	if !k.closed {
		t.again(k, 0)
	}
}

// commitFailure settles calls first to end-1 on behalf of a worker.
func (t *Tracker) commitFailure(ctx context.Context, k *task, first, end int, status plan.Status, f plan.Failure) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	t.mu.Lock()
	seq, last, back := k.seq, end >= k.end, 0
	if k.end < k.span.End {
		back = k.end
	}
	t.mu.Unlock()
	now := time.Now()
	c := plan.Commit{Version: plan.Version, Task: k.no, First: first, End: end, Last: last, Back: back, Node: f.Node, Began: now, Ended: now}
	meta := plan.Outcome{Status: status, Attempts: 1, Start: now}.Meta()
	var items []plan.Item
	for call := first; call < end; call++ {
		items = append(items, plan.Item{First: call, N: 1, Meta: meta, Data: data})
	}
	src := store.Source(func(w io.Writer) error { _, err := plan.WritePack(w, items, c); return err })
	err = t.Store.Put(ctx, plan.OutKey(t.Job.ID, k.no, seq), src)
	if errors.Is(err, fs.ErrExist) { // somebody settled it after all
		return nil
	}
	return err
}

// tail is the end of the log of a run, and the beginning of what the Go runtime wrote to it as it crashed.
func (t *Tracker) tail(taskNo, attempt int) (tail, crash string) {
	const size = 4 << 10
	r, err := t.Ledger.Log(t.ctx, t.Engine, engine.Run{Task: taskNo, Attempt: attempt}, false)
	if err != nil {
		return "", ""
	}
	defer r.Close()
	var last, head []byte
	br := bufio.NewReaderSize(r, 64<<10)
	begin := true // of a line
	for {
		line, err := br.ReadSlice('\n')
		if begin && crashes(line) && !crashes(firstLine(head)) {
			head = head[:0:0]
			head = append(head, line...)
		} else if len(head) > 0 && len(head) < size {
			head = append(head, line...)
		}
		begin = err == nil
		last = append(last, line...)
		if len(last) > 16*size {
			last = append(last[:0], last[len(last)-size:]...)
		}
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	last = last[max(0, len(last)-size):]
	return strings.ToValidUTF8(string(last), "\uFFFD"), strings.ToValidUTF8(string(head), "\uFFFD")
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return line
}

// crashes says whether a line is how the Go runtime, or a library of C, begins to report a crash.
func crashes(line []byte) bool {
	for _, p := range []string{"panic: ", "fatal error: ", "unexpected fault address", "SIG", "runtime: ", "terminate called"} {
		if bytes.HasPrefix(line, []byte(p)) {
			return true
		}
	}
	return false
}

// endLocked ends the job: no call that is not settled will be. Callers hold mu.
func (t *Tracker) endLocked(err error) {
	if t.over == nil && !t.doneLocked() {
		t.over = err
		t.tellAll()
		t.change()
	}
}

// endCancelled ends a job that somebody has cancelled, for the reason that the store has.
func (t *Tracker) endCancelled() {
	defer t.wg.Done()
	why, err := t.whyCancelled(t.ctx)
	if why == nil || err != nil { // it was cancelled with the engine's own means, or who knows why
		why = ErrCancelled
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asking = false
	t.endLocked(why)
}

// Cancel ends the job for all who track it. What was settled stays.
func (t *Tracker) Cancel(ctx context.Context) error { return t.cancel(ctx, ErrCancelled) }

// StopAtBudget is Cancel for the reason that the job has cost its budget; spent says how much, for people.
func (t *Tracker) StopAtBudget(ctx context.Context, spent string) error {
	return t.cancel(ctx, &budgetError{spent})
}

// budgetMark begins the second line of the blob of a job that was cancelled because of its budget.
const budgetMark = "budget: "

func (t *Tracker) cancel(ctx context.Context, why error) error {
	t.mu.Lock()
	done := t.doneLocked() && !errors.Is(t.over, ErrCancelled) // which the engine has not heard of, perhaps
	t.mu.Unlock()
	if done {
		return nil
	}
	text := time.Now().UTC().Format(time.RFC3339Nano)
	if b, ok := why.(*budgetError); ok {
		text += "\n" + budgetMark + b.spent
	}
	if err := t.Store.Put(ctx, plan.CancelKey(t.Job.ID), strings.NewReader(text)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	t.mu.Lock()
	t.endLocked(why)
	t.mu.Unlock()
	if err := t.Engine.Cancel(ctx, t.Job.ID); err != nil && !errors.Is(err, engine.ErrNotExist) {
		return err
	}
	return nil
}

// whyCancelled is ErrCancelled or ErrBudget, as the store has it; nil if the job was not cancelled.
func (t *Tracker) whyCancelled(ctx context.Context) (why, err error) {
	b, err := store.ReadAll(ctx, t.Store, plan.CancelKey(t.Job.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, line, _ := strings.Cut(string(b), "\n"); strings.HasPrefix(line, budgetMark) {
		return &budgetError{strings.TrimPrefix(line, budgetMark)}, nil
	}
	return ErrCancelled, nil
}

// SetCost notes what the job has cost so far.
func (t *Tracker) SetCost(c engine.Cost) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c != t.cost {
		t.cost = c
		t.change()
	}
}
