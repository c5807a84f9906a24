package mpi

import (
	"fmt"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// A Cart is a communicator whose ranks stand at the points of a grid.
type Cart struct {
	*Comm
	Dims     []int  // ranks along each dimension
	Periodic []bool // the last along a dimension is beside the first
}

// Dims divides ranks into a grid that is as even as can be. A dimension that is not 0 stays as it is.
func (c *Comm) Dims(dims ...int) ([]int, error) {
	d := ints(dims)
	if err := c.call(lib.DimsCreate, uintptr(c.size), uintptr(len(d)), uintptr(data(d))); err != nil {
		return nil, err
	}
	return wide(d), nil
}

// Cart makes a communicator with the ranks at the points of a grid, whose last dimension varies fastest. With reorder the
// library may number the ranks anew, to suit the machine. Ranks that the grid has no room for get nil. Collective.
func (c *Comm) Cart(dims []int, periodic []bool, reorder bool) (*Cart, error) {
	if len(dims) != len(periodic) {
		return nil, fmt.Errorf("mpi: Cart: %d dimensions and %d marks of periodic ones: %w", len(dims), len(periodic), ErrCount)
	}
	for _, n := range dims {
		if n < 1 || n > c.size {
			return nil, fmt.Errorf("mpi: Cart: a dimension of %d with %d ranks: %w", n, c.size, ErrCount)
		}
	}
	d, p := ints(dims), flags(periodic)
	var order uintptr
	if reorder {
		order = 1
	}
	h := new(uintptr)
	n, err := c.derive(lib.CartCreate, h, c.h, uintptr(len(d)), uintptr(data(d)), uintptr(data(p)), order, uintptr(unsafe.Pointer(h)))
	if n == nil || err != nil {
		return nil, err
	}
	return &Cart{n, append([]int{}, dims...), append([]bool{}, periodic...)}, nil
}

// Coords is the place of a rank in the grid.
func (t *Cart) Coords(rank int) ([]int, error) {
	at := make([]int32, len(t.Dims))
	if err := t.call(lib.CartCoords, t.h, t.valid(rank), uintptr(len(at)), uintptr(data(at))); err != nil {
		return nil, err
	}
	return wide(at), nil
}

// RankAt is the rank at a place in the grid. In periodic dimensions places outside of it are taken round.
func (t *Cart) RankAt(coords ...int) (int, error) {
	if len(coords) != len(t.Dims) {
		return 0, fmt.Errorf("mpi: RankAt: %d coordinates in a grid of %d dimensions: %w", len(coords), len(t.Dims), ErrCount)
	}
	for i, x := range coords {
		if !t.Periodic[i] && (x < 0 || x >= t.Dims[i]) {
			return 0, fmt.Errorf("mpi: RankAt: coordinate %d is %d, the grid has 0 to %d: %w", i, x, t.Dims[i]-1, ErrRank)
		}
	}
	at, n := make([]int32, len(coords)), new(int32)
	for i, x := range coords {
		at[i] = int32(x % t.Dims[i])
	}
	if err := t.call(lib.CartRank, t.h, uintptr(data(at)), uintptr(unsafe.Pointer(n))); err != nil {
		return 0, err
	}
	return int(*n), nil
}

// Shift returns the neighbours of this rank along a dimension: the one to receive from and the one to send to when
// everything moves by steps; [NoRank] beyond an edge.
func (t *Cart) Shift(dim, steps int) (from, to int, err error) {
	if dim < 0 || dim >= len(t.Dims) {
		return NoRank, NoRank, fmt.Errorf("mpi: Shift along dimension %d of a grid that has %d", dim, len(t.Dims))
	}
	if n := t.Dims[dim]; t.Periodic[dim] {
		steps %= n
	} else {
		steps = max(-n, min(steps, n))
	}
	f, o := new(int32), new(int32)
	if err := t.call(lib.CartShift, t.h, uintptr(dim), uintptr(steps), uintptr(unsafe.Pointer(f)), uintptr(unsafe.Pointer(o))); err != nil {
		return NoRank, NoRank, err
	}
	rank := func(r int32) int {
		if int(r) == t.w.lib.ProcNull {
			return NoRank
		}
		return int(r)
	}
	return rank(*f), rank(*o), nil
}

// Sub divides the grid into those that have the dimensions that are kept, one for each place in the others. Collective.
func (t *Cart) Sub(keep []bool) (*Cart, error) {
	if len(keep) != len(t.Dims) {
		return nil, fmt.Errorf("mpi: Sub: %d marks in a grid of %d dimensions: %w", len(keep), len(t.Dims), ErrCount)
	}
	k, h := flags(keep), new(uintptr)
	n, err := t.derive(lib.CartSub, h, t.h, uintptr(data(k)), uintptr(unsafe.Pointer(h)))
	if n == nil || err != nil {
		return nil, err
	}
	s := &Cart{Comm: n}
	for i := range keep {
		if keep[i] {
			s.Dims, s.Periodic = append(s.Dims, t.Dims[i]), append(s.Periodic, t.Periodic[i])
		}
	}
	return s, nil
}

// ints are numbers as C ints; one that has no room there becomes one that is refused.
func ints(s []int) []int32 {
	out := make([]int32, len(s))
	for i, v := range s {
		if out[i] = int32(v); int(out[i]) != v {
			out[i] = -1
		}
	}
	return out
}

func wide(s []int32) []int {
	out := make([]int, len(s))
	for i, v := range s {
		out[i] = int(v)
	}
	return out
}

func flags(s []bool) []int32 {
	out := make([]int32, len(s))
	for i, v := range s {
		if v {
			out[i] = 1
		}
	}
	return out
}
