package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	redrawEvery = 150 * time.Millisecond
	maxBars     = 6  // jobs that have a line of their own; the others share one
	maxLabel    = 28 // columns for the name
	maxBar      = 32 // columns for the bar
)

// bars shows each job as a line that is drawn again and again, on a terminal. There is a container, which owns the
// goroutines that draw, only while there are jobs to show.
type bars struct {
	w    io.Writer
	p    *mpb.Progress
	jobs []*barOf
	rest *mpb.Bar     // the line that tells how many
	more atomic.Int32 // there are
}

// barOf is a job with its line, if it has one.
type barOf struct {
	*job
	bar *mpb.Bar
}

func (b *bars) begin(j *job) {
	if note := j.latest().note(); note != "" {
		b.print(b.w, []byte(note+"\n"))
	}
}

func (b *bars) update(*job) {} // it is drawn from its latest state anyway

func (b *bars) show(j *job) {
	if b.p == nil {
		b.p = mpb.New(mpb.WithOutput(b.w), mpb.WithRefreshRate(redrawEvery), mpb.WithAutoRefresh())
	}
	b.jobs = append(b.jobs, &barOf{job: j})
	b.arrange()
}

// arrange gives lines to jobs that have none.
func (b *bars) arrange() {
	for i, o := range b.jobs {
		if i < maxBars && o.bar == nil {
			o.bar = b.add(o.job)
		}
	}
	more := len(b.jobs) - maxBars
	b.more.Store(int32(more))
	switch {
	case more > 0 && b.rest == nil:
		bar, err := b.p.Add(0, mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
			n := int(b.more.Load())
			_, err := fmt.Fprintf(w, "and %d more %s", n, plural(n, "job", "jobs"))
			return err
		}), mpb.BarPriority(1<<30), mpb.BarFillerTrim())
		if err == nil {
			b.rest = bar
		}
	case more <= 0 && b.rest != nil:
		b.rest.Abort(true)
		b.rest = nil
	}
}

// add makes the line of a job. It draws from the job's latest state, in the goroutines of the container.
func (b *bars) add(j *job) *mpb.Bar {
	column := func(text func(*state) string, wc decor.WC) decor.Decorator {
		return decor.Any(func(decor.Statistics) string { return text(j.latest()) }, wc)
	}
	bar, err := b.p.Add(0, mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		return fill(w, j.latest(), min(maxBar, st.AvailableWidth-1))
	}),
		mpb.PrependDecorators(column(func(s *state) string { return runewidth.Truncate(s.label, maxLabel, "…") }, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(
			column(func(s *state) string {
				if s.Total < 0 {
					return fmt.Sprintf("%d/%d+", s.Done, s.Sent)
				}
				return fmt.Sprintf("%d/%d", s.Done, s.Total)
			}, decor.WCSyncSpace),
			column(func(s *state) string {
				if s.rate == 0 {
					return ""
				}
				return rate(s.rate)
			}, decor.WCSyncSpace),
			column(func(s *state) string {
				if d, ok := s.left(time.Now()); ok && s.Done < s.Total {
					return span(d) + " left"
				}
				return span(time.Since(s.since))
			}, decor.WCSyncSpace),
			column(func(s *state) string { return fmt.Sprintf("%d running", s.Running) }, decor.WCSyncSpace),
			column(func(s *state) string {
				t := append(s.troubles(), s.costs()...)
				if s.Running == 0 && s.Queue != "" {
					t = append(t, s.Queue)
				}
				if len(t) == 0 {
					return ""
				}
				return " " + strings.Join(t, ", ")
			}, decor.WC{}),
		),
		mpb.BarFillerTrim())
	if err != nil {
		return nil
	}
	return bar
}

// fill draws the bar itself: how far the job is, and if that cannot be known, that it moves.
func fill(w io.Writer, s *state, width int) error {
	if width < 4 {
		return nil
	}
	bar := []rune(strings.Repeat("·", width))
	if s.Total < 0 {
		at := int(time.Since(s.since)/redrawEvery) % (2 * (width - 3))
		if at >= width-3 {
			at = 2*(width-3) - at
		}
		copy(bar[at:], []rune("━━━"))
	} else {
		n := width
		if s.Total > 0 {
			n = min(width, s.Done*width/s.Total)
		}
		for i := range n {
			bar[i] = '━'
		}
	}
	_, err := io.WriteString(w, string(bar))
	return err
}

func (b *bars) end(j *job) {
	i := slices.IndexFunc(b.jobs, func(o *barOf) bool { return o.job == j })
	if i < 0 {
		return
	}
	mark := "✓ "
	if s := j.latest(); s.Failed > 0 || s.Err != nil {
		mark = "✗ "
	}
	io.WriteString(b.p, mark+j.latest().summary()+"\n")
	if bar := b.jobs[i].bar; bar != nil {
		bar.Abort(true)
	}
	b.jobs = slices.Delete(b.jobs, i, i+1)
	b.arrange()
	if len(b.jobs) == 0 {
		b.p.Wait()
		b.p = nil
	}
}

func (b *bars) print(w io.Writer, p []byte) (int, error) {
	if b.p == nil || !isTerminal(w) {
		return w.Write(p)
	}
	return b.p.Write(p)
}

func (b *bars) close() {
	if b.p == nil {
		return
	}
	for _, o := range b.jobs {
		if o.bar != nil {
			o.bar.Abort(true)
		}
	}
	if b.rest != nil {
		b.rest.Abort(true)
	}
	b.p.Wait()
	b.p, b.jobs, b.rest = nil, nil, nil
}
