//go:build unix

package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/mpi"
)

var errCold = errors.New("too cold")

// The functions of these tests.
var (
	Mean = mpi.Define("mean", mean, clusterless.Ranks(3))
	Who  = mpi.Define("who", who)
	Trip = mpi.Define("trip", trip, clusterless.Ranks(3))
	Old  = clusterless.Define("old", old, clusterless.Ranks(3))
)

// Shares is the input of mean: each rank adds up its part of the numbers.
type Shares struct {
	Numbers clusterless.Ref[[]float64]
	Factor  float64
}

func mean(ctx context.Context, c *mpi.Comm, in Shares) (float64, error) {
	all, err := in.Numbers.Get(ctx)
	if err != nil {
		return 0, err
	}
	sum := []float64{0, 0}
	for i := c.Rank(); i < len(all); i += c.Size() {
		sum[0] += all[i]
		sum[1]++
	}
	if err := mpi.Allreduce(c, nil, sum, mpi.Sum); err != nil {
		return 0, err
	}
	fmt.Printf("%d ranks added %g up\n", c.Size(), sum[0])
	return in.Factor * sum[0] / sum[1], nil
}

// who returns what each rank says of itself, from rank 0.
func who(ctx context.Context, c *mpi.Comm, _ int) ([]string, error) {
	host, _ := os.Hostname()
	task, _ := clusterless.Current(ctx)
	me := fmt.Sprintf("%d/%d on %s (%s) procs=%d omp=%s job=%t library=%.8s", c.Rank(), c.Size(), host, task.Node, runtime.GOMAXPROCS(0), os.Getenv("OMP_NUM_THREADS"), task.Job != "", c.Library())
	text := make([]byte, 256)
	copy(text, me)
	var all []byte
	if c.Rank() == 0 {
		all = make([]byte, len(text)*c.Size())
	}
	if err := mpi.Gather(c, text, all, 0); err != nil {
		return nil, err
	}
	var lines []string
	for line := range slices.Chunk(all, len(text)) {
		lines = append(lines, strings.TrimRight(string(line), "\x00"))
	}
	return lines, nil
}

// trip goes wrong on rank 1, in the way that it is told, while the others wait for it.
func trip(_ context.Context, c *mpi.Comm, how string) (int, error) {
	fmt.Fprintf(os.Stderr, "process %d\n", os.Getpid())
	if c.Rank() == 1 {
		switch how {
		case "error":
			return 0, fmt.Errorf("plate: %w", errCold)
		case "panic":
			fmt.Println("about to panic")
			panic("the plate broke")
		case "exit":
			os.Exit(3)
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "goexit":
			runtime.Goexit()
		case "stop":
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			select {} // it may take a moment
		}
	}
	return 0, c.Barrier()
}

// old runs an MPI program that is not of this binary, and returns what its rank 0 prints.
func old(ctx context.Context, argv []string) (string, error) {
	return mpi.Output(ctx, argv[0], argv[1:]...)
}

// session opens one with four slots, whatever the machine has.
func session(t *testing.T, opts ...clusterless.Option) *clusterless.Session {
	t.Helper()
	s, err := clusterless.Open(t.Context(), append([]clusterless.Option{clusterless.Dir(t.TempDir()), clusterless.Slots(4)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func with(im implementation) clusterless.Option {
	return clusterless.Env("MPIEXEC", im.mpiexec)
}

func TestCall(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im))
		numbers := make([]float64, 1000)
		for i := range numbers {
			numbers[i] = float64(i)
		}
		ref, err := clusterless.Broadcast(t.Context(), s, numbers)
		if err != nil {
			t.Fatal(err)
		}
		job, err := Mean.On(s).Map(t.Context(), []Shares{{ref, 1}, {ref, 2}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := job.Results(t.Context())
		if err != nil || !slices.Equal(got, []float64{499.5, 999}) {
			t.Fatalf("means %v, %v, want 499.5 and 999", got, err)
		}
		log := logOf(t, job.Log)
		for rank := range 3 {
			if want := fmt.Sprintf("rank %d: 3 ranks added 499500 up\n", rank); !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
	})
}

func logOf(t *testing.T, open func(ctx context.Context, call int, follow bool) (io.ReadCloser, error)) string {
	t.Helper()
	r, err := open(t.Context(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestShape(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im))
		lines, err := Who.On(s, clusterless.Ranks(2), clusterless.Threads(2)).Call(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) != 2 {
			t.Fatalf("%d ranks, want 2: %q", len(lines), lines)
		}
		for i, line := range lines {
			if want := fmt.Sprintf(`^%d/2 on \S+ \(\S+\) procs=2 omp=2 job=true library=`, i); !regexp.MustCompile(want).MatchString(line) {
				t.Errorf("rank %d says %q, want %s", i, line, want)
			}
		}
	})
}

func TestSeveralNodes(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im))
		lines, err := Who.On(s, clusterless.Nodes(2), clusterless.RanksPerNode(2)).Call(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) != 4 {
			t.Fatalf("%d ranks, want 4: %q", len(lines), lines)
		}
		for i, line := range lines {
			away := strings.Contains(line, "(node1)")
			if !strings.HasPrefix(line, fmt.Sprintf("%d/4 on ", i)) || away != (i >= 2) {
				t.Errorf("rank %d says %q", i, line)
			}
		}
	})
}

func TestTooManyRanks(t *testing.T) {
	s := session(t)
	for _, opts := range [][]clusterless.Option{
		{clusterless.Ranks(5)},
		{clusterless.Ranks(2), clusterless.Threads(3)},
		{clusterless.Nodes(5), clusterless.RanksPerNode(1)},
	} {
		if _, err := Who.On(s, opts...).Call(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "never fits here, where there are 4 cores") {
			t.Errorf("more ranks than slots: %v", err)
		}
	}
	for want, opts := range map[string][]clusterless.Option{
		"only 2 ranks fit":             {clusterless.Ranks(3), clusterless.Nodes(2), clusterless.RanksPerNode(1)},
		"the last node would have no":  {clusterless.Ranks(1), clusterless.Nodes(2)},
		"ranks of a node need 4 cores": {clusterless.Ranks(2), clusterless.Threads(2), clusterless.Cores(3)},
		"say how many (Ranks)":         {clusterless.Threads(2)},
	} {
		if _, err := Who.On(s, opts...).Call(t.Context(), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestRankFails(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im), clusterless.Retries(0))
		for _, c := range []struct {
			how, want string
			kind      error
		}{
			{"error", "rank 1: plate: too cold", nil},
			{"panic", "rank 1: panic: the plate broke", clusterless.ErrPanic},
			{"goexit", "rank 1: the function called runtime.Goexit", nil},
			{"exit", "rank 1 (process ", nil},
			{"kill", "rank 1 (process ", nil},
		} {
			_, err := Trip.On(s).Call(t.Context(), c.how)
			var te *clusterless.TaskError
			if !errors.As(err, &te) {
				t.Errorf("%s: %v, want a TaskError", c.how, err)
				continue
			}
			if !strings.Contains(te.Message, c.want) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("%s: %v, want %q", c.how, err, c.want)
			}
			if c.how == "error" && !errors.Is(err, errCold) {
				t.Errorf("the error of a rank lost what it is: %v", err)
			}
			if c.how == "panic" && (!strings.Contains(te.Stack, "mpi_test.trip") || !strings.Contains(te.Log, "rank 1: about to panic")) {
				t.Errorf("the panic of a rank came without its stack or output:\n%s", te.Detail())
			}
			goneFrom(t, te.Log)
		}
	})
}

var processLine = regexp.MustCompile(`rank \d: process (\d+)`)

// goneFrom waits until the processes that a log names have ended.
func goneFrom(t *testing.T, log string) {
	t.Helper()
	found := processLine.FindAllStringSubmatch(log, -1)
	if len(found) == 0 {
		t.Errorf("no rank said who it is:\n%s", log)
	}
	for _, m := range found {
		pid, _ := strconv.Atoi(m[1])
		for end := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("process %d of a failed task still runs", pid)
				syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
}

// Two ranks wait for one that does nothing, not even when it is told to end.
func TestRankHangs(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im))
		_, err := Trip.On(s, clusterless.Timeout(4*time.Second)).Call(t.Context(), "stop")
		var te *clusterless.TaskError
		if !errors.As(err, &te) || !errors.Is(err, clusterless.ErrTimeout) || !strings.Contains(te.Message, "the function had not returned on ranks 0, 1, 2") {
			t.Fatalf("%v, want a timeout that names the ranks", err)
		}
		goneFrom(t, te.Log)
	})
}

func TestExistingProgram(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		exe := compile(t, "mpicc."+im.name, "hello.c", "hello")
		s := session(t, with(im))
		job, err := Old.On(s).Map(t.Context(), [][]string{{exe}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := job.Results(t.Context())
		if err != nil || out[0] != "sum 5\n" {
			t.Fatalf("%q, %v, want sum 5", out, err)
		}
		log := logOf(t, job.Log)
		for rank := range 3 {
			if want := fmt.Sprintf("rank %d: hello from %d of 3\n", rank, rank); !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
		// What it prints comes byte by byte, however much of it comes at once.
		const many = `seq 1 20000; head -c 300000 /dev/zero | tr '\0' x; printf 'a\rb'`
		want, err := exec.Command("sh", "-c", many).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Old.On(s).Call(t.Context(), []string{"sh", "-c", many}); err != nil || got != string(want) {
			t.Errorf("%d bytes, %v, want other %d", len(got), err, len(want))
		}
		if _, err := Old.On(s).Call(t.Context(), []string{exe, "7"}); err == nil || !strings.Contains(err.Error(), "mpi: run "+exe+": mpiexec: exit status 7") {
			t.Errorf("a program that ends with exit code 7: %v", err)
		}
		if _, err := Old.On(s).Call(t.Context(), []string{filepath.Join(t.TempDir(), "absent")}); err == nil || !strings.Contains(err.Error(), "absent") {
			t.Errorf("a program that is not there: %v", err)
		}
		for _, other := range implementations {
			if other == im {
				continue
			}
			if _, err := Old.On(session(t, with(other))).Call(t.Context(), []string{exe}); !errors.Is(err, mpi.ErrLonely) || !strings.Contains(err.Error(), "set MPIEXEC") {
				t.Errorf("a program of %s with the mpiexec of %s: %v", im.name, other.name, err)
			}
		}
	})
}

func TestNoMPI(t *testing.T) {
	s := session(t, clusterless.Env("PATH", t.TempDir()))
	if _, err := Who.On(s).Call(t.Context(), 0); !errors.Is(err, mpi.ErrNoLibrary) || !strings.Contains(err.Error(), "no mpiexec on this node") {
		t.Errorf("a node without mpiexec: %v", err)
	}
	s = session(t, clusterless.Env("MPIEXEC", "mpiexec.absent"))
	if _, err := Who.On(s).Call(t.Context(), 0); !errors.Is(err, mpi.ErrNoLibrary) || !strings.Contains(err.Error(), "mpiexec.absent") {
		t.Errorf("an mpiexec that is not there: %v", err)
	}
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im), clusterless.Env("MPI_LIBRARY", "/nowhere/libmpi.so"))
		if _, err := Who.On(s).Call(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "rank ") || !strings.Contains(err.Error(), "/nowhere/libmpi.so") {
			t.Errorf("a library that is not there: %v", err)
		}
	})
}

func TestForeignMPI(t *testing.T) {
	lib := compile(t, "gcc", "foreign.c", "libmpi.so", "-shared", "-fPIC")
	each(t, func(t *testing.T, im implementation) {
		s := session(t, with(im), clusterless.Env("MPI_LIBRARY", lib))
		if _, err := Who.On(s).Call(t.Context(), 0); !errors.Is(err, mpi.ErrForeign) || !strings.Contains(err.Error(), `"FooMPI 3.1"`) {
			t.Errorf("a library of neither interface: %v", err)
		}
	})
	script := filepath.Join(t.TempDir(), "mpiexec")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho FooMPI launcher 3.1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Who.On(session(t, clusterless.Env("MPIEXEC", script))).Call(t.Context(), 0); !errors.Is(err, mpi.ErrForeign) {
		t.Errorf("an mpiexec of neither: %v", err)
	}
}

// A library that is not of the mpiexec makes every rank believe that it is alone.
func TestOtherLibrary(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		other := implementations[0].library
		if im.library == other {
			other = implementations[1].library
		}
		_, err := Who.On(session(t, with(im), clusterless.Env("MPI_LIBRARY", other)), clusterless.Ranks(2)).Call(t.Context(), 0)
		if !errors.Is(err, mpi.ErrLonely) || !strings.Contains(err.Error(), "one of 2 ranks is in a world of 1") {
			t.Errorf("the other library: %v", err)
		}
	})
}

// Without a session a function runs here, as one rank.
func TestPlainCall(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), envProgram+"=plain", "MPI_LIBRARY="+im.library)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1 rank\n" {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func plain() error {
	lines, err := Who.Call(context.Background(), 0)
	if err != nil {
		return err
	}
	fmt.Printf("%d rank\n", len(lines))
	return mpi.Finalize()
}

// Strand loses a node: its last rank ends the agent that its node was reached by.
var Strand = mpi.Define("strand", strand, clusterless.Nodes(2), clusterless.RanksPerNode(1))

func strand(_ context.Context, c *mpi.Comm, _ int) (int, error) {
	fmt.Fprintf(os.Stderr, "process %d\n", os.Getpid())
	if err := c.Barrier(); err != nil {
		return 0, err
	}
	if c.Rank() == 1 {
		for pid := os.Getppid(); pid > 1; pid = parent(pid) {
			env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if strings.Contains(string(env), "CLUSTERLESS_ROLE=agent\x00") && !strings.Contains(string(env), "MPI_SIZE") {
				syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
	select {}
}

func parent(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`\nPPid:\t(\d+)`).FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

func TestNodeLost(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		_, err := Strand.On(session(t, with(im)), clusterless.Timeout(time.Minute)).Call(t.Context(), 0)
		var te *clusterless.TaskError
		if !errors.As(err, &te) || !strings.Contains(te.Message, "node node1 was lost: its agent ended") {
			t.Fatalf("%v, want the node that was lost", err)
		}
		goneFrom(t, te.Log)
	})
}
