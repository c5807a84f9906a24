package mpi

import (
	"fmt"
	"math"
	"reflect"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// Collective operations are called by all ranks of a communicator, in the same order, with the same root and with
// buffers that fit together; a rank that does not call, or calls another one, makes the others wait for ever.

// Barrier returns when all ranks have called it.
func (c *Comm) Barrier() error { return c.collect(lib.Barrier, c.h) }

// Bcast copies buf of the root into buf of all others, which has the same length.
func Bcast[T Number](c *Comm, buf []T, root int) error {
	if err := check(buf); err != nil {
		return err
	}
	return c.collect(lib.Bcast, uintptr(data(buf)), uintptr(len(buf)), typeOf[T](c), c.valid(root), c.h)
}

// source is the first buffer of a reduction: IN_PLACE for nil.
func inPlace[T Number](c *Comm, send []T) (unsafe.Pointer, bool) {
	if send == nil {
		return nil, true
	}
	return data(send), false
}

// reduce makes the reductions whose arguments are send, recv, count, type, op, comm, where recv counts.
func reduce[T Number](c *Comm, f lib.Func, send, recv []T, op *Op) error {
	if send != nil && len(send) != len(recv) {
		return fmt.Errorf("mpi: %v of %d elements into %d: %w", f, len(send), len(recv), ErrCount)
	}
	if err := check(recv); err != nil {
		return err
	}
	h, err := op.handle(c, reflect.TypeFor[T]().Kind())
	if err != nil {
		return err
	}
	if p, in := inPlace(c, send); in {
		err = c.collect(f, c.w.lib.InPlace, uintptr(data(recv)), uintptr(len(recv)), typeOf[T](c), h, c.h)
	} else {
		err = c.collect(f, uintptr(p), uintptr(data(recv)), uintptr(len(recv)), typeOf[T](c), h, c.h)
	}
	op.settle()
	return err
}

// Reduce combines send of all ranks, element by element, into recv of the root. With nil for send the root's part is
// what stands in recv. Only the root's recv counts; on others it may be nil.
func Reduce[T Number](c *Comm, send, recv []T, op *Op, root int) error {
	if c.rank == root && send != nil && len(send) != len(recv) || c.rank != root && send == nil {
		return fmt.Errorf("mpi: Reduce of %d elements into %d: %w", len(send), len(recv), ErrCount)
	}
	if err := check(send); err != nil {
		return err
	}
	h, err := op.handle(c, reflect.TypeFor[T]().Kind())
	if err != nil {
		return err
	}
	if send == nil {
		err = c.collect(lib.Reduce, c.w.lib.InPlace, uintptr(data(recv)), uintptr(len(recv)), typeOf[T](c), h, c.valid(root), c.h)
	} else {
		err = c.collect(lib.Reduce, uintptr(data(send)), uintptr(data(recv)), uintptr(len(send)), typeOf[T](c), h, c.valid(root), c.h)
	}
	op.settle()
	return err
}

// Allreduce combines send of all ranks, element by element, into recv of all. With nil for send each rank's part is what
// stands in recv.
func Allreduce[T Number](c *Comm, send, recv []T, op *Op) error {
	return reduce(c, lib.Allreduce, send, recv, op)
}

// Scan combines send of ranks 0 to this one into recv. nil for send as with [Allreduce].
func Scan[T Number](c *Comm, send, recv []T, op *Op) error {
	return reduce(c, lib.Scan, send, recv, op)
}

// Exscan combines send of the ranks below this one into recv; on rank 0 recv is left as it is.
func Exscan[T Number](c *Comm, send, recv []T, op *Op) error {
	return reduce(c, lib.Exscan, send, recv, op)
}

// per is the length of each rank's part of a buffer.
func per[T Number](c *Comm, f lib.Func, buf []T) (int, error) {
	if len(buf)%c.size != 0 {
		return 0, fmt.Errorf("mpi: %v: a buffer of %d elements for %d ranks, want a multiple: %w", f, len(buf), c.size, ErrCount)
	}
	if n := len(buf) / c.size; n <= math.MaxInt32 {
		return n, nil
	}
	return 0, fmt.Errorf("mpi: %v: %d elements for each rank: the library counts to %d: %w", f, len(buf)/c.size, math.MaxInt32, ErrCount)
}

// Gather collects send of all ranks, which have the same length, in recv of the root, in the order of ranks.
func Gather[T Number](c *Comm, send, recv []T, root int) error {
	var n int
	if c.rank == root {
		var err error
		if n, err = per(c, lib.Gather, recv); err != nil {
			return err
		}
		if n != len(send) {
			return fmt.Errorf("mpi: Gather of %d elements of each of %d ranks into %d: %w", len(send), c.size, len(recv), ErrCount)
		}
	}
	if err := check(send); err != nil {
		return err
	}
	t := typeOf[T](c)
	return c.collect(lib.Gather, uintptr(data(send)), uintptr(len(send)), t, uintptr(data(recv)), uintptr(n), t, c.valid(root), c.h)
}

// Allgather collects send of all ranks, which have the same length, in recv of all, in the order of ranks.
func Allgather[T Number](c *Comm, send, recv []T) error {
	n, err := per(c, lib.Allgather, recv)
	if err != nil {
		return err
	}
	if n != len(send) {
		return fmt.Errorf("mpi: Allgather of %d elements of each of %d ranks into %d: %w", len(send), c.size, len(recv), ErrCount)
	}
	t := typeOf[T](c)
	return c.collect(lib.Allgather, uintptr(data(send)), uintptr(n), t, uintptr(data(recv)), uintptr(n), t, c.h)
}

// Scatter deals send of the root out to recv of all ranks, in parts of equal length.
func Scatter[T Number](c *Comm, send, recv []T, root int) error {
	var n int
	if c.rank == root {
		var err error
		if n, err = per(c, lib.Scatter, send); err != nil {
			return err
		}
		if n != len(recv) {
			return fmt.Errorf("mpi: Scatter of %d elements to %d ranks, %d to each: %w", len(send), c.size, len(recv), ErrCount)
		}
	}
	if err := check(recv); err != nil {
		return err
	}
	t := typeOf[T](c)
	return c.collect(lib.Scatter, uintptr(data(send)), uintptr(n), t, uintptr(data(recv)), uintptr(len(recv)), t, c.valid(root), c.h)
}

// Alltoall sends the i-th part of send to rank i, and receives from it the i-th part of recv; all parts have the same
// length.
func Alltoall[T Number](c *Comm, send, recv []T) error {
	n, err := per(c, lib.Alltoall, send)
	if err != nil {
		return err
	}
	if len(recv) != len(send) {
		return fmt.Errorf("mpi: Alltoall of %d elements into %d: %w", len(send), len(recv), ErrCount)
	}
	t := typeOf[T](c)
	return c.collect(lib.Alltoall, uintptr(data(send)), uintptr(n), t, uintptr(data(recv)), uintptr(n), t, c.h)
}

// parts are the counts of a v-form as the library takes them, with the displacements of parts that follow each other
// without gaps in a buffer of total elements.
func (c *Comm) parts(f lib.Func, counts []int, total int) (n, at []int32, err error) {
	if len(counts) != c.size {
		return nil, nil, fmt.Errorf("mpi: %v: %d counts for %d ranks: %w", f, len(counts), c.size, ErrCount)
	}
	n, at = make([]int32, c.size), make([]int32, c.size)
	sum := 0
	for i, k := range counts {
		if k < 0 || sum+k > math.MaxInt32 {
			return nil, nil, fmt.Errorf("mpi: %v: count %d of rank %d: want at least 0, and at most %d in all: %w", f, k, i, math.MaxInt32, ErrCount)
		}
		n[i], at[i] = int32(k), int32(sum)
		sum += k
	}
	if sum != total {
		return nil, nil, fmt.Errorf("mpi: %v: counts add up to %d, the buffer has %d elements: %w", f, sum, total, ErrCount)
	}
	return n, at, nil
}

// Gatherv is Gather with parts of different lengths: counts, on the root, says how many elements come from each rank.
func Gatherv[T Number](c *Comm, send, recv []T, counts []int, root int) error {
	var n, at []int32
	if c.rank == root {
		var err error
		if n, at, err = c.parts(lib.Gatherv, counts, len(recv)); err != nil {
			return err
		}
	}
	if err := check(send); err != nil {
		return err
	}
	t := typeOf[T](c)
	return c.collect(lib.Gatherv, uintptr(data(send)), uintptr(len(send)), t, uintptr(data(recv)), uintptr(data(n)), uintptr(data(at)), t, c.valid(root), c.h)
}

// Allgatherv is Allgather with parts of different lengths; all ranks give the same counts.
func Allgatherv[T Number](c *Comm, send, recv []T, counts []int) error {
	n, at, err := c.parts(lib.Allgatherv, counts, len(recv))
	if err != nil {
		return err
	}
	if len(send) != counts[c.rank] {
		return fmt.Errorf("mpi: Allgatherv: rank %d sends %d elements, its count is %d: %w", c.rank, len(send), counts[c.rank], ErrCount)
	}
	t := typeOf[T](c)
	return c.collect(lib.Allgatherv, uintptr(data(send)), uintptr(len(send)), t, uintptr(data(recv)), uintptr(data(n)), uintptr(data(at)), t, c.h)
}

// Scatterv is Scatter with parts of different lengths: counts, on the root, says how many elements go to each rank.
func Scatterv[T Number](c *Comm, send []T, counts []int, recv []T, root int) error {
	var n, at []int32
	if c.rank == root {
		var err error
		if n, at, err = c.parts(lib.Scatterv, counts, len(send)); err != nil {
			return err
		}
	}
	if err := check(recv); err != nil {
		return err
	}
	t := typeOf[T](c)
	return c.collect(lib.Scatterv, uintptr(data(send)), uintptr(data(n)), uintptr(data(at)), t, uintptr(data(recv)), uintptr(len(recv)), t, c.valid(root), c.h)
}

// Alltoallv is Alltoall with parts of different lengths.
func Alltoallv[T Number](c *Comm, send []T, sendCounts []int, recv []T, recvCounts []int) error {
	sn, sat, err := c.parts(lib.Alltoallv, sendCounts, len(send))
	if err != nil {
		return err
	}
	rn, rat, err := c.parts(lib.Alltoallv, recvCounts, len(recv))
	if err != nil {
		return err
	}
	t := typeOf[T](c)
	return c.collect(lib.Alltoallv, uintptr(data(send)), uintptr(data(sn)), uintptr(data(sat)), t, uintptr(data(recv)), uintptr(data(rn)), uintptr(data(rat)), t, c.h)
}
