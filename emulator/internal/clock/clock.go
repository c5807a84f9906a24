// Package clock has the service's time, which may run faster than real time, and what is to happen at its moments.
package clock

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// A Clock begins at a time and runs Speed times as fast as real time. Run must run for anything to happen.
type Clock struct {
	began time.Time // real
	base  time.Time // what it showed then
	speed float64

	mu     sync.Mutex
	last   int64 // number of the latest timer
	queue  queue
	wake   chan struct{}
	closed bool
}

// New returns a clock that shows base now. A speed of 1 is real time.
func New(base time.Time, speed float64) *Clock {
	return &Clock{began: time.Now(), base: base, speed: speed, wake: make(chan struct{}, 1)}
}

// Now is the time in UTC, in steps of the 100 ns that the Batch API knows.
func (c *Clock) Now() time.Time {
	d := time.Duration(float64(time.Since(c.began)) * c.speed)
	return c.base.Add(d).UTC().Truncate(100)
}

// Real is how long a span of the clock's time really takes.
func (c *Clock) Real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.speed) }

// A Timer is something that is to happen.
type Timer struct {
	clock *Clock
	at    time.Time
	turn  int64 // of timers of one moment the first made is the first
	do    func()
	index int // in the queue; -1: not in it
}

// At has f called when the clock shows t, by Run, one after another: f must be short. A time that is past is now.
func (c *Clock) At(t time.Time, f func()) *Timer {
	timer := &Timer{clock: c, at: t, do: f, index: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return timer
	}
	c.last++
	timer.turn = c.last
	heap.Push(&c.queue, timer)
	if timer.index == 0 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return timer
}

// After is At, a span from now.
func (c *Clock) After(d time.Duration, f func()) *Timer { return c.At(c.Now().Add(d), f) }

// AfterFunc is After for functions that take long: each is called in a goroutine of its own.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return c.After(d, func() { go f() }).Stop
}

// Stop keeps it from happening; false says that it happened or was stopped before. A nil Timer has nothing to stop.
func (t *Timer) Stop() bool {
	if t == nil {
		return false
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.clock.queue, t.index)
	return true
}

// Run makes things happen until ctx is done.
func (c *Clock) Run(ctx context.Context) {
	real := time.NewTimer(time.Hour)
	defer real.Stop()
	for {
		c.mu.Lock()
		var due *Timer
		wait := time.Hour
		if len(c.queue) > 0 {
			if left := c.queue[0].at.Sub(c.Now()); left <= 0 {
				due = heap.Pop(&c.queue).(*Timer)
			} else {
				wait = min(wait, c.Real(left)+time.Microsecond)
			}
		}
		if ctx.Err() != nil {
			c.closed, c.queue = true, nil
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if due != nil {
			due.do()
			continue
		}
		real.Reset(wait)
		select {
		case <-real.C:
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// A queue is a heap of timers, the next one first.
type queue []*Timer

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if d := q[i].at.Compare(q[j].at); d != 0 {
		return d < 0
	}
	return q[i].turn < q[j].turn
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	t := x.(*Timer)
	t.index = len(*q)
	*q = append(*q, t)
}
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	t.index = -1
	*q = old[:len(old)-1]
	return t
}
