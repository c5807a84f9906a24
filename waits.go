package clusterless

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/internal/waiting"
)

// opening is the time in which a job is made, or attached to. The log and the observers hear of a service that does not answer
// meanwhile, before there is anything to see of the job itself.
type opening struct {
	s     *Session
	watch *waiting.Watch // nil: somebody else tells

	mu      sync.Mutex
	st      JobStatus
	shown   bool           // to observers, who are to hear of its end
	tracker *track.Tracker // that observers follow
}

// open begins it. What is done in the context is watched.
func (s *Session) open(ctx context.Context, st JobStatus) (context.Context, *opening) {
	o := &opening{s: s, st: st}
	if waiting.From(ctx) == nil {
		ctx, o.watch = waiting.New(ctx, o.tell)
	}
	return ctx, o
}

// tell tells what is waited for; "" is nothing any more.
func (o *opening) tell(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text != "" {
		text = "waiting for " + text + "; trying again"
		o.s.log.Warn(text, "job", o.st.Job)
	} else {
		o.s.log.Info("it answers again", "job", o.st.Job)
	}
	was := o.st.Queue
	o.st.Queue = text
	if o.tracker != nil {
		o.tracker.SetWaits(was, text)
		return
	}
	o.shown = true
	o.observe()
}

func (o *opening) observe() {
	for _, f := range o.s.opts.observe {
		f(o.st)
	}
}

// is says which job it is.
func (o *opening) is(job string, named bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.st.Job, o.st.Named = job, named
}

// follow lets observers follow a tracker from now on.
func (o *opening) follow(t *track.Tracker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tracker = t
	t.SetWaits("", o.st.Queue)
	o.s.observeJob(t)
	o.s.meterJob(t)
}

// end is the end of it, with an error if that is how. One that somebody caused who did not want to wait any longer gets what was waited
// for.
func (o *opening) end(ctx context.Context, err error) error {
	if err == nil || o.watch == nil {
		return err
	}
	if text := o.watch.Waits(); text != "" && ctx.Err() != nil {
		err = fmt.Errorf("%w, while waiting for %s", err, text)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shown && o.tracker == nil {
		o.st.Over, o.st.Err = true, err
		o.observe()
	}
	return err
}

// cleaning is how long what was made of a job that is given up may take to be removed: not long when somebody waits for the end.
func cleaning(ctx context.Context) time.Duration {
	if w := waiting.From(ctx); ctx.Err() != nil && w != nil && w.Waits() != "" {
		return time.Second
	}
	return 10 * time.Second
}
