// A program that uses a library.
package main

import (
	"context"

	"example.com/sim"
	"github.com/clusterless-go/clusterless"
)

var _ = clusterless.Setup(sim.Prepare)

var Double = sim.Scaled("double", 2)

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	sim.Grid = 100   // want `sim.Grid is set by main \(app.go:18\), and function "run" \(sim.go:26\) reads it \(sim.go:33\)`
	sim.Configure(3) // want `sim.scale is set by main \(sim.go:18\), and function "run"`
	if err := sim.Prepare(ctx); err != nil {
		return err
	}
	triple := sim.Scaled("triple", 3)
	_, err := triple.Call(ctx, 1)
	return err
}
