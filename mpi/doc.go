// Package mpi runs functions on several processes that send each other messages by MPI, with the MPI library of the node:
// Open MPI, or one with the binary interface of MPICH (MPICH, Intel MPI, MVAPICH, Cray MPICH). The library is found when
// the first rank starts; one program works with either, and none is needed where no rank runs. There is no cgo.
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//
//		"github.com/clusterless-go/clusterless"
//		"github.com/clusterless-go/clusterless/mpi"
//	)
//
//	// Each rank adds up its share; Allreduce makes the sum of all.
//	var Sum = mpi.Define("sum", func(_ context.Context, c *mpi.Comm, n int) (int, error) {
//		sum := []int{0}
//		for i := c.Rank(); i < n; i += c.Size() {
//			sum[0] += i
//		}
//		err := mpi.Allreduce(c, nil, sum, mpi.Sum)
//		return sum[0], err
//	}, clusterless.Ranks(4))
//
//	func main() {
//		clusterless.Main(func(ctx context.Context) error {
//			s, err := clusterless.Open(ctx)
//			if err != nil {
//				return err
//			}
//			defer s.Close()
//			sum, err := Sum.On(s).Call(ctx, 1000)
//			fmt.Println(sum, err)
//			return err
//		})
//	}
//
// [Comm] says what goroutines may do. [Run] runs programs that exist already. A program that imports this package is linked to the
// C library dynamically, and starts only where there is one.
package mpi
