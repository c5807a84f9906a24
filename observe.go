package clusterless

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// A JobStatus is the state of a job at one time.
type JobStatus struct {
	Job     string
	Func    string
	Named   bool   // by the option Name; else the name is made up
	Total   int    // calls; -1 while an iterator still sends inputs
	Sent    int    // calls whose inputs are stored
	Done    int    // calls that have ended, well or not
	Failed  int    // calls that have ended, but not well
	Running int    // tasks that run now
	Waiting int    // calls that wait for others to end
	Queue   string // why tasks wait, as the engine says: "waits in Slurm's queue (Resources): the nodes are busy"; else ""
	Note    string // what to know from the beginning: "attached; made by …"; else ""
	Retries int    // attempts at tasks and calls beyond the first, also those that Retry asked for
	Created time.Time
	Last    time.Time // when results were last stored
	Cost    Cost      // so far, as it was asked last: within a minute while the session has observers; else see [AnyJob.Cost]
	Over    bool      // nothing more will come
	Err     error     // why the job ended before its time: cancelled, no worker starts, …
}

// Status returns the state of the job now.
func (j *AnyJob) Status() JobStatus { return status(j.t) }

func status(t *track.Tracker) JobStatus {
	st := t.Status()
	return JobStatus{Job: t.Job.ID, Func: t.Ledger.Manifest.Func, Named: !t.Ledger.Manifest.Temporary, Total: st.Total, Sent: st.Inputs, Done: st.Settled, Failed: st.Failed,
		Running: st.Running, Waiting: st.Blocked, Queue: st.Waits, Note: t.Note, Retries: st.Retries, Created: st.Began, Last: st.Ended, Cost: st.Cost, Over: st.Done, Err: st.Err}
}

// observeEvery is the shortest time between two calls of an observer for one job.
const observeEvery = 50 * time.Millisecond

// observeJob tells the observers of a job, until it is over.
func (s *Session) observeJob(t *track.Tracker) {
	if len(s.opts.observe) == 0 || s.use() != nil {
		return
	}
	go func() {
		defer s.busy.Done()
		for {
			ch := t.Changed()
			if t.Over() {
				s.askCost(t) // for what is said at the end
			}
			st := status(t)
			for _, f := range s.opts.observe {
				f(st)
			}
			if st.Over {
				return
			}
			select {
			case <-ch:
			case <-s.ctx.Done():
			}
			if !t.Over() {
				select {
				case <-time.After(observeEvery):
				case <-s.ctx.Done():
				}
			}
			if s.ctx.Err() != nil {
				if st = status(t); !st.Over {
					st.Over, st.Err = true, (&AnyJob{s: s, t: t}).later(ErrClosed)
				}
				for _, f := range s.opts.observe {
					f(st)
				}
				return
			}
		}
	}()
}

// Stats are figures of a job. A call that was made again counts once, as it ended the last time. They come from the
// store, so that all who look at the job see the same.
type Stats struct {
	Job     string
	Created time.Time     // when the job was made
	Started time.Time     // when its first call began; zero before
	Ended   time.Time     // when the last result was stored
	Calls   int           // that have ended
	Failed  int           // of these
	Retries int           // attempts at tasks and calls beyond the first, also those that Retry asked for
	Busy    time.Duration // time of these calls together
	// Quantiles of the time of a call, in this order: shortest, 10 %, half, 90 %, 99 %, longest. Short calls that were
	// stored together count with their mean.
	Quantiles [6]time.Duration
	Untimed   int // calls that ended with their process, as at a time limit, or never began: no other figure counts their time
	Nodes     map[string]NodeUse
	Cost      Cost // as the engine counts it now; zero where machines cost nothing
}

// NodeUse is what one node did for a job.
type NodeUse struct {
	Calls     int
	Processes int           // that made them
	Busy      time.Duration // time of its calls
}

// String is a short table.
func (s Stats) String() string {
	wall := s.Ended.Sub(s.Started)
	out := fmt.Sprintf("job %s: %d calls, %d failed, %d retries; %v of calls in %v\n", s.Job, s.Calls, s.Failed, s.Retries, digits(s.Busy), digits(max(0, wall)))
	q := s.Quantiles
	out += fmt.Sprintf("  time of a call: least %v, 10%% %v, median %v, 90%% %v, 99%% %v, most %v\n", digits(q[0]), digits(q[1]), digits(q[2]), digits(q[3]), digits(q[4]), digits(q[5]))
	if s.Untimed > 0 {
		out += fmt.Sprintf("  %d of the calls never began or ended with their process, as at a time limit: their times are not known\n", s.Untimed)
	}
	for _, n := range slices.Sorted(maps.Keys(s.Nodes)) {
		u := s.Nodes[n]
		out += fmt.Sprintf("  node %s: %d calls by %d processes, %v\n", n, u.Calls, u.Processes, digits(u.Busy))
	}
	if s.Cost != (Cost{}) {
		out += fmt.Sprintf("  cost: %v, for %.2f node hours", s.Cost, s.Cost.NodeTime.Hours())
		if !s.Cost.Prices.IsZero() {
			out += ", by prices of " + s.Cost.Prices.Format(time.DateOnly)
		}
		if s.Cost.Unknown != "" {
			out += "; not counted: " + s.Cost.Unknown
		}
		out += "\n"
	}
	return out
}

// digits rounds a time to what people read of it.
func digits(d time.Duration) time.Duration {
	for unit := time.Duration(1); unit < time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
	return d.Round(time.Second / 10)
}

// Stats reads the figures of the calls that have ended so far. It reads the index of every stored result, and asks the engine what
// the job has cost.
func (j *AnyJob) Stats(ctx context.Context) (Stats, error) {
	cost, err := j.Cost(ctx)
	if err != nil {
		cost.Unknown = err.Error()
	}
	st := j.t.Status()
	s := Stats{Cost: cost, Job: j.Name(), Created: st.Began, Ended: st.Ended, Failed: st.Failed, Retries: st.Retries, Nodes: map[string]NodeUse{}}
	type weighted struct {
		d time.Duration
		n int
	}
	var times []weighted
	pids := map[string]map[int]bool{}
	for _, rec := range j.t.Records() {
		if rec.Task < 0 {
			n := j.current(rec, rec.First, rec.End)
			s.Calls += n
			s.Untimed += n
			continue
		}
		c, err := j.t.Commit(ctx, rec)
		if err != nil {
			return s, fmt.Errorf("clusterless: statistics of job %s: %w", j.Name(), err)
		}
		for i, e := range c.Pack.Entries {
			o, err := c.Outcome(i)
			if err != nil {
				c.Release()
				return s, fmt.Errorf("clusterless: statistics of job %s: %w", j.Name(), err)
			}
			n := j.current(rec, e.First, e.First+e.N)
			s.Calls += n
			if c.Attempt == 0 || o.Status == plan.Blocked { // no worker made it
				s.Untimed += n
				continue
			}
			if s.Started.IsZero() || o.Start.Before(s.Started) {
				s.Started = o.Start
			}
			if n == 0 {
				continue
			}
			took := o.Elapsed / time.Duration(e.N)
			times = append(times, weighted{took, n})
			s.Busy += took * time.Duration(n)
			u := s.Nodes[c.Node]
			u.Calls += n
			u.Busy += took * time.Duration(n)
			if pids[c.Node] == nil {
				pids[c.Node] = map[int]bool{}
			}
			if !pids[c.Node][c.PID] {
				pids[c.Node][c.PID] = true
				u.Processes++
			}
			s.Nodes[c.Node] = u
		}
		c.Release()
	}
	slices.SortFunc(times, func(a, b weighted) int { return int(a.d - b.d) })
	total := 0
	for _, w := range times {
		total += w.n
	}
	for i, q := range [6]float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
		at, sum := int(q*float64(total-1)), 0
		for _, w := range times {
			if sum += w.n; sum > at {
				s.Quantiles[i] = w.d
				break
			}
		}
	}
	return s, nil
}

// current is how many of some calls ended last as the record says.
func (j *AnyJob) current(rec track.Record, first, end int) (n int) {
	for call := first; call < end; call++ {
		if j.t.Current(rec, call) {
			n++
		}
	}
	return n
}
