// Ring passes a number around a ring of MPI ranks, in several MPI tasks at once, and shows how a rank that fails ends its
// task. Run it with: go run ./examples/ring -ranks 4 (it needs Open MPI or MPICH).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // with -engine it also runs on Azure: see docs/azure.md
	_ "github.com/clusterless-go/clusterless/engine/slurm"   // and on a cluster: see docs/slurm.md
	"github.com/clusterless-go/clusterless/mpi"
	_ "github.com/clusterless-go/clusterless/store/blobstore"
)

// Ring is a function that several ranks make together.
var Ring = mpi.Define("ring", ring)

var errDropped = errors.New("dropped it")

// Lap is what a lap is to be like.
type Lap struct {
	Start int // the number that rank 0 sends off
	Drop  int // the rank that drops it; -1 for none
}

// ring has each rank add its own number to what comes from the one before it.
func ring(_ context.Context, c *mpi.Comm, lap Lap) (int, error) {
	me, n := c.Rank(), c.Size()
	next, before := (me+1)%n, (me+n-1)%n
	v := []int{lap.Start}
	if me != 0 {
		if _, err := mpi.Recv(c, v, before, 0); err != nil {
			return 0, err
		}
	}
	if me == lap.Drop {
		return 0, errDropped // the others wait for it, and are ended
	}
	v[0] += me
	fmt.Printf("passing on %d\n", v[0]) // in the log of the task, behind the rank
	if err := mpi.Send(c, v, next, 0); err != nil {
		return 0, err
	}
	if me != 0 {
		return 0, nil
	}
	_, err := mpi.Recv(c, v, before, 0)
	return v[0], err
}

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	ranks := flag.Int("ranks", 4, "ranks of each task")
	nodes := flag.Int("nodes", 1, "nodes of each task")
	engine := flag.String("engine", "", "URL of the engine; this machine if empty")
	flag.Parse()
	where := clusterless.Engine(*engine)
	if *engine == "" {
		where = clusterless.Slots(max(runtime.NumCPU(), *ranks+*nodes)) // also with more ranks than cores
	}
	s, err := clusterless.Open(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close()

	around := Ring.On(s, clusterless.Ranks(*ranks), clusterless.Nodes(*nodes))
	job, err := around.Map(ctx, []Lap{{0, -1}, {100, -1}, {1000, -1}})
	if err != nil {
		return err
	}
	sums, err := job.Results(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("around %d ranks: %d\n", *ranks, sums)

	_, err = around.Call(ctx, Lap{Drop: *ranks - 1})
	fmt.Printf("an error: %v\n  is errDropped: %v\n", err, errors.Is(err, errDropped))
	return nil
}
