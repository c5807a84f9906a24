package mpi

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// A Comm is a communicator: a group of ranks, numbered from 0, whose messages do not mix with those of others.
//
// Goroutines: with a library that supports it (Open MPI and MPICH as distributions build them do), any goroutine may
// call, also several at once. But the order of collective operations must be the same on all ranks, so there is one at a
// time on a communicator: a second one panics; give each goroutine a communicator of its own with [Comm.Dup]. With a
// library of less thread support, a call beside another one panics, and if only one thread may call, a call on another.
// No call can be interrupted: a rank that waits for a message that never comes waits until its task's time is over.
//
// Buffers are used in place. They must not be touched by others during the operation; the buffer of [Isend] and [Irecv] not
// until [Request.Wait] has returned.
//
// Errors: what the library finds wrong with a call is returned as [*Error]. What it cannot return, it ends the rank for,
// and with it the task: the loss of another rank, foremost.
type Comm struct {
	w          *world
	h          uintptr
	rank, size int
	busy       atomic.Bool // a collective operation runs
	frame      atomic.Pointer[frame]
}

// Wildcards and marks for the arguments of operations, the same with every library.
const (
	AnySource = -1 // Recv: from whom ever
	AnyTag    = -1 // Recv: whatever it is marked with
	NoRank    = -2 // to or from nobody: the operation does nothing
)

// Undefined as colour in [Comm.Split]: this rank is in none of the new communicators.
const Undefined = -1

// Rank is the number of this process in the communicator.
func (c *Comm) Rank() int { return c.rank }

// Size is the number of its ranks.
func (c *Comm) Size() int { return c.size }

// Library is the version text of the MPI library.
func (c *Comm) Library() string { return c.w.lib.Version }

// newComm wraps a handle; nil for the null communicator.
func (w *world) newComm(h uintptr) (*Comm, error) {
	if h == w.lib.CommNull {
		return nil, nil
	}
	c := &Comm{w: w, h: h}
	var n int32
	if err := c.call(lib.Rank, c.h, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	c.rank = int(n)
	if err := c.call(lib.Size, c.h, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	c.size = int(n)
	return c, nil
}

// call makes a call of the library. Conversions from pointers stand in its argument list.
//
//go:uintptrescapes
func (c *Comm) call(f lib.Func, args ...uintptr) error {
	if c.h == 0 {
		panic(fmt.Sprintf("mpi: %v on a communicator that was freed", f))
	}
	return c.w.call(f, args...)
}

// collect is call for collective operations, of which there is one at a time.
//
//go:uintptrescapes
func (c *Comm) collect(f lib.Func, args ...uintptr) error {
	if !c.busy.CompareAndSwap(false, true) {
		panic(fmt.Sprintf("mpi: %v while another goroutine is in a collective operation of the same communicator: their order would be left to chance: give each goroutine its own (Comm.Dup)", f))
	}
	defer c.busy.Store(false) // also when the call breaks a rule, and panics
	return c.call(f, args...)
}

// derive makes a communicator by a collective operation whose last argument is where the new handle goes.
//
//go:uintptrescapes
func (c *Comm) derive(f lib.Func, h *uintptr, args ...uintptr) (*Comm, error) {
	if err := c.collect(f, args...); err != nil {
		return nil, err
	}
	return c.w.newComm(*h)
}

// Dup makes a communicator of the same ranks, whose messages are its own. Collective.
func (c *Comm) Dup() (*Comm, error) {
	h := new(uintptr)
	return c.derive(lib.Dup, h, c.h, uintptr(unsafe.Pointer(h)))
}

// Split makes a communicator for each colour, of the ranks that gave this colour, in the order of their keys and, where
// these are equal, of their ranks. A rank with the colour [Undefined] gets nil. A colour is from 0 to 2^31-1, a key has
// 32 bits. Collective.
func (c *Comm) Split(colour, key int) (*Comm, error) {
	if key != int(int32(key)) || colour < Undefined || colour > math.MaxInt32 {
		return nil, fmt.Errorf("mpi: Split(%d, %d): want a colour from 0 to 2^31-1 and a key of 32 bits", colour, key)
	}
	if colour == Undefined {
		colour = c.w.lib.Undefined
	}
	h := new(uintptr)
	return c.derive(lib.Split, h, c.h, uintptr(colour), uintptr(key), uintptr(unsafe.Pointer(h)))
}

// SplitShared makes a communicator for each node, of the ranks that run there. Collective.
func (c *Comm) SplitShared() (*Comm, error) {
	h := new(uintptr)
	return c.derive(lib.SplitType, h, c.h, uintptr(c.w.lib.TypeShared), uintptr(c.rank), c.w.lib.InfoNull, uintptr(unsafe.Pointer(h)))
}

// Free gives back a communicator that was made by Dup, Split or a topology. Collective. It must not be used afterwards.
func (c *Comm) Free() error {
	if c == c.w.comm {
		return fmt.Errorf("mpi: Free of the communicator of all ranks, which stays")
	}
	h := new(uintptr)
	*h = c.h
	err := c.collect(lib.Free, uintptr(unsafe.Pointer(h)))
	c.h = 0
	return err
}

// source, destination and tag translate the marks of this package to those of the library.
func (c *Comm) source(rank int) uintptr {
	switch rank {
	case AnySource:
		return uintptr(c.w.lib.AnySource)
	case NoRank:
		return uintptr(c.w.lib.ProcNull)
	}
	return c.valid(rank)
}

func (c *Comm) destination(rank int) uintptr {
	if rank == NoRank {
		return uintptr(c.w.lib.ProcNull)
	}
	return c.valid(rank)
}

// valid keeps numbers that are no ranks from being one of the library's marks.
func (c *Comm) valid(rank int) uintptr {
	if rank < 0 || rank >= c.size {
		return uintptr(c.size) // is refused
	}
	return uintptr(rank)
}

func (c *Comm) tag(tag int) uintptr {
	if tag == AnyTag {
		return uintptr(c.w.lib.AnyTag)
	}
	return sendTag(tag)
}

// sendTag keeps a tag that has no room in a C int from being another one.
func sendTag(tag int) uintptr {
	if tag > math.MaxInt32 || tag < 0 {
		return ^uintptr(1) // is refused
	}
	return uintptr(tag)
}
