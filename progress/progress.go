// Package progress shows how jobs go on: as bars on a terminal, as lines of text elsewhere, as lines of JSON for a
// program that follows. The simplest use:
//
//	s, err := clusterless.Open(ctx, progress.Show(os.Stderr))
//
// Only jobs that take longer than half a second are shown, so that quick single calls leave no trace; each leaves one
// line when it is over. CLUSTERLESS_PROGRESS=bar, plain, json or none overrides what [Show] would choose.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/clusterless-go/clusterless"
)

// showAfter is how long a job must run to be shown.
const showAfter = 500 * time.Millisecond

// A Mode is a way to show jobs.
type Mode string

// The modes. Auto, which is also the empty text, is Bars on a terminal and Lines elsewhere.
const (
	Auto      Mode = ""
	Bars      Mode = "bar"   // one line for each job, drawn again and again
	Lines     Mode = "plain" // lines of text: at the start, every few seconds, at the end
	JSONLines Mode = "json"  // lines of JSON, for every job: at the start, every second at most, at the end
	None      Mode = "none"  // nothing
)

// Show shows the jobs of a session on w, usually os.Stderr, in the mode that fits w or that CLUSTERLESS_PROGRESS asks
// for.
func Show(w io.Writer) clusterless.Option { return New(w, Auto).Option() }

// JSON writes the progress of a session's jobs to w as lines of JSON.
func JSON(w io.Writer) clusterless.Option { return New(w, JSONLines).Option() }

// A Display shows jobs on a writer. It is for programs that print while jobs run; others are served by [Show]. Its
// methods may be called at once.
type Display struct {
	mu     sync.Mutex
	view   view
	jobs   map[string]*job // those that are not over
	closed bool
}

// view is a way to show jobs. Its methods are called one at a time.
type view interface {
	begin(*job)  // a job was seen for the first time
	show(*job)   // it is not over after showAfter
	update(*job) // it has changed after that
	end(*job)    // it is over, whether it was shown or not
	print(w io.Writer, p []byte) (int, error)
	close()
}

// New makes a display. With Auto it chooses as [Show] does; other modes are fixed.
func New(w io.Writer, m Mode) *Display {
	d := &Display{jobs: map[string]*job{}}
	if m == Auto {
		switch m = Mode(os.Getenv("CLUSTERLESS_PROGRESS")); m {
		case Auto, Bars, Lines, JSONLines, None:
		default:
			fmt.Fprintf(w, "progress: CLUSTERLESS_PROGRESS=%s: want bar, plain, json or none\n", m)
			m = Auto
		}
	}
	if m == Auto {
		m = Lines
		if isTerminal(w) && os.Getenv("TERM") != "dumb" {
			m = Bars
		}
	}
	switch m {
	case Bars:
		d.view = &bars{w: w}
	case JSONLines:
		d.view = &jsonLines{w: w}
	case None:
		d.view = nothing{}
	default:
		d.view = &lines{w: w, mu: &d.mu}
	}
	return d
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Option makes the jobs of a session appear on the display. Several sessions can share one.
func (d *Display) Option() clusterless.Option { return clusterless.Observe(d.Observe) }

// Observe takes the state of a job, as [clusterless.Observe] gives it.
func (d *Display) Observe(st clusterless.JobStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	j := d.jobs[st.Job]
	fresh := j == nil
	if fresh {
		j = newJob(st, time.Now())
		d.jobs[st.Job] = j
		d.view.begin(j)
	} else {
		j.update(st, time.Now())
	}
	switch {
	case st.Over:
		delete(d.jobs, st.Job)
		if j.timer != nil {
			j.timer.Stop()
		}
		d.view.end(j)
	case fresh:
		j.timer = time.AfterFunc(showAfter, func() { d.show(j) })
	case j.shown:
		d.view.update(j)
	}
}

func (d *Display) show(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed && d.jobs[j.latest().Job] == j {
		j.shown = true
		d.view.show(j)
	}
}

// Above returns a writer whose lines go to w without hurting the bars, where both are on a terminal: the lines appear
// above them, when they are whole. Print through it while jobs run:
//
//	d := progress.New(os.Stderr, progress.Auto)
//	s, err := clusterless.Open(ctx, d.Option())
//	out := d.Above(os.Stdout)
//	for i, r := range job.Completed(ctx) { fmt.Fprintln(out, i, r.Value) }
func (d *Display) Above(w io.Writer) io.Writer { return &above{d: d, w: w} }

type above struct {
	d    *Display
	w    io.Writer
	rest []byte // of a line that is not whole
}

func (a *above) Write(p []byte) (int, error) {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if a.d.closed {
		return a.w.Write(p)
	}
	a.rest = append(a.rest, p...)
	end := len(a.rest)
	for end > 0 && a.rest[end-1] != '\n' {
		end--
	}
	if end == 0 {
		return len(p), nil
	}
	_, err := a.d.view.print(a.w, a.rest[:end])
	a.rest = append(a.rest[:0], a.rest[end:]...)
	return len(p), err
}

// Close takes the display away. Jobs that go on are no longer shown.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	for _, j := range d.jobs {
		if j.timer != nil {
			j.timer.Stop()
		}
	}
	d.view.close()
}

// nothing shows nothing.
type nothing struct{}

func (nothing) begin(*job)                               {}
func (nothing) show(*job)                                {}
func (nothing) update(*job)                              {}
func (nothing) end(*job)                                 {}
func (nothing) print(w io.Writer, p []byte) (int, error) { return w.Write(p) }
func (nothing) close()                                   {}
