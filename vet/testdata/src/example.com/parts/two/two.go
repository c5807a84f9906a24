// Package two is a part of a program.
package two

import (
	"context"

	"github.com/clusterless-go/clusterless"
)

var Step = clusterless.Define("step", func(_ context.Context, x int) (int, error) { return x, nil })
