package clock_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/clock"
)

func TestThingsHappenInTheirOrderAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		c := clock.New(base, 60)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Run(ctx)
		}()
		var got []string
		var stopped *clock.Timer
		c.After(3*time.Minute, func() { got = append(got, "third") })
		stopped = c.After(2*time.Minute, func() { got = append(got, "stopped") })
		c.After(time.Minute, func() {
			got = append(got, "first")
			if !stopped.Stop() {
				t.Error("a timer to come was not stopped")
			}
			c.After(0, func() { got = append(got, "second") })
		})
		c.At(base.Add(-time.Hour), func() { got = append(got, "past") })
		began := time.Now()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if want := []string{"past", "first", "second", "third"}; !slices.Equal(got, want) {
			t.Errorf("%q happened, want %q", got, want)
		}
		if shown := c.Now().Sub(base); shown != 4*time.Minute {
			t.Errorf("after %v the clock shows %v, want 4m", time.Since(began), shown)
		}
		if stopped.Stop() {
			t.Error("a timer was stopped twice")
		}
		cancel()
		<-done
		c.After(0, func() { t.Error("something happened after the end") })
		time.Sleep(time.Second)
	})
}
