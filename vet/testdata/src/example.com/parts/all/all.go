// A program of parts that do not fit together.
package main // want `two packages of this program define function "step": at one.go:10 and at two.go:10: the program panics as it starts`

import (
	"context"

	"github.com/clusterless-go/clusterless"

	"example.com/parts/one"
	"example.com/parts/two"
)

var third = clusterless.Define("step", func(_ context.Context, x int) (int, error) { return x, nil }) // want `the name "step" is taken by the function defined at two.go:10`

func main() {
	clusterless.Main(func(ctx context.Context) error {
		one.Step.Call(ctx, 1)
		two.Step.Call(ctx, 1)
		third.Call(ctx, 1)
		return nil
	})
}
