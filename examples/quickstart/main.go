// Quickstart shows the whole of clusterless in a minute: a call, a map, a broadcast, a reduction, and how an error and
// a panic in a task come back. Run it with: go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // also runs on Azure: see docs/azure.md
	_ "github.com/clusterless-go/clusterless/engine/slurm"   // and on a cluster: see docs/slurm.md
	"github.com/clusterless-go/clusterless/progress"
	_ "github.com/clusterless-go/clusterless/store/blobstore"
)

// Functions that run as tasks are defined in variables of a package, so that workers have them too.
var (
	Hello     = clusterless.Define("hello", hello)
	Pi        = clusterless.Define("pi", pi)
	Sum       = clusterless.Define("sum", clusterless.Sum[float64])
	Distance  = clusterless.Define("distance", distance)
	Withdraw  = clusterless.Define("withdraw", withdraw)
	Reckless  = clusterless.Define("reckless", reckless)
	errNoCash = errors.New("no cash left")
)

func hello(ctx context.Context, name string) (string, error) {
	task, _ := clusterless.Current(ctx)
	return fmt.Sprintf("hello %s, from process %d on %s", name, os.Getpid(), task.Node), nil
}

// pi throws darts at a quarter of a circle.
func pi(_ context.Context, seed uint64) (float64, error) {
	const darts = 2_000_000
	r, hits := rand.New(rand.NewPCG(seed, 0)), 0
	for range darts {
		if x, y := r.Float64(), r.Float64(); x*x+y*y < 1 {
			hits++
		}
	}
	return 4 * float64(hits) / darts, nil
}

// Query is a question to points that all tasks share.
type Query struct {
	Points clusterless.Ref[[][2]float64]
	X, Y   float64
}

// distance to the nearest of the points.
func distance(ctx context.Context, q Query) (float64, error) {
	points, err := q.Points.Get(ctx)
	if err != nil {
		return 0, err
	}
	best := math.Inf(1)
	for _, p := range points {
		best = min(best, math.Hypot(p[0]-q.X, p[1]-q.Y))
	}
	return best, nil
}

func withdraw(_ context.Context, amount int) (int, error) {
	if amount > 100 {
		return 0, fmt.Errorf("withdraw %d: %w", amount, errNoCash)
	}
	return 100 - amount, nil
}

func reckless(_ context.Context, i int) (int, error) {
	fmt.Println("about to look at element", i)
	return []int{1, 2, 3}[i], nil
}

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	s, err := clusterless.Open(ctx, progress.Show(os.Stderr))
	if err != nil {
		return err
	}
	defer s.Close()

	// One call, as one task.
	text, err := Hello.On(s).Call(ctx, "world")
	if err != nil {
		return err
	}
	fmt.Println(text)

	// A map: one job, many calls. Its results are combined by tasks; only the sum comes back.
	job, err := Pi.On(s).Map(ctx, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	if err != nil {
		return err
	}
	sum, err := job.Reduce(ctx, Sum.On(s))
	if err != nil {
		return err
	}
	fmt.Printf("pi is about %.4f\n", sum/float64(job.Len()))

	// A broadcast: stored once, read by every task.
	points := make([][2]float64, 100_000)
	for i := range points {
		points[i] = [2]float64{rand.Float64(), rand.Float64()}
	}
	shared, err := clusterless.Broadcast(ctx, s, points)
	if err != nil {
		return err
	}
	near, err := Distance.On(s).Map(ctx, []Query{{shared, 0.5, 0.5}, {shared, 2, 0.5}, {shared, 0.5, -3}})
	if err != nil {
		return err
	}
	distances, err := near.Results(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("distances to the nearest point: %.3f\n", distances)

	// Errors keep their identity on the way back.
	_, err = Withdraw.On(s).Call(ctx, 150)
	fmt.Printf("an error: %v\n  is errNoCash: %v\n", err, errors.Is(err, errNoCash))

	// A panic is an error too, with its stack and what the call printed.
	_, err = Reckless.On(s).Call(ctx, 7)
	var te *clusterless.TaskError
	if !errors.As(err, &te) {
		return fmt.Errorf("the panic is lost: %w", err)
	}
	fmt.Printf("a panic: %s\n", strings.TrimRight(te.Detail(), "\n"))
	return nil
}
