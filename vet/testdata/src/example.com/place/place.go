// Where Define is called.
package main

import (
	"context"
	"os"

	"github.com/clusterless-go/clusterless"

	"example.com/sim"
)

type f = clusterless.Func[int, int]

func same(_ context.Context, x int) (int, error) { return x, nil }

var (
	inVar    = clusterless.Define("var", same)
	byHelper = scaled("helper", 3)
	several  = func() (all []f) {
		for _, name := range []string{"a", "b"} {
			all = append(all, clusterless.Define(name, same))
		}
		return all
	}()
)

var inInit f

func init() { inInit = clusterless.Define("init", same) }

func scaled(name string, k int) f {
	return clusterless.Define(name, func(_ context.Context, x int) (int, error) { return k * x, nil })
}

func main() {
	n := len(os.Args)
	clusterless.Define("before", func(_ context.Context, x int) (int, error) {
		y := x
		return n * y, nil // want `the function given to Define captures n, a variable of main: in a worker, which has no arguments`
	})
	clusterless.Main(func(ctx context.Context) error {
		clusterless.Define("behind", same) // want `Define or Setup \(place.go:\d+\) is called behind clusterless.Main or Init: it panics`
		scaled("fine", 2)                  // its Define is one that also runs in time
		sim.Scaled("triple", 3)            // want `Define or Setup \(sim.go:37\) is called behind clusterless.Main or Init`
		return deep(ctx)
	})
}

func deep(context.Context) error {
	clusterless.Setup(func(context.Context) error { return nil }) // want `is called behind clusterless.Main or Init`
	return nil
}
