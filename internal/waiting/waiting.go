// Package waiting carries in a context who wants to know that a service does not answer. Clients of services ask again by themselves,
// for minutes, and say nothing until they give up.
package waiting

import (
	"context"
	"sync"
	"time"
)

const (
	patience   = 2 * time.Second // of failures, until somebody wants to know
	firstAgain = time.Minute     // until the same is said again; each time twice as long
	leastTime  = 5 * time.Second // between any two
)

// A Watch notices how services answer to what is done in its context. Its methods may be called at once.
type Watch struct {
	tell func(text string)

	mu       sync.Mutex
	failing  map[string]time.Time // services, since when
	text     string               // what is waited for, as it was told; "" is nothing
	told     time.Time
	interval time.Duration // until it is told again
}

type key struct{}

// New makes a watch, and a context for what it is to watch. tell gets what is waited for and why, "SERVICE: connection refused", a few
// seconds after it began and then more and more rarely; "" when all services answer again. One call is made at a time.
func New(ctx context.Context, tell func(text string)) (context.Context, *Watch) {
	w := &Watch{tell: tell, failing: map[string]time.Time{}}
	return context.WithValue(ctx, key{}, w), w
}

// From is the watch of a context; nil if it has none.
func From(ctx context.Context) *Watch {
	w, _ := ctx.Value(key{}).(*Watch)
	return w
}

// Failed notes that a service has failed to answer, since when it was asked.
func (w *Watch) Failed(service, why string, asked time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since, ok := w.failing[service]
	if !ok {
		since = asked
		w.failing[service] = since
	}
	text, now := service+": "+why, time.Now()
	switch {
	case now.Sub(since) < patience || now.Sub(w.told) < leastTime:
		return
	case w.text != text:
		w.interval = firstAgain
	case now.Sub(w.told) < w.interval:
		return
	default:
		w.interval *= 2
	}
	w.text, w.told = text, now
	w.tell(text)
}

// Answered notes that a service answers.
func (w *Watch) Answered(service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failing, service)
	if w.text != "" && len(w.failing) == 0 {
		w.text = ""
		w.tell("")
	}
}

// Waits is what is waited for now, as it was told; "" is nothing.
func (w *Watch) Waits() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}
