// Good is the program bad, mended.
package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/clusterless-go/clusterless"
)

// A Ray is all that a task needs.
type Ray struct {
	Layers []float64
	Depth  int
	Shots  int
}

// Travel computes a time.
var Travel = clusterless.Define("travel", func(_ context.Context, r Ray) (float64, error) {
	return r.Layers[r.Depth] * float64(r.Shots), nil
})

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	shots := flag.Int("shots", 10, "number of shots")
	flag.Parse()
	s, err := clusterless.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	t, err := Travel.On(s).Call(ctx, Ray{[]float64{1, 2, 3}, 1, *shots})
	fmt.Println(t)
	return err
}
