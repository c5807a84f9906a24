package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/team"
)

// Map makes a call of f for each input, on the cores and nodes of the task that ctx belongs to: as many at once as it has
// cores on all its nodes together, each in a process that makes one call after another, with one core. It returns when
// all are made, with the results in the order of inputs, and with the errors joined: the result of a call that failed is zero. The
// processes stay for the next Map, until the function that maps returns.
//
// Inputs and results pass through the task; Refs in an input are read on the node of the call. A call that ends its
// process fails with [clusterless.ErrCrashed], and so does one whose node is lost and that no other can make. When ctx
// ends, Map returns its cause at once. Map can be called several times, but not from a call that a Map makes, nor from a
// rank of an MPI function.
func Map[In, Out any](ctx context.Context, f clusterless.Func[In, Out], ins []In) ([]Out, error) {
	info, ok := team.From(ctx)
	switch {
	case !ok:
		return nil, fmt.Errorf("task: Map of %s: want the context of a task's function: on a session it is %s.On(s).Map", f.Name(), f.Name())
	case info.Role != "":
		return nil, fmt.Errorf("task: Map of %s in a process that belongs to a task already: only the function that the task was submitted for can call Map", f.Name())
	}
	outs := make([]Out, len(ins))
	if len(ins) == 0 {
		return outs, nil
	}
	p, done, err := open(ctx, info)
	if err != nil {
		return nil, fmt.Errorf("task: Map of %s: %w", f.Name(), err)
	}
	m := &mapping{
		pool: p, fn: f.Name(), n: len(ins), errs: make([]error, len(ins)),
		encode: func(i int, w io.Writer) error {
			_, err := (&codec.Encoder{}).Encode(w, &ins[i])
			return err
		},
		decode: func(i int, b []byte) error { return (&codec.Decoder{}).DecodeBytes(b, &outs[i]) },
	}
	m.until, _ = ctx.Deadline()
	stop := context.AfterFunc(ctx, p.stop) // also while it waits for a node that does not answer
	err = m.run()
	if !stop() {
		err = context.Cause(ctx)
	}
	done(err == nil)
	if err != nil {
		return nil, fmt.Errorf("task: Map of %s: %w", f.Name(), err)
	}
	for i, err := range m.errs {
		if err != nil {
			m.errs[i] = fmt.Errorf("call %d of %s: %w", i, f.Name(), err)
		}
	}
	return outs, errors.Join(m.errs...)
}

// Calls are sent ahead to a process while those before are made, as many as take about aheadTime, so that it need not wait
// for the next.
const (
	aheadTime = 2 * time.Millisecond
	aheadMost = 256
)

// maxFailed processes beyond one for each core may end before one has made a call.
const maxFailed = 4

// A mapping is a Map without its types.
type mapping struct {
	*pool
	fn     string
	n      int
	encode func(i int, w io.Writer) error
	decode func(i int, b []byte) error
	until  time.Time // when the time of all is over

	next    int // first call that was never sent
	settled int
	errs    []error
	suspect []int // calls that were with a process when it ended: each is tried alone
}

// run makes the calls.
func (m *mapping) run() error {
	if err := m.fill(m.n); err != nil {
		return err
	}
	for _, w := range m.workers {
		w.began, w.made = time.Now(), 0
		m.feed(w)
	}
	failed := 0 // processes in a row that ended before they had a call
	for m.settled < m.n {
		select {
		case e := <-m.lead.Events():
			w := m.workers[e.Member]
			switch {
			case e.Member == nil && e.Gone:
				m.lost[e.Node] = true
			case e.Joined:
				w = &worker{peer: e.Member, began: time.Now()}
				m.workers[e.Member] = w
				m.feed(w)
			case e.Done && w != nil:
				failed = 0
				m.settle(w, e)
				if len(w.calls) <= w.window(m)/2 {
					m.feed(w)
				}
			case e.Gone && w != nil:
				failed = 0 // a call's fault, which is settled by the call
				delete(m.workers, e.Member)
				m.bury(w)
			}
		case d := <-m.died:
			m.vacate(d.node)
			if failed++; failed > maxFailed+m.slots() {
				return fmt.Errorf("processes end without making calls, the last on node %s: %w: their output says why", m.nodes[d.node], d.err)
			}
		case <-m.gone: // since ctx has ended, or the function has returned
			return m.info.Keep.Err()
		}
		if m.open() {
			if err := m.replace(); err != nil {
				return err
			}
		}
	}
	return nil
}

// open reports whether there are calls that no process has.
func (m *mapping) open() bool { return m.next < m.n || len(m.suspect) > 0 }

// window is how many calls a process may have.
func (w *worker) window(m *mapping) int {
	if w.made == 0 {
		return 1
	}
	each := time.Since(w.began) / time.Duration(w.made)
	ahead := int(min(aheadMost, aheadTime/max(each, time.Microsecond)))
	return max(1, min(ahead, (m.n-m.next)/(2*len(m.workers))))
}

// feed sends calls to a process.
func (m *mapping) feed(w *worker) {
	if w.alone {
		return
	}
	if len(m.suspect) > 0 {
		if len(w.calls) == 0 {
			i := m.suspect[0]
			m.suspect = m.suspect[1:]
			m.send(w, i, i+1)
			w.alone = len(w.calls) > 0
		}
		return
	}
	for limit := w.window(m); len(w.calls) < limit && m.next < m.n; {
		end := min(m.n, m.next+limit-len(w.calls))
		m.next = m.send(w, m.next, end)
	}
}

// send sends the calls from first to end to a process, but those whose inputs cannot be sent, and returns the one after them:
// calls that travel together follow one another.
func (m *mapping) send(w *worker, first, end int) int {
	var inputs team.Pack
	i := first
	for ; i < end; i++ {
		if err := inputs.Add(func(b io.Writer) error { return m.encode(i, b) }); err != nil {
			m.errs[i] = fmt.Errorf("input: %w: %w", clusterless.ErrCannotTravel, err)
			m.settled++
			i++
			break
		}
		w.calls = append(w.calls, i)
	}
	if inputs.N > 0 { // an error shows as the end of the process
		w.peer.Call(&team.Call{N: inputs.N, Func: m.fn, Job: m.info.Job, Task: m.info.Task, Attempt: m.info.Attempt, Call: first, Until: m.until}, inputs.Bytes())
	}
	return i
}

// settle takes in what became of calls.
func (m *mapping) settle(w *worker, e team.Event) {
	if e.N < 1 || len(w.calls) < e.N || w.calls[0] != e.Call {
		return
	}
	w.calls, w.alone = w.calls[e.N:], false
	w.made += e.N
	m.settled += e.N
	if e.Fail != nil {
		f := &team.Failure{Failure: *e.Fail, Who: fmt.Sprintf("process %d on %s", w.peer.PID, e.Fail.Node)}
		if len(f.Failure.Error) > 0 {
			(&codec.Decoder{}).DecodeBytes(f.Failure.Error, &f.Err)
		}
		m.errs[e.Call] = f
		return
	}
	rest := e.Result
	for i := e.Call; i < e.Call+e.N; i++ {
		var result []byte
		if result, rest, m.errs[i] = team.Unpack(rest); m.errs[i] == nil {
			m.errs[i] = m.decode(i, result)
		}
	}
}

// bury decides on the calls of a process that has ended: which of several was to blame shows when each is tried alone.
func (m *mapping) bury(w *worker) {
	if w.alone {
		m.settled++
		m.errs[w.calls[0]] = fmt.Errorf("its process %d on %s ended: %w", w.peer.PID, w.peer.Host, clusterless.ErrCrashed)
		return
	}
	m.suspect = append(m.suspect, w.calls...)
	for _, other := range m.workers {
		if len(other.calls) == 0 {
			m.feed(other)
		}
	}
}
