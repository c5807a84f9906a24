package clusterless_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

func TestAttachToAFinishedJob(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	job := must(odd.On(s, clusterless.Name("finished")).Map(ctx, upTo(10)))(t)
	must(job.Wait(ctx))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	again := must(clusterless.Attach[int](ctx, s, "finished"))(t)
	if again.Name() != "finished" || again.Len() != 10 {
		t.Errorf("got job %s of %d calls", again.Name(), again.Len())
	}
	got, err := again.Results(ctx)
	if want := []int{0, 1, 0, 3, 0, 5, 0, 7, 0, 9}; !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	wantErr(t, err, errStep, "5 calls failed", "8 is even")
	if failed := must(again.Wait(ctx))(t); !slices.Equal(failed, []int{0, 2, 4, 6, 8}) {
		t.Errorf("failed: %v", failed)
	}
	if sum, err := must(clusterless.Attach[int](ctx, s, "finished"))(t).Result(ctx, 3); sum != 3 || err != nil {
		t.Errorf("attached twice: got %d, %v", sum, err)
	}
	// Its log is still there, and its statistics.
	if st := must(again.Stats(ctx))(t); st.Calls != 10 || st.Failed != 5 || st.Started.IsZero() {
		t.Errorf("statistics: %+v", st)
	}
}

// What was finished is not made again, and what is missing is made.
func TestAttachMakesWhatIsMissing(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	s := openIn(t, dir)
	ins := []logged{}
	for i := range 8 {
		ins = append(ins, logged{Log: g.file(fmt.Sprint("call", i)), step: step{Value: i}})
	}
	ins[5].Await = g.file("go")
	job := must(log1.On(s, clusterless.Name("cut.short"), clusterless.Span(1)).Map(ctx, ins))(t)
	for i := range 8 {
		if i != 5 {
			must(job.Result(ctx, i))(t)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := job.Result(ctx, 5)
	wantErr(t, err, nil, "session", "closed")
	g.open(t, "go")
	s = openIn(t, dir)
	again := must(clusterless.Attach[int](ctx, s, "cut.short"))(t)
	if got, err := again.Results(ctx); !slices.Equal(got, upTo(8)) || err != nil {
		t.Errorf("got %v, %v; want 0 to 7", got, err)
	}
	for i := range 8 {
		want := 1
		if i == 5 {
			want = 2
		}
		if n := lines(t, ins[i].Log); n != want {
			t.Errorf("call %d began %d times; want %d", i, n, want)
		}
	}
}

// Calls that wait for others wait on after an Attach.
func TestAttachKeepsDependencies(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	s := openIn(t, dir)
	a := must(walk.On(s, clusterless.Name("a")).Go(ctx, step{Say: g.file("began"), Await: g.file("go"), Value: 4}))(t)
	must(add.On(s, clusterless.Name("b")).Map(ctx, []sum{{Plus: 1}, {Refs: []clusterless.Ref[int]{a.Ref()}, Plus: 10}}))(t)
	g.seen(t, "began")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	b := must(clusterless.Attach[int](ctx, s, "b"))(t)
	if v, err := b.Result(ctx, 0); v != 1 || err != nil {
		t.Errorf("result 0: got %d, %v", v, err)
	}
	if v, err := b.Try(ctx, 1); !errors.Is(err, clusterless.ErrNotReady) {
		t.Errorf("result 1: got %d, %v before what it needs has ended", v, err)
	}
	g.open(t, "go")
	if v, err := b.Result(ctx, 1); v != 14 || err != nil {
		t.Errorf("result 1: got %d, %v; want 14", v, err)
	}
}

func TestAttachFromTwoSessionsAtOnce(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	first, second := openIn(t, dir), openIn(t, dir)
	ins := make([]step, 20)
	for i := range ins {
		ins[i] = step{Value: i}
	}
	ins[3].Await = g.file("go")
	one := must(walk.On(first, clusterless.Name("shared")).Map(ctx, ins))(t)
	two := must(clusterless.Attach[int](ctx, second, "shared"))(t)
	for i := range 20 {
		if i == 3 {
			continue
		}
		if v, err := two.Result(ctx, i); v != i || err != nil {
			t.Fatalf("the second: call %d: got %d, %v", i, v, err)
		}
	}
	g.open(t, "go")
	for name, job := range map[string]*clusterless.Job[int]{"the first": one, "the second": two} {
		if got, err := job.Results(ctx); !slices.Equal(got, upTo(20)) || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	// The second outlives the first.
	more := must(walk.On(first, clusterless.Name("handed.over")).Map(ctx, []step{{Say: g.file("began"), Await: g.file("later"), Value: 8}}))(t)
	g.seen(t, "began")
	over := must(clusterless.Attach[int](ctx, second, more.Name()))(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	g.open(t, "later")
	if v, err := over.Result(ctx, 0); v != 8 || err != nil {
		t.Errorf("after the first has closed: got %d, %v; want 8", v, err)
	}
}

func TestAttachToACancelledJob(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	s := openIn(t, dir)
	job := must(walk.On(s, clusterless.Name("cancelled")).Map(ctx, []step{{Value: 1}, {Say: g.file("began"), Await: g.file("never")}}))(t)
	must(job.Result(ctx, 0))(t)
	g.seen(t, "began")
	if err := job.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	s2 := openIn(t, dir)
	again := must(clusterless.Attach[int](ctx, s2, "cancelled"))(t)
	_, err := again.Wait(ctx)
	wantErr(t, err, clusterless.ErrCancelled)
	if v, err := again.Result(ctx, 0); v != 1 || err != nil {
		t.Errorf("result 0: got %d, %v; want 1", v, err)
	}
	_, err = again.Result(ctx, 1)
	wantErr(t, err, clusterless.ErrCancelled)
}

// The client that feeds a job from an iterator goes; what it sent is worked on.
func TestAttachToAJobThatWasCutOff(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := must(clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2)))(t)
	ch := make(chan int, 3)
	ch <- 2
	job := must(square.On(s, clusterless.Name("fed")).MapSeq(ctx, func(yield func(int) bool) {
		for v := range ch {
			if !yield(v) {
				return
			}
		}
	}))(t)
	must(job.Result(ctx, 0))(t)
	ch <- 3
	must(job.Result(ctx, 1))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	close(ch)
	again := must(clusterless.Attach[int](ctx, openIn(t, dir), "fed"))(t)
	got, err := again.Results(ctx)
	wantErr(t, err, clusterless.ErrCut, "2 calls")
	if !slices.Equal(got, []int{4, 9}) {
		t.Errorf("got %v; want [4 9]", got)
	}
}

func TestAttachToWhatIsNotThere(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := clusterless.Attach[int](ctx, s, "nothing")
	wantErr(t, err, clusterless.ErrNoJob, "clusterless: attach: job nothing")
	for _, name := range []string{"", "../x", "a/b", "a b"} {
		_, err := clusterless.Attach[int](ctx, s, name)
		wantErr(t, err, nil, "clusterless: attach: ")
		if errors.Is(err, clusterless.ErrNoJob) {
			t.Errorf("%q: got %v; want it to say that this is no name", name, err)
		}
	}
}

func TestAttachWithAnotherType(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	must(square.On(s, clusterless.Name("ints")).Map(ctx, upTo(3)))(t)
	_, err := clusterless.Attach[string](ctx, s, "ints")
	wantErr(t, err, nil, "clusterless: attach: job ints: its results are of type int, not string")
	_, err = clusterless.Attach[[]int](ctx, openIn(t, dir), "ints")
	wantErr(t, err, nil, "of type int, not []int")
}

// Two types of one name, as of two builds of a program.
var imageJobs = func() (all [2]struct {
	make, attach func(context.Context, *clusterless.Session, string) error
}) {
	{
		type image struct{ Rows, Columns int }
		f := clusterless.Define("test.image.old", func(_ context.Context, n int) (image, error) { return image{n, n}, nil })
		all[0].make = func(ctx context.Context, s *clusterless.Session, name string) error {
			j, err := f.On(s, clusterless.Name(name)).Map(ctx, upTo(3))
			if err == nil {
				_, err = j.Results(ctx)
			}
			return err
		}
		all[0].attach = func(ctx context.Context, s *clusterless.Session, name string) error {
			j, err := clusterless.Attach[image](ctx, s, name)
			if err != nil {
				return err
			}
			got, err := j.Results(ctx)
			if err == nil && !slices.Equal(got, []image{{}, {1, 1}, {2, 2}}) {
				err = fmt.Errorf("got %v", got)
			}
			return err
		}
	}
	{
		type image struct {
			Rows, Columns int
			Name          string
		}
		all[1].attach = func(ctx context.Context, s *clusterless.Session, name string) error {
			j, err := clusterless.Attach[image](ctx, s, name)
			if err != nil {
				return fmt.Errorf("refused: %w", err)
			}
			_, err = j.Results(ctx)
			return err
		}
	}
	return all
}()

func TestAttachAfterATypeHasChanged(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	before, after := imageJobs[0], imageJobs[1]
	if err := before.make(ctx, s, "images"); err != nil {
		t.Fatal(err)
	}
	says := []string{"refused: clusterless: attach: job images: its results are of a type clusterless_test.image (fingerprint ", "not the clusterless_test.image of this program"}
	wantErr(t, after.attach(ctx, s, "images"), nil, says...)
	wantErr(t, after.attach(ctx, openIn(t, dir), "images"), nil, says...)
	if err := before.attach(ctx, openIn(t, dir), "images"); err != nil {
		t.Errorf("with the type as it was: %v", err)
	}
	// Where the manifest has no fingerprints, it shows as the results are read.
	stripFingerprints(t, dir, "images")
	s = openIn(t, dir)
	if err := before.attach(ctx, s, "images"); err != nil {
		t.Errorf("with an old manifest: %v", err)
	}
	err := after.attach(ctx, s, "images")
	wantErr(t, err, nil, "a type has changed since the job was made")
	if strings.HasPrefix(err.Error(), "refused") {
		t.Errorf("with an old manifest: got %v; want it attached", err)
	}
}

// stripFingerprints rewrites the manifest of a job as one without fingerprints.
func stripFingerprints(t *testing.T, dir, job string) {
	t.Helper()
	ctx := within(t)
	blobs := must(filestore.Open(filepath.Join(dir, "store")))(t)
	key := plan.ManifestKey(job)
	sheet := must(plan.ParseSheet(must(store.ReadAll(ctx, blobs, key))(t)))(t)
	if sheet.Manifest.InPrint == "" || sheet.Manifest.OutPrint == "" {
		t.Errorf("no fingerprints in %+v", sheet.Manifest)
	}
	sheet.Manifest.InPrint, sheet.Manifest.OutPrint = "", ""
	b := must(sheet.Bytes())(t)
	if err := blobs.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Put(ctx, key, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
}

// A program that is run again goes on with its job.
func TestOrAttach(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	ins := []logged{}
	for i := range 4 {
		ins = append(ins, logged{Log: g.file(fmt.Sprint("call", i)), step: step{Value: i}})
	}
	ins[3].Await, ins[3].Say = g.file("go"), g.file("began")
	opts := []clusterless.Option{clusterless.Name("survey"), clusterless.OrAttach(true), clusterless.Span(1)}
	s := openIn(t, dir)
	job := must(log1.On(s, opts...).Map(ctx, ins))(t)
	for i := range 3 {
		must(job.Result(ctx, i))(t)
	}
	g.seen(t, "began")
	same := must(log1.On(s, opts...).Map(ctx, ins))(t) // by one session
	if v, err := same.Result(ctx, 2); v != 2 || err != nil {
		t.Errorf("the second handle: got %d, %v", v, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g.open(t, "go")
	s = openIn(t, dir)
	job = must(log1.On(s, opts...).Map(ctx, ins))(t)
	if got, err := job.Results(ctx); !slices.Equal(got, upTo(4)) || err != nil {
		t.Errorf("got %v, %v; want 0 to 3", got, err)
	}
	for i, want := range []int{1, 1, 1, 2} {
		if n := lines(t, ins[i].Log); n != want {
			t.Errorf("call %d began %d times; want %d", i, n, want)
		}
	}
	// An iterator is not begun for a job that is there.
	job = must(log1.On(s, opts...).MapSeq(ctx, func(func(logged) bool) { t.Error("the iterator was run") }))(t)
	if v, err := job.Result(ctx, 1); v != 1 || err != nil {
		t.Errorf("with an iterator: got %d, %v", v, err)
	}
	// Other than the job that is there.
	_, err := log1.On(s, opts...).Map(ctx, ins[:2])
	wantErr(t, err, clusterless.ErrJobExists, "job survey", "it has 4 calls, not 2", "Delete")
	_, err = walk.On(s, opts...).Map(ctx, make([]step, 4))
	wantErr(t, err, clusterless.ErrJobExists, `it is a job of function "test.logged"`)
	_, err = log1.On(s, clusterless.Name("survey")).Map(ctx, ins)
	wantErr(t, err, clusterless.ErrJobExists, "OrAttach")
	// A call.
	for range 2 {
		if v, err := square.On(s, clusterless.Name("one"), clusterless.OrAttach(true)).Call(ctx, 5); v != 25 || err != nil {
			t.Errorf("Call: got %d, %v; want 25", v, err)
		}
	}
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) != 2 {
		t.Errorf("there are jobs %+v; want two", jobs)
	}
	_, err = square.On(s, clusterless.OrAttach(true)).Call(ctx, 5)
	wantErr(t, err, nil, "option OrAttach: the job has no name")
}

// For a session it means the jobs that have a name; reductions are none of these.
func TestOrAttachOfASession(t *testing.T) {
	ctx, s := within(t), open(t, clusterless.OrAttach(true))
	for range 2 {
		job := must(square.On(s, clusterless.Name("squares")).Map(ctx, upTo(20)))(t)
		if sum, err := job.Reduce(ctx, sumInts.On(s)); sum != 2470 || err != nil {
			t.Errorf("got %d, %v; want 2470", sum, err)
		}
	}
	if v, err := square.On(s).Call(ctx, 5); v != 25 || err != nil {
		t.Errorf("without a name: got %d, %v; want 25", v, err)
	}
}

// Of many programs that start at once, one makes the job, and all have its results.
func TestOrAttachAtOnce(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	const n = 4
	got := make(chan error, n)
	for range n {
		s := openIn(t, dir)
		go func() {
			job, err := square.On(s, clusterless.Name("wanted"), clusterless.OrAttach(true)).Map(ctx, upTo(50))
			if err == nil {
				var all []int
				if all, err = job.Results(ctx); err == nil && (len(all) != 50 || all[7] != 49) {
					err = fmt.Errorf("got %v", all)
				}
			}
			got <- err
		}()
	}
	for range n {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}

// Who stops waiting for a job that stays is told how to find it again.
func TestContextThatEndsTellsOfTheJob(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	ins := []step{{Value: 1}, {Await: g.file("go")}}
	named := must(walk.On(s, clusterless.Name("survey")).Map(ctx, ins))(t)
	const hint = "what is done of job survey is kept: attach to it to make the rest (Attach, or the option OrAttach)"
	for name, op := range map[string]func() error{
		"results": func() error { _, err := named.Results(ended); return err },
		"wait":    func() error { _, err := named.Wait(ended); return err },
		"result":  func() error { _, err := named.Result(ended, 1); return err },
		"reduce":  func() error { _, err := named.Reduce(ended, sumInts.On(s)); return err },
		"fold": func() error {
			_, err := clusterless.Fold(ended, named, 0, func(a, b int) (int, error) { return a + b, nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, op(), context.Canceled, hint) })
	}
	unnamed := must(walk.On(s).Map(ctx, ins))(t)
	if _, err := unnamed.Wait(ended); err == nil || strings.Contains(err.Error(), "Attach") {
		t.Errorf("a job without a name: got %v", err)
	}
	g.open(t, "go")
	must(named.Wait(ctx))(t)
}

func TestNameThatIsTaken(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	job := must(square.On(s, clusterless.Name("mine")).Map(ctx, upTo(3)))(t)
	_, err := square.On(s, clusterless.Name("mine")).Map(ctx, upTo(4))
	wantErr(t, err, clusterless.ErrJobExists, "job mine", "Attach", "Delete")
	_, err = odd.On(openIn(t, dir), clusterless.Name("mine")).Go(ctx, 1)
	wantErr(t, err, clusterless.ErrJobExists)
	if got, err := job.Results(ctx); !slices.Equal(got, []int{0, 1, 4}) || err != nil {
		t.Errorf("the first job: got %v, %v", got, err)
	}
	if err := job.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if v, err := square.On(s, clusterless.Name("mine")).Call(ctx, 5); v != 25 || err != nil {
		t.Errorf("after Delete: got %d, %v; want 25", v, err)
	}
	_, err = clusterless.Attach[int](ctx, s, "never.was")
	wantErr(t, err, clusterless.ErrNoJob)
}

// Of many that want a name at once, one gets it.
func TestNameIsGivenOnce(t *testing.T) {
	ctx, s := within(t), open(t)
	const n = 8
	got := make(chan error, n)
	for i := range n {
		go func() {
			_, err := square.On(s, clusterless.Name("wanted")).Map(ctx, upTo(i+1))
			got <- err
		}()
	}
	won := 0
	for range n {
		if err := <-got; err == nil {
			won++
		} else if !errors.Is(err, clusterless.ErrJobExists) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d got the name", won)
	}
	if failed, err := must(clusterless.Attach[int](ctx, s, "wanted"))(t).Wait(ctx); len(failed) > 0 || err != nil {
		t.Errorf("the job: %v, %v", failed, err)
	}
}

func TestAttachGivesReturnedFilesAndRefs(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	f := must(writer.On(s, clusterless.Name("files"), clusterless.Return("*")).Go(ctx, write{Files: map[string]string{"a": "text"}}))(t)
	must(f.Get(ctx))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	job := must(clusterless.Attach[int](ctx, s, "files"))(t)
	if got := contents(t, ctx, must(job.Files(ctx, 0))(t)); got["a"] != "text" {
		t.Errorf("got %q", got)
	}
	if v, err := get.On(s).Call(ctx, job.Ref(0)); v != 1 || err != nil {
		t.Errorf("its result in another call: got %d, %v; want 1", v, err)
	}
	sum, err := job.Reduce(ctx, sumInts.On(s))
	if sum != 1 || err != nil {
		t.Errorf("its reduction: got %d, %v; want 1", sum, err)
	}
}

// A job with a made-up name goes with its session.
func TestJobsWithoutANameGoWithTheirSession(t *testing.T) {
	ctx, dir, g := within(t), t.TempDir(), newGate(t)
	s := must(clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2)))(t)
	done := must(square.On(s).Map(ctx, upTo(5)))(t)
	must(done.Results(ctx))(t)
	must(walk.On(s).Go(ctx, step{Say: g.file("began"), Await: g.file("never")}))(t)
	must(square.On(s, clusterless.Name("named")).Map(ctx, upTo(5)))(t)
	g.seen(t, "began")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	jobs := must(s.Jobs(ctx, ""))(t)
	if len(jobs) != 1 || jobs[0].Name != "named" || jobs[0].Func != "test.square" || jobs[0].Temporary || jobs[0].By == "" || time.Since(jobs[0].Created) > time.Hour {
		t.Errorf("got %+v; want only the named job", jobs)
	}
	_, err := clusterless.Attach[int](ctx, s, done.Name())
	wantErr(t, err, clusterless.ErrNoJob)
}

// A logged step adds a line to its log.
type logged struct {
	Log string
	step
}

var log1 = clusterless.Define("test.logged", func(ctx context.Context, in logged) (int, error) {
	if err := appendLine(in.Log); err != nil {
		return 0, err
	}
	return doStep(ctx, in.step)
})

// The inputs of calls that failed make a new job, in the process that made them or in another.
func TestInput(t *testing.T) {
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir)
	job := must(odd.On(s, clusterless.Name("some-failed")).Map(ctx, upTo(10)))(t)
	failed := must(job.Wait(ctx))(t)
	if in := must(clusterless.Input[int](ctx, job.AnyJob, 7))(t); in != 7 {
		t.Errorf("input of call 7: %d", in)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	again := must(clusterless.Attach[int](ctx, s, "some-failed"))(t)
	var ins []int
	for _, call := range failed {
		ins = append(ins, 1+must(clusterless.Input[int](ctx, again.AnyJob, call))(t))
	}
	got := must(must(odd.On(s).Map(ctx, ins))(t).Results(ctx))(t)
	if want := []int{1, 3, 5, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Inputs that an iterator gave, that do not lie flat, and that hold references.
	seq := must(log1.On(s, clusterless.Name("steps")).MapSeq(ctx, func(yield func(logged) bool) {
		for i := range 3 {
			if !yield(logged{Log: filepath.Join(dir, "log"), step: step{Value: i}}) {
				return
			}
		}
	}))(t)
	must(seq.Wait(ctx))(t)
	if in := must(clusterless.Input[logged](ctx, seq.AnyJob, 2))(t); in.Value != 2 || in.Log == "" {
		t.Errorf("input of call 2: %+v", in)
	}
	for _, call := range []int{-1, 10} {
		if _, err := clusterless.Input[int](ctx, again.AnyJob, call); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no input for call %d", call)) {
			t.Errorf("call %d: %v", call, err)
		}
	}
	_, err := clusterless.Input[string](ctx, again.AnyJob, 0)
	wantErr(t, err, nil, "its inputs are of type int, not string")
}
