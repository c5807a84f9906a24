package autoscale

import (
	"sort"
	"sync"
	"time"
)

// History is a Source that keeps the samples of one pool in memory.
type History struct {
	keep time.Duration

	mu     sync.Mutex
	series map[string][]point
}

// A point is a Sample at a third of its size.
type point struct {
	nanoseconds int64 // since 1970
	value       float64
}

// NewHistory returns an empty History that forgets samples as they get older than keep; a day of one variable takes 46
// kB.
func NewHistory(keep time.Duration) *History {
	return &History{keep: keep, series: map[string][]point{}}
}

// Record adds a sample of each variable in values. A variable's sample that is not later than its last is left out.
func (h *History) Record(at time.Time, values map[string]float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, oldest := at.UnixNano(), at.Add(-h.keep).UnixNano()
	for name, v := range values {
		s := h.series[name]
		if len(s) > 0 && s[len(s)-1].nanoseconds >= now {
			continue
		}
		if n := index(s, oldest-1); n > len(s)/2 { // so that a sample is moved once, not each time
			s = append(s[:0], s[n:]...)
		}
		h.series[name] = append(s, point{now, v})
	}
}

// Samples implements Source.
func (h *History) Samples(variable string, from, to time.Time) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.series[variable]
	if len(s) == 0 {
		return nil
	}
	if oldest := time.Unix(0, s[len(s)-1].nanoseconds).Add(-h.keep - 1); from.Before(oldest) {
		from = oldest
	}
	if !to.After(from) {
		return nil
	}
	if last := time.Unix(0, s[len(s)-1].nanoseconds); to.After(last) {
		to = last
	}
	s = s[index(s, from.UnixNano()):index(s, to.UnixNano())]
	found := make([]Sample, len(s))
	for i, p := range s {
		found[i] = Sample{Time: time.Unix(0, p.nanoseconds).UTC(), Value: p.value}
	}
	return found
}

// index is how many points are not after a time.
func index(s []point, nanoseconds int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].nanoseconds > nanoseconds })
}
