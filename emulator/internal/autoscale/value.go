package autoscale

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A value is a float64, []float64, string, time.Time or interval.
type value any

// interval is a timeinterval in ticks of 100 ns, as .NET has them.
type interval int64

const (
	tick   interval = 1
	second          = 10_000_000 * tick
	minute          = 60 * second
	hour            = 60 * minute
	day             = 24 * hour
)

// kind is the type of a value.
type kind int

const (
	invalid kind = iota
	unknown      // a type that is not known before the formula runs
	double
	doubleVec
	text
	timestamp
	timeinterval
	nothing // what stop() gives
)

var kindNames = [...]string{"invalid", "unknown", "double", "doubleVec", "string", "timestamp", "timeinterval", "nothing"}

func (k kind) String() string { return kindNames[k] }

func kindOf(v value) kind {
	switch v.(type) {
	case float64:
		return double
	case []float64:
		return doubleVec
	case string:
		return text
	case time.Time:
		return timestamp
	case interval:
		return timeinterval
	}
	return nothing
}

// format writes a value as results have it.
func format(v value) string {
	switch v := v.(type) {
	case float64:
		return formatDouble(v)
	case []float64:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = formatDouble(x)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return v
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case interval:
		return v.String()
	}
	return ""
}

// formatDouble writes 15 digits, as .NET does.
func formatDouble(x float64) string {
	switch {
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	case x == 0:
		return "0"
	}
	s := strconv.FormatFloat(x, 'G', 15, 64)
	if rounded, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(x) >= 1e-5 && math.Abs(x) < 1e15 {
		s = strconv.FormatFloat(rounded, 'f', -1, 64)
	}
	return s
}

// String is the form [-][d.]hh:mm:ss[.fffffff].
func (t interval) String() string {
	var b strings.Builder
	ticks := uint64(t)
	if t < 0 {
		b.WriteByte('-')
		ticks = -ticks
	}
	if d := ticks / uint64(day); d > 0 {
		fmt.Fprintf(&b, "%d.", d)
	}
	in := func(unit, of interval) uint64 { return ticks / uint64(unit) % uint64(of/unit) }
	fmt.Fprintf(&b, "%02d:%02d:%02d", in(hour, day), in(minute, hour), in(second, minute))
	if fraction := ticks % uint64(second); fraction > 0 {
		fmt.Fprintf(&b, ".%07d", fraction)
	}
	return b.String()
}

// scale multiplies or divides an interval, and fails where the result is no interval.
func (t interval) scale(x float64) (interval, bool) {
	ticks := math.Round(float64(t) * x)
	return interval(ticks), math.Abs(ticks) < math.MaxInt64 // NaN is not
}

func (t interval) add(u interval) (interval, bool) {
	sum := t + u
	return sum, (sum > t) == (u > 0) && sum != math.MinInt64
}

// after is the time an interval after t. Times are those of .NET, in the years 1 to 9999.
func after(t time.Time, d interval) (time.Time, bool) {
	days, rest := d/day, d%day
	if days < -4_000_000 || days > 4_000_000 {
		return t, false
	}
	t = t.UTC().AddDate(0, 0, int(days)).Add(time.Duration(rest) * 100)
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// between is the interval from u to t.
func between(t, u time.Time) interval {
	seconds := t.Unix() - u.Unix()
	return interval(seconds)*second + interval((t.Nanosecond()-u.Nanosecond())/100)
}

// timeLayouts are those of W3C-DTF, which needs a zone where there is a time of day, and of RFC 1123. Go reads
// fractions of a second that the layout does not have.
var timeLayouts = []string{
	"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", time.RFC3339, time.RFC1123, time.RFC1123Z,
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return t.UTC().Truncate(100 * time.Nanosecond), true
		}
	}
	return time.Time{}, false
}

// timeMembers are the parts of a timestamp; Sunday is weekday 0.
var timeMembers = map[string]func(time.Time) int{
	"year":    time.Time.Year,
	"month":   func(t time.Time) int { return int(t.Month()) },
	"day":     time.Time.Day,
	"weekday": func(t time.Time) int { return int(t.Weekday()) },
	"hour":    time.Time.Hour,
	"minute":  time.Time.Minute,
	"second":  time.Time.Second,
}
