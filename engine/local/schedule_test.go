//go:build linux || darwin || freebsd

package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/engine"
)

// play runs a schedule by steps: "A:3" queues three runs of job A, ".A" ends the run of A that started first.
// After each step everything that may start does. It returns the order of starts, with ends as "|".
func play(free need, jobs map[string]*line, steps string) string {
	s := &schedule{free: free}
	count := map[string]int{}
	var order []string
	names := map[*line]string{}
	for name, l := range jobs {
		names[l] = name
	}
	for step := range strings.FieldsSeq(steps) {
		if name, ok := strings.CutPrefix(step, "."); ok {
			s.finish(jobs[name])
			order = append(order, "|")
		} else {
			name, number, _ := strings.Cut(step, ":")
			n := 1
			fmt.Sscan(number, &n)
			for range n {
				s.add(jobs[name], &run{Run: engine.Run{Task: count[name]}})
				count[name]++
			}
			if name != strings.ToLower(name) {
				continue // capitals queue, small letters let it go on
			}
		}
		for l := s.next(); l != nil; l = s.next() {
			order = append(order, fmt.Sprint(names[l], s.start(l).Task))
		}
	}
	return strings.Join(order, " ")
}

func TestSchedule(t *testing.T) {
	one := need{cores: 1}
	for _, test := range []struct {
		name  string
		free  need
		jobs  map[string]*line
		steps string
		want  string
	}{
		{"first in, first out", need{2, 0}, map[string]*line{"A": {need: one}, "x": {need: one}},
			"A:5 x:0 .A .A .A", "A0 A1 | A2 | A3 | A4"},
		{"priority", need{1, 0}, map[string]*line{"A": {need: one}, "B": {need: one, priority: 1}, "x": {need: one, priority: 9}},
			"A:2 B:2 x .x .B .B .A", "x0 | B0 | B1 | A0 | A1"},
		{"equals share", need{4, 0}, map[string]*line{"A": {need: one}, "B": {need: one}, "x": {need: need{4, 0}}},
			"x A:8 B:8 .x .A .A .B", "x0 | A0 B0 A1 B1 | A2 | A3 | B2"},
		{"a newcomer gets its share first", need{2, 0}, map[string]*line{"A": {need: one}, "B": {need: one}, "x": {need: one}},
			"A:9 x B:9 .x .A .A", "A0 x0 | B0 | A1 | A2"},
		{"the one that waited longest", need{1, 0}, map[string]*line{"A": {need: one}, "B": {need: one}, "C": {need: one}, "x": {need: one}},
			"x B:2 C:2 A:2 .x .B .C .A .B .C", "x0 | B0 | C0 | A0 | B1 | C1 | A1"},
		{"a big run does not starve", need{2, 0}, map[string]*line{"A": {need: one}, "B": {need: need{2, 0}}, "x": {need: one}},
			"A:9 x B:1 .A .x .A .B", "A0 x0 | A1 | | B0 | A2 A3"},
		{"a run may pass that takes nothing of what is waited for", need{4, 10}, map[string]*line{"A": {need: need{1, 8}}, "B": {need: one}, "x": {need: one}},
			"A:2 B:3 x .x", "A0 B0 x0 | B1"},
		{"but not one that would lengthen the wait", need{3, 10}, map[string]*line{"A": {need: need{2, 8}, priority: 1}, "B": {need: one}, "x": {need: one}},
			"A:2 x B:3 .A", "A0 | A1 x0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := play(test.free, test.jobs, test.steps); got != test.want {
				t.Errorf("order\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// Ten thousand jobs of one run each are as quick to schedule as one job of as many.
func TestScheduleManyJobs(t *testing.T) {
	s := &schedule{free: need{cores: 1}}
	const n = 10_000
	for i := range n {
		l := &line{need: need{cores: 1}, priority: i % 3}
		s.add(l, &run{Run: engine.Run{Task: i}})
	}
	var got []int
	for l := s.next(); l != nil; l = s.next() {
		got = append(got, s.start(l).Task)
		s.finish(l)
	}
	want := make([]int, 0, n)
	for p := 2; p >= 0; p-- {
		for i := p; i < n; i += 3 {
			want = append(want, i)
		}
	}
	if !slices.Equal(got, want) {
		t.Error("not by priority, then by arrival")
	}
	if len(s.classes) != 0 {
		t.Errorf("%d classes are left", len(s.classes))
	}
}
