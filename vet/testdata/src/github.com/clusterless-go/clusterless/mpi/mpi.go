// Package mpi has what the tests of package vet need of the real one.
package mpi

import (
	"context"

	"github.com/clusterless-go/clusterless"
)

type Comm struct{}

// Define defines a function, with the name that it is given. The analyzer looks at its callers only.
func Define[In, Out any](name string, fn func(context.Context, *Comm, In) (Out, error), opts ...clusterless.Option) clusterless.Func[In, Out] {
	return clusterless.Define(name, func(ctx context.Context, in In) (Out, error) { return fn(ctx, &Comm{}, in) }, opts...)
}

// Setup is not that of package clusterless.
func Setup(fn func() int) int { return fn() }
