//go:build !windows

package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// Workers are killed at random moments, also while they start and while they commit. All results are right, each
// call is committed exactly once, and none is made again once it is committed.
func TestFaultWorkersKilled(t *testing.T) {
	for name, o := range map[string]struct {
		n    int
		take time.Duration
		opts []clusterless.Option
	}{
		"small calls":  {6000, 100 * time.Microsecond, nil},
		"middle calls": {400, 4 * time.Millisecond, []clusterless.Option{clusterless.Span(25)}},
		"isolated":     {200, 5 * time.Millisecond, []clusterless.Option{clusterless.Isolated(true), clusterless.Span(20)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := faultCtx(t)
			dir := t.TempDir()
			s := openIn(t, dir)
			file := filepath.Join(t.TempDir(), "runs")
			stop := make(chan struct{})
			killed := 0
			var killer sync.WaitGroup
			enough := time.After(30 * time.Second) // on a machine so busy that workers are killed before they have started
			killer.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-enough:
						return
					case <-time.After(rand.N(60 * time.Millisecond)):
					}
					if pids := workersOf(dir); len(pids) > 0 && killed < 60 {
						if syscall.Kill(pids[rand.N(len(pids))], syscall.SIGKILL) == nil {
							killed++
						}
					}
				}
			})
			job, err := faultCount.On(s, append(o.opts, clusterless.Retries(50), clusterless.Backoff(0))...).Map(ctx, faultIns(o.n, func(in *faultIn) {
				in.File, in.Sleep = file, o.take
			}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := job.Results(ctx)
			close(stop)
			killer.Wait()
			if err != nil || !slices.Equal(got, wantCount(o.n)) {
				t.Errorf("%d results, %v", len(got), err)
			}
			if killed < 3 {
				t.Errorf("only %d workers were killed: the test is too short", killed)
			}
			runs := runsIn(t, file)
			t.Logf("%d workers killed, %d calls were begun %d times", killed, o.n, len(runs))
			committedOnce(t, dir, job.Name(), o.n, runs)
		})
	}
}

// With Retries(0) a call is never begun twice: those that a killed worker was making fail, with the cause, and no
// others.
func TestFaultWorkersKilledNoRetries(t *testing.T) {
	t.Parallel()
	const n = 150
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	file := filepath.Join(t.TempDir(), "runs")
	job, err := faultCount.On(s, clusterless.Retries(0), clusterless.Span(10)).Map(ctx, faultIns(n, func(in *faultIn) { in.File, in.Sleep = file, 8*time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for !job.Status().Over && kills < 6 {
		time.Sleep(randomly(150 * time.Millisecond))
		done := map[int]bool{}
		for _, r := range runsIn(t, file) {
			done[r.pid] = true
		}
		for _, pid := range workersOf(dir) { // one that has greeted: else the job is told that workers do not start
			if done[pid] && syscall.Kill(pid, syscall.SIGKILL) == nil {
				kills++
				break
			}
		}
	}
	all := faultOutcomes(t, ctx, job)
	failed := 0
	for call := range n {
		r, ok := all[call]
		switch {
		case !ok:
			t.Errorf("call %d has no outcome", call)
		case r.Err != nil:
			failed++
			e := taskErr(t, r.Err, call, clusterless.ErrCrashed)
			if e.Signal != "SIGKILL" {
				t.Errorf("signal %q, want SIGKILL: %v", e.Signal, e)
			}
		case r.Value != 3*call+1:
			t.Errorf("call %d returned %d", call, r.Value)
		}
	}
	if failed > kills {
		t.Errorf("%d calls failed, though %d workers were killed", failed, kills)
	}
	made := map[int]int{}
	for _, r := range runsIn(t, file) {
		if made[r.call]++; made[r.call] > 1 {
			t.Errorf("call %d was begun %d times", r.call, made[r.call])
		}
	}
	committed := commitsOf(t, dir, job.Name())
	for call := range n {
		if len(committed[call]) != 1 {
			t.Errorf("call %d was committed %d times", call, len(committed[call]))
		}
	}
}

// Clients are killed at random moments, from the first to the last, and others attach, also while the first lives on.
// In the end every result is right and committed once, and no worker is left.
func TestFaultClientsKilled(t *testing.T) {
	const chains, n = 10, 600
	for chain := range chains {
		t.Run(fmt.Sprint(chain), func(t *testing.T) {
			if chain%2 == 0 {
				t.Parallel()
			}
			dir, tmp := t.TempDir(), t.TempDir()
			c := faultClient{Do: "map", Dir: dir, Job: "job", N: n, File: filepath.Join(tmp, "runs"), Take: time.Millisecond, Out: filepath.Join(tmp, "out")}
			if chain%3 == 1 {
				c.Opts.Span = 7
			}
			for kills := 0; kills < 5; kills++ {
				cmd := c.start(t)
				if kills > 0 || chain > 2 { // else maybe while it starts
					before := len(runsIn(t, c.File))
					faultEventually(t, "a call was made, or all is done", func() bool {
						_, err := os.Stat(c.Out)
						return err == nil || len(runsIn(t, c.File)) > before
					})
				}
				time.Sleep(randomly(300 * time.Millisecond))
				faultKill(t, cmd)
				if _, err := os.Stat(c.Out); err == nil {
					break // it was done before
				}
				if chain%2 == 1 {
					faultEventually(t, "the workers of the dead client are gone", func() bool { return len(workersOf(dir)) == 0 })
				}
				if _, err := os.Stat(faultBlob(dir, "jobs/job/manifest")); err == nil {
					c.Do = "attach"
				}
			}
			os.Remove(c.Out)
			cmd := c.start(t)
			a := c.wait(t, cmd)
			if a.Cut && slices.Equal(a.Values, wantCount(len(a.Values))) {
				t.Logf("cut off after %d inputs", len(a.Values)) // the first client was killed before Map returned
				committedOnce(t, dir, "job", len(a.Values), runsIn(t, c.File))
				return
			}
			if a.Err != "" || !slices.Equal(a.Values, wantCount(n)) {
				t.Errorf("%s: %d results, error %s", c.Do, len(a.Values), a.Err)
			}
			faultEventually(t, "no worker is left", func() bool { return len(workersOf(dir)) == 0 })
			committedOnce(t, dir, "job", n, runsIn(t, c.File))
		})
	}
}

// Two clients attach to a job that a third made; they are killed one after the other, at random, and replaced.
func TestFaultClientsTogether(t *testing.T) {
	t.Parallel()
	for round := range 3 {
		const n = 800
		dir, tmp := t.TempDir(), t.TempDir()
		c := faultClient{Do: "map", Dir: dir, Job: "job", N: n, File: filepath.Join(tmp, "runs"), Take: time.Millisecond, Out: filepath.Join(tmp, "out0")}
		first := c.start(t)
		faultEventually(t, "the job is there, with its inputs", func() bool {
			records, _ := filepath.Glob(faultBlob(dir, "jobs/job/plan/*"))
			return len(records) > 0
		})
		a, b := c, c
		a.Do, a.Out, b.Do, b.Out = "attach", filepath.Join(tmp, "out1"), "attach", filepath.Join(tmp, "out2")
		second, third := a.start(t), b.start(t)
		time.Sleep(randomly(400 * time.Millisecond))
		if round != 2 {
			faultKill(t, first)
			time.Sleep(randomly(200 * time.Millisecond))
		}
		if round != 1 {
			faultKill(t, second)
		}
		ans := []faultAnswer{b.wait(t, third)}
		if round == 1 {
			ans = append(ans, a.wait(t, second))
		}
		if round == 2 {
			ans = append(ans, c.wait(t, first))
		}
		for i, x := range ans {
			if x.Err != "" || !slices.Equal(x.Values, wantCount(n)) {
				t.Errorf("round %d, client %d: %d results, error %s", round, i, len(x.Values), x.Err)
			}
		}
		faultEventually(t, "no worker is left", func() bool { return len(workersOf(dir)) == 0 })
		committedOnce(t, dir, "job", n, runsIn(t, c.File))
	}
}

// With Retries(0) the calls that were under way when their client went fail, since nobody knows how far they came; all
// others are made by whoever attaches, and none is begun twice.
func TestFaultClientGoneNoRetries(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	file := filepath.Join(t.TempDir(), "runs")
	const n = 30
	job, err := faultCount.On(s, clusterless.Name("job"), clusterless.Retries(0), clusterless.Span(1)).Map(ctx, faultIns(n, func(in *faultIn) {
		in.File, in.Sleep = file, 50*time.Millisecond
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Result(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun, done := map[int]bool{}, commitsOf(t, dir, "job")
	for _, r := range runsIn(t, file) {
		begun[r.call] = true
	}
	s = openIn(t, dir)
	if job, err = clusterless.Attach[int](ctx, s, "job"); err != nil {
		t.Fatal(err)
	}
	for call, r := range faultOutcomes(t, ctx, job) {
		switch {
		case begun[call] && len(done[call]) == 0:
			if r.Err == nil {
				t.Errorf("call %d was under way, and now has the result %d", call, r.Value)
			} else {
				wantInError(t, taskErr(t, r.Err, call, clusterless.ErrCrashed), "gone")
			}
		case r.Err != nil:
			t.Errorf("call %d (begun before: %v, done before: %v) failed: %v", call, begun[call], len(done[call]) > 0, r.Err)
		case r.Value != 3*call+1:
			t.Errorf("call %d returned %d", call, r.Value)
		}
	}
	made := map[int]int{}
	for _, r := range runsIn(t, file) {
		if made[r.call]++; made[r.call] > 1 {
			t.Errorf("call %d was begun %d times", r.call, made[r.call])
		}
	}
}

// Several sessions share a job, and all plan on: no call gets into two tasks.
func TestFaultSessionsTogether(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	for round := range 4 {
		const n = 1500
		dir, file := t.TempDir(), filepath.Join(t.TempDir(), "runs")
		s := openIn(t, dir)
		job, err := faultCount.On(s, clusterless.Name("job"), clusterless.Retries(20), clusterless.Backoff(time.Millisecond)).Map(ctx, faultIns(n, func(in *faultIn) {
			in.File, in.Sleep = file, 200*time.Microsecond
		}))
		if err != nil {
			t.Fatal(err)
		}
		jobs := []*clusterless.Job[int]{job}
		for range 3 {
			other := openIn(t, dir)
			if job, err = clusterless.Attach[int](ctx, other, "job"); err != nil {
				t.Fatal(err)
			}
			jobs = append(jobs, job)
		}
		if round%2 == 1 { // and the first goes
			time.Sleep(randomly(200 * time.Millisecond))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			jobs = jobs[1:]
		}
		for i, job := range jobs {
			if v, err := job.Results(ctx); err != nil || !slices.Equal(v, wantCount(n)) {
				t.Errorf("round %d, session %d: %d results, %v", round, i, len(v), err)
			}
		}
		committedOnce(t, dir, "job", n, runsIn(t, file))
	}
}

// A client dies while it sends inputs from an iterator: what it sent is made by whoever attaches, who is told that it
// is not all.
func TestFaultClientCut(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		ctx := faultCtx(t)
		dir, tmp := t.TempDir(), t.TempDir()
		c := faultClient{Do: "seq", Dir: dir, Job: "job", File: filepath.Join(tmp, "runs"), Take: time.Millisecond}
		cmd := c.start(t)
		faultEventually(t, "a few calls were made", func() bool { return len(runsIn(t, c.File)) > 10 })
		time.Sleep(randomly(100 * time.Millisecond))
		faultKill(t, cmd)
		before := 0
		for _, r := range runsIn(t, c.File) {
			before = max(before, r.call+1)
		}
		s := openIn(t, dir)
		job, err := clusterless.Attach[int](ctx, s, "job")
		if err != nil {
			t.Fatal(err)
		}
		all := faultOutcomes(t, ctx, job)
		n := len(all)
		onlyBad(t, all, n)
		if n < before {
			t.Errorf("round %d: %d calls, though %d had been made", round, n, before)
		}
		values, err := job.Results(ctx)
		if !errors.Is(err, clusterless.ErrCut) {
			t.Errorf("round %d: Results: got %v, want ErrCut", round, err)
		}
		if !slices.Equal(values, wantCount(n)) {
			t.Errorf("round %d: Results has %d values with ErrCut, want the %d that are there", round, len(values), n)
		}
		failed, err := job.Wait(ctx)
		if !errors.Is(err, clusterless.ErrCut) || len(failed) > 0 {
			t.Errorf("round %d: Wait: %v, %v; want ErrCut", round, failed, err)
		}
		wantInError(t, err, "job", fmt.Sprintf("%d calls", n))
		if st := job.Status(); st.Total != n || st.Done != n || !st.Over {
			t.Errorf("round %d: status %+v, want %d calls, over", round, st, n)
		}
		committedOnce(t, dir, "job", n, runsIn(t, c.File))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// Who comes later is told too.
		s = openIn(t, dir)
		if job, err = clusterless.Attach[int](ctx, s, "job"); err != nil {
			t.Fatal(err)
		}
		if v, err := job.Results(ctx); !errors.Is(err, clusterless.ErrCut) || len(v) != n {
			t.Errorf("round %d: attached again: %d results, %v; want %d, ErrCut", round, len(v), err, n)
		}
	}
}

// An attached client must not cut off a job whose own client lives on and goes on sending.
func TestFaultAttachWhileSending(t *testing.T) {
	t.Parallel()
	dir, tmp := t.TempDir(), t.TempDir()
	const n = 300
	c := faultClient{Do: "seq", Dir: dir, Job: "job", N: n, File: filepath.Join(tmp, "runs"), Out: filepath.Join(tmp, "out")}
	first := c.start(t)
	faultEventually(t, "a few calls were made", func() bool { return len(runsIn(t, c.File)) > 10 })
	b := c
	b.Do, b.Out = "attach", filepath.Join(tmp, "out2")
	second := b.start(t)
	ab, aa := b.wait(t, second), c.wait(t, first)
	if aa.Err != "" || !slices.Equal(aa.Values, wantCount(n)) {
		t.Errorf("the client that sends: %d results, error %s", len(aa.Values), aa.Err)
	}
	if ab.Err != "" || !slices.Equal(ab.Values, wantCount(n)) {
		t.Errorf("the client that attached: %d results, error %s", len(ab.Values), ab.Err)
	}
	committedOnce(t, dir, "job", n, runsIn(t, c.File))
}

// recorder notes the keys that a client stores, in order.
type recorder struct {
	*filestore.Store
	mu   sync.Mutex
	keys []string
}

func (r *recorder) Put(ctx context.Context, key string, src io.Reader) error {
	err := r.Store.Put(ctx, key, src)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.keys = append(r.keys, key)
	}
	return err
}

// A client dies between any two of the things it stores for a job. Whoever attaches makes what was sent: all, or a
// beginning of it with ErrCut.
func TestFaultClientDiesBetweenPuts(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	st, err := filestore.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{Store: st}
	s := openIn(t, dir, clusterless.WithStore(rec))
	for name, n := range map[string]int{"inline": 40, "parts": 600, "calls": 70_000} {
		var job *clusterless.Job[int]
		if name == "calls" {
			job, err = square.On(s, clusterless.Name(name)).Map(ctx, faultRampInt(n))
		} else {
			job, err = faultCount.On(s, clusterless.Name(name)).Map(ctx, faultIns(n, func(in *faultIn) { in.How = strings.Repeat("x", 200) }))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := job.Results(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"inline": 40, "parts": 600, "calls": 70_000} {
		var keys []string
		for _, k := range rec.keys {
			if strings.HasPrefix(k, "jobs/"+name+"/") {
				keys = append(keys, k)
			}
		}
		if len(keys) < 2 || keys[0] != "jobs/"+name+"/manifest" {
			t.Fatalf("%s: the client stored %q", name, keys)
		}
		last := -1
		for k := 1; k <= min(len(keys), 12); k++ {
			at := t.TempDir()
			for _, key := range keys[:k] {
				b, err := os.ReadFile(faultBlob(dir, key))
				if err != nil {
					t.Fatal(err)
				}
				file := faultBlob(at, key)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, b, 0o400); err != nil {
					t.Fatal(err)
				}
			}
			what := fmt.Sprintf("%s, dead after storing %s", name, keys[k-1])
			s := openIn(t, at)
			job, err := clusterless.Attach[int](ctx, s, name)
			if err != nil {
				t.Errorf("%s: attach: %v", what, err)
				continue
			}
			v, err := job.Results(ctx)
			want := wantCount(len(v))
			if name == "calls" {
				for i := range want {
					want[i] = i * i
				}
			}
			if !slices.Equal(v, want) {
				t.Errorf("%s: wrong results", what)
			}
			switch {
			case len(v) == n && err == nil:
			case len(v) <= n && errors.Is(err, clusterless.ErrCut):
			default:
				t.Errorf("%s: %d of %d results, %v; want all, or some with ErrCut", what, len(v), n, err)
			}
			if len(v) < last {
				t.Errorf("%s: %d results, though before that there were %d", what, len(v), last)
			}
			last = len(v)
			committedOnce(t, at, name, len(v), nil)
			s.Close()
		}
		if last != n {
			t.Errorf("%s: with all that was stored %d of %d results", name, last, n)
		}
	}
}

func faultRampInt(n int) []int {
	x := make([]int, n)
	for i := range x {
		x[i] = i
	}
	return x
}
