//go:build !windows

package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// errFault is found again on the client.
var errFault = errors.New("fault on purpose")

// faultAct misbehaves in the way the input says, if the call is the bad one; else it returns 3I+1.
var faultAct = clusterless.Define("fault.act", func(ctx context.Context, in faultIn) (int, error) {
	noteRun(ctx, in)
	if in.I != in.Bad {
		time.Sleep(in.Sleep)
		return 3*in.I + 1, nil
	}
	how, arg, _ := strings.Cut(in.How, " ")
	n, _ := strconv.Atoi(arg)
	task, _ := clusterless.Current(ctx)
	switch how {
	case "error":
		return 0, fmt.Errorf("call %d: %w", in.I, errFault)
	case "panic":
		panic(fmt.Errorf("panic of call %d: %w", in.I, errFault))
	case "nil": // a memory fault that Go turns into a panic
		var p *faultIn
		return p.I, nil
	case "nil-error": // which is an error that is not nil, and cannot be read
		var err *fs.PathError
		return 0, err
	case "astray": // and gone: calls after this one start where calls start all the same
		dir, err := os.Getwd()
		if err != nil {
			return 0, err
		}
		away, err := os.MkdirTemp(dir, "away")
		if err != nil {
			return 0, err
		}
		syscall.Umask(0o777)
		return 0, errors.Join(os.Chdir(away), os.Remove(away), errFault)
	case "goroutine":
		go faultPanicInGoroutine()
		select {}
	case "goexit":
		runtime.Goexit()
	case "exit":
		fmt.Println("goodbye with", n)
		os.Exit(n)
	case "hang":
		faultHang()
	case "wait":
		<-ctx.Done()
		return 0, context.Cause(ctx)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.Signal(n))
		select {}
	case "segv":
		b, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return 0, err
		}
		return int(b[n]), nil
	case "memory":
		hold := make([][]byte, 0, 64)
		for range 64 {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hold = append(hold, b)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(30 * time.Second)
		runtime.KeepAlive(hold)
	case "lost": // its process is lost in the first n attempts
		if task.Attempt <= n {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	case "flaky": // an error in the first n tries
		if task.Try <= n {
			return 0, fmt.Errorf("try %d: %w", task.Try, errFault)
		}
	case "flaky-panic":
		if task.Try <= n {
			panic(fmt.Sprintf("try %d", task.Try))
		}
	case "flaky-exit":
		if task.Attempt <= n {
			os.Exit(9)
		}
	case "flaky-hang":
		if task.Attempt <= n {
			faultHang()
		}
	default:
		return 0, fmt.Errorf("how %q?", in.How)
	}
	return 3*in.I + 1, nil
})

//go:noinline
func faultPanicInGoroutine() { panic("panic in a goroutine of its own") }

//go:noinline
func faultHang() { select {} }

// faultMap makes a map of n calls of which the bad one misbehaves.
func faultMap(t *testing.T, s *clusterless.Session, n, bad int, how string, opts ...clusterless.Option) map[int]clusterless.Result[int] {
	t.Helper()
	ctx := faultCtx(t)
	job, err := faultAct.On(s, append([]clusterless.Option{clusterless.Backoff(time.Millisecond)}, opts...)...).Map(ctx, faultIns(n, func(in *faultIn) { in.Bad, in.How = bad, how }))
	if err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	failed, err := job.Wait(ctx)
	if err != nil {
		t.Errorf("wait: %v", err)
	}
	var want []int
	for call, r := range all {
		if r.Err != nil {
			want = append(want, call)
		}
	}
	if len(want) != len(failed) {
		t.Errorf("Wait says that calls %v failed, Completed %v", failed, want)
	}
	return all
}

func TestFaultErrorAndPanic(t *testing.T) {
	t.Parallel()
	s := open(t)
	all := faultMap(t, s, 40, 17, "error")
	onlyBad(t, all, 40, 17)
	taskErr(t, all[17].Err, 17, nil)
	if !errors.Is(all[17].Err, errFault) {
		t.Errorf("errors.Is does not find the error that the function returned: %v", all[17].Err)
	}

	all = faultMap(t, s, 40, 17, "panic")
	onlyBad(t, all, 40, 17)
	e := taskErr(t, all[17].Err, 17, clusterless.ErrPanic)
	if !errors.Is(e, errFault) || e.Panic != "panic of call 17: fault on purpose" || !strings.Contains(e.Stack, "fault_call_test.go") {
		t.Errorf("got panic %q (errors.Is %v), stack %s", e.Panic, errors.Is(e, errFault), e.Stack)
	}

	all = faultMap(t, s, 40, 17, "nil")
	onlyBad(t, all, 40, 17)
	e = taskErr(t, all[17].Err, 17, clusterless.ErrPanic)
	if !strings.Contains(e.Panic, "nil pointer dereference") || !strings.Contains(e.Stack, "fault_call_test.go") {
		t.Errorf("got panic %q, stack %s", e.Panic, e.Stack)
	}

	all = faultMap(t, s, 40, 17, "nil-error")
	onlyBad(t, all, 40, 17)
	taskErr(t, all[17].Err, 17, nil)
	wantInError(t, all[17].Err, "nil *fs.PathError")

	all = faultMap(t, s, 40, 17, "goexit")
	onlyBad(t, all, 40, 17)
	taskErr(t, all[17].Err, 17, nil)
	wantInError(t, all[17].Err, "runtime.Goexit")
}

var faultWhere = clusterless.Define("fault.where", func(context.Context, int) (string, error) {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	dir, err := os.Getwd()
	return fmt.Sprintf("%s %o", dir, mask), err
})

// A call starts in the worker's directory and with its umask, wherever one before it has gone.
func TestFaultAstray(t *testing.T) {
	t.Parallel()
	s := open(t, clusterless.Slots(1))
	faultMap(t, s, 3, 1, "astray")
	job, err := faultWhere.On(s).Map(faultCtx(t), []int{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	all, err := job.Results(faultCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	for i, dir := range all {
		if !strings.HasSuffix(dir, fmt.Sprintf(" %o", mask)) {
			t.Errorf("call %d is in %q, want umask %o", i, dir, mask)
		}
		if dir != all[0] || !filepath.IsAbs(dir) || strings.Contains(dir, "away") {
			t.Errorf("call %d is in %q, call 0 in %q", i, dir, all[0])
		}
	}
}

func TestFaultPanicInGoroutine(t *testing.T) {
	t.Parallel()
	all := faultMap(t, open(t), 40, 17, "goroutine")
	onlyBad(t, all, 40, 17)
	e := taskErr(t, all[17].Err, 17, clusterless.ErrCrashed)
	if e.ExitCode != 2 {
		t.Errorf("exit code %d, want 2", e.ExitCode)
	}
	wantInError(t, e, "goroutine of its own")
	if !strings.Contains(e.Log, "panic in a goroutine of its own") || !strings.Contains(e.Log, "faultPanicInGoroutine") {
		t.Errorf("its log does not show the panic and its stack: %q", e.Log)
	}
}

// A call that ends its process fails by itself, whatever the exit code: also those with a meaning between worker and
// engine.
func TestFaultExit(t *testing.T) {
	for _, code := range []int{0, 3, 70, 75, 76, 78} {
		for _, opts := range [][]clusterless.Option{nil, {clusterless.Retries(0)}, {clusterless.Isolated(true)}} {
			t.Run(fmt.Sprintf("%d/%d", code, len(opts)), func(t *testing.T) {
				t.Parallel()
				all := faultMap(t, open(t), 24, 11, fmt.Sprintf("exit %d", code), opts...)
				onlyBad(t, all, 24, 11)
				e := taskErr(t, all[11].Err, 11, clusterless.ErrCrashed)
				if e.ExitCode != code {
					t.Errorf("exit code %d, want %d", e.ExitCode, code)
				}
				wantInError(t, e, fmt.Sprintf("exit code %d", code), "os.Exit")
				if want := fmt.Sprintf("goodbye with %d", code); !strings.Contains(e.Log, want) {
					t.Errorf("log %q, want %q in it", e.Log, want)
				}
			})
		}
	}
}

// Two calls deadlock; the context is ignored. All others are made, and the stacks say where it hung.
func TestFaultDeadlock(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	job, err := faultAct.On(s, clusterless.Timeout(300*time.Millisecond)).Map(ctx, faultIns(30, func(in *faultIn) {
		in.How = "hang"
		if in.I == 7 || in.I == 20 {
			in.Bad = in.I
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	onlyBad(t, all, 30, 7, 20)
	for _, call := range []int{7, 20} {
		e := taskErr(t, all[call].Err, call, clusterless.ErrTimeout)
		wantInError(t, e, "300ms", "did not stop")
		if !strings.Contains(e.Stack, "faultHang") {
			t.Errorf("the stacks do not show where call %d hung:\n%s", call, e.Stack)
		}
	}
	if n := commitsOf(t, dir, job.Name()); len(n[7]) != 1 || len(n[20]) != 1 {
		t.Errorf("commits of calls 7 and 20: %v, %v; want one each", n[7], n[20])
	}
}

// A call that heeds its context ends in time, and its process goes on.
func TestFaultTimeout(t *testing.T) {
	t.Parallel()
	all := faultMap(t, open(t), 20, 7, "wait", clusterless.Timeout(200*time.Millisecond))
	onlyBad(t, all, 20, 7)
	e := taskErr(t, all[7].Err, 7, clusterless.ErrTimeout)
	wantInError(t, e, "200ms")
}

// The time that a caller has ends the waiting, not the job.
func TestFaultCallerTimesOut(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	s := open(t)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	job, err := faultCount.On(s).Map(ctx, faultIns(4, func(in *faultIn) { in.Sleep = 400 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Results(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Results: got %v, want context.DeadlineExceeded", err)
	}
	if _, err := job.Result(short, 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Result: got %v, want context.DeadlineExceeded", err)
	}
	if _, err := job.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: got %v, want context.DeadlineExceeded", err)
	}
	onlyBad(t, faultOutcomes(t, ctx, job), 4)
}

// faultFlood writes Bytes to stdout between a first and a last line.
var faultFlood = clusterless.Define("fault.flood", func(ctx context.Context, in faultIn) (int, error) {
	fmt.Println("the first line")
	line := []byte(strings.Repeat("flood ", 1<<16/6) + "\n")
	for n := 0; n < in.Bytes; n += len(line) {
		if _, err := os.Stdout.Write(line); err != nil {
			return 0, err
		}
	}
	fmt.Println("the last line")
	if in.How == "panic" {
		panic("after the flood")
	}
	return 3*in.I + 1, nil
})

func TestFaultFlood(t *testing.T) {
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	const flood = 300 << 20
	job, err := faultFlood.On(s).Map(ctx, []faultIn{{I: 0, Bytes: flood}, {I: 1, Bytes: flood, How: "panic"}, {I: 2}})
	if err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	onlyBad(t, all, 3, 1)
	e := taskErr(t, all[1].Err, 1, clusterless.ErrPanic)
	if !strings.Contains(e.Log, "the last line") || len(e.Log) > 64<<10 {
		t.Errorf("%d bytes of log in the error; want its last line, and no more than 64 KiB", len(e.Log))
	}
	r, err := job.Log(ctx, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	r.Close()
	if err != nil || !strings.Contains(string(b[:min(1<<10, len(b))]), "the first line") || !strings.Contains(string(b[max(0, len(b)-1<<10):]), "the last line") {
		t.Errorf("log of %d bytes, %v: want its first and its last line", len(b), err)
	}
	if len(b) > 200<<20 { // what comes between two looks of the keeper is over the limit
		t.Errorf("%d MiB of log were kept, want the default limit of 64 MiB, about", len(b)>>20)
	}
	var disk int64
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if st, ok := info.Sys().(*syscall.Stat_t); err == nil && ok && info.Mode().IsRegular() {
			disk += st.Blocks * 512 / int64(st.Nlink)
		}
		return nil
	})
	if disk > 300<<20 {
		t.Errorf("%d MiB are on the disk after two floods of %d MiB", disk>>20, flood>>20)
	}
}

// faultLeave starts processes that outlive the call, and writes their numbers down.
var faultLeave = clusterless.Define("fault.leave", func(ctx context.Context, in faultIn) (int, error) {
	note := func(pid int) {
		f, err := os.OpenFile(in.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		fmt.Fprintln(f, pid)
	}
	plain := exec.Command("sleep", "600")
	if err := plain.Start(); err != nil {
		return 0, err
	}
	note(plain.Process.Pid)
	session := exec.Command("sleep", "600")
	session.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := session.Start(); err != nil {
		return 0, err
	}
	note(session.Process.Pid)
	// A daemon: in a session of its own, its parent gone.
	daemon := exec.Command("sh", "-c", `setsid sh -c 'echo $$ >>"$0"; exec sleep 600' "$0" >/dev/null 2>&1 &`, in.File)
	if err := daemon.Run(); err != nil {
		return 0, err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(in.File); strings.Count(string(b), "\n") == 3 {
			break
		}
	}
	time.Sleep(50 * time.Millisecond) // so that all are settled in
	switch in.How {
	case "panic":
		panic("with children")
	case "exit":
		os.Exit(5)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hang":
		faultHang()
	}
	return 3*in.I + 1, nil
})

func TestFaultChildren(t *testing.T) {
	for how, kind := range map[string]error{"return": nil, "panic": clusterless.ErrPanic, "exit": clusterless.ErrCrashed,
		"kill": clusterless.ErrCrashed, "hang": clusterless.ErrTimeout} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx := faultCtx(t)
			s := open(t)
			file := filepath.Join(t.TempDir(), "pids")
			opts := []clusterless.Option{clusterless.Retries(0)}
			if how == "hang" {
				opts = append(opts, clusterless.Timeout(time.Second))
			}
			v, err := faultLeave.On(s, opts...).Call(ctx, faultIn{I: 5, File: file, How: how})
			if kind == nil && (err != nil || v != 16) {
				t.Errorf("got %d, %v; want 16", v, err)
			}
			if kind != nil {
				taskErr(t, err, 0, kind)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(string(b))
			if len(words) != 3 {
				t.Fatalf("%d processes were started, want 3", len(words))
			}
			for i, name := range []string{"child", "child with a session", "daemon"} {
				pid, _ := strconv.Atoi(words[i])
				faultEventually(t, "the "+name+" that the call left has ended", func() bool { return !faultAlive(pid) })
			}
		})
	}
}

func TestFaultMemory(t *testing.T) {
	t.Parallel()
	all := faultMap(t, open(t), 10, 4, "memory", clusterless.Memory(100<<20), clusterless.Retries(0))
	onlyBad(t, all, 10, 4)
	e := taskErr(t, all[4].Err, 4, clusterless.ErrOutOfMemory)
	wantInError(t, e, "limit is 100 MiB")
}

// A poison call ends whatever process makes it. All others succeed, and it fails with the cause.
func TestFaultPoison(t *testing.T) {
	const n, bad = 200, 77
	for _, how := range []string{"kill 9", "kill 11", "segv"} {
		for _, retries := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s/retries %d", how, retries), func(t *testing.T) {
				t.Parallel()
				ctx := faultCtx(t)
				dir := t.TempDir()
				s := openIn(t, dir)
				file := filepath.Join(t.TempDir(), "runs")
				job, err := faultAct.On(s, clusterless.Retries(retries), clusterless.Backoff(time.Millisecond)).Map(ctx, faultIns(n, func(in *faultIn) {
					in.Bad, in.How, in.File = bad, how, file
				}))
				if err != nil {
					t.Fatal(err)
				}
				all := faultOutcomes(t, ctx, job)
				onlyBad(t, all, n, bad)
				e := taskErr(t, all[bad].Err, bad, clusterless.ErrCrashed)
				switch how {
				case "kill 9":
					if e.Signal != "SIGKILL" {
						t.Errorf("signal %q, want SIGKILL", e.Signal)
					}
					wantInError(t, e, "SIGKILL")
				default:
					wantInError(t, e, "SIGSEGV")
				}
				runs := runsIn(t, file)
				committedOnce(t, dir, job.Name(), n, runs)
				made := map[int]int{}
				for _, r := range runs {
					made[r.call]++
				}
				if retries == 0 {
					for call, n := range made {
						if n != 1 {
							t.Errorf("call %d was begun %d times, though Retries is 0", call, n)
						}
					}
				} else if how == "kill 9" && (made[bad] < 3 || made[bad] > 4) {
					t.Errorf("the poison call was begun %d times; want 3, or 4 if the first was among others", made[bad])
				}
			})
		}
	}
}

// Lost workers are tried again, after pauses that double.
func TestFaultRetriesBackOff(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	s := open(t)
	file := filepath.Join(t.TempDir(), "runs")
	in := faultIn{I: 4, Bad: 4, How: "lost 2", File: file}
	const pause = 200 * time.Millisecond
	v, err := faultAct.On(s, clusterless.Retries(2), clusterless.Backoff(pause)).Call(ctx, in)
	if err != nil || v != 13 {
		t.Fatalf("got %d, %v; want 13", v, err)
	}
	runs := runsIn(t, file)
	if len(runs) != 3 {
		t.Fatalf("made %d times, want 3", len(runs))
	}
	for i, want := range []time.Duration{pause, 2 * pause} {
		if runs[i+1].attempt != i+2 {
			t.Errorf("run %d was attempt %d", i+2, runs[i+1].attempt)
		}
		if got := runs[i+1].at.Sub(runs[i].at); got < want {
			t.Errorf("pause before retry %d was %v, want at least %v", i+1, got, want)
		}
	}

	// One death more than Retries: the call fails, and was begun that often.
	in.File, in.How = file+"2", "lost 9"
	_, err = faultAct.On(s, clusterless.Retries(2), clusterless.Backoff(time.Millisecond)).Call(ctx, in)
	e := taskErr(t, err, 0, clusterless.ErrCrashed)
	if e.Signal != "SIGKILL" || e.Attempt != 3 {
		t.Errorf("signal %q, attempt %d; want SIGKILL, 3", e.Signal, e.Attempt)
	}
	if n := len(runsIn(t, in.File)); n != 3 {
		t.Errorf("made %d times, want 3", n)
	}
}

func TestFaultRetryErrors(t *testing.T) {
	for _, how := range []string{"flaky 2", "flaky-panic 2", "flaky-exit 2", "flaky-hang 2"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			opts := []clusterless.Option{}
			if how == "flaky-hang 2" {
				opts = append(opts, clusterless.Timeout(200*time.Millisecond))
			}
			all := faultMap(t, s, 10, 3, how, append(opts, clusterless.RetryErrors(2), clusterless.Span(1))...)
			onlyBad(t, all, 10)
			if r := all[3]; strings.HasPrefix(how, "flaky ") && r.Attempts != 3 {
				t.Errorf("%d attempts at the flaky call, want 3", r.Attempts)
			}
			if r := all[4]; r.Attempts != 1 {
				t.Errorf("%d attempts at its neighbour, want 1", r.Attempts)
			}
			all = faultMap(t, s, 10, 3, how, append(opts, clusterless.RetryErrors(1), clusterless.Span(1))...)
			onlyBad(t, all, 10, 3)
			switch how {
			case "flaky 2":
				if taskErr(t, all[3].Err, 3, nil); !errors.Is(all[3].Err, errFault) {
					t.Errorf("got %v", all[3].Err)
				}
				wantInError(t, all[3].Err, "try 2")
			case "flaky-panic 2":
				wantInError(t, taskErr(t, all[3].Err, 3, clusterless.ErrPanic), "try 2")
			case "flaky-exit 2":
				wantInError(t, taskErr(t, all[3].Err, 3, clusterless.ErrCrashed), "exit code 9")
			case "flaky-hang 2":
				e := taskErr(t, all[3].Err, 3, clusterless.ErrTimeout)
				if wantInError(t, e, "200ms"); !strings.Contains(e.Detail(), "faultHang") {
					t.Errorf("no stack of where it hung:\n%s", e.Detail())
				}
			}
		})
	}
}
