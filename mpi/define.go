package mpi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/team"
)

// Define gives an MPI function a name, as [clusterless.Define] does; what it returns is used like any other Func. Each
// call of it is an MPI program of its own, whose ranks all call fn with the same input and with the communicator of them all:
//
//	var Heat = mpi.Define("heat", heat, clusterless.Ranks(4))
//	…
//	field, err := Heat.On(s, clusterless.Nodes(2)).Call(ctx, plate)
//
// How many ranks there are, and where, say the options [clusterless.Ranks], [clusterless.Nodes],
// [clusterless.RanksPerNode], [clusterless.Threads] and [clusterless.BindCores].
//
// The result is what rank 0 returns; the others' is dropped. An error or a panic on any rank, and the end of its
// process, is that of the call, with the rank named, and ends the other ranks. What ranks print is in the log of the task, with the
// rank in front of each line.
//
// Called without a session, fn runs here, with this process's [World].
func Define[In, Out any](name string, fn func(context.Context, *Comm, In) (Out, error), opts ...clusterless.Option) clusterless.Func[In, Out] {
	if fn == nil {
		panic(fmt.Sprintf("mpi: Define(%q): the function is nil", name))
	}
	return clusterless.Define(name, func(ctx context.Context, in In) (out Out, err error) {
		info, task := team.From(ctx)
		switch {
		case task && info.Role == "":
			return launch[In, Out](ctx, name, info, in)
		case task && info.Role != team.Rank:
			return out, errors.New("mpi: an MPI function inside of a map of a task: its ranks would need cores that the map has taken: map plain functions")
		}
		c, err := World()
		if err != nil {
			return out, err
		}
		if task {
			info.Keep.AtEnd(func() {
				if err := Finalize(); err != nil { // the result is there: this goes into the log
					fmt.Fprintf(os.Stderr, "clusterless: %v\n", err)
				}
			})
		}
		return fn(ctx, c, in)
	}, opts...)
}

// launch makes a call in the task's worker: its ranks make it.
func launch[In, Out any](ctx context.Context, name string, info team.Info, in In) (out Out, err error) {
	var input team.Pack
	err = input.Add(func(w io.Writer) error {
		_, err := (&codec.Encoder{}).Encode(w, &in)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("mpi: input for the ranks: %w", err)
	}
	result, err := runRanks(ctx, name, info, input.Bytes())
	if err != nil {
		return out, err
	}
	if result, _, err = team.Unpack(result); err == nil {
		err = (&codec.Decoder{}).DecodeBytes(result, &out)
	}
	if err != nil {
		return out, fmt.Errorf("mpi: result of rank 0: %w", err)
	}
	return out, nil
}
