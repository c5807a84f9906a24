// Functions on several ranks.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/mpi"
)

type plate struct {
	Width int
	Ctx   context.Context
}

var (
	width   = flag.Int("width", 10, "")
	steps   int
	ready   int
	counted int
)

func same(_ context.Context, _ *mpi.Comm, x int) (int, error) { return x, nil }

var (
	Plain = clusterless.Define("plain", func(_ context.Context, x int) (int, error) { return x, nil })
	Heat  = mpi.Define("heat", heat)
	twice = mpi.Define("plain", same)                                                                           // want `the name "plain" is taken by the function defined at ranks.go:28: the program panics as it starts`
	space = mpi.Define("a b", same)                                                                             // want `name of a function: want letters, digits, '-', '_' and '.'`
	later = clusterless.Define("heat", func(_ context.Context, x int) (int, error) { return x, nil })           // want `the name "heat" is taken by the function defined at ranks.go:29`
	send  = mpi.Define("send", func(_ context.Context, _ *mpi.Comm, c chan int) (int, error) { return 0, nil }) // want `input of function "send": chan int: cannot send a channel`
	typed = mpi.Define("typed", func(context.Context, *mpi.Comm, int) (p plate, err error) { return p, nil })   // want `result of function "typed": plate.Ctx: cannot send a context`
)

var _ = clusterless.Setup(func(context.Context) error {
	ready = 1
	return nil
})

func heat(ctx context.Context, c *mpi.Comm, x int) (int, error) {
	return *width + grid(), nil // want `width is a flag, and function "heat" \(ranks.go:29\) reads it \(ranks.go:\d+\), which runs in workers: there it has its default`
}

func grid() int { return steps + ready } // want `steps is set by main \(ranks.go:\d+\), and function "heat" \(ranks.go:29\) reads it`

func main() {
	n := len(os.Args)
	mpi.Define("before", func(_ context.Context, _ *mpi.Comm, x int) (int, error) {
		return n * x, nil // want `the function given to Define captures n, a variable of main`
	}, clusterless.Ranks(n))
	clusterless.Main(func(ctx context.Context) error {
		steps, ready, counted = 200, 2, 3
		mpi.Define("behind", same) // want `Define or Setup \(ranks.go:\d+\) is called behind clusterless.Main or Init: it panics`
		mpi.Setup(func() int { return counted })
		_, err := Heat.Call(ctx, 1)
		return err
	})
}
