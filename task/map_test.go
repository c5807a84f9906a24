//go:build unix

package task_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/task"
)

func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

var errOdd = errors.New("odd")

// The functions of these tests: those that map, and those that are mapped.
var (
	Squares = clusterless.Define("squares", func(ctx context.Context, n int) ([]int, error) { return task.Map(ctx, Square, upTo(n)) })
	Places  = clusterless.Define("places", func(ctx context.Context, m Meeting) ([]Seat, error) {
		return task.Map(ctx, Place, slices.Repeat([]Meeting{m}, m.Size))
	})
	Halves  = clusterless.Define("halves", halves)
	Lookups = clusterless.Define("lookups", lookups)
	Deep    = clusterless.Define("deep", func(ctx context.Context, n int) ([][]int, error) { return task.Map(ctx, Squares, upTo(n)) })
	Lose    = clusterless.Define("lose", lose)

	Square = clusterless.Define("square", func(_ context.Context, i int) (int, error) { return i * i, nil })
	Place  = clusterless.Define("place", place)
	Half   = clusterless.Define("half", half)
	Lookup = clusterless.Define("lookup", lookup)
	Slow   = clusterless.Define("slow", slow)
)

func upTo(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// A Seat is where a call was made.
type Seat struct {
	Node string
	PID  int
	Job  string
	Call int
}

// A Meeting is of as many calls at once. They wait for each other in a directory that all see.
type Meeting struct {
	Dir  string
	Size int
}

func place(ctx context.Context, m Meeting) (Seat, error) {
	t, _ := clusterless.Current(ctx)
	if err := os.WriteFile(fmt.Sprintf("%s/%s-%d", m.Dir, t.Node, t.Call), nil, 0o600); err != nil {
		return Seat{}, err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := os.ReadDir(m.Dir)
		if err != nil || len(all) >= m.Size {
			return Seat{t.Node, os.Getpid(), t.Job, t.Call}, err
		}
		if time.Now().After(end) {
			return Seat{}, fmt.Errorf("after a minute %d calls are here, want %d", len(all), m.Size)
		}
	}
}

func half(_ context.Context, i int) (int, error) {
	switch {
	case i == 13:
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case i == 17:
		panic("seventeen")
	case i%2 == 1:
		return 0, fmt.Errorf("%d: %w", i, errOdd)
	}
	return i / 2, nil
}

// Report is what comes of a map that fails in part.
type Report struct {
	Values []int
	Text   string
	Odd    bool
	Died   bool
}

func halves(ctx context.Context, n int) (Report, error) {
	v, err := task.Map(ctx, Half, upTo(n))
	return Report{v, fmt.Sprint(err), errors.Is(err, errOdd), errors.Is(err, clusterless.ErrCrashed)}, nil
}

// Table is a broadcast value and what to look up in it.
type Table struct {
	Values clusterless.Ref[[]float64]
	At     int
}

func lookup(ctx context.Context, t Table) (float64, error) {
	v, err := t.Values.Get(ctx)
	if err != nil {
		return 0, err
	}
	return v[t.At], nil
}

func lookups(ctx context.Context, t Table) ([]float64, error) {
	var ins []Table
	for i := range t.At {
		ins = append(ins, Table{t.Values, i})
	}
	return task.Map(ctx, Lookup, ins)
}

// slow calls take until they have seen the file that ends them.
func slow(ctx context.Context, path string) (int, error) {
	f, err := os.OpenFile(path+".begun", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	t, _ := clusterless.Current(ctx)
	fmt.Fprintln(f, t.Node)
	f.Close()
	for {
		if _, err := os.Stat(path); err == nil {
			return os.Getpid(), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lose has calls on two nodes, and kills the agent of the second under them.
func lose(ctx context.Context, dir string) (int, error) {
	path := dir + "/go-on"
	go func() {
		for {
			b, _ := os.ReadFile(path + ".begun")
			if strings.Contains(string(b), "node1") && strings.Count(string(b), "\n") >= 2 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		killAgents()
		os.WriteFile(path, nil, 0o600)
	}()
	v, err := task.Map(ctx, Slow, slices.Repeat([]string{path}, 4))
	return len(v), err
}

// killAgents ends the agents that this process has started: with each a node is lost.
func killAgents() {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		status, _ := os.ReadFile(dir + "/status")
		env, _ := os.ReadFile(dir + "/environ")
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) && strings.Contains(string(env), "CLUSTERLESS_ROLE=agent\x00") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func session(t *testing.T) *clusterless.Session {
	t.Helper()
	s, err := clusterless.Open(t.Context(), clusterless.Dir(t.TempDir()), clusterless.Slots(4))
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

func TestMap(t *testing.T) {
	s := session(t)
	for _, n := range []int{0, 1, 3, 2000} {
		got, err := Squares.On(s, clusterless.Cores(2)).Call(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		want := upTo(n)
		for i := range want {
			want[i] *= i
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d calls: got %v", n, got)
		}
	}
}

func TestNodesAndCores(t *testing.T) {
	job, err := Places.On(session(t), clusterless.Nodes(2), clusterless.Cores(2)).Map(t.Context(), []Meeting{{t.TempDir(), 4}})
	if err != nil {
		t.Fatal(err)
	}
	results, err := job.Results(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]map[int]bool{}
	for i, seat := range results[0] {
		if used[seat.Node] == nil {
			used[seat.Node] = map[int]bool{}
		}
		used[seat.Node][seat.PID] = true
		if seat.Job != job.Name() || seat.Call != i {
			t.Errorf("call %d takes itself for %d of %s", i, seat.Call, seat.Job)
		}
	}
	if len(used) != 2 || len(used["node1"]) != 2 {
		t.Errorf("nodes and their processes: %v, want two of each", used)
	}
	for node, pids := range used {
		for pid := range pids {
			if len(pids) != 2 || syscall.Kill(pid, 0) == nil {
				t.Errorf("%s has %d processes, and %d is left", node, len(pids), pid)
			}
		}
	}
}

func TestRefs(t *testing.T) {
	s := session(t)
	values := make([]float64, 100_000)
	for i := range values {
		values[i] = float64(i) / 2
	}
	ref, err := clusterless.Broadcast(t.Context(), s, values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Lookups.On(s, clusterless.Nodes(2), clusterless.Cores(1)).Call(t.Context(), Table{ref, 100})
	if err != nil || !slices.Equal(got, values[:100]) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFailures(t *testing.T) {
	r, err := Halves.On(session(t), clusterless.Cores(2)).Call(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range r.Values {
		if want := i / 2 * (1 - i%2); v != want {
			t.Errorf("half of %d: %d, want %d", i, v, want)
		}
	}
	if !r.Odd || !r.Died {
		t.Errorf("an error that was returned is still what it is: %t; an end of a process: %t", r.Odd, r.Died)
	}
	for _, want := range []string{"call 1 of half: process ", ": 1: odd", "call 13 of half: its process ", "call 17 of half: process ", ": panic: seventeen"} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("the error lacks %q:\n%s", want, r.Text)
		}
	}
	if n := strings.Count(r.Text, "\n") + 1; n != 20 {
		t.Errorf("%d errors, want 20:\n%s", n, r.Text)
	}
}

// Doomed maps calls of which every one ends its process.
var Doomed = clusterless.Define("doomed", func(ctx context.Context, n int) (int, error) {
	_, err := task.Map(ctx, Die, upTo(n))
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil {
		return 0, err
	}
	crashed := 0
	for _, err := range joined.Unwrap() {
		if errors.Is(err, clusterless.ErrCrashed) {
			crashed++
		}
	}
	return crashed, nil
})

var Die = clusterless.Define("die", func(context.Context, int) (int, error) {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
})

func TestAllFail(t *testing.T) {
	const n = 20
	if crashed, err := Doomed.On(session(t), clusterless.Cores(2)).Call(t.Context(), n); err != nil || crashed != n {
		t.Errorf("%d calls of %d are said to have ended their processes, %v", crashed, n, err)
	}
}

// Giveup ends a map by its context, and maps again.
var Giveup = clusterless.Define("giveup", func(ctx context.Context, path string) ([]int, error) {
	part, cancel := context.WithCancelCause(ctx)
	go func() {
		defer cancel(errOdd)
		for err := error(os.ErrNotExist); err != nil; time.Sleep(5 * time.Millisecond) {
			_, err = os.Stat(path + ".begun")
		}
	}()
	if _, err := task.Map(part, Slow, []string{path, path, path}); !errors.Is(err, errOdd) {
		return nil, fmt.Errorf("a map whose context has ended: %w", err)
	}
	return task.Map(ctx, Square, upTo(4))
})

func TestGiveUp(t *testing.T) {
	got, err := Giveup.On(session(t), clusterless.Cores(2)).Call(t.Context(), t.TempDir()+"/never")
	if err != nil || !slices.Equal(got, []int{0, 1, 4, 9}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Leave returns while a goroutine of it maps; another one begins to when the test says so. Both write down what they are told.
var Leave = clusterless.Define("leave", func(ctx context.Context, path string) (int, error) {
	note := func(name string, in []string) {
		_, err := task.Map(ctx, Slow, in)
		os.WriteFile(path+name+".new", fmt.Append(nil, err), 0o600)
		os.Rename(path+name+".new", path+name)
	}
	wait := func(name string) {
		for err := error(os.ErrNotExist); err != nil; time.Sleep(5 * time.Millisecond) {
			_, err = os.Stat(path + name)
		}
	}
	go note(".during", []string{path, path})
	go func() {
		wait(".returned")
		note(".after", []string{path})
	}()
	wait(".begun")
	return 0, nil
})

func TestAfterReturn(t *testing.T) {
	path := t.TempDir() + "/go-on"
	if _, err := Leave.On(session(t), clusterless.Cores(1)).Call(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".returned", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{".during", ".after"} {
		var said []byte
		for end := time.Now().Add(time.Minute); said == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			said, _ = os.ReadFile(path + when)
		}
		if !strings.Contains(string(said), "has returned") {
			t.Errorf("a map %s the function's return: %q", when[1:], said)
		}
	}
}

func TestNodeLost(t *testing.T) {
	n, err := Lose.On(session(t), clusterless.Nodes(2), clusterless.Cores(1)).Call(t.Context(), t.TempDir())
	if err != nil || n != 4 {
		t.Errorf("%d results, %v: want the calls of the lost node made on the other", n, err)
	}
}

func TestTimeout(t *testing.T) {
	_, err := Lose.On(session(t), clusterless.Cores(1), clusterless.Timeout(time.Second)).Call(t.Context(), t.TempDir())
	if !errors.Is(err, clusterless.ErrTimeout) || strings.Contains(err.Error(), "did not stop") {
		t.Errorf("a map in a call that runs out of time: %v", err)
	}
}

func TestRefused(t *testing.T) {
	if _, err := task.Map(t.Context(), Square, upTo(3)); err == nil || !strings.Contains(err.Error(), "square.On(s).Map") {
		t.Errorf("outside of a task: %v", err)
	}
	if _, err := Deep.On(session(t), clusterless.Cores(2)).Call(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "belongs to a task already") {
		t.Errorf("in a map of a task: %v", err)
	}
}

// Rounds maps again and again, and twice at once.
var Rounds = clusterless.Define("rounds", func(ctx context.Context, dirs []string) ([][]Seat, error) {
	round := func(dir string) ([]Seat, error) { return task.Map(ctx, Place, slices.Repeat([]Meeting{{dir, 2}}, 2)) }
	all := make([][]Seat, len(dirs))
	for i, dir := range dirs {
		var err error
		if all[i], err = round(dir); err != nil {
			return nil, err
		}
	}
	errs := make(chan error)
	for range 2 {
		go func() {
			_, err := round(dirs[0])
			errs <- err
		}()
	}
	return all, errors.Join(<-errs, <-errs)
})

func TestProcessesStay(t *testing.T) {
	s := session(t)
	all, err := Rounds.On(s, clusterless.Cores(2)).Call(t.Context(), []string{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	for _, round := range all {
		for _, seat := range round {
			pids[seat.PID] = true
		}
	}
	if len(pids) != 2 {
		t.Errorf("five maps were made by %d processes, want 2", len(pids))
	}
	for pid := range pids {
		for end := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is left", pid)
		}
	}
}
