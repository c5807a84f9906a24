package clusterless_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// A job that is removed while its inputs are being sent leaves nothing behind: what was about to be stored is not stored any more.
func TestDeleteWhileSending(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := openIn(t, dir, clusterless.Slots(1))
	for range 40 {
		ended := make(chan struct{})
		sent := make(chan struct{}, 1)
		job, err := square.On(s, clusterless.Name("sending")).MapSeq(ctx, func(yield func(int) bool) {
			defer close(ended)
			for i := range 200_000 {
				if i > 20_000 && i%1000 == 0 {
					runtime.Gosched()
				}
				if i == 30_000 {
					sent <- struct{}{}
				}
				if !yield(i) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-sent:
		case <-ended:
		}
		if err := job.Delete(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("the iterator goes on")
		}
		left, err := os.ReadDir(filepath.Join(dir, "store", "jobs,", "sending,"))
		if err == nil && len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
}
