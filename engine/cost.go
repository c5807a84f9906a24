package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Cost is what machines cost that work for a job, in USD: an estimate from list prices of the machines, not a bill. The zero
// Cost is that of an engine whose machines cost nothing.
type Cost struct {
	Spent    float64       // so far
	Hour     float64       // what the machines that are there now cost by the hour, whatever they do
	NodeTime time.Duration // that machines have worked for the job, together
	Prices   time.Time     // date of the prices; of several the oldest
	// Unknown says which prices are not known, and how to get them. The amounts leave these machines out. It is "" if all are.
	Unknown string
}

// String says it in a few words: "1.23 USD, 0.46 USD an hour". What is not known it only hints at.
func (c Cost) String() string {
	if c.Unknown != "" && c.Spent == 0 && c.Hour == 0 {
		return "cost not known"
	}
	text := Dollars(c.Spent)
	if c.Unknown != "" {
		text += " and more"
	}
	if c.Hour > 0 {
		text += ", " + Dollars(c.Hour) + " an hour"
	}
	return text
}

// Dollars writes an amount of USD for people: in cents, or where it is less than one with three digits that count.
func Dollars(usd float64) string {
	if usd != 0 && usd < 1 && usd > -1 {
		return strconv.FormatFloat(usd, 'g', 3, 64) + " USD"
	}
	return strconv.FormatFloat(usd, 'f', 2, 64) + " USD"
}

// Add adds the cost of other machines.
func (c *Cost) Add(more Cost) {
	c.Spent += more.Spent
	c.Hour += more.Hour
	c.NodeTime += more.NodeTime
	if !more.Prices.IsZero() && (c.Prices.IsZero() || more.Prices.Before(c.Prices)) {
		c.Prices = more.Prices
	}
	if more.Unknown != "" && !strings.Contains(c.Unknown, more.Unknown) {
		c.Unknown = strings.TrimPrefix(c.Unknown+"; "+more.Unknown, "; ")
	}
}

// A Coster has machines that cost money.
type Coster interface {
	// Cost is what a job has cost so far, whoever asks, also after its end, until it is deleted. A client may ask every few
	// seconds. An unknown job is ErrNotExist.
	Cost(ctx context.Context, jobID string) (Cost, error)
	// Estimate is what so many machines, dedicated ones and spot, would cost for d, of the kind that a job with these Settings
	// would run on; with none of either, as many as there may be at most. Spent is that for d, Hour for an hour.
	Estimate(ctx context.Context, settings []string, dedicated, spot int, d time.Duration) (Cost, error)
}

// CostOf asks an engine what a job has cost so far; ok is false for an engine that is no [Coster].
func CostOf(ctx context.Context, e Engine, jobID string) (c Cost, ok bool, err error) {
	x, ok := e.(Coster)
	if !ok {
		return Cost{}, false, nil
	}
	c, err = x.Cost(ctx, jobID)
	return c, true, err
}

// Estimate asks an engine what machines would cost; ok is false for an engine that is no [Coster].
func Estimate(ctx context.Context, e Engine, settings []string, dedicated, spot int, d time.Duration) (c Cost, ok bool, err error) {
	if dedicated < 0 || spot < 0 || d < 0 {
		return Cost{}, false, errors.New("estimate: negative numbers")
	}
	x, ok := e.(Coster)
	if !ok {
		return Cost{}, false, nil
	}
	if c, err = x.Estimate(ctx, settings, dedicated, spot, d); err != nil {
		return c, true, fmt.Errorf("estimate: %w", err)
	}
	return c, true, nil
}
