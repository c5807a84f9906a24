package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/clusterless-go/clusterless"
)

// Functions are defined in variables of a package, so that workers find them.
var (
	Greet = clusterless.Define("example.greet", func(_ context.Context, name string) (string, error) {
		return "hello, " + name, nil
	})

	Cube = clusterless.Define("example.cube", func(_ context.Context, x int) (int, error) { return x * x * x, nil })

	Total = clusterless.Define("example.total", clusterless.Sum[int])

	// Travel takes a broadcast model, which is there once for each node.
	Travel = clusterless.Define("example.travel", func(ctx context.Context, r Ray) (float64, error) {
		speed, err := r.Speed.Get(ctx)
		if err != nil {
			return 0, err
		}
		t := 0.0
		for _, v := range speed[:r.Layers] {
			t += 100 / v
		}
		return t, nil
	})

	ErrTooDeep = errors.New("too deep")

	Drill = clusterless.Define("example.drill", func(_ context.Context, depth int) (string, error) {
		if depth > 3 {
			return "", fmt.Errorf("drill to %d km: %w", depth, ErrTooDeep)
		}
		return fmt.Sprintf("%d km", depth), nil
	})

	Count = clusterless.Define("example.count", func(_ context.Context, file string) (int, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		return len(b), os.WriteFile("count.txt", fmt.Appendf(nil, "%s has %d bytes", file, len(b)), 0o666)
	})
)

type Ray struct {
	Speed  clusterless.Ref[[]float64]
	Layers int
}

// session opens one for an example, in a directory of its own.
func session(ctx context.Context) (s *clusterless.Session, done func()) {
	dir, err := os.MkdirTemp("", "clusterless-example-*")
	if err != nil {
		panic(err)
	}
	s, err = clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2))
	if err != nil {
		panic(err)
	}
	return s, func() { s.Close(); os.RemoveAll(dir) }
}

func ExampleDefine() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	here, err := Greet.Call(ctx, "world") // as the plain function it is
	fmt.Println(here, err)
	there, err := Greet.On(s).Call(ctx, "worker") // as a task
	fmt.Println(there, err)
	// Output:
	// hello, world <nil>
	// hello, worker <nil>
}

func ExampleRemote_Go() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	future, err := Cube.On(s).Go(ctx, 3) // returns at once
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(future.Get(ctx))
	// Output: 27 <nil>
}

func ExampleRemote_Map() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Cube.On(s).Map(ctx, []int{1, 2, 3, 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Results(ctx))
	// Output: [1 8 27 64] <nil>
}

func ExampleRemote_MapSeq() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Cube.On(s).MapSeq(ctx, func(yield func(int) bool) {
		for i := range 100_000 { // never all in memory
			if !yield(i % 10) {
				return
			}
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(clusterless.Fold(ctx, job, 0, func(sum, x int) (int, error) { return sum + x, nil }))
	// Output: 20250000 <nil>
}

func ExampleJob_Completed() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Drill.On(s).Map(ctx, []int{2, 5})
	if err != nil {
		fmt.Println(err)
		return
	}
	for call, r := range job.Completed(ctx) { // in the order in which they end
		fmt.Println(call, r.Value, errors.Is(r.Err, ErrTooDeep))
	}
	// Unordered output:
	// 0 2 km false
	// 1  true
}

func ExampleJob_Reduce() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Cube.On(s).Map(ctx, []int{1, 2, 3, 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Reduce(ctx, Total.On(s))) // summed by tasks; only the sum comes here
	// Output: 100 <nil>
}

func ExampleFold() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Cube.On(s).Map(ctx, []int{1, 2, 3, 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	largest, err := clusterless.Fold(ctx, job, 0, func(acc, x int) (int, error) { return max(acc, x), nil })
	fmt.Println(largest, err)
	// Output: 64 <nil>
}

func ExampleBroadcast() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	speed, err := clusterless.Broadcast(ctx, s, []float64{1000, 2000, 4000})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := Travel.On(s).Map(ctx, []Ray{{speed, 1}, {speed, 2}, {speed, 3}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Results(ctx))
	// Output: [0.1 0.15000000000000002 0.17500000000000002] <nil>
}

func ExampleFuture_Ref() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	speed, err := clusterless.Broadcast(ctx, s, []float64{500, 1000})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, err := Travel.On(s).Go(ctx, Ray{speed, 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The second call takes the result of the first from the store, once that is there.
	second, err := Half.On(s).Go(ctx, first.Ref())
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := second.Get(ctx)
	fmt.Printf("%.2f %v\n", t, err)
	// Output: 0.15 <nil>
}

var Half = clusterless.Define("example.half", func(ctx context.Context, r clusterless.Ref[float64]) (float64, error) {
	v, err := r.Get(ctx)
	return v / 2, err
})

func ExampleAttach() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "clusterless-example-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2))
	if err != nil {
		panic(err)
	}
	_, err = Cube.On(s, clusterless.Name("cubes")).Map(ctx, []int{1, 2, 3})
	fmt.Println(err)
	s.Close()

	// Later, in this program or another run of it.
	s, err = clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2))
	if err != nil {
		panic(err)
	}
	defer s.Close()
	job, err := clusterless.Attach[int](ctx, s, "cubes")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Results(ctx)) // makes what is missing
	// Output:
	// <nil>
	// [1 8 27] <nil>
}

// A program that may be interrupted, and is simply run again until all is done.
func ExampleOrAttach() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "clusterless-example-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program := func() ([]int, error) {
		s, err := clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		job, err := Cube.On(s, clusterless.Name("cubes"), clusterless.OrAttach(true)).Map(ctx, []int{1, 2, 3})
		if err != nil {
			return nil, err
		}
		return job.Results(ctx)
	}
	fmt.Println(program()) // makes the job
	fmt.Println(program()) // finds it, and makes what is missing
	// Output:
	// [1 8 27] <nil>
	// [1 8 27] <nil>
}

var Root = clusterless.Define("example.root", func(ctx context.Context, x float64) (float64, error) {
	if x < 0 {
		return 0, fmt.Errorf("%v has no root", x)
	}
	return math.Sqrt(x), nil
})

var RootOfSize = clusterless.Define("example.rootofsize", func(ctx context.Context, x float64) (float64, error) { return math.Sqrt(math.Abs(x)), nil })

// The calls that failed are made by a mended function.
func ExampleInput() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	job, err := Root.On(s).Map(ctx, []float64{4, -9, 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	failed, err := job.Wait(ctx)
	fmt.Println(failed, err)
	var inputs []float64
	for _, call := range failed {
		x, err := clusterless.Input[float64](ctx, job.AnyJob, call)
		if err != nil {
			fmt.Println(err)
			return
		}
		inputs = append(inputs, x)
	}
	mended, err := RootOfSize.On(s).Map(ctx, inputs)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mended.Results(ctx))
	// Output:
	// [1] <nil>
	// [3] <nil>
}

func ExampleSession_Include() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()
	dir, err := os.MkdirTemp("", "clusterless-example-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	input := filepath.Join(dir, "input.txt")
	if err := os.WriteFile(input, []byte("eleven char"), 0o666); err != nil {
		panic(err)
	}

	if err := s.Include(ctx, input); err != nil {
		fmt.Println(err)
		return
	}
	future, err := Count.On(s, clusterless.Return("*.txt")).Go(ctx, "input.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(future.Get(ctx))
	files, err := future.Files(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range files {
		r, err := f.Open(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		b, err := io.ReadAll(r)
		r.Close()
		fmt.Printf("%s: %s %v\n", f.Name, b, err)
	}
	// Output:
	// 11 <nil>
	// count.txt: input.txt has 11 bytes <nil>
}

func ExampleTaskError() {
	ctx := context.Background()
	s, done := session(ctx)
	defer done()

	_, err := Drill.On(s).Call(ctx, 12)
	var task *clusterless.TaskError
	if errors.As(err, &task) {
		fmt.Println(task.Func, task.Call, task.Message)
	}
	fmt.Println(errors.Is(err, ErrTooDeep))
	// Output:
	// example.drill 0 drill to 12 km: too deep
	// true
}
