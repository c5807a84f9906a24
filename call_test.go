package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
)

type where struct {
	PID, Procs int
	OMP, Dir   string
	Task       clusterless.Task
	InTask     bool
	Marked     []string // variables of the worker's contract that user code would see
	Changed    int
}

// changed is what package initialisation left it in a worker, whatever the test does.
var changed = 1

var whereAmI = clusterless.Define("test.where", func(ctx context.Context, _ struct{}) (where, error) {
	dir, err := os.Getwd()
	w := where{PID: os.Getpid(), Procs: runtime.GOMAXPROCS(0), OMP: os.Getenv("OMP_NUM_THREADS"), Dir: dir, Changed: changed}
	w.Task, w.InTask = clusterless.Current(ctx)
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "CLUSTERLESS_WORKER=") || strings.HasPrefix(v, "CLUSTERLESS_STORE") || strings.HasPrefix(v, "CLUSTERLESS_JOB=") {
			w.Marked = append(w.Marked, v)
		}
	}
	return w, err
})

func TestCallRunsInAProcessOfItsOwn(t *testing.T) {
	t.Setenv("CLUSTERLESS_STORE_TOKEN", "hushhush") // which engines of other machines set
	ctx, s := within(t), open(t)
	changed = 2
	defer func() { changed = 1 }()
	here := must(whereAmI.Call(ctx, struct{}{}))(t)
	if here.PID != os.Getpid() || here.Changed != 2 || here.InTask {
		t.Errorf("here: got %+v; want this process, and no task", here)
	}
	there := must(whereAmI.On(s).Call(ctx, struct{}{}))(t)
	if there.PID == os.Getpid() {
		t.Error("as a task: ran in the process of the client")
	}
	if there.Changed != 1 {
		t.Errorf("as a task: a package variable is %d; want 1, as package initialisation left it", there.Changed)
	}
	if len(there.Marked) > 0 {
		t.Errorf("as a task: user code, and its children, see %q", there.Marked)
	}
	if there.Procs != 2 || there.OMP != "1" {
		t.Errorf("as a task of one core: GOMAXPROCS %d, OMP_NUM_THREADS %q", there.Procs, there.OMP)
	}
	again := must(whereAmI.On(s).Call(ctx, struct{}{}))(t)
	if again.PID != there.PID {
		t.Errorf("second call in process %d, the first in %d; want a resident worker for both", again.PID, there.PID)
	}
	two := must(whereAmI.On(s, clusterless.Cores(2)).Call(ctx, struct{}{}))(t)
	if two.Procs != 3 || two.OMP != "2" {
		t.Errorf("as a task of two cores: GOMAXPROCS %d, OMP_NUM_THREADS %q", two.Procs, two.OMP)
	}
}

func TestIsolatedTasksHaveTheirOwnProcesses(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(whereAmI.On(s, clusterless.Isolated(true), clusterless.Span(1)).Map(ctx, make([]struct{}, 4)))(t)
	pids := map[int]bool{}
	for _, w := range must(job.Results(ctx))(t) {
		pids[w.PID] = true
	}
	if len(pids) != 4 {
		t.Errorf("4 isolated tasks ran in %d processes", len(pids))
	}
}

func TestCurrentTellsWhichCallItIs(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(whereAmI.On(s, clusterless.Span(2)).Map(ctx, make([]struct{}, 4)))(t)
	for i, w := range must(job.Results(ctx))(t) {
		got := w.Task
		want := clusterless.Task{Job: job.Name(), Func: "test.where", Call: i, Task: i / 2, Attempt: 1, Try: 1, Node: got.Node, Dir: w.Dir}
		if !w.InTask || got != want || got.Node == "" || got.Dir == "" {
			t.Errorf("call %d: got %+v, %v; want %+v", i, got, w.InTask, want)
		}
	}
	if task, ok := clusterless.Current(ctx); ok {
		t.Errorf("outside of tasks: got %+v", task)
	}
}

func TestScratchDirectoriesAreRemovedWithTheSession(t *testing.T) {
	ctx := within(t)
	s := must(clusterless.Open(ctx, clusterless.Dir(t.TempDir()), clusterless.Slots(1)))(t)
	w := must(whereAmI.On(s).Call(ctx, struct{}{}))(t)
	if !exists(w.Dir) {
		t.Errorf("%s is gone while its worker lives", w.Dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the directory is removed", func() bool { return !exists(w.Dir) })
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

type holder struct{ p *[]int }

var alter = clusterless.Define("test.alter", func(_ context.Context, h holder) (holder, error) {
	(*h.p)[0] = 99
	return h, nil
})

func TestInputsAreCopies(t *testing.T) {
	ctx, s := within(t), open(t)
	in := holder{&[]int{1, 2}}
	out := must(alter.On(s).Call(ctx, in))(t)
	if !slices.Equal(*in.p, []int{1, 2}) || !slices.Equal(*out.p, []int{99, 2}) {
		t.Errorf("input is %v, result %v; want [1 2] and [99 2]", *in.p, *out.p)
	}
}

func TestGoReturnsAtOnce(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	f := must(walk.On(s).Go(ctx, step{Say: g.file("began"), Await: g.file("go"), Value: 5}))(t)
	g.seen(t, "began")
	if v, err := f.Try(ctx); !errors.Is(err, clusterless.ErrNotReady) {
		t.Errorf("Try while the call runs: got %d, %v; want ErrNotReady", v, err)
	}
	g.open(t, "go")
	if v, err := f.Get(ctx); v != 5 || err != nil {
		t.Errorf("Get: got %d, %v; want 5", v, err)
	}
	if v, err := f.Try(ctx); v != 5 || err != nil {
		t.Errorf("Try of a call that has ended: got %d, %v; want 5", v, err)
	}
	if v, err := f.Get(ctx); v != 5 || err != nil {
		t.Errorf("Get again: got %d, %v; want 5", v, err)
	}
}

func TestCallThatIsDoneLeavesNothing(t *testing.T) {
	ctx, s := within(t), open(t)
	must(square.On(s).Call(ctx, 3))(t)
	until(t, "the job of the call is removed", func() bool { return len(must(s.Jobs(ctx, ""))(t)) == 0 })
	must(square.On(s, clusterless.Name("kept")).Call(ctx, 3))(t)
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) != 1 || jobs[0].Name != "kept" {
		t.Errorf("after a call with a name: jobs %+v; want it kept", jobs)
	}
}

func TestContextThatEndsStopsWaitingOnly(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	f := must(walk.On(s).Go(ctx, step{Say: g.file("began"), Await: g.file("go"), Value: 5}))(t)
	g.seen(t, "began")
	why := errors.New("enough")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(why)
	_, err := f.Get(ended)
	wantErr(t, err, why)
	g.open(t, "go")
	if v, err := f.Get(ctx); v != 5 || err != nil {
		t.Errorf("afterwards: got %d, %v; want 5", v, err)
	}
	if _, err := square.On(s).Call(ended, 1); !errors.Is(err, why) {
		t.Errorf("Call with a context that has ended: got %v; want its cause", err)
	}
	for _, j := range must(s.Jobs(ctx, ""))(t) {
		if j.Func == square.Name() {
			t.Errorf("Call with a context that has ended made job %s", j.Name)
		}
	}
}

// A Func that is declared and never set, and a session that was forgotten, are told apart.
func TestFuncThatWasNotDefined(t *testing.T) {
	ctx, s := within(t), open(t)
	var f clusterless.Func[int, string]
	var sum clusterless.Func[[]int, int]
	for name, op := range map[string]func() error{
		"here":    func() error { _, err := f.Call(ctx, 1); return err },
		"call":    func() error { _, err := f.On(s).Call(ctx, 1); return err },
		"go":      func() error { _, err := f.On(s).Go(ctx, 1); return err },
		"map":     func() error { _, err := f.On(s).Map(ctx, []int{1}); return err },
		"mapseq":  func() error { _, err := f.On(s).MapSeq(ctx, slices.Values([]int{1})); return err },
		"handle":  func() error { _, err := clusterless.Remote[int, string]{}.Call(ctx, 1); return err },
		"reduce":  func() error { _, err := must(square.On(s).Map(ctx, upTo(3)))(t).Reduce(ctx, sum.On(s)); return err },
		"collect": func() error { return must(square.On(s).Map(ctx, upTo(3)))(t).ReduceInto(ctx, new(int), sum.On(s)) },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, op(), nil, "clusterless: a Func[", "not made by Define") })
	}
	if got := f.Name(); got != "" {
		t.Errorf("its name is %q", got)
	}
	_, err := square.On(nil).Call(ctx, 1)
	wantErr(t, err, nil, "clusterless: test.square: On was given no session")
}

func TestClosedSession(t *testing.T) {
	ctx := within(t)
	s := must(clusterless.Open(ctx, clusterless.Dir(t.TempDir()), clusterless.Slots(1)))(t)
	f := must(square.On(s).Go(ctx, 3))(t)
	must(f.Get(ctx))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]func() error{
		"call":          func() error { _, err := square.On(s).Call(ctx, 1); return err },
		"map":           func() error { _, err := square.On(s).Map(ctx, []int{1}); return err },
		"broadcast":     func() error { _, err := clusterless.Broadcast(ctx, s, 1); return err },
		"include":       func() error { return s.Include(ctx, os.Args[0]) },
		"jobs":          func() error { _, err := s.Jobs(ctx, ""); return err },
		"delete":        func() error { return s.Delete(ctx, "closed") },
		"delete prefix": func() error { _, err := s.DeletePrefix(ctx, "closed"); return err },
		"attach":        func() error { _, err := clusterless.Attach[int](ctx, s, "another"); return err },
	} {
		if err := op(); err == nil {
			t.Errorf("%s on a closed session: no error", name)
		} else {
			wantErr(t, err, nil, "the session", "closed")
		}
	}
}

func TestCloseEndsCallsAndWaiting(t *testing.T) {
	ctx, g := within(t), newGate(t)
	s := must(clusterless.Open(ctx, clusterless.Dir(t.TempDir()), clusterless.Slots(1)))(t)
	f := must(walk.On(s).Go(ctx, step{Say: g.file("began"), Await: g.file("never")}))(t)
	g.seen(t, "began")
	got := make(chan error, 1)
	go func() { _, err := f.Get(ctx); got <- err }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, <-got, nil, "session", "closed")
}

var opener = clusterless.Define("test.opener", func(ctx context.Context, dir string) (string, error) {
	_, err := clusterless.Open(ctx, clusterless.Dir(dir))
	return fmt.Sprint(err), nil
})

func TestTasksCannotOpenSessions(t *testing.T) {
	ctx, s := within(t), open(t)
	got := must(opener.On(s).Call(ctx, t.TempDir()))(t)
	if !strings.Contains(got, "Open inside of a task") {
		t.Errorf("Open in a task: got %q; want an error that says so", got)
	}
}

// Mistakes at start: each is made when the test binary starts with its name in a variable.
var _ = func() (none struct{}) {
	noop := func(context.Context, int) (int, error) { return 0, nil }
	switch os.Getenv("TEST_MISTAKE") {
	case "twice":
		clusterless.Define("test.twice", noop)
		clusterless.Define("test.twice", noop)
	case "nameless":
		clusterless.Define("", noop)
	case "space":
		clusterless.Define("a name", noop)
	case "long":
		clusterless.Define(strings.Repeat("x", 65), noop)
	case "nil":
		clusterless.Define[int, int]("test.nil", nil)
	case "channel":
		clusterless.Define("test.channel", func(context.Context, struct{ Done [2]chan int }) (int, error) { return 0, nil })
	case "function":
		clusterless.Define("test.function", func(context.Context, int) (func(), error) { return nil, nil })
	case "open":
		_, err := clusterless.Open(context.Background())
		panic(err)
	}
	return none
}()

func TestMistakesShowAtStart(t *testing.T) {
	for _, c := range []struct{ mistake, want string }{
		{"twice", `Define("test.twice")`},
		{"twice", "the name is taken by the definition at "},
		{"twice", "call_test.go:"},
		{"nameless", "want 1 to 64 characters"},
		{"space", `character ' '`},
		{"long", "want 1 to 64 characters"},
		{"nil", "the function is nil"},
		{"function", "cannot send a function"},
		{"open", "Open before Main or Init"},
	} {
		cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "TEST_MISTAKE="+c.mistake)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			first, _, _ := strings.Cut(string(out), "\n")
			t.Errorf("%s: got %v, %q; want an exit with %q", c.mistake, err, first, c.want)
		}
	}
}

func TestDefineAfterStartPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"Define": func() {
			clusterless.Define("test.late", func(context.Context, int) (int, error) { return 0, nil })
		},
		"Setup": func() { clusterless.Setup(func(context.Context) error { return nil }) },
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "after Main or Init") {
					t.Errorf("%s in a test: got panic %q; want one that says it is too late", name, p)
				}
			}()
			f()
		}()
	}
}

func TestFuncsListsDefinitions(t *testing.T) {
	all := clusterless.Funcs()
	if !slices.IsSortedFunc(all, func(a, b clusterless.Defined) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the list is not in the order of names")
	}
	i := slices.IndexFunc(all, func(d clusterless.Defined) bool { return d.Name == "test.step" })
	if i < 0 {
		t.Fatal("test.step is not listed")
	}
	if d := all[i]; d.In != "clusterless_test.step" || d.Out != "int" || !strings.Contains(d.At, "check_test.go:") {
		t.Errorf("got %+v; want its types and its place", d)
	}
	if walk.Name() != "test.step" {
		t.Errorf("Name: got %q", walk.Name())
	}
}
