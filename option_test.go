package clusterless_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/store/memstore"
)

// wrong are options that are wrong wherever they stand, with what is said of them.
var wrong = map[string]struct {
	option clusterless.Option
	want   string
}{
	"cores":           {clusterless.Cores(0), "Cores(0)"},
	"negative cores":  {clusterless.Cores(-2), "Cores(-2)"},
	"memory":          {clusterless.Memory(1000), "Memory(1000)"},
	"timeout":         {clusterless.Timeout(0), "Timeout(0s)"},
	"start deadline":  {clusterless.StartDeadline(-time.Second), "StartDeadline(-1s)"},
	"retries":         {clusterless.Retries(-1), "Retries(-1)"},
	"retry errors":    {clusterless.RetryErrors(-1), "RetryErrors(-1)"},
	"backoff":         {clusterless.Backoff(-time.Second), "Backoff(-1s)"},
	"span":            {clusterless.Span(0), "Span(0)"},
	"no env name":     {clusterless.Env("", "x"), `Env(""`},
	"env name":        {clusterless.Env("A=B", "x"), `Env("A=B"`},
	"env value":       {clusterless.Env("A", "x\x00y"), `Env("A"`},
	"our env":         {clusterless.Env("CLUSTERLESS_TASK", "7"), "are taken"},
	"return nothing":  {clusterless.Return(""), `Return("")`},
	"return absolute": {clusterless.Return("ok", "/etc/passwd"), `Return("/etc/passwd")`},
	"return outside":  {clusterless.Return("a/../../b"), `Return("a/../../b")`},
	"return pattern":  {clusterless.Return("[a"), `Return("[a")`},
}

var wrongInPlace = clusterless.Define("test.wrongoption", func(_ context.Context, x int) (int, error) { return x, nil }, clusterless.Span(-7), clusterless.Cores(0))

func TestWrongOptions(t *testing.T) {
	ctx, s := within(t), open(t)
	for name, c := range wrong {
		t.Run(name, func(t *testing.T) {
			_, err := square.On(s, c.option).Map(ctx, []int{1})
			wantErr(t, err, nil, "clusterless: test.square: option ", c.want)
			_, err = square.On(s, c.option).MapSeq(ctx, slices.Values([]int{1}))
			wantErr(t, err, nil, c.want)
			_, err = square.On(s, c.option).Go(ctx, 1)
			wantErr(t, err, nil, c.want)
			_, err = square.On(s, c.option).Call(ctx, 1)
			wantErr(t, err, nil, c.want)
			dir := t.TempDir() + "/new"
			_, err = clusterless.Open(ctx, clusterless.Dir(dir), c.option)
			wantErr(t, err, nil, "clusterless: open: option ", c.want)
			if exists(dir) {
				t.Error("Open made its directory all the same")
			}
		})
	}
	for name, c := range map[string]struct {
		option clusterless.Option
		want   string
	}{
		"engine":      {clusterless.Engine("local:"), "only for Open"},
		"dir":         {clusterless.Dir("/tmp"), "only for Open"},
		"slots":       {clusterless.Slots(1), "only for Open"},
		"with store":  {clusterless.WithStore(&memstore.Store{}), "only for Open"},
		"logger":      {clusterless.Logger(nil), "only for Open"},
		"observe":     {clusterless.Observe(func(clusterless.JobStatus) {}), "only for Open"},
		"no name":     {clusterless.Name(""), "option Name"},
		"bad name":    {clusterless.Name("a/b"), "option Name"},
		"dots":        {clusterless.Name(".."), "option Name"},
		"long name":   {clusterless.Name(strings.Repeat("x", 97)), "option Name"},
		"blank name":  {clusterless.Name("a b"), "option Name"},
		"umlaut name": {clusterless.Name("ä"), "option Name"},
	} {
		_, err := square.On(s, c.option).Map(ctx, []int{1})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantErr(t, err, nil, "clusterless: test.square: option", c.want)
	}
	// All that is wrong is said at once.
	_, err := wrongInPlace.On(s, clusterless.Retries(-1)).Call(ctx, 1)
	wantErr(t, err, nil, "Span(-7)", "Cores(0)", "Retries(-1)")
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) > 0 {
		t.Errorf("jobs were made: %+v", jobs)
	}
	_, err = must(square.On(s).Map(ctx, []int{1, 2}))(t).Reduce(ctx, sumInts.On(s, clusterless.Span(0)))
	wantErr(t, err, nil, "Span(0)")
}

func TestWrongOptionsOfASession(t *testing.T) {
	ctx := within(t)
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		option clusterless.Option
		want   string
	}{
		"slots":            {clusterless.Slots(0), "Slots(0)"},
		"name":             {clusterless.Name("x"), "option Name: not for a session"},
		"unknown engine":   {clusterless.Engine("marsbase:"), "marsbase"},
		"wrong engine URL": {clusterless.Engine("local:?slots=many"), "slots=many"},
		"unknown setting":  {clusterless.Engine("local:?colour=red"), "colour"},
		"dir is a file":    {clusterless.Dir(file), "not a directory"},
		"dir below a file": {clusterless.Dir(file + "/below"), "not a directory"},
	} {
		s, err := clusterless.Open(ctx, clusterless.Dir(t.TempDir()), c.option)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		wantErr(t, err, nil, "clusterless: open: ", c.want)
	}
}

func TestMoreThanTheMachineHas(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := square.On(s, clusterless.Cores(3)).Call(ctx, 1)
	wantErr(t, err, nil, "3 cores", "never fits")
	_, err = square.On(s, clusterless.Memory(1<<60)).Map(ctx, []int{1})
	wantErr(t, err, nil, "never fits")
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) > 0 {
		t.Errorf("jobs were made: %+v", jobs)
	}
}

var environ = func(_ context.Context, names []string) (map[string]string, error) {
	all := map[string]string{}
	for _, n := range names {
		all[n] = os.Getenv(n)
	}
	return all, nil
}

var (
	getenv     = clusterless.Define("test.getenv", environ)
	getenvElse = clusterless.Define("test.getenv2", environ, clusterless.Env("B", "define"), clusterless.Env("C", "define"), clusterless.Env("D", "define"))
)

// On wins over Define, and Define over Open.
func TestPrecedenceOfOptions(t *testing.T) {
	ctx := within(t)
	s := open(t, clusterless.Env("A", "open"), clusterless.Env("B", "open"), clusterless.Env("C", "open"))
	names := []string{"A", "B", "C", "D", "E"}
	got := must(getenvElse.On(s, clusterless.Env("C", "on"), clusterless.Env("E", "on"), clusterless.Env("E", "last")).Call(ctx, names))(t)
	if want := map[string]string{"A": "open", "B": "define", "C": "on", "D": "define", "E": "last"}; !equalMaps(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	got = must(getenv.On(s).Call(ctx, names))(t)
	if want := map[string]string{"A": "open", "B": "open", "C": "open", "D": "", "E": ""}; !equalMaps(got, want) {
		t.Errorf("another function: got %q; want %q", got, want)
	}

	spanned := open(t, clusterless.Span(2), clusterless.Retries(0))
	for name, c := range map[string]struct {
		remote clusterless.Remote[int, int]
		span   int
	}{
		"open":   {taskOf.On(spanned), 2},
		"define": {taskOfThree.On(spanned), 3},
		"on":     {taskOfThree.On(spanned, clusterless.Span(4)), 4},
		"last":   {taskOfThree.On(spanned, clusterless.Span(4), clusterless.Span(5)), 5},
		"nil":    {taskOfThree.On(spanned, nil, clusterless.Span(6), nil), 6},
	} {
		for i, task := range must(must(c.remote.Map(ctx, upTo(12)))(t).Results(ctx))(t) {
			if task != i/c.span {
				t.Errorf("%s: call %d was made by task %d; want spans of %d", name, i, task, c.span)
			}
		}
	}
}

var taskOfThree = clusterless.Define("test.taskof3", func(ctx context.Context, _ int) (int, error) {
	task, _ := clusterless.Current(ctx)
	return task.Task, nil
}, clusterless.Span(3))

func TestConfigurationByEnvironment(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	t.Setenv("CLUSTERLESS_DIR", dir)
	t.Setenv("CLUSTERLESS_ENGINE", "local:?slots=1")
	s := must(clusterless.Open(ctx))(t)
	defer s.Close()
	if v, err := square.On(s).Call(ctx, 4); v != 16 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	if !exists(dir + "/store") {
		t.Error("CLUSTERLESS_DIR was not used")
	}
	_, err := square.On(s, clusterless.Cores(2)).Call(ctx, 4)
	wantErr(t, err, nil, "never fits")
	// An option wins.
	other := t.TempDir()
	s2 := must(clusterless.Open(ctx, clusterless.Dir(other), clusterless.Engine("local:?slots=2")))(t)
	defer s2.Close()
	if v, err := square.On(s2, clusterless.Cores(2)).Call(ctx, 4); v != 16 || err != nil || !exists(other+"/store") {
		t.Errorf("with options: got %d, %v", v, err)
	}
}
