package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

func TestCostText(t *testing.T) {
	for usd, want := range map[float64]string{0: "0.00 USD", 12.345: "12.35 USD", 0.0123456: "0.0123 USD", 1: "1.00 USD", 1234.5: "1234.50 USD"} {
		if got := engine.Dollars(usd); got != want {
			t.Errorf("%v: %q, want %q", usd, got, want)
		}
	}
	for want, c := range map[string]engine.Cost{
		"1.20 USD":                            {Spent: 1.2},
		"1.20 USD, 0.46 USD an hour":          {Spent: 1.2, Hour: 0.46},
		"0.00 USD, 0.46 USD an hour":          {Hour: 0.46},
		"cost not known":                      {Unknown: "moon", NodeTime: time.Hour},
		"2.00 USD and more, 1.00 USD an hour": {Spent: 2, Hour: 1, Unknown: "moon"},
	} {
		if got := c.String(); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

func TestCostAdd(t *testing.T) {
	early, late := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	c := engine.Cost{}
	c.Add(engine.Cost{Spent: 1, Hour: 2, NodeTime: time.Hour, Prices: late})
	c.Add(engine.Cost{Spent: 1, Hour: 2, NodeTime: time.Hour, Prices: early, Unknown: "a"})
	c.Add(engine.Cost{Unknown: "a"})
	c.Add(engine.Cost{Unknown: "b"})
	if want := (engine.Cost{Spent: 2, Hour: 4, NodeTime: 2 * time.Hour, Prices: early, Unknown: "a; b"}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	if strings.Count(c.Unknown, "a") != 1 {
		t.Errorf("%q says the same twice", c.Unknown)
	}
}
