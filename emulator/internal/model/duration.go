package model

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Duration is a span of time as ISO 8601 writes it, in steps of 100 ns.
type Duration time.Duration

// Unlimited is what the service takes for "no limit": the longest span that .NET has. It is longer than a time.Duration can
// be, so that the longest of those stands for it.
const Unlimited Duration = math.MaxInt64

const unlimited = "P10675199DT2H48M5.4775807S"

// Pointer is for optional fields.
func (d Duration) Pointer() *Duration { return &d }

var iso = regexp.MustCompile(`^(-)?P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// units of the groups of iso. The service counts a year as 365 days and a month as 30.
var units = []float64{365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1}

// ParseDuration reads an ISO 8601 duration. What is longer than a time.Duration can be is Unlimited.
func ParseDuration(s string) (Duration, error) {
	m := iso.FindStringSubmatch(strings.ToUpper(s))
	if m == nil || strings.HasSuffix(m[0], "P") || strings.HasSuffix(m[0], "T") {
		return 0, fmt.Errorf("%q is no ISO 8601 duration like PT15M or P1DT12H", s)
	}
	var d time.Duration
	for i, unit := range units {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseFloat(m[i+2], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no ISO 8601 duration: %w", s, err)
		}
		seconds := n * unit
		if seconds > (math.MaxInt64-float64(d))/1e9-1 {
			return Unlimited, nil
		}
		d += time.Duration(math.Round(seconds*1e7)) * 100
	}
	if m[1] != "" {
		d = -d
	}
	return Duration(d), nil
}

func (d Duration) String() string {
	if d == Unlimited {
		return unlimited
	}
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	left := time.Duration(d)
	if left < 0 {
		b.WriteByte('-')
		left = -left
	}
	b.WriteByte('P')
	if days := left / (24 * time.Hour); days > 0 {
		fmt.Fprintf(&b, "%dD", days)
		left -= days * 24 * time.Hour
	}
	if left > 0 {
		b.WriteByte('T')
	}
	if h := left / time.Hour; h > 0 {
		fmt.Fprintf(&b, "%dH", h)
		left -= h * time.Hour
	}
	if m := left / time.Minute; m > 0 {
		fmt.Fprintf(&b, "%dM", m)
		left -= m * time.Minute
	}
	if left > 0 {
		s := strconv.FormatInt(int64(left/time.Second), 10)
		if frac := left % time.Second / 100; frac > 0 {
			s += strings.TrimRight(fmt.Sprintf(".%07d", frac), "0")
		}
		b.WriteString(s + "S")
	}
	return b.String()
}

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := ParseDuration(s)
	if err == nil {
		*d = v
	}
	return err
}
