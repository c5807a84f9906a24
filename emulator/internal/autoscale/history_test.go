package autoscale_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
)

func TestHistory(t *testing.T) {
	h := autoscale.NewHistory(10 * time.Minute)
	start := present.Add(-time.Hour)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * autoscale.SampleInterval) }
	for i := range 100 {
		h.Record(at(i), map[string]float64{"$ActiveTasks": float64(i)})
	}
	h.Record(at(99), map[string]float64{"$ActiveTasks": -1, "$RunningTasks": 5}) // the first is not later than the last one
	for _, test := range []struct {
		name     string
		variable string
		from, to time.Time
		want     []float64
	}{
		{"part", "$ActiveTasks", at(95), at(97), []float64{96, 97}},
		{"all that is kept", "$ActiveTasks", time.Time{}, at(1000), count(79, 99)},
		{"before what is kept", "$ActiveTasks", at(0), at(60), nil},
		{"after the last", "$ActiveTasks", at(99), at(200), nil},
		{"an empty span", "$ActiveTasks", at(95), at(95), nil},
		{"a span that runs backwards", "$ActiveTasks", at(97), at(95), nil},
		{"another variable", "$RunningTasks", time.Time{}, at(99), []float64{5}},
		{"no such variable", "$FailedTasks", time.Time{}, at(99), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []float64
			for _, s := range h.Samples(test.variable, test.from, test.to) {
				got = append(got, s.Value)
				if i := int(s.Value); test.variable == "$ActiveTasks" && !s.Time.Equal(at(i)) {
					t.Errorf("sample %d has time %v, want %v", i, s.Time, at(i))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func count(from, to int) (c []float64) {
	for i := from; i <= to; i++ {
		c = append(c, float64(i))
	}
	return c
}

func TestHistoryAndFormulaTogether(t *testing.T) {
	e := env()
	h := e.Samples.(*autoscale.History)
	f, err := autoscale.Parse("$TargetDedicatedNodes = sum($PendingTasks.GetSample(2))")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 1000 {
			h.Record(present.Add(time.Duration(i+1)*time.Second), map[string]float64{"$PendingTasks": 100})
		}
	})
	for range 4 {
		all.Go(func() {
			for range 100 {
				if got, err := f.Evaluate(e); err != nil || got.TargetDedicatedNodes != 14 {
					t.Errorf("got %+v, %v, want 14 nodes", got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestVariablesOfTheGuide(t *testing.T) {
	got := autoscale.Variables()
	for _, want := range []string{"$ActiveTasks", "$CPUPercent", "$CurrentDedicatedNodes", "$CurrentLowPriorityNodes", "$FailedTasks", "$PendingTasks",
		"$PreemptedNodeCount", "$RunningTasks", "$SucceededTasks", "$TaskSlotsPerNode", "$UsableNodeCount", "$WallClockSeconds"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	if slices.Contains(got, "$CurrentDedicated") || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("got %v, want each variable once, in order, by its present name", got)
	}
}
