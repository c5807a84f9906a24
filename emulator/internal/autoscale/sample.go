package autoscale

import (
	"math"
	"slices"
	"time"
)

const (
	SampleInterval = 30 * time.Second // from one sample of a variable to the next
	SampleDelay    = time.Minute      // how long after it was taken a formula sees a sample
)

// Sample is what a variable was at a time.
type Sample struct {
	Time  time.Time
	Value float64
}

// Source gives the samples of a pool's variables, and may be asked by several goroutines at once. A formula sees no
// sample before SampleDelay has passed; that is none of the source's concern.
type Source interface {
	// Samples returns those of a variable, named with its dollar sign, that were taken after from and not after to,
	// oldest first.
	Samples(variable string, from, to time.Time) []Sample
}

// A method is one of a sampled variable.
type method struct {
	usage  string
	result func(args []kind) kind
	apply  func(r *run, at position, variable string, args []value) (value, error)
}

var methods = map[string]method{
	"Count": {"Count()", exactly(double), func(r *run, _ position, variable string, _ []value) (value, error) {
		return float64(len(r.samples(variable, time.Time{}, r.env.Now))), nil
	}},
	"GetSample":        {"GetSample(count), GetSample(start[, percent]) or GetSample(start, end[, percent])", getSampleResult, getSample},
	"GetSamplePercent": {"GetSamplePercent(start[, end])", getSamplePercentResult, getSamplePercent},
	"GetSamplePeriod": {"GetSamplePeriod()", exactly(timeinterval), func(*run, position, string, []value) (value, error) {
		return interval(SampleInterval / 100), nil
	}},
	"HistoryBeginTime": {"HistoryBeginTime()", exactly(timestamp), historyBeginTime},
}

// samples are those that can be seen by now.
func (r *run) samples(variable string, from, to time.Time) []Sample {
	if visible := r.env.Now.Add(-SampleDelay); to.After(visible) {
		to = visible
	}
	if r.env.Samples == nil || !to.After(from) {
		return nil
	}
	return r.env.Samples.Samples(variable, from, to)
}

func getSampleResult(args []kind) kind {
	if exactly(doubleVec, double)(args) == doubleVec {
		return doubleVec
	}
	if n := len(args); n > 1 && (args[n-1] == double || args[n-1] == unknown) {
		args = args[:n-1]
	}
	return instants(doubleVec, args)
}

func getSamplePercentResult(args []kind) kind { return instants(double, args) }

// instants takes a start and perhaps an end, each a timestamp or an interval before now.
func instants(result kind, args []kind) kind {
	for _, k := range args {
		if k != timestamp && k != timeinterval && k != unknown {
			return invalid
		}
	}
	if len(args) < 1 || len(args) > 2 {
		return invalid
	}
	return result
}

func getSample(r *run, at position, variable string, args []value) (value, error) {
	if count, ok := args[0].(float64); ok {
		if !(count >= 0) {
			return nil, evalErrorf(at, "GetSample cannot get %s samples", formatDouble(count))
		}
		all := r.samples(variable, time.Time{}, r.env.Now)
		return r.vector(at, all[len(all)-int(min(count, float64(len(all)))):])
	}
	want, wanted := args[len(args)-1].(float64)
	if wanted {
		args = args[:len(args)-1]
	}
	found, percent, err := r.between(at, variable, args)
	if err != nil {
		return nil, err
	}
	if wanted && percent < want {
		return nil, insufficient(at, variable, want, percent)
	}
	return r.vector(at, found)
}

func getSamplePercent(r *run, at position, variable string, args []value) (value, error) {
	_, percent, err := r.between(at, variable, args)
	return percent, err
}

func historyBeginTime(r *run, at position, variable string, _ []value) (value, error) {
	all := r.samples(variable, time.Time{}, r.env.Now)
	if len(all) == 0 {
		return nil, insufficient(at, variable, 100, 0)
	}
	return all[0].Time.UTC(), nil
}

// between gets the samples of the time that one or two arguments delimit, in either order, and how many percent they
// are of those that were taken in such a time.
func (r *run) between(at position, variable string, args []value) ([]Sample, float64, error) {
	limits := []time.Time{r.env.Now}
	for _, a := range args {
		t, ok := a.(time.Time)
		if ago, is := a.(interval); is {
			t, ok = after(r.env.Now, -ago)
		}
		if !ok {
			return nil, 0, evalErrorf(at, "the time of the samples is out of range")
		}
		limits = append(limits, t)
	}
	if len(args) == 2 {
		limits = limits[1:]
	}
	slices.SortFunc(limits, time.Time.Compare)
	from, to := limits[0], limits[1]
	found := r.samples(variable, from, to)
	taken := math.Floor(float64(between(to, from)) / float64(SampleInterval/100))
	if taken == 0 {
		return found, 0, nil
	}
	return found, min(100, 100*float64(len(found))/taken), nil
}

func (r *run) vector(at position, found []Sample) (value, error) {
	if err := r.spend(at, len(found)); err != nil {
		return nil, err
	}
	v := make([]float64, len(found))
	for i, s := range found {
		v[i] = s.Value
	}
	return v, nil
}

// number is what a sampled variable is where a number is needed.
func (r *run) number(at position, variable string) (value, error) {
	if x, ok := r.env.Current[variable]; ok {
		return x, nil
	}
	all := r.samples(variable, time.Time{}, r.env.Now)
	if len(all) == 0 {
		return nil, insufficient(at, variable, 100, 0)
	}
	return all[len(all)-1].Value, nil
}

func insufficient(at position, variable string, want, got float64) error {
	return newError(CodeInsufficientSampleData, at, "Insufficient data from data set: %s wanted %s%%, received %s%%",
		variable, formatDouble(want), formatDouble(math.Floor(got)))
}
