// Package clusterless has what the tests of package vet need of the real one.
package clusterless

import "context"

type Option func()

func Ranks(n int) Option { return nil }

type Func[In, Out any] struct {
	f func(context.Context, In) (Out, error)
}

func Define[In, Out any](name string, fn func(context.Context, In) (Out, error), opts ...Option) Func[In, Out] {
	return Func[In, Out]{fn}
}

func (f Func[In, Out]) Call(ctx context.Context, in In) (Out, error) { return f.f(ctx, in) }

func Sum[T int | float64](context.Context, []T) (T, error) { return 0, nil }

func Setup(fn func(context.Context) error) struct{} { return struct{}{} }

func Main(run func(ctx context.Context) error) {}

func Init() {}
