package clusterless

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// paceTime is how long inputs of an iterator wait for another to come before they are sent on, and waitTime how long
// they wait at most while others do come.
const (
	paceTime = 20 * time.Millisecond
	waitTime = 100 * time.Millisecond
)

// gather runs an iterator in a goroutine of its own and yields what it yields in batches of up to size; an empty batch
// says that nothing more came for a while, so that what was yielded should be sent. The goroutine ends with the
// iterator, at the latest when it yields next after the consumer stopped. What ends it before its time, a panic or ctx,
// is the error of the last batch.
func gather[T any](ctx context.Context, seq iter.Seq[T], size int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		outer := ctx
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ch := make(chan T, 256)
		broke := make(chan error, 1)
		go func() {
			defer close(ch)
			normal := false
			defer func() {
				if p := recover(); p != nil {
					broke <- fmt.Errorf("the iterator of inputs panicked: %v", p)
				} else if !normal {
					broke <- errors.New("the iterator of inputs called runtime.Goexit")
				}
			}()
			for v := range seq {
				select {
				case ch <- v:
				case <-ctx.Done():
				}
				if ctx.Err() != nil {
					break
				}
			}
			normal = true
		}()
		timer := time.NewTimer(paceTime)
		defer timer.Stop()
		var batch []T
		fresh := false // something was yielded since the last empty batch
		give := func() bool {
			if len(batch) == 0 {
				return true
			}
			b := batch
			batch, fresh = nil, true
			return yield(b, nil)
		}
		var since time.Time // the first input came that was not sent on
		for {
			var v T
			ok := true
			select {
			case v, ok = <-ch:
			default:
				if !since.IsZero() && time.Since(since) > waitTime {
					if !give() || !yield(nil, nil) {
						return
					}
					fresh, since = false, time.Time{}
				}
				timer.Reset(paceTime)
				select {
				case v, ok = <-ch:
				case <-timer.C:
					if !give() || fresh && !yield(nil, nil) {
						return
					}
					fresh, since = false, time.Time{}
					select {
					case v, ok = <-ch:
					case <-ctx.Done():
						ok = false
					}
				}
			}
			if !ok {
				break
			}
			if since.IsZero() {
				since = time.Now()
			}
			if batch = append(batch, v); len(batch) >= size && !give() {
				return
			}
		}
		if !give() {
			return
		}
		select {
		case err := <-broke:
			yield(nil, err)
		default:
			if outer.Err() != nil {
				yield(nil, context.Cause(outer))
			}
		}
	}
}
