package service

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestOrderedIsAMapInOrder(t *testing.T) {
	var o ordered[int]
	want := map[string]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		k := strconv.Itoa(r.IntN(500))
		switch _, there := want[k]; {
		case r.IntN(10) == 0:
			from := strconv.Itoa(r.IntN(500))
			var keys []string
			for k := range o.from(from) {
				keys = append(keys, k)
			}
			all := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(k string) bool { return k < from })
			if !slices.Equal(keys, all) {
				t.Fatalf("from %s there are %q, want %q", from, keys, all)
			}
		case there:
			o.remove(k)
			delete(want, k)
		default:
			o.add(k, len(want))
			want[k] = len(want)
		}
		if o.len() != len(want) {
			t.Fatalf("there are %d items, want %d", o.len(), len(want))
		}
	}
}

func TestQueueOrder(t *testing.T) {
	q := &queue{}
	var tasks []*task
	for range 3000 {
		x := &task{taskRecord: taskRecord{Slots: 1}}
		q.add(x)
		tasks = append(tasks, x)
	}
	var got []*task
	for range 2500 {
		l := q.earliest(nil)
		got = append(got, l.peek())
		l.pop()
	}
	for i := 9; i >= 0; i-- { // these come back
		q.addFirst(got[i])
	}
	tasks[2600].queued = false // and this one goes
	for {
		l := q.earliest(nil)
		if l == nil {
			break
		}
		got = append(got, l.peek())
		l.pop()
	}
	want := slices.Concat(tasks[:2500], tasks[:10], tasks[2500:2600], tasks[2601:])
	if !slices.Equal(got, want) {
		t.Errorf("%d tasks came, in another order than the %d that should", len(got), len(want))
	}
}
