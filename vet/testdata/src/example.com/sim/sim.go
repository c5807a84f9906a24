// Package sim is a library: what main does with it is known to main only.
package sim

import (
	"context"

	"github.com/clusterless-go/clusterless"
)

var (
	Grid  int
	Order int // nobody sets it
	scale float64
	ready bool
)

// Configure is for main.
func Configure(s float64) { scale = s }

// Prepare is for Setup, and for main.
func Prepare(context.Context) error {
	ready = true
	return nil
}

var Run = clusterless.Define("run", func(ctx context.Context, x float64) (float64, error) {
	if !ready {
		return 0, nil
	}
	return inner(x)
})

func inner(x float64) (float64, error) { return x*scale + float64(Grid+Order), nil }

// Scaled makes a function.
func Scaled(name string, k float64) clusterless.Func[float64, float64] {
	return clusterless.Define(name, func(ctx context.Context, x float64) (float64, error) { return k * x, nil })
}

// Request has a context that may be nil.
type Request struct {
	N   int
	ctx context.Context
}
