//go:build !windows

package clusterless_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// The fault tests break things on purpose: what must hold is that every failure has a clear cause, that no result is
// lost or wrong, that nothing is committed twice, and that nothing hangs. This file has what they share.

// faultIn is the input of the functions of the fault tests.
type faultIn struct {
	I     int
	File  string        // where runs of the call are noted, one line each
	Sleep time.Duration // how long the call takes
	Bad   int           // the call that misbehaves
	How   string
	Bytes int
}

// faultCount notes that it was run, takes its time, and returns 3I+1.
var faultCount = clusterless.Define("fault.count", func(ctx context.Context, in faultIn) (int, error) {
	noteRun(ctx, in)
	time.Sleep(in.Sleep)
	return 3*in.I + 1, nil
})

func noteRun(ctx context.Context, in faultIn) {
	if in.File == "" {
		return
	}
	f, err := os.OpenFile(in.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	now, _ := clusterless.Current(ctx)
	if _, err := fmt.Fprintf(f, "%d %d %d %d\n", in.I, now.Attempt, os.Getpid(), time.Now().UnixNano()); err != nil {
		panic(err)
	}
}

// faultRun is one line that noteRun wrote.
type faultRun struct {
	call, attempt, pid int
	at                 time.Time
}

func runsIn(t testing.TB, file string) (all []faultRun) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r faultRun
		var at int64
		if _, err := fmt.Sscan(line, &r.call, &r.attempt, &r.pid, &at); err != nil {
			t.Fatalf("%s: line %q: %v", file, line, err)
		}
		r.at = time.Unix(0, at)
		all = append(all, r)
	}
	return all
}

// faultIns makes n inputs.
func faultIns(n int, with func(*faultIn)) []faultIn {
	ins := make([]faultIn, n)
	for i := range ins {
		ins[i].I, ins[i].Bad = i, -1
		if with != nil {
			with(&ins[i])
		}
	}
	return ins
}

// wantCount are the right results of n calls of faultCount.
func wantCount(n int) []int {
	want := make([]int, n)
	for i := range want {
		want[i] = 3*i + 1
	}
	return want
}

// faultCtx is a context that keeps a broken test from hanging for ever.
func faultCtx(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Second, errors.New("the test hangs"))
	t.Cleanup(cancel)
	return ctx
}

// faultEventually waits until ok holds.
func faultEventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// wantInError checks that an error says all of this.
func wantInError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	text := err.Error()
	if e := (*clusterless.TaskError)(nil); errors.As(err, &e) {
		text += "\n" + e.Detail()
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("error does not say %q: %.2000s", p, text)
		}
	}
}

// taskErr checks that an error is that of a failed call of a kind.
func taskErr(t testing.TB, err error, call int, kind error) *clusterless.TaskError {
	t.Helper()
	var e *clusterless.TaskError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v; want a *TaskError of kind %v", err, kind)
	}
	if e.Call != call {
		t.Errorf("error is of call %d, want %d: %v", e.Call, call, err)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("errors.Is(err, %q) is false: %v", kind, err)
	}
	if kind == nil && e.Kind != nil {
		t.Errorf("kind %v, want none: %v", e.Kind, err)
	}
	return e
}

// faultOutcomes waits for all calls of a job.
func faultOutcomes[Out any](t testing.TB, ctx context.Context, job *clusterless.Job[Out]) map[int]clusterless.Result[Out] {
	t.Helper()
	all := map[int]clusterless.Result[Out]{}
	for call, r := range job.Completed(ctx) {
		if old, ok := all[call]; ok {
			t.Errorf("call %d came twice: %+v and %+v", call, old, r)
		}
		all[call] = r
	}
	if ctx.Err() != nil {
		t.Fatalf("%v: %+v", context.Cause(ctx), job.Status())
	}
	return all
}

// onlyBad checks that of n calls of a function that returns 3I+1 just the bad ones failed.
func onlyBad(t testing.TB, all map[int]clusterless.Result[int], n int, bad ...int) {
	t.Helper()
	if len(all) != n {
		t.Errorf("%d calls ended, want %d", len(all), n)
	}
	shown := 0
	for call := range n {
		r := all[call]
		switch isBad := slices.Contains(bad, call); {
		case isBad && r.Err == nil:
			t.Errorf("call %d returned %d, want an error", call, r.Value)
		case !isBad && r.Err != nil:
			if shown++; shown <= 5 {
				t.Errorf("call %d failed, though nothing is wrong with it: %v", call, r.Err)
			}
		case !isBad && r.Value != 3*call+1:
			t.Errorf("call %d returned %d, want %d", call, r.Value, 3*call+1)
		}
	}
	if shown > 5 {
		t.Errorf("and %d more", shown-5)
	}
}

// A faultSettled is a commit as the store has it, for one call.
type faultSettled struct {
	task, seq, pid int
	ended          time.Time
	status         plan.Status
}

// commitsOf reads from the store which commits settled each call of a job.
func commitsOf(t testing.TB, dir, job string) map[int][]faultSettled {
	t.Helper()
	ctx := faultCtx(t)
	st, err := filestore.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ctx, st, job)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := map[int][]faultSettled{}
	for task := 0; ; task++ {
		if _, err := l.Span(ctx, task); err != nil {
			if !strings.Contains(err.Error(), "has no task") {
				t.Fatal(err)
			}
			return all
		}
		for seq := 0; ; seq++ {
			c, err := l.Commit(ctx, task, seq)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range c.Pack.Entries {
				o, err := c.Outcome(i)
				if err != nil {
					t.Fatal(err)
				}
				for call := e.First; call < e.First+e.N; call++ {
					all[call] = append(all[call], faultSettled{task, seq, c.PID, c.Ended, o.Status})
				}
			}
			c.Release()
		}
	}
}

// committedOnce checks that each of n calls was committed exactly once, and, if its runs are given, that none was made
// again after that.
func committedOnce(t testing.TB, dir, job string, n int, runs []faultRun) {
	t.Helper()
	all := commitsOf(t, dir, job)
	if len(all) != n {
		t.Errorf("the store has results of %d calls, want %d", len(all), n)
	}
	made := map[int]int{}
	again := 0
	for _, r := range runs {
		made[r.call]++
		// A commit names the time before it is written; give the writing a moment.
		for _, c := range all[r.call] {
			if r.at.After(c.ended.Add(200 * time.Millisecond)) {
				if again++; again <= 5 {
					t.Errorf("call %d was made again in attempt %d, %v after it had been committed (task %d, commit %d)", r.call, r.attempt, r.at.Sub(c.ended), c.task, c.seq)
				}
			}
		}
	}
	if again > 5 {
		t.Errorf("and %d more", again-5)
	}
	wrong := 0
	for call := range n {
		if c := all[call]; len(c) != 1 || runs != nil && made[call] == 0 {
			if wrong++; wrong <= 5 {
				t.Errorf("call %d was made %d times and committed %d times: %+v", call, made[call], len(c), c)
			}
		}
	}
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
}

// workersOf are the worker processes of a session's directory, whoever started them.
func workersOf(dir string) (pids []int) {
	mark := []byte("CLUSTERLESS_CACHE=" + filepath.Join(dir, "engine", "cache") + "\x00")
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && bytes.Contains(append(env, 0), mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// faultAlive reports whether there is a process of that number that has not ended.
func faultAlive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[bytes.LastIndexByte(b, ')')+1:])
	return !strings.HasPrefix(strings.TrimSpace(rest), "Z")
}

// A faultClient is what a client process is to do; TestFaultClient does it.
type faultClient struct {
	Do   string // map, attach, seq, cancel, delete
	Dir  string
	Job  string
	N    int
	File string // where calls note their runs
	Take time.Duration
	Out  string // where it writes its answer
	Opts faultClientOpts
}

type faultClientOpts struct{ Span, Retries int }

// A faultAnswer is what became of it.
type faultAnswer struct {
	Values []int
	Err    string
	Exists bool // errors.Is(err, ErrJobExists)
	NoJob  bool
	Cancel bool
	Cut    bool
}

// start starts a client process.
func (c faultClient) start(t testing.TB) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestFaultClient$", "-test.timeout=100s")
	cmd.Env = append(os.Environ(), "FAULT_CLIENT="+string(b))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() && out.Len() > 0 && c.Out != "" {
			t.Logf("client %s: %s", c.Do, out.String())
		}
	})
	return cmd
}

// wait returns its answer.
func (c faultClient) wait(t testing.TB, cmd *exec.Cmd) (a faultAnswer) {
	t.Helper()
	err := cmd.Wait()
	b, rerr := os.ReadFile(c.Out)
	if rerr != nil {
		t.Fatalf("client %s: no answer: %v (%v): %s", c.Do, rerr, err, cmd.Stdout)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestFaultClient is no test, but what client processes run.
func TestFaultClient(t *testing.T) {
	text := os.Getenv("FAULT_CLIENT")
	if text == "" {
		return
	}
	var c faultClient
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	var a faultAnswer
	err := c.do(faultCtx(t), &a)
	if err != nil {
		a.Err = err.Error()
	}
	a.Exists, a.NoJob, a.Cancel = errors.Is(err, clusterless.ErrJobExists), errors.Is(err, clusterless.ErrNoJob), errors.Is(err, clusterless.ErrCancelled)
	a.Cut = errors.Is(err, clusterless.ErrCut)
	b, _ := json.Marshal(a)
	if c.Out != "" {
		if err := os.WriteFile(c.Out+".tmp", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(c.Out+".tmp", c.Out); err != nil {
			t.Fatal(err)
		}
	}
}

func (c faultClient) do(ctx context.Context, a *faultAnswer) (err error) {
	s, err := clusterless.Open(ctx, clusterless.Dir(c.Dir), clusterless.Slots(2))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	opts := []clusterless.Option{clusterless.Name(c.Job), clusterless.Retries(20), clusterless.Backoff(time.Millisecond)}
	if c.Opts.Span > 0 {
		opts = append(opts, clusterless.Span(c.Opts.Span))
	}
	var job *clusterless.Job[int]
	switch c.Do {
	case "map":
		job, err = faultCount.On(s, opts...).Map(ctx, faultIns(c.N, func(in *faultIn) { in.File, in.Sleep = c.File, c.Take }))
	case "seq":
		job, err = faultCount.On(s, opts...).MapSeq(ctx, func(yield func(faultIn) bool) {
			for i := 0; c.N == 0 || i < c.N; i++ {
				if !yield(faultIn{I: i, File: c.File, Sleep: c.Take}) {
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	case "attach":
		job, err = clusterless.Attach[int](ctx, s, c.Job)
	case "cancel":
		if job, err = clusterless.Attach[int](ctx, s, c.Job); err == nil {
			return job.Cancel(ctx)
		}
	case "delete":
		return s.Delete(ctx, c.Job)
	default:
		err = fmt.Errorf("do %q?", c.Do)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	if a.Values, err = job.Results(ctx); ctx.Err() != nil {
		err = fmt.Errorf("hangs: %w; status %+v", err, job.Status())
	}
	return err
}

// faultKill ends a process of ours without warning.
func faultKill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	cmd.Wait()
}

// randomly is a random time up to d.
func randomly(d time.Duration) time.Duration { return rand.N(d) }
