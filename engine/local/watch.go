//go:build linux || darwin || freebsd

package local

import (
	"context"
	"fmt"
	"iter"

	"github.com/clusterless-go/clusterless/engine"
)

// A watcher is one Watch under way.
type watcher struct{ wake chan struct{} }

func (w *watcher) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default: // it has not seen the last one yet
	}
}

// Watch implements engine.Engine. A job that another client owns is followed through its journal, 50 ms behind.
func (e *Engine) Watch(ctx context.Context, jobID string) iter.Seq2[engine.Event, error] {
	return func(yield func(engine.Event, error) bool) {
		j, err := e.lookup(ctx, jobID)
		if err != nil {
			yield(engine.Event{}, err)
			return
		}
		w := &watcher{wake: make(chan struct{}, 1)}
		j.watchers[w] = struct{}{}
		e.follow(j)
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			delete(j.watchers, w)
			e.mu.Unlock()
		}()
		var events []engine.Event
		var tick uint64
		for {
			e.mu.Lock()
			closed, deleted := e.closed, j.deleted
			events = j.since(tick, events[:0])
			tick = j.tick
			e.mu.Unlock()
			for i := range events {
				if ctx.Err() != nil || !yield(events[i], nil) {
					return
				}
			}
			switch {
			case deleted:
				yield(engine.Event{}, fmt.Errorf("local: watch %s: deleted: %w", jobID, engine.ErrNotExist))
				return
			case closed:
				yield(engine.Event{}, fmt.Errorf("local: watch %s: %w", jobID, engine.ErrClosed))
				return
			}
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}
