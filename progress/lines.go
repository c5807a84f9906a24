package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// plainEvery is the shortest time between two lines about jobs that go on; jsonEvery the same for one job in JSON.
const (
	plainEvery = 5 * time.Second
	jsonEvery  = time.Second
)

// lines shows jobs as lines of text.
type lines struct {
	w     io.Writer
	mu    *sync.Mutex // of the display
	jobs  []*job      // shown
	timer *time.Timer
	last  string // line about jobs that go on,
	same  int    // which came so often
}

func (l *lines) begin(j *job) {
	if note := j.latest().note(); note != "" {
		fmt.Fprintln(l.w, note)
	}
}

func (l *lines) update(*job) {}

func (l *lines) show(j *job) {
	fmt.Fprintln(l.w, j.latest().line(time.Now()))
	l.jobs = append(l.jobs, j)
	if len(l.jobs) == 1 {
		l.next()
	}
}

func (l *lines) next() {
	l.timer = time.AfterFunc(plainEvery, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.jobs) == 0 {
			return
		}
		line := together(l.jobs)
		if line != l.last {
			l.last, l.same = line, 0
		}
		if l.same++; l.same&(l.same-1) == 0 { // the same again comes after twice the time
			fmt.Fprintln(l.w, line)
		}
		l.next()
	})
}

// together is one line for all jobs.
func together(jobs []*job) string {
	if len(jobs) == 1 {
		return jobs[0].latest().line(time.Now())
	}
	var labels []string
	sum := state{}
	for _, j := range jobs {
		s := j.latest()
		if !slices.Contains(labels, s.label) {
			labels = append(labels, s.label)
		}
		sum.Done += s.Done
		sum.Sent += s.Sent
		sum.Failed += s.Failed
		sum.Running += s.Running
		sum.Waiting += s.Waiting
		sum.Retries += s.Retries
		sum.Cost.Add(s.Cost)
		if s.Total < 0 || sum.Total < 0 {
			sum.Total = -1
		} else {
			sum.Total += s.Total
		}
	}
	if len(labels) > 3 {
		labels = append(labels[:3], "…")
	}
	sum.label = fmt.Sprintf("%d jobs (%s)", len(jobs), strings.Join(labels, ", "))
	return sum.line(time.Now())
}

func (l *lines) end(j *job) {
	if !j.shown {
		return
	}
	l.jobs = slices.DeleteFunc(l.jobs, func(o *job) bool { return o == j })
	if len(l.jobs) == 0 {
		l.timer.Stop()
	}
	fmt.Fprintln(l.w, j.latest().summary())
}

func (l *lines) print(w io.Writer, p []byte) (int, error) { return w.Write(p) }

func (l *lines) close() {
	l.jobs = nil
	if l.timer != nil {
		l.timer.Stop()
	}
}

// jsonLines shows jobs as lines of JSON.
type jsonLines struct {
	w    io.Writer
	last map[*job]time.Time
}

// record is a line. Times are in RFC 3339, seconds since the job was first seen.
type record struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // begin, progress, end
	Job     string    `json:"job"`
	Func    string    `json:"func"`
	Total   *int      `json:"total"` // null while it is not known
	Sent    int       `json:"sent"`
	Done    int       `json:"done"`
	Failed  int       `json:"failed"`
	Running int       `json:"running"`
	Waiting int       `json:"waiting"`
	Queue   string    `json:"queue,omitempty"` // why tasks wait, as the engine says
	Note    string    `json:"note,omitempty"`  // what to know from the beginning
	Retries int       `json:"retries"`
	Seconds float64   `json:"seconds"`
	Rate    float64   `json:"rate,omitempty"` // calls a second
	Left    *float64  `json:"left,omitempty"` // seconds
	Cost    float64   `json:"cost,omitempty"` // USD so far
	Hour    float64   `json:"hour,omitempty"` // USD an hour, for the machines that are there
	Error   string    `json:"error,omitempty"`
}

func (l *jsonLines) put(j *job, event string) {
	s := j.latest()
	r := record{Time: s.at.UTC(), Event: event, Job: s.Job, Func: s.Func, Sent: s.Sent, Done: s.Done, Failed: s.Failed, Running: s.Running, Waiting: s.Waiting, Queue: s.Queue, Note: s.Note,
		Retries: s.Retries, Seconds: seconds(s.at.Sub(s.since)), Rate: thousandths(s.rate), Cost: s.Cost.Spent, Hour: s.Cost.Hour}
	if s.Total >= 0 {
		r.Total = &s.Total
	}
	if d, ok := s.left(s.at); ok && !s.Over {
		left := seconds(d)
		r.Left = &left
	}
	if s.Err != nil {
		r.Error = s.Err.Error()
	}
	b, err := json.Marshal(r)
	if err != nil {
		b = fmt.Appendf(nil, "{%q:%q}", "error", err.Error())
	}
	l.w.Write(append(b, '\n'))
	if l.last == nil {
		l.last = map[*job]time.Time{}
	}
	l.last[j] = s.at
}

func seconds(d time.Duration) float64 { return thousandths(d.Seconds()) }

func thousandths(x float64) float64 { return math.Round(x*1000) / 1000 }

func (l *jsonLines) begin(j *job) {
	if !j.latest().Over {
		l.put(j, "begin")
	}
}

func (l *jsonLines) show(*job) {}

func (l *jsonLines) update(j *job) {
	if time.Since(l.last[j]) >= jsonEvery {
		l.put(j, "progress")
	}
}

func (l *jsonLines) end(j *job) {
	l.put(j, "end")
	delete(l.last, j)
}

func (l *jsonLines) print(w io.Writer, p []byte) (int, error) { return w.Write(p) }
func (l *jsonLines) close()                                   {}
