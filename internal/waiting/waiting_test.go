package waiting_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterless-go/clusterless/internal/waiting"
)

// What passes soon is not told, the rest soon, and more and more rarely while it is the same.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		ctx, w := waiting.New(t.Context(), func(text string) { told = append(told, text) })
		if waiting.From(ctx) != w || waiting.From(t.Context()) != nil {
			t.Fatal("the context has another watch")
		}
		w.Failed("A", "refused", time.Now())
		time.Sleep(time.Second)
		w.Answered("A")
		if len(told) != 0 {
			t.Fatalf("a second was told: %q", told)
		}
		began := time.Now()
		for time.Since(began) < 20*time.Minute {
			w.Failed("A", "refused", time.Now())
			if time.Since(began) > 3*time.Second && w.Waits() != "A: refused" {
				t.Fatalf("after %v %q is waited for", time.Since(began), w.Waits())
			}
			time.Sleep(time.Second)
		}
		if len(told) != 5 { // after 2 s and then 1, 2, 4 and 8 minutes
			t.Fatalf("in 20 minutes it was told %d times", len(told))
		}
		w.Failed("B", "no answer", time.Now().Add(-3*time.Second))
		w.Answered("A")
		if w.Waits() != "B: no answer" {
			t.Fatalf("%q is waited for", w.Waits())
		}
		w.Answered("B")
		if last := told[len(told)-1]; last != "" || w.Waits() != "" {
			t.Fatalf("all answer: %q", last)
		}
	})
}
