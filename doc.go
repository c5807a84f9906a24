// Package clusterless runs functions of a program as tasks: on this machine, and on batch services, without a cluster
// of its own. The smallest whole program:
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//
//		"github.com/clusterless-go/clusterless"
//	)
//
//	var Square = clusterless.Define("square", func(ctx context.Context, x int) (int, error) { return x * x, nil })
//
//	func main() { clusterless.Main(run) }
//
//	func run(ctx context.Context) error {
//		s, err := clusterless.Open(ctx)
//		if err != nil {
//			return err
//		}
//		defer s.Close()
//		job, err := Square.On(s).Map(ctx, []int{1, 2, 3})
//		if err != nil {
//			return err
//		}
//		squares, err := job.Results(ctx)
//		fmt.Println(squares, err)
//		return err
//	}
//
// The program is its own worker: the engine starts it again with a variable set, and [Main] then takes tasks instead of
// calling run. So a function must be known to every process: [Define] it in a variable of a package, under a name.
//
// # What a function sees
//
// A function runs in another process, and maybe on another machine, than the client. It gets a copy of its input.
// Package variables have the values that package initialisation gave them: what [Main] was given to run did not happen
// there, nor anything behind Main or [Init]; what main does before happens in every process, with no arguments and
// another environment, so it had better be nothing. Its
// stdout and stderr are logs. Its working directory is temporary. It may be begun more than once, if its process is
// lost (see [Retries]); its result is stored exactly once.
//
// # Data
//
// Inputs and results can be almost any Go values; package codec says which cannot. A [Ref] stands for a value in the
// store, broadcast ([Broadcast]) or the result of another call ([Future.Ref], [Job.Ref]), and gets it to a call without
// passing through the client.
//
// # Errors
//
// A call that fails gives a [TaskError]. errors.Is and errors.As find in it the error that the function returned, also
// sentinels such as io.EOF or, in the same build of the program, a package's own.
package clusterless
