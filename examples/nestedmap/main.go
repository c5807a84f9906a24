// Nestedmap searches for the lowest point of a landscape with many valleys. Each task is a search of its own: it looks at
// many places at once on its own cores, and decides from what it finds where to look next, without going back to the client. Run
// it with: go run ./examples/nestedmap
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // with -engine it also runs on Azure: see docs/azure.md
	_ "github.com/clusterless-go/clusterless/engine/slurm"   // and on a cluster: see docs/slurm.md
	_ "github.com/clusterless-go/clusterless/store/blobstore"
	"github.com/clusterless-go/clusterless/task"
)

// Search is what the client calls; Height is what a search calls, many times at once.
var (
	Search = clusterless.Define("search", search)
	Height = clusterless.Define("height", height)
)

const (
	dims        = 4
	generations = 30
	looks       = 64 // places in a generation
	best        = 8  // of them that shape the next
)

// Point is a place.
type Point [dims]float64

// height is Rastrigin's function, whose lowest point is 0 at (1, 1, …), among thousands of valleys; each look takes a while.
func height(_ context.Context, p Point) (float64, error) {
	var h float64
	for range 200 {
		h = 10 * dims
		for _, x := range p {
			x--
			h += x*x - 10*math.Cos(2*math.Pi*x)
		}
	}
	return h, nil
}

// Found is the lowest place of a search.
type Found struct {
	At     Point
	Height float64
	Looks  int
}

// search draws places around a centre, and moves the centre to the mean of the best, as narrow as they lie.
func search(ctx context.Context, seed uint64) (Found, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	centre, width := Point{}, Point{}
	for i := range centre {
		centre[i], width[i] = 10*r.Float64()-5, 3
	}
	found := Found{Height: math.Inf(1)}
	for range generations {
		places := make([]Point, looks)
		for i := range places {
			for d := range dims {
				places[i][d] = centre[d] + width[d]*r.NormFloat64()
			}
		}
		heights, err := task.Map(ctx, Height, places) // on all cores and nodes of this task
		if err != nil {
			return found, err
		}
		order := make([]int, looks)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			if heights[a] < heights[b] {
				return -1
			}
			return 1
		})
		if h := heights[order[0]]; h < found.Height {
			found.At, found.Height = places[order[0]], h
		}
		for d := range dims {
			var mean, spread float64
			for _, i := range order[:best] {
				mean += places[i][d] / best
			}
			for _, i := range order[:best] {
				spread += (places[i][d] - mean) * (places[i][d] - mean) / best
			}
			centre[d], width[d] = mean, 0.7*width[d]+0.3*math.Sqrt(spread)
		}
		found.Looks += looks
	}
	return found, nil
}

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	searches := flag.Int("searches", 4, "searches to make")
	nodes := flag.Int("nodes", 1, "nodes of each search")
	cores := flag.Int("cores", 2, "cores of each node of it")
	engine := flag.String("engine", "", "URL of the engine; this machine if empty")
	flag.Parse()
	where := clusterless.Engine(*engine)
	if *engine == "" {
		where = clusterless.Slots(max(runtime.NumCPU(), *nodes**cores))
	}
	s, err := clusterless.Open(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close()
	seeds := make([]uint64, *searches)
	for i := range seeds {
		seeds[i] = uint64(i)
	}
	job, err := Search.On(s, clusterless.Nodes(*nodes), clusterless.Cores(*cores)).Map(ctx, seeds)
	if err != nil {
		return err
	}
	results, err := job.Results(ctx)
	if err != nil {
		return err
	}
	lowest := results[0]
	for i, f := range results {
		fmt.Printf("search %d: %.3f at %.3f after %d looks\n", i, f.Height, f.At, f.Looks)
		if f.Height < lowest.Height {
			lowest = f
		}
	}
	fmt.Printf("lowest: %.3f at %.2f\n", lowest.Height, lowest.At)
	return nil
}
