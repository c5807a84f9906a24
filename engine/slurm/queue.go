package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// A queue is what Slurm's queue holds of this user's arrays, asked for by one goroutine at a time and shared by all
// watches.
type queue struct {
	poll time.Duration
	user string

	mu     sync.Mutex
	last   *snapshot
	next   time.Time // not to be asked before
	asking bool
	failed error     // why it was not answered last time,
	since  time.Time // and since when that is so
}

// A snapshot is the queue at one time.
type snapshot struct {
	asked  time.Time // just before
	arrays map[int]*inQueue
}

// inQueue is what is left of an array in the queue.
type inQueue struct {
	pending []group
	active  map[int]string // running, completing or suspended elements, with their state
}

// A group is pending elements with one reason.
type group struct {
	ranges []span
	reason string
}

type span struct{ first, last int }

func (s span) String() string {
	if s.first == s.last {
		return strconv.Itoa(s.first)
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}

func newQueue(poll time.Duration) *queue {
	if poll <= 0 {
		poll = DefaultPoll
	}
	return &queue{poll: poll, user: strconv.Itoa(os.Getuid())}
}

// look returns what was seen last, nil if nothing was, and has the queue asked anew if that is due, or was longer ago
// than a tenth of the usual time and is urgent. failed is why it is not answered, since when.
func (q *queue) look(ctx context.Context, wg *sync.WaitGroup, urgent bool) (s *snapshot, since time.Time, failed error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	due := !now.Before(q.next)
	if urgent && q.failed == nil && (q.last == nil || now.Sub(q.last.asked) > q.poll/10) {
		due = true
	}
	if due && !q.asking && ctx.Err() == nil {
		q.asking = true
		wg.Add(1)
		go func() {
			defer wg.Done()
			q.ask(ctx)
			q.mu.Lock()
			q.asking = false
			q.mu.Unlock()
		}()
	}
	return q.last, q.since, q.failed
}

// ask asks, and notes what was answered.
func (q *queue) ask(ctx context.Context) (*snapshot, error) {
	s := &snapshot{asked: time.Now(), arrays: map[int]*inQueue{}}
	out, err := command(ctx, "", "squeue", "--noheader", "--user="+q.user, "--format=%F|%K|%T|%r")
	if err == nil {
		err = s.parse(out)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next = s.asked.Add(q.poll)
	if err != nil {
		if q.failed == nil {
			q.since = s.asked
		}
		q.failed = err
		return nil, err
	}
	q.last, q.failed = s, nil
	return s, nil
}

// recent is what was seen less than the usual time ago, or what is seen now.
func (q *queue) recent(ctx context.Context) (*snapshot, error) {
	q.mu.Lock()
	last := q.last
	q.mu.Unlock()
	if last != nil && time.Since(last.asked) < q.poll {
		return last, nil
	}
	return q.ask(ctx)
}

// Tell implements engine.Teller.
func (e *Engine) Tell(ctx context.Context, jobID string) (string, error) {
	d, err := e.openJob(jobID)
	if errors.Is(err, engine.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := e.here(ctx, d); err != nil {
		return "", err
	}
	arrays, err := d.arrays()
	if err != nil {
		return "", fmt.Errorf("slurm: job %s: %w", jobID, err)
	}
	q, err := e.queue.recent(ctx)
	if err != nil {
		return "", err
	}
	running, waiting, reason := 0, 0, ""
	for _, a := range arrays {
		in := q.arrays[a.id]
		if in == nil {
			continue
		}
		running += len(in.active)
		for _, g := range in.pending {
			reason = g.reason
			for _, r := range g.ranges {
				waiting += r.last - r.first + 1
			}
		}
	}
	switch {
	case running+waiting == 0:
		return "nothing of it is in Slurm's queue; its program, run again with OrAttach, makes what is missing", nil
	case waiting == 0:
		return fmt.Sprintf("%d elements run", running), nil
	}
	return fmt.Sprintf("%d elements run, %d wait; the last %s", running, waiting, why(reason)), nil
}

func (s *snapshot) parse(out string) error {
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSpace(line), "|", 4)
		if len(f) != 4 {
			return fmt.Errorf("squeue printed %q, want 4 fields", line)
		}
		id, err := strconv.Atoi(f[0])
		if err != nil || f[1] == "N/A" { // no array
			continue
		}
		ranges, err := parseRanges(f[1])
		if err != nil {
			return err
		}
		a := s.arrays[id]
		if a == nil {
			a = &inQueue{active: map[int]string{}}
			s.arrays[id] = a
		}
		switch f[2] {
		case "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD":
			a.pending = append(a.pending, group{ranges, f[3]})
		default:
			for _, r := range ranges {
				for i := r.first; i <= r.last; i++ {
					a.active[i] = f[2]
				}
			}
		}
	}
	return nil
}

// parseRanges reads "0-3,7,9-12%4", which squeue may put in brackets.
func parseRanges(s string) (all []span, err error) {
	s, _, _ = strings.Cut(strings.Trim(s, "[]"), "%")
	for part := range strings.SplitSeq(s, ",") {
		a, b, isRange := strings.Cut(part, "-")
		var r span
		if r.first, err = strconv.Atoi(a); err == nil {
			if r.last = r.first; isRange {
				r.last, err = strconv.Atoi(b)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("squeue printed the indices %q", s)
		}
		all = append(all, r)
	}
	return all, nil
}

// find says whether an element is in the queue: pending with a reason, or active.
func (s *snapshot) find(el element) (pending, active bool, reason string) {
	a := s.arrays[el.array]
	if a == nil {
		return false, false, ""
	}
	if state, ok := a.active[el.index]; ok {
		return false, true, state
	}
	for _, g := range a.pending {
		for _, r := range g.ranges {
			if r.first <= el.index && el.index <= r.last {
				return true, false, g.reason
			}
		}
	}
	return false, false, ""
}

// why says for a person why elements wait, with what can be done about it.
func why(reason string) string {
	say := "waits in Slurm's queue (" + reason + ")"
	for _, h := range hints {
		if strings.HasPrefix(reason, h.reason) {
			return say + ": " + h.text
		}
	}
	return say
}

// hints explain the reasons of squeue; see "JOB REASON CODES" in its manual.
var hints = []struct{ reason, text string }{
	{"None", "Slurm has not looked at it yet"},
	{"Priority", "others have a higher priority"},
	{"Resources", "the nodes are busy"},
	{"PartitionDown", "the partition takes no jobs: wait, or choose another with the setting partition"},
	{"PartitionInactive", "the partition starts no jobs: wait, or choose another with the setting partition"},
	{"PartitionTimeLimit", "the partition allows less time: ask for less with the setting time, or choose another partition"},
	{"PartitionNodeLimit", "the partition allows fewer nodes"},
	{"PartitionConfig", "the partition cannot give what is asked for"},
	{"ReqNodeNotAvail", "nodes that it needs are down or reserved"},
	{"Nodes required for job are DOWN", "nodes that it needs are down, drained or reserved"},
	{"Reservation", "waits for its reservation"},
	{"BeginTime", "Slurm starts it again in a while, since it lost its node or was preempted"},
	{"JobHeldUser", "it is held: scontrol release lets it go"},
	{"JobHeldAdmin", "an administrator holds it"},
	{"launch failed requeued held", "its node could not start it, and it is held: scontrol release lets it go on another"},
	{"job requeued in held state", "it was held after it was requeued: scontrol release lets it go"},
	{"JobArrayTaskLimit", "the array runs as many elements at once as it may"},
	{"Licenses", "a licence is not free"},
	{"Dependency", "waits for other jobs"},
	{"QOS", "a limit of the QOS is reached"},
	{"Assoc", "a limit of the account or user is reached"},
	{"InvalidQOS", "the QOS is not valid: choose another with the setting qos"},
	{"InvalidAccount", "the account is not valid: choose another with the setting account"},
	{"BadConstraints", "no node has what is asked for"},
}
