package progress

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clusterless-go/clusterless"
)

// rateOver is the time over which the rate is taken.
const rateOver = 10 * time.Second

// job is a job on display.
type job struct {
	state atomic.Pointer[state] // the views draw from it at their own time
	since time.Time             // when it was first seen,
	had   int                   // with so many calls done
	marks []mark                // its way in the last rateOver
	shown bool
	timer *time.Timer
}

type mark struct {
	at   time.Time
	done int
}

// state is what is known of a job at one time.
type state struct {
	clusterless.JobStatus
	label string
	since time.Time
	at    time.Time
	fresh int     // calls that were done since it was first seen
	rate  float64 // calls a second; 0 if not known
}

// label is what people know the job by.
func label(st clusterless.JobStatus) string {
	if st.Named {
		return st.Job
	}
	return st.Func
}

func newJob(st clusterless.JobStatus, now time.Time) *job {
	j := &job{since: now, had: st.Done}
	j.update(st, now)
	return j
}

func (j *job) update(st clusterless.JobStatus, now time.Time) {
	if n := len(j.marks); n < 2 || now.Sub(j.marks[n-2].at) > rateOver/50 {
		j.marks = append(j.marks, mark{now, st.Done})
	} else {
		j.marks[n-1] = mark{now, st.Done}
	}
	for len(j.marks) > 2 && now.Sub(j.marks[1].at) >= rateOver {
		j.marks = j.marks[1:]
	}
	s := &state{JobStatus: st, label: label(st), since: j.since, at: now, fresh: st.Done - j.had}
	first := j.marks[0]
	if st.Over {
		first = mark{j.since, j.had}
	}
	if took := now.Sub(first.at).Seconds(); took > 0 && st.Done > first.done {
		s.rate = float64(st.Done-first.done) / took
	}
	j.state.Store(s)
}

func (j *job) latest() *state { return j.state.Load() }

// left is how long the rest will take; ok is false if that is not known.
func (s *state) left(now time.Time) (time.Duration, bool) {
	if s.Total < 0 || s.rate == 0 {
		return 0, false
	}
	d := time.Duration(float64(s.Total-s.Done)/s.rate*float64(time.Second)) - now.Sub(s.at)
	return max(0, d), d > 0 || s.Done == s.Total // what was to be over by now takes longer than others did
}

// note is what to know of the job from the beginning; "" if there is nothing.
func (s *state) note() string {
	if s.Note == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s; %s", s.label, s.Note, s.count())
}

// count is how many calls are done, of how many.
func (s *state) count() string {
	if s.Total < 0 {
		return fmt.Sprintf("%d of %d or more", s.Done, s.Sent)
	}
	return fmt.Sprintf("%d of %d", s.Done, s.Total)
}

// troubles are the figures that are not always there.
func (s *state) troubles() (all []string) {
	add := func(n int, what string) {
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(s.Failed, "failed")
	add(s.Retries, plural(s.Retries, "retry", "retries"))
	return all
}

// costs is what the job costs, if it costs anything that is known: clusterless status says why it is not.
func (s *state) costs() []string {
	if s.Cost.Spent == 0 && s.Cost.Hour == 0 {
		return nil
	}
	return []string{s.Cost.String()}
}

// line is the state of a job that runs.
func (s *state) line(now time.Time) string {
	parts := []string{s.count()}
	if s.rate > 0 {
		parts = append(parts, rate(s.rate))
	}
	if d, ok := s.left(now); ok && s.Done < s.Total {
		parts = append(parts, span(d)+" left")
	}
	parts = append(parts, s.troubles()...)
	if s.Running > 0 {
		parts = append(parts, fmt.Sprintf("%d running", s.Running))
	}
	if s.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for others", s.Waiting))
	}
	parts = append(parts, s.costs()...)
	if s.Running == 0 && s.Queue != "" {
		parts = append(parts, s.Queue)
	}
	return s.label + ": " + strings.Join(parts, ", ")
}

// summary is what a job leaves.
func (s *state) summary() string {
	var parts []string
	took := span(s.at.Sub(s.since))
	switch {
	case s.Err != nil:
		parts = append(parts, fmt.Sprintf("ended after %s in %s", s.count(), took))
	case s.fresh < s.Done:
		parts = append(parts, fmt.Sprintf("%d %s, %d of them in %s", s.Done, plural(s.Done, "call", "calls"), s.fresh, took))
	default:
		parts = append(parts, fmt.Sprintf("%d %s in %s", s.Done, plural(s.Done, "call", "calls"), took))
	}
	if s.rate > 0 && s.fresh > 1 {
		parts = append(parts, rate(s.rate))
	}
	parts = append(parts, s.troubles()...)
	parts = append(parts, s.costs()...)
	text := s.label + ": " + strings.Join(parts, ", ")
	if s.Err != nil {
		text += ": " + strings.ReplaceAll(s.Err.Error(), "\n", " ")
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// rate writes calls a second, or a minute or an hour where they are few, in three digits.
func rate(r float64) string {
	unit := "s"
	if r < 0.1 {
		r, unit = r*60, "min"
	}
	if r < 0.1 {
		r, unit = r*60, "h"
	}
	switch {
	case r >= 1e6:
		return fmt.Sprintf("%.3gM/%s", r/1e6, unit)
	case r >= 1e4:
		return fmt.Sprintf("%.3gk/%s", r/1e3, unit)
	case r >= 100:
		return fmt.Sprintf("%.0f/%s", r, unit)
	}
	return fmt.Sprintf("%.3g/%s", r, unit)
}

// span writes a duration in two units at most: "0.6s", "14s", "3m20s", "2h05m".
func span(d time.Duration) string {
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour-time.Second/2:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
