package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
	"github.com/clusterless-go/clusterless/store"
)

// Sizes and times of a task.
const (
	probe      = 256 << 10              // a result that encodes to less is kept until the next commit, a larger one goes straight to the store
	commitSize = 8 << 20                // bytes of kept results that make a commit
	commitTime = 500 * time.Millisecond // age of the oldest kept result that makes a commit
	slowCall   = 250 * time.Millisecond // a call that runs longer than this does not hold up the calls before and behind it
	tick       = 25 * time.Millisecond
	grace      = 2 * time.Second       // from the end of a call's time to the end of its process
	longTask   = time.Second           // a task that was to be shorter hands the rest of its calls back after this
	still      = 300 * time.Nanosecond // a call that takes less has not printed, gone to another directory or started a process: that alone takes longer
	maxFlat    = 8192                  // results in one flat message
)

// A task is one run of a span of calls. One goroutine makes the calls; the other watches it, so that results are
// committed in time even while a call takes long. mu guards what both touch.
type task struct {
	w       *Worker
	job     *job
	no      int
	attempt int
	span    plan.Span
	start   time.Time

	mu      sync.Mutex
	next    int           // first call that is not committed
	seq     int           // number of the next commit
	kept    []kept        // outcomes of calls next, next+1, … that are not committed
	bytes   int           // in them
	began   time.Time     // when work on them began
	spent   time.Duration // on them
	flat    []any         // results of the last calls in kept, not encoded yet
	flatOut plan.Outcome
	flatAt  int
	call    int       // that runs now, or -1
	since   time.Time // when it began
	end     int       // calls from here on were handed back
	closed  bool      // the last commit was made, here or by another attempt
	stop    *result   // ends the task

	input       any // decoded message that holds the present call
	inputAt     int // its first call
	inputN      int
	scratchBuf  bytes.Buffer
	logStart    int64 // size of the log before the call, or a little earlier
	still       bool  // the call before took less than still
	deadline    time.Time
	callAttempt int
	leave       func(ok bool) error // undoes what was set up for the call that runs
	files       []plan.File         // that it returned
}

// kept is an outcome with its message, ready for the pack.
type kept struct {
	first, n int
	outcome  plan.Outcome
	data     []byte
	big      any // a result that is encoded while it is written
}

func (t *task) run(ctx context.Context) result {
	t.end, t.call = t.span.End, -1
	if t.attempt > 1 || t.w.env[contract.EnvBegun] != "" {
		if err := t.resume(ctx); err != nil {
			return fail(err)
		}
	}
	t.start = time.Now()
	t.began = t.start
	finished := make(chan struct{})
	go t.work(ctx, finished)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-finished:
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.stop != nil {
				return *t.stop
			}
			for !t.closed {
				if err := t.commit(ctx, true); err != nil {
					return fail(err)
				}
			}
			return result{}
		case <-ticker.C:
			if r := t.watch(ctx); r != nil {
				return *r
			}
		}
	}
}

// precise says that each call is committed by itself: when an earlier attempt died, so that the call that kills its
// process can be told from its neighbours, and when no call may run twice.
func (t *task) precise() bool { return t.attempt > 1 || t.manifest().Retries == 0 }

// resume takes over what earlier attempts committed.
func (t *task) resume(ctx context.Context) error {
	for !t.closed {
		ok, err := t.adopt(ctx)
		if err != nil || !ok {
			return err
		}
	}
	return nil
}

// adopt takes in the next commit of another attempt, if there is one.
func (t *task) adopt(ctx context.Context) (bool, error) {
	c, err := t.job.Commit(ctx, t.no, t.seq)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Release()
	t.seq++
	t.next = c.End
	t.closed = c.Last
	if c.Back > 0 {
		t.end = min(t.end, c.Back)
	}
	t.kept, t.flat, t.bytes = nil, nil, 0
	return true, nil
}

// cursor is the call after those that are settled here.
func (t *task) cursor() int {
	if n := len(t.flat); n > 0 {
		return t.flatAt + n
	}
	if n := len(t.kept); n > 0 {
		return t.kept[n-1].first + t.kept[n-1].n
	}
	return t.next
}

// work makes the calls. It ends when all are made, or when the task is to stop.
func (t *task) work(ctx context.Context, finished chan struct{}) {
	normal := false
	defer func() {
		if normal {
			close(finished)
			return
		}
		// The call ended this goroutine by runtime.Goexit; panics were recovered.
		if t.leave != nil {
			t.leave(false)
		}
		t.settle(ctx, t.call, returned{err: errGoexit})
		go t.work(ctx, finished)
	}()
	for {
		t.mu.Lock()
		if t.stop != nil || t.closed {
			t.mu.Unlock()
			break
		}
		call := t.cursor()
		if call >= t.end {
			t.mu.Unlock()
			break
		}
		t.call, t.since, t.callAttempt = call, time.Now(), 1
		t.mu.Unlock()
		t.one(ctx, call)
	}
	normal = true
}

var errGoexit = errors.New("the function called runtime.Goexit (t.FailNow and the like do) instead of returning")

// one makes one call and settles it, again after errors as often as the job allows.
func (t *task) one(ctx context.Context, call int) {
	m := t.manifest()
	if !t.still {
		t.logStart = logSize()
	}
	if m.Retries == 0 {
		err := t.w.store.Put(ctx, plan.BegunKey(m.Job, t.no, call), strings.NewReader(time.Now().UTC().Format(time.RFC3339Nano)))
		if errors.Is(err, fs.ErrExist) {
			err = &unfit{plan.Crashed, errors.New("it was begun before, by a process that is gone; with Retries(0) no call is begun twice")}
		} else if err != nil {
			err = fmt.Errorf("cannot note that the call is begun: %w", err)
		}
		if err != nil {
			t.settle(ctx, call, returned{err: err})
			return
		}
	}
	var r returned
	// Not before the result, which may share memory with what the call got, was encoded by settle. A call that stopped since its time
	// was over may have left a goroutine behind that works on.
	release := func() { t.w.maps.release(errors.As(r.err, new(*late))) }
	defer release()
	pause := m.Backoff
	for {
		r = returned{} // if it ends its goroutine
		r = t.try(ctx, call)
		var lost *team.LostNode
		if errors.As(r.err, &lost) {
			if t.attempt <= m.Retries {
				os.WriteFile(filepath.Join(t.w.scratch, lostFile), []byte(lost.Node+"\n"), 0o600) // for the engine, if it cares
				t.give(ctx, r.err)
				return
			}
			r.err = &unfit{plan.Crashed, r.err}
		}
		if err := r.err; err != nil && t.callAttempt <= m.RetryErrors && !errors.As(err, new(*unfit)) {
			t.mu.Lock()
			t.callAttempt++
			t.since = time.Now().Add(pause)
			t.mu.Unlock()
			release()
			fmt.Fprintf(os.Stderr, "clusterless: call %d: %v; trying again in %v (%d of %d)\n", call, err, pause, t.callAttempt-1, m.RetryErrors)
			time.Sleep(pause)
			pause *= 2
			continue
		}
		t.settle(ctx, call, r)
		return
	}
}

// lostFile, in the scratch directory, has the name of the node that the task lost.
const lostFile = "lost"

// give ends the attempt, for a reason that is not the call's: the task has lost one of its nodes, say.
func (t *task) give(ctx context.Context, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil || t.closed {
		return
	}
	t.call = -1
	end := fail(errors.Join(why, t.commit(ctx, false)))
	end.retire = true
	t.stop = &end
}

// unfit is an error for which trying again cannot help.
type unfit struct {
	status plan.Status
	err    error
}

func (u *unfit) Error() string { return u.err.Error() }
func (u *unfit) Unwrap() error { return u.err }

// try makes one call once.
func (t *task) try(ctx context.Context, call int) returned {
	if t.w.setErr != nil {
		return returned{err: &unfit{plan.Errored, t.w.setErr}}
	}
	in, i, err := t.inputOf(ctx, call)
	if err != nil {
		return returned{err: err}
	}
	m := t.manifest()
	c := &Call{w: t.w, Job: m.Job, Func: m.Func, Call: call, Task: t.no, Attempt: t.attempt, Try: t.callAttempt, Node: t.w.node, shape: m.Shape, cores: m.Cores}
	if err := t.enter(ctx, c); err != nil {
		return returned{err: err}
	}
	cctx := ctx
	if m.Timeout > 0 {
		var cancel context.CancelFunc
		cctx, cancel = context.WithTimeoutCause(ctx, m.Timeout, errTime(m.Timeout))
		defer cancel()
		t.mu.Lock()
		t.since = time.Now()
		t.deadline = t.since.Add(m.Timeout)
		t.mu.Unlock()
	}
	cctx = t.w.Attach(cctx, c)
	var r returned
	func() {
		defer c.own.End() // also when the call ends its goroutine
		began := time.Now()
		t.still = false // if it ends its goroutine
		r = invoke(cctx, t.job.fn, in, i)
		if took := time.Since(began); took > 0 { // else the clock is too coarse to tell
			t.still = took < still
		}
	}()
	if m.Timeout > 0 {
		t.mu.Lock()
		t.deadline = time.Time{}
		t.mu.Unlock()
		if r.err != nil && cctx.Err() != nil && r.panic == "" {
			r.err = &late{m.Timeout, r.err}
		}
	}
	if e := t.leave(r.err == nil); e != nil && r.err == nil {
		r.err = e
	}
	if !t.still {
		t.w.kids.reap()
	}
	return r
}

func errTime(d time.Duration) error { return fmt.Errorf("the call ran out of its time of %v", d) }

// late marks the error of a call that stopped when its time was over.
type late struct {
	limit time.Duration
	err   error
}

func (l *late) Error() string {
	return fmt.Sprintf("stopped when its time of %v was over: %v", l.limit, l.err)
}
func (l *late) Unwrap() error { return l.err }

// returned is how a call ended in this process.
type returned struct {
	out          any
	err          error
	panic, stack string
}

func invoke(ctx context.Context, fn Func, in any, i int) (r returned) {
	defer func() {
		if p := recover(); p != nil {
			r = returned{panic: fmt.Sprintf("%.65536s", fmt.Sprint(p)), stack: trimStack(debug.Stack()), err: fmt.Errorf("panic: %v", p)}
			if e, ok := p.(error); ok {
				r.err = fmt.Errorf("panic: %w", e)
			}
		}
	}()
	r.out, r.err = fn.Call(ctx, in, i)
	if r.err = sound(r.err); r.err == nil {
		return r
	}
	var f *team.Failure
	if errors.As(r.err, &f) { // it failed in another process of the task
		r.panic, r.stack = f.Panic, f.Stack
	}
	return r
}

// sound returns err, or another in its place if it cannot be read, as a nil pointer that was returned as an error.
func sound(err error) (e error) {
	if err == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			e = fmt.Errorf("the function returned an error of type %T whose methods panic: %v", err, p)
			if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
				e = fmt.Errorf("the function returned a nil %T as its error, which is an error that is not nil: return nil itself", err)
			}
		}
	}()
	_ = err.Error()
	errors.As(err, new(*unfit)) // goes through what it wraps
	return err
}

// trimStack leaves out the frames of the recovery above the one that panicked.
func trimStack(b []byte) string {
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	if i := bytes.LastIndex(rest, []byte("\npanic(")); ok && i >= 0 {
		rest = rest[i+1:]
		for range 2 { // the line of panic and the line of its place
			if _, after, ok := bytes.Cut(rest, []byte("\n")); ok {
				rest = after
			}
		}
	}
	if i := bytes.Index(rest, []byte("\ngithub.com/clusterless-go/clusterless.(*definition[")); i >= 0 {
		rest = rest[:i+1]
	}
	return string(head) + "\n" + string(rest)
}

// inputOf returns the decoded message that holds the call's input, and the input's place in it.
func (t *task) inputOf(ctx context.Context, call int) (any, int, error) {
	m := t.manifest()
	if t.input != nil && m.FlatIn && call >= t.inputAt && call < t.inputAt+t.inputN {
		return t.input, call - t.inputAt, nil
	}
	p, e, err := t.job.Input(ctx, call)
	if err != nil {
		return nil, 0, &unfit{plan.Blocked, err}
	}
	entry := p.Entries[e]
	if m.Reduce {
		r, _ := p.Message(e)
		in, err := t.gather(ctx, r)
		if err != nil {
			return nil, 0, &unfit{plan.Blocked, err}
		}
		return in, 0, nil
	}
	in, err := t.job.fn.Decode(Message(p.Pack, e, &codec.Decoder{}), m.FlatIn, entry.N)
	if err != nil {
		if errors.Is(err, codec.ErrCorrupt) || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: %w", plan.ErrDamaged, err)
		}
		return nil, 0, &unfit{plan.Unsent, fmt.Errorf("input of call %d: %w", call, err)}
	}
	if m.FlatIn {
		t.input, t.inputAt, t.inputN = in, entry.First, entry.N
	}
	return in, call - entry.First, nil
}

// settle records how a call ended, and commits if it is time to.
func (t *task) settle(ctx context.Context, call int, r returned) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil || t.closed || call != t.call {
		return
	}
	if call != t.cursor() { // another attempt committed it, or something before it, meanwhile
		t.call = -1
		return
	}
	now := time.Now()
	o := plan.Outcome{Attempts: t.callAttempt, Start: t.since, Elapsed: now.Sub(t.since), Files: t.files}
	t.spent += o.Elapsed
	err := r.err
	if err == nil {
		err = t.keepResult(call, r.out, o)
	}
	t.call = -1 // not before: what marshals the result may end this goroutine
	if err != nil {
		f := plan.Failure{Text: codec.Portable(err).Error(), Panic: r.panic, Stack: r.stack, Node: t.w.node, Log: logTail(t.logStart), Task: t.no, Attempt: t.attempt}
		o.Status = plan.Errored
		var u *unfit
		switch {
		case r.panic != "":
			o.Status = plan.Panicked
		case errors.As(err, &u):
			o.Status = u.status
			err = u.err
		case errors.As(err, new(*late)):
			o.Status = plan.TimedOut
			err = errors.Unwrap(err)
		}
		t.keepFailure(call, o, f, err)
	}
	if t.precise() || len(t.kept) > 0 && t.kept[len(t.kept)-1].big != nil || t.bytes >= commitSize || now.Sub(t.began) >= commitTime {
		if e := t.commit(ctx, false); e != nil {
			end := fail(e)
			t.stop = &end
		}
	}
}

func (t *task) keepFailure(call int, o plan.Outcome, f plan.Failure, err error) {
	t.endFlat()
	if err != nil {
		err = codec.Portable(err)
		var b bytes.Buffer
		if _, e := (&codec.Encoder{}).Encode(&b, &err); e == nil {
			f.Error = b.Bytes()
		}
	}
	data, e := json.Marshal(f)
	if e != nil {
		data = []byte(`{"text":"error could not be written down"}`)
	}
	t.kept = append(t.kept, kept{call, 1, o, data, nil})
	t.bytes += len(data)
}

// keepResult keeps a result: flat ones as they are, since they are copies; others encoded, since the next call may
// change what they point to.
func (t *task) keepResult(call int, out any, o plan.Outcome) error {
	if t.manifest().FlatOut && len(o.Files) == 0 {
		if len(t.flat) >= maxFlat {
			t.endFlat()
		}
		if len(t.flat) == 0 {
			t.flatAt, t.flatOut = call, o
			t.flatOut.Elapsed = 0
		}
		t.flat = append(t.flat, out)
		t.flatOut.Elapsed += o.Elapsed
		t.bytes += 16
		return nil
	}
	t.endFlat()
	t.scratchBuf.Reset()
	err := t.job.fn.Encode(&codec.Encoder{Checksum: true}, &plan.Limited{To: &t.scratchBuf, Max: probe}, []any{out}, t.manifest().FlatOut)
	switch {
	case errors.Is(err, plan.ErrLarge):
		t.kept = append(t.kept, kept{call, 1, o, nil, out})
	case err != nil:
		return &unfit{plan.Unsent, fmt.Errorf("result cannot be sent: %w", err)}
	default:
		data := bytes.Clone(t.scratchBuf.Bytes())
		t.kept = append(t.kept, kept{call, 1, o, data, nil})
		t.bytes += len(data)
	}
	return nil
}

// endFlat turns the flat results into one message.
func (t *task) endFlat() {
	if len(t.flat) == 0 {
		return
	}
	outs, first, o := t.flat, t.flatAt, t.flatOut
	t.flat = nil
	var b bytes.Buffer
	if err := t.job.fn.Encode(&codec.Encoder{Checksum: true}, &b, outs, true); err != nil {
		for i := range outs {
			o := plan.Outcome{Status: plan.Unsent, Attempts: 1, Start: o.Start}
			t.keepFailure(first+i, o, plan.Failure{Text: err.Error(), Node: t.w.node, Task: t.no, Attempt: t.attempt}, err)
		}
		return
	}
	t.kept = append(t.kept, kept{first, len(outs), o, b.Bytes(), nil})
	t.bytes += b.Len()
}

// commit puts what is kept into the store; with force also if that is nothing, to say what is handed back.
func (t *task) commit(ctx context.Context, force bool) error {
	t.endFlat()
	if len(t.kept) == 0 && !force {
		return nil
	}
	end := t.cursor()
	last := end >= t.end
	c := plan.Commit{Version: plan.Version, Task: t.no, Attempt: t.attempt, First: t.next, End: end, Last: last,
		Node: t.w.node, PID: os.Getpid(), Began: t.began, Ended: time.Now(), Elapsed: t.spent}
	if t.end < t.span.End {
		c.Back = t.end
	}
	var encodeErr error
	items := make([]plan.Item, len(t.kept))
	for i, k := range t.kept {
		items[i] = plan.Item{First: k.first, N: k.n, Meta: k.outcome.Meta(), Data: k.data}
		if k.big == nil {
			continue
		}
		items[i].Write = func(w io.Writer) error {
			err := t.job.fn.Encode(&codec.Encoder{Checksum: true}, &remember{w, &encodeErr}, []any{k.big}, t.manifest().FlatOut)
			if err != nil && encodeErr == nil {
				encodeErr = &unsent{err}
			}
			return err
		}
	}
	src := store.Source(func(w io.Writer) error {
		encodeErr = nil
		b := bufio.NewWriterSize(w, 32<<10) // small writes are gathered, large ones go through
		if _, err := plan.WritePack(b, items, c); err != nil {
			return err
		}
		return b.Flush()
	})
	key := plan.OutKey(t.manifest().Job, t.no, t.seq)
	err := t.w.store.Put(ctx, key, src)
	if err != nil && encodeErr != nil && errors.As(encodeErr, new(*unsent)) {
		// The result itself cannot travel, which showed only past the first part of it.
		k := t.kept[len(t.kept)-1]
		t.kept = t.kept[:len(t.kept)-1]
		k.outcome.Status = plan.Unsent
		e := fmt.Errorf("result cannot be sent: %w", errors.Unwrap(encodeErr))
		t.keepFailure(k.first, k.outcome, plan.Failure{Text: e.Error(), Node: t.w.node, Task: t.no, Attempt: t.attempt}, e)
		return t.commit(ctx, force)
	}
	switch {
	case err == nil:
		t.seq++
		t.next, t.closed = end, last
		clear(t.kept) // of results, which are large
		t.kept, t.bytes, t.spent, t.began = t.kept[:0], 0, 0, time.Now()
		if t.closed && t.call < 0 {
			return nil // Done says it
		}
		t.w.beat()
		return nil
	case errors.Is(err, fs.ErrExist):
		// Another attempt was faster: what it committed counts.
		ok, err := t.adopt(ctx)
		if err == nil && !ok {
			err = fmt.Errorf("job %s: commit %d of task %d is there and is not", t.manifest().Job, t.seq, t.no)
		}
		return err
	default:
		return fmt.Errorf("results of calls %d to %d could not be stored: %w", t.next, end-1, err)
	}
}

// unsent marks an error of the encoder, as opposed to one of the store.
type unsent struct{ err error }

func (u *unsent) Error() string { return u.err.Error() }
func (u *unsent) Unwrap() error { return u.err }

// remember notes an error of the store that the encoder passes on.
type remember struct {
	w   io.Writer
	err *error
}

func (r *remember) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	if err != nil {
		*r.err = err
	}
	return n, err
}

// watch looks after the call that runs. A result ends the task and its process.
func (t *task) watch(ctx context.Context) *result {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.call < 0 || t.stop != nil || t.closed {
		return nil
	}
	now := time.Now()
	m := t.manifest()
	if !t.deadline.IsZero() && now.After(t.deadline.Add(grace)) {
		return t.overrun(ctx)
	}
	waiting := m.Adaptive && m.Span == 0 && t.call+1 < t.end
	if now.Sub(t.since) < slowCall && !(waiting && now.Sub(t.start) >= longTask) {
		return nil
	}
	if waiting {
		t.end = t.call + 1
	}
	if err := t.commit(ctx, waiting); err != nil {
		r := fail(err)
		r.retire = true // with the call, which goes on
		t.stop = &r
		return &r
	}
	return nil
}

// overrun ends a call that goes on after its time. The process has to end with it.
func (t *task) overrun(ctx context.Context) *result {
	m := t.manifest()
	buf := make([]byte, 1<<20)
	stack := string(buf[:runtime.Stack(buf, true)])
	if m.RetryErrors > 0 {
		fmt.Fprintf(os.Stderr, "clusterless: call %d overran its time of %v and did not stop; all goroutines:\n%s\n", t.call, m.Timeout, stack)
		return &result{code: contract.ExitHung, reason: fmt.Sprintf("call %d overran its time of %v and did not stop", t.call, m.Timeout), retire: true}
	}
	err := fmt.Errorf("ran longer than its time of %v and did not stop when its context was cancelled", m.Timeout)
	o := plan.Outcome{Status: plan.TimedOut, Attempts: t.callAttempt, Start: t.since, Elapsed: time.Since(t.since)}
	t.keepFailure(t.call, o, plan.Failure{Text: err.Error(), Stack: stack, Node: t.w.node, Log: logTail(t.logStart), Task: t.no, Attempt: t.attempt}, err)
	r := result{code: contract.ExitAgain, reason: err.Error(), retire: true}
	if e := t.commit(ctx, false); e != nil {
		r = fail(e)
		r.retire = true
	} else if t.closed {
		r.code, r.reason = 0, ""
	}
	t.stop = &r
	return &r
}
