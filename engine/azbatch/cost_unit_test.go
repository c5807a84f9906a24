package azbatch

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// However spans come, those that lie close together become one.
func TestJoinSpans(t *testing.T) {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(from, to int) span {
		return span{base.Add(time.Duration(from) * time.Minute), base.Add(time.Duration(to) * time.Minute)}
	}
	all := []span{at(0, 10), at(3, 5), at(10, 12), at(14, 20), at(26, 30), at(29, 29), at(60, 61), at(66, 70), at(100, 110), at(100, 110), at(95, 101)}
	want := []span{at(0, 20), at(26, 30), at(60, 70), at(95, 110)}
	for range 200 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var got []span
		for _, s := range all {
			got = join(got, s)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v\nmake %v\nwant %v", all, got, want)
		}
	}
}
