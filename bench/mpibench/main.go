// Mpibench is the MPI part of the bench: a program of its own, since whatever imports package mpi is linked to the C
// library. It measures messages of ranks as tasks have them, which testdata/mpi.c does in C, and what a task with ranks and a map inside of
// a task cost. It prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/mpi"
	"github.com/clusterless-go/clusterless/task"
)

var (
	noop    = clusterless.Define("noop", func(_ context.Context, i int) (int, error) { return i, nil })
	inside  = clusterless.Define("inside", mapInside, clusterless.Cores(2))
	nothing = mpi.Define("nothing", func(context.Context, *mpi.Comm, int) (int, error) { return 0, nil }, clusterless.Ranks(4))
	pings   = mpi.Define("pingpong", pingpong, clusterless.Ranks(2), clusterless.Threads(2)) // see "Memory and threads of ranks" in docs/mpi.md
	reduces = mpi.Define("allreduce", allreduce, clusterless.Ranks(4))
)

func main() {
	clusterless.Main(func(ctx context.Context) error {
		var s map[string]float64
		var err error
		switch args := os.Args[1:]; {
		case len(args) == 1 && args[0] == "pingpong":
			s, err = messages(ctx, "us", pings, 0)
		case len(args) == 2 && args[0] == "allreduce":
			n, _ := strconv.Atoi(args[1])
			s, err = messages(ctx, "seconds", reduces, n)
		case len(args) == 1 && args[0] == "start":
			s, err = start(ctx)
		case len(args) == 1 && args[0] == "nested":
			s, err = nested(ctx)
		default:
			err = fmt.Errorf("want pingpong, allreduce N, start or nested")
		}
		if err != nil || s == nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(s)
	})
}

func median(t []float64) float64 {
	slices.Sort(t)
	return t[len(t)/2]
}

// messages gives what ranks measured.
func messages(ctx context.Context, unit string, f clusterless.Func[int, float64], n int) (map[string]float64, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	t, err := f.On(s).Call(ctx, n)
	return map[string]float64{unit: t}, err
}

// pingpong sends 8 bytes there and back, and gives the microseconds of one way.
func pingpong(_ context.Context, c *mpi.Comm, _ int) (float64, error) {
	const batches, trips = 41, 1000
	var err error
	var t []float64
	v, other := []float64{1}, 1-c.Rank()
	for range batches {
		start := time.Now()
		for range trips {
			if c.Rank() == 0 {
				err = mpi.Send(c, v, other, 0)
			}
			if err == nil {
				_, err = mpi.Recv(c, v, other, 0)
			}
			if err == nil && c.Rank() == 1 {
				err = mpi.Send(c, v, other, 0)
			}
			if err != nil {
				return 0, err
			}
		}
		t = append(t, time.Since(start).Seconds()/trips/2*1e6)
	}
	return median(t), nil
}

// allreduce adds n numbers of each rank up, and gives the seconds.
func allreduce(_ context.Context, c *mpi.Comm, n int) (float64, error) {
	const reps = 11
	send, recv := make([]float64, n), make([]float64, n)
	for i := range send {
		send[i], recv[i] = float64(i%1000), 0
	}
	var t []float64
	for r := -2; r < reps; r++ {
		if err := c.Barrier(); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := mpi.Allreduce(c, send, recv, mpi.Sum); err != nil {
			return 0, err
		}
		if r >= 0 {
			t = append(t, time.Since(start).Seconds())
		}
	}
	return median(t), nil
}

func open(ctx context.Context) (*clusterless.Session, error) {
	return clusterless.Open(ctx, clusterless.Dir(os.Getenv("MPIBENCH_DIR")), clusterless.Slots(4))
}

// start gives the time of a call with four ranks that do nothing, and that of one without ranks.
func start(ctx context.Context) (map[string]float64, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var ranks, plain []float64
	for range 6 {
		begin := time.Now()
		if _, err := nothing.On(s).Call(ctx, 0); err != nil {
			return nil, err
		}
		ranks = append(ranks, time.Since(begin).Seconds())
		begin = time.Now()
		if _, err := noop.On(s).Call(ctx, 0); err != nil {
			return nil, err
		}
		plain = append(plain, time.Since(begin).Seconds())
	}
	return map[string]float64{"seconds": median(ranks[1:]), "plain": median(plain[1:])}, nil
}

const calls = 1000

func inputs() []int {
	ins := make([]int, calls)
	for i := range ins {
		ins[i] = i
	}
	return ins
}

// mapInside gives the seconds of a map in this task.
func mapInside(ctx context.Context, _ int) (float64, error) {
	begin := time.Now()
	_, err := task.Map(ctx, noop, inputs())
	return time.Since(begin).Seconds(), err
}

// nested gives the time of 1,000 calls that do nothing, made by a task on its two cores and by the client on two slots, both
// with the start of the processes that make them.
func nested(ctx context.Context) (map[string]float64, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	within, err := inside.On(s).Call(ctx, 0)
	if err != nil {
		return nil, err
	}
	fresh, err := clusterless.Open(ctx, clusterless.Dir(os.Getenv("MPIBENCH_DIR")+"/client"), clusterless.Slots(2))
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	begin := time.Now()
	job, err := noop.On(fresh).Map(ctx, inputs())
	if err != nil {
		return nil, err
	}
	if _, err := job.Results(ctx); err != nil {
		return nil, err
	}
	return map[string]float64{"seconds": within, "client": time.Since(begin).Seconds()}, nil
}
