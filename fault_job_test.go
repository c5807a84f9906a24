//go:build !windows

package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// Of clients that make jobs of one name at the same time exactly one wins; the others are told, and can attach.
func TestFaultSameName(t *testing.T) {
	t.Parallel()
	dir, tmp := t.TempDir(), t.TempDir()
	const n = 50
	var cs []faultClient
	for i := range 4 {
		cs = append(cs, faultClient{Do: "map", Dir: dir, Job: "job", N: n, File: filepath.Join(tmp, fmt.Sprint("runs", i)), Take: time.Millisecond, Out: filepath.Join(tmp, fmt.Sprint("out", i))})
	}
	var started sync.WaitGroup
	ans := make([]faultAnswer, len(cs))
	for i, c := range cs {
		cmd := c.start(t)
		started.Go(func() { ans[i] = c.wait(t, cmd) })
	}
	started.Wait()
	winner := -1
	for i, a := range ans {
		switch {
		case a.Err == "" && slices.Equal(a.Values, wantCount(n)):
			if winner >= 0 {
				t.Errorf("clients %d and %d both made the job", winner, i)
			}
			winner = i
		case !a.Exists:
			t.Errorf("client %d: %d results, error %q; want ErrJobExists", i, len(a.Values), a.Err)
		default:
			for _, want := range []string{"job job", "attach", "delete", "another name"} {
				if !strings.Contains(a.Err, want) {
					t.Errorf("the error does not say %q: %s", want, a.Err)
				}
			}
		}
	}
	if winner < 0 {
		t.Fatal("nobody made the job")
	}
	for i := range cs {
		runs := runsIn(t, cs[i].File)
		if i == winner {
			committedOnce(t, dir, "job", n, runs)
		} else if len(runs) > 0 {
			t.Errorf("client %d lost, but made %d calls", i, len(runs))
		}
	}

	// The same in one process, many at once.
	s := openIn(t, dir)
	ctx := faultCtx(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 20 {
		wg.Go(func() {
			job, err := faultCount.On(s, clusterless.Name("two")).Map(ctx, faultIns(3, nil))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if !errors.Is(err, clusterless.ErrJobExists) {
					t.Errorf("%d: got %v, want ErrJobExists", i, err)
				}
				return
			}
			won++
			if v, err := job.Results(ctx); err != nil || !slices.Equal(v, wantCount(3)) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d submits won, want 1", won)
	}
	if err := s.Delete(ctx, "two"); err != nil {
		t.Fatal(err)
	}
	if v, err := faultCount.On(s, clusterless.Name("two")).Call(ctx, faultIn{I: 5}); err != nil || v != 16 {
		t.Errorf("the name after Delete: %d, %v", v, err)
	}
}

func TestFaultNoJob(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	s := open(t)
	_, err := clusterless.Attach[int](ctx, s, "nobody")
	if !errors.Is(err, clusterless.ErrNoJob) {
		t.Errorf("got %v, want ErrNoJob", err)
	}
	wantInError(t, err, "nobody", "file://")
	if err := s.Delete(ctx, "nobody"); err != nil {
		t.Errorf("Delete of a job that is not there: %v", err)
	}
	job, err := faultCount.On(s, clusterless.Name("ints")).Map(ctx, faultIns(2, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Results(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = clusterless.Attach[string](ctx, s, "ints")
	wantInError(t, err, "ints", "of type int, not string")
}

// Another process cancels a job: its client hears of it, calls that run are killed, what was done stays.
func TestFaultCancelFromOutside(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir, tmp := t.TempDir(), t.TempDir()
	s := openIn(t, dir)
	file := filepath.Join(tmp, "runs")
	const n = 40
	job, err := faultCount.On(s, clusterless.Name("job"), clusterless.Span(1)).Map(ctx, faultIns(n, func(in *faultIn) {
		if in.File = file; in.I >= 4 {
			in.Sleep = time.Hour
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, err := job.Result(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	faultEventually(t, "two calls hang", func() bool { return len(runsIn(t, file)) == 6 })
	c := faultClient{Do: "cancel", Dir: dir, Job: "job", Out: filepath.Join(tmp, "out")}
	if a := c.wait(t, c.start(t)); a.Err != "" {
		t.Errorf("cancel: %s", a.Err)
	}
	all := faultOutcomes(t, ctx, job)
	for call := range n {
		r := all[call]
		if call < 4 && (r.Err != nil || r.Value != 3*call+1) {
			t.Errorf("call %d was done, and now is %d, %v", call, r.Value, r.Err)
		}
		if call >= 4 && !errors.Is(r.Err, clusterless.ErrCancelled) {
			t.Errorf("call %d: got %v, want ErrCancelled", call, r.Err)
		}
	}
	if _, err := job.Wait(ctx); !errors.Is(err, clusterless.ErrCancelled) {
		t.Errorf("Wait: got %v, want ErrCancelled", err)
	}
	if _, err := job.Results(ctx); !errors.Is(err, clusterless.ErrCancelled) {
		t.Errorf("Results: got %v, want ErrCancelled", err)
	}
	if got := len(runsIn(t, file)); got != 6 {
		t.Errorf("%d calls were begun, want 6", got)
	}
	// The slots are free again.
	if v, err := faultCount.On(s).Call(ctx, faultIn{I: 2}); err != nil || v != 7 {
		t.Errorf("another call: %d, %v", v, err)
	}
	// Who attaches later finds it cancelled.
	c.Do = "attach"
	if a := c.wait(t, c.start(t)); !a.Cancel {
		t.Errorf("attach to a cancelled job: %q, want ErrCancelled", a.Err)
	}
}

// A job is deleted while it runs, by its own session and from another process.
func TestFaultDeleteUnderWay(t *testing.T) {
	for _, outside := range []bool{false, true} {
		t.Run(fmt.Sprint(outside), func(t *testing.T) {
			t.Parallel()
			ctx := faultCtx(t)
			dir, tmp := t.TempDir(), t.TempDir()
			s := openIn(t, dir)
			job, err := faultCount.On(s, clusterless.Name("job"), clusterless.Span(1)).Map(ctx, faultIns(60, func(in *faultIn) { in.Sleep = 100 * time.Millisecond }))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := job.Result(ctx, 1); err != nil {
				t.Fatal(err)
			}
			waited := make(chan error, 1)
			go func() { _, err := job.Wait(ctx); waited <- err }()
			if outside {
				c := faultClient{Do: "delete", Dir: dir, Job: "job", Out: filepath.Join(tmp, "out")}
				if a := c.wait(t, c.start(t)); a.Err != "" {
					t.Errorf("delete: %s", a.Err)
				}
			} else if err := s.Delete(ctx, "job"); err != nil {
				t.Errorf("delete: %v", err)
			}
			if err := <-waited; err == nil || ctx.Err() != nil {
				t.Errorf("Wait on a deleted job: %v", err)
			}
			if _, err := job.Results(ctx); err == nil {
				t.Error("Results of a deleted job: no error")
			}
			faultEventually(t, "nothing is left of the job", func() bool {
				_, err := os.Stat(filepath.Dir(faultBlob(dir, "jobs/job/manifest")))
				left, _ := filepath.Glob(filepath.Join(dir, "engine", "jobs", "job*"))
				return errors.Is(err, fs.ErrNotExist) && len(left) == 0
			})
			time.Sleep(300 * time.Millisecond) // more than a call: nothing may come after
			if _, err := os.Stat(filepath.Dir(faultBlob(dir, "jobs/job/manifest"))); err == nil {
				t.Error("something was stored after the job had been deleted")
			}
			if _, err := clusterless.Attach[int](ctx, s, "job"); !errors.Is(err, clusterless.ErrNoJob) {
				t.Errorf("attach: got %v, want ErrNoJob", err)
			}
			if v, err := faultCount.On(s, clusterless.Name("job")).Map(ctx, faultIns(3, nil)); err != nil {
				t.Errorf("the name is not free: %v", err)
			} else if v, err := v.Results(ctx); err != nil || !slices.Equal(v, wantCount(3)) {
				t.Errorf("a new job of that name: %v, %v", v, err)
			}
		})
	}
}

// The session is closed while all kinds of things are under way.
func TestFaultSessionClosed(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir, tmp := t.TempDir(), t.TempDir()
	s := openIn(t, dir)
	file := filepath.Join(tmp, "runs")
	slow := func(in *faultIn) { in.File, in.Sleep = file, 50*time.Millisecond }
	named, err := faultCount.On(s, clusterless.Name("named"), clusterless.Span(1)).Map(ctx, faultIns(20, slow))
	if err != nil {
		t.Fatal(err)
	}
	temp, err := faultCount.On(s).Map(ctx, faultIns(200, func(in *faultIn) { in.Sleep = time.Second }))
	if err != nil {
		t.Fatal(err)
	}
	seq, err := faultCount.On(s, clusterless.Name("seq")).MapSeq(ctx, func(yield func(faultIn) bool) {
		for i := 0; yield(faultIn{I: i}); i++ {
			time.Sleep(time.Millisecond)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := named.Result(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := seq.Result(ctx, 0); err != nil {
		t.Fatal(err)
	}
	var waits sync.WaitGroup
	for name, wait := range map[string]func() error{
		"Results":        func() error { _, err := temp.Results(ctx); return err },
		"Wait":           func() error { _, err := temp.Wait(ctx); return err },
		"Result":         func() error { _, err := temp.Result(ctx, 198); return err },
		"Results of seq": func() error { _, err := seq.Results(ctx); return err },
		"Call":           func() error { _, err := faultCount.On(s).Call(ctx, faultIn{Sleep: time.Hour}); return err },
		"Get":            func() error { _, err := temp.Ref(199).Get(ctx); return err },
	} {
		waits.Go(func() {
			err := wait()
			if err == nil || ctx.Err() != nil {
				t.Errorf("%s over the end of the session: %v", name, err)
			} else if !strings.Contains(err.Error(), "session") || !strings.Contains(err.Error(), "closed") {
				t.Errorf("%s: the error does not say that the session was closed: %v", name, err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	var closes sync.WaitGroup
	for range 3 {
		closes.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	closes.Wait()
	waits.Wait()
	for name, use := range map[string]func() error{
		"Map":       func() error { _, err := faultCount.On(s).Map(ctx, faultIns(1, nil)); return err },
		"Call":      func() error { _, err := faultCount.On(s).Call(ctx, faultIn{}); return err },
		"Attach":    func() error { _, err := clusterless.Attach[int](ctx, s, "other"); return err },
		"Broadcast": func() error { _, err := clusterless.Broadcast(ctx, s, 1); return err },
		"Jobs":      func() error { _, err := s.Jobs(ctx, ""); return err },
		"Delete":    func() error { return s.Delete(ctx, "named") },
	} {
		if err := use(); err == nil || !strings.Contains(err.Error(), "the session was closed") {
			t.Errorf("%s on a closed session: %v", name, err)
		}
	}
	if left := workersOf(dir); len(left) != 0 {
		t.Errorf("workers %v are left", left)
	}
	// Named jobs are finished by whoever attaches; the other is gone.
	s = openIn(t, dir)
	if named, err = clusterless.Attach[int](ctx, s, "named"); err != nil {
		t.Fatal(err)
	}
	if v, err := named.Results(ctx); err != nil || !slices.Equal(v, wantCount(20)) {
		t.Errorf("the named job: %d results, %v", len(v), err)
	}
	committedOnce(t, dir, "named", 20, runsIn(t, file))
	if seq, err = clusterless.Attach[int](ctx, s, "seq"); err != nil {
		t.Fatal(err)
	}
	if v, err := seq.Results(ctx); !errors.Is(err, clusterless.ErrCut) || !slices.Equal(v, wantCount(len(v))) || len(v) == 0 {
		t.Errorf("the job with an iterator: %d results, %v; want some, and ErrCut", len(v), err)
	}
	if _, err := clusterless.Attach[int](ctx, s, temp.Name()); !errors.Is(err, clusterless.ErrNoJob) {
		t.Errorf("the temporary job: got %v, want ErrNoJob", err)
	}
}

// After Close nothing is left: no processes, goroutines, descriptors, or files of temporary jobs. Not parallel.
func TestFaultNoLeaks(t *testing.T) {
	ctx := faultCtx(t)
	dir := t.TempDir()
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	session := func(i int) {
		s, err := clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2), clusterless.Backoff(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		ref, err := clusterless.Broadcast(ctx, s, faultRamp(50_000, i))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := faultGate.On(s).Call(ctx, faultGated{X: []float64{1}, V: ref}); err != nil || v[0] != 2+float64(i) {
			t.Fatalf("%v, %v", v, err)
		}
		job, err := faultAct.On(s).Map(ctx, faultIns(30, func(in *faultIn) { in.Bad, in.How = 7, []string{"error", "panic", "exit 3", "kill 9"}[i%4] }))
		if err != nil {
			t.Fatal(err)
		}
		onlyBad(t, faultOutcomes(t, ctx, job), 30, 7)
		if _, err := faultBig.On(s).Map(ctx, [][]float64{faultRamp(200_000, 0), faultRamp(200_000, 0)}); err != nil {
			t.Fatal(err)
		}
		hang, err := faultCount.On(s).Map(ctx, faultIns(10, func(in *faultIn) { in.Sleep = time.Hour }))
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		hang.Results(short)
		cancel()
		if i%2 == 0 {
			if err := hang.Cancel(ctx); err != nil {
				t.Fatal(err)
			}
		}
		seq, err := square.On(s).MapSeq(ctx, slices.Values([]int{1, 2, 3}))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if v, err := seq.Results(ctx); err != nil || !slices.Equal(v, []int{1, 4, 9}) {
				t.Fatalf("%v, %v", v, err)
			}
		}
		if err := s.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left := workersOf(dir); len(left) != 0 {
			t.Fatalf("workers %v are left", left)
		}
	}
	session(0)
	goroutines, fds := runtime.NumGoroutine(), descriptors()
	for i := range 8 {
		session(i)
	}
	var stacks string
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines || descriptors() > fds; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b := make([]byte, 1<<20)
			stacks = string(b[:runtime.Stack(b, true)])
			t.Errorf("after 8 sessions %d goroutines and %d descriptors, before %d and %d:\n%s", runtime.NumGoroutine(), descriptors(), goroutines, fds, stacks)
			break
		}
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(rel, "engine/cache/") || rel == "engine/owners/takeover" {
			return nil
		}
		t.Errorf("a file is left: %s", rel)
		return nil
	})
	for _, sub := range []string{"scratch", "logs", "jobs"} {
		if left, _ := os.ReadDir(filepath.Join(dir, "engine", sub)); len(left) != 0 {
			t.Errorf("engine/%s has %d entries", sub, len(left))
		}
	}
}
