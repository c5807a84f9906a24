//go:build unix

package mpi_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/mpi"
)

// programs are what the ranks of these tests run. Each rank can compute what all ranks send, so what it receives is
// compared with a computation in Go that uses no library.
var programs = map[string]func() error{
	"operations": operations,
	"threads":    threads,
	"rules":      rules,
	"plain":      plain,
}

func TestOperations(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		for n := 1; n <= 4; n++ {
			if out, err := im.ranks(t, n, "operations"); err != nil {
				t.Errorf("%d ranks: %v\n%s", n, err, out)
			} else if got := strings.Count(out, "all operations are right"); got != n {
				t.Errorf("%d of %d ranks came to the end:\n%s", got, n, out)
			}
		}
	})
}

func operations() error {
	c, err := mpi.World()
	if err != nil {
		return err
	}
	checks := []func(*mpi.Comm) error{numbers[float64], numbers[int], integers, operators, pointToPoint, communicators, grid, nothing, mistakes}
	if c.Size() <= 2 { // more ranks than cores are slow, and types do not depend on their number
		checks = append(checks, numbers[int8], numbers[int16], numbers[int32], numbers[int64], numbers[uint], numbers[uint8], numbers[uint16],
			numbers[uint32], numbers[uint64], numbers[float32], numbers[celsius], complexes[complex64], complexes[complex128])
	}
	for _, f := range checks {
		if err := f(c); err != nil {
			return fmt.Errorf("rank %d of %d: %s: %w", c.Rank(), c.Size(), runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name(), err)
		}
	}
	fmt.Printf("rank %d: all operations are right\n", c.Rank())
	return mpi.Finalize()
}

type celsius float64

// values is what a rank sends.
func values[T mpi.Number](rank, n int) []T {
	s := make([]T, n)
	r := rand.New(rand.NewPCG(uint64(rank), 7))
	for i := range s {
		for k := r.IntN(5); k >= 0; k-- { // small, so that no sum overflows an int8, and sums are exact
			s[i]++
		}
	}
	return s
}

func equal[T comparable](what string, got, want []T) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

// fold combines what the ranks lo to hi-1 send.
func fold[T mpi.Number](lo, hi, n int, f func(a, b T) T) []T {
	out := values[T](lo, n)
	for r := lo + 1; r < hi; r++ {
		for i, v := range values[T](r, n) {
			out[i] = f(out[i], v)
		}
	}
	return out
}

func add[T mpi.Number](a, b T) T { return a + b }
func mul[T mpi.Number](a, b T) T { return a * b }

// movement checks all operations that move numbers, and sums.
func movement[T mpi.Number](c *mpi.Comm) error {
	n, me, all := 5, c.Rank(), c.Size()
	mine := values[T](me, n)
	var errs []error
	note := func(what string, err error, got, want []T) {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		} else {
			err = equal(what, got, want)
		}
		errs = append(errs, err)
	}
	var everything []T
	for r := range all {
		everything = append(everything, values[T](r, n)...)
	}
	for root := range all {
		b := slices.Clone(mine)
		note("bcast", mpi.Bcast(c, b, root), b, values[T](root, n))

		var recv []T
		if me == root {
			recv = make([]T, n)
		}
		err := mpi.Reduce(c, mine, recv, mpi.Sum, root)
		if me == root {
			note("reduce", err, recv, fold(0, all, n, add[T]))
			recv = slices.Clone(mine)
			note("reduce in place", mpi.Reduce(c, nil, recv, mpi.Sum, root), recv, fold(0, all, n, add[T]))
		} else {
			note("reduce elsewhere", errors.Join(err, mpi.Reduce(c, mine, nil, mpi.Sum, root)), nil, nil)
		}

		var want []T
		if recv = nil; me == root {
			recv, want = make([]T, n*all), everything
		}
		note("gather", mpi.Gather(c, mine, recv, root), recv, want)

		recv = make([]T, n)
		var send []T
		if me == root {
			send = everything
		}
		note("scatter", mpi.Scatter(c, send, recv, root), recv, mine)

		// In the v-forms rank r has r+1 numbers, and rank 1 none.
		counts, total := make([]int, all), 0
		var ragged []T
		for r := range all {
			if counts[r] = r + 1; r == 1 {
				counts[r] = 0
			}
			total += counts[r]
			ragged = append(ragged, values[T](r, counts[r])...)
		}
		own := values[T](me, counts[me])
		if recv, want = nil, nil; me == root {
			recv, want = make([]T, total), ragged
		}
		note("gatherv", mpi.Gatherv(c, own, recv, counts, root), recv, want)
		recv = make([]T, total)
		note("allgatherv", mpi.Allgatherv(c, own, recv, counts), recv, ragged)
		if send = nil; me == root {
			send = ragged
		}
		recv = make([]T, counts[me])
		note("scatterv", mpi.Scatterv(c, send, counts, recv, root), recv, own)
	}
	recv := make([]T, n)
	note("allreduce", mpi.Allreduce(c, mine, recv, mpi.Sum), recv, fold(0, all, n, add[T]))
	recv = slices.Clone(mine)
	note("allreduce in place", mpi.Allreduce(c, nil, recv, mpi.Sum), recv, fold(0, all, n, add[T]))
	recv = make([]T, n)
	note("scan", mpi.Scan(c, mine, recv, mpi.Sum), recv, fold(0, me+1, n, add[T]))
	recv = slices.Clone(mine)
	note("scan in place", mpi.Scan(c, nil, recv, mpi.Sum), recv, fold(0, me+1, n, add[T]))
	recv = make([]T, n)
	err := mpi.Exscan(c, mine, recv, mpi.Sum)
	if me == 0 {
		note("exscan", err, recv, make([]T, n))
	} else {
		note("exscan", err, recv, fold(0, me, n, add[T]))
	}
	recv = make([]T, n*all)
	note("allgather", mpi.Allgather(c, mine, recv), recv, everything)

	// To rank r goes a part that begins with my rank and the other's.
	parts := func(from int) (all2all, ragged []T, counts []int) {
		for to := range all {
			part := values[T](10*from+to, 3)
			all2all = append(all2all, part...)
			ragged = append(ragged, part[:(from+to)%3]...)
			counts = append(counts, (from+to)%3)
		}
		return
	}
	var want, wantRagged []T
	for from := range all {
		part := values[T](10*from+me, 3)
		want = append(want, part...)
		wantRagged = append(wantRagged, part[:(from+me)%3]...)
	}
	send, ragged, counts := parts(me) // the pattern is symmetric: as many come from a rank as go to it
	recv = make([]T, len(send))
	note("alltoall", mpi.Alltoall(c, send, recv), recv, want)
	recv = make([]T, len(ragged))
	note("alltoallv", mpi.Alltoallv(c, ragged, counts, recv, counts), recv, wantRagged)
	return errors.Join(errs...)
}

func complexes[T complex64 | complex128](c *mpi.Comm) error {
	mine, recv := values[T](c.Rank(), 3), make([]T, 3)
	for i := range mine {
		mine[i] *= 1i
	}
	if err := mpi.Allreduce(c, mine, recv, mpi.Prod); err != nil {
		return err
	}
	turn := T(1)
	for range c.Size() {
		turn *= 1i
	}
	want := fold(0, c.Size(), 3, mul[T])
	for i := range want {
		want[i] *= turn
	}
	return errors.Join(movement[T](c), equal("product", recv, want))
}

type ordered interface {
	mpi.Number
	cmp.Ordered
}

func numbers[T ordered](c *mpi.Comm) error {
	errs := []error{movement[T](c)}
	for _, o := range []struct {
		op *mpi.Op
		f  func(a, b T) T
	}{
		{mpi.Max, func(a, b T) T { return max(a, b) }},
		{mpi.Min, func(a, b T) T { return min(a, b) }},
		{mpi.Prod, mul[T]},
	} {
		recv := make([]T, 6)
		if err := mpi.Allreduce(c, values[T](c.Rank(), 6), recv, o.op); err != nil {
			return err
		}
		errs = append(errs, equal("allreduce", recv, fold(0, c.Size(), 6, o.f)))
	}
	return errors.Join(errs...)
}

func integers(c *mpi.Comm) error {
	var errs []error
	truth := func(b bool) uint16 {
		if b {
			return 1
		}
		return 0
	}
	for _, o := range []struct {
		op *mpi.Op
		f  func(a, b uint16) uint16
	}{
		{mpi.BAnd, func(a, b uint16) uint16 { return a & b }},
		{mpi.BOr, func(a, b uint16) uint16 { return a | b }},
		{mpi.BXor, func(a, b uint16) uint16 { return a ^ b }},
		{mpi.And, func(a, b uint16) uint16 { return truth(a != 0 && b != 0) }},
		{mpi.Or, func(a, b uint16) uint16 { return truth(a != 0 || b != 0) }},
	} {
		mine, recv := values[uint16](c.Rank(), 8), make([]uint16, 8)
		if c.Size() == 1 && (o.op == mpi.And || o.op == mpi.Or) {
			continue // nothing is combined
		}
		if err := mpi.Allreduce(c, mine, recv, o.op); err != nil {
			return err
		}
		errs = append(errs, equal("allreduce", recv, fold(0, c.Size(), 8, o.f)))
	}
	return errors.Join(errs...)
}

// affine is an operator that does not commute: composition of x -> a*x+b modulo a prime, stored as a, b, a, b, …
var affine = mpi.NewOp("affine", false, func(in, inout []int64) {
	for i := 0; i+1 < len(in); i += 2 {
		a, b := in[i], in[i+1]
		inout[i], inout[i+1] = inout[i]*a%10007, (inout[i]*b+inout[i+1])%10007
	}
})

var broken = mpi.NewOp("broken", true, func(_, inout []float64) { _ = inout[len(inout)] })

func operators(c *mpi.Comm) error {
	mine, recv := values[int64](c.Rank(), 2), make([]int64, 2)
	if err := mpi.Allreduce(c, mine, recv, affine); err != nil {
		return err
	}
	want := values[int64](0, 2)
	for r := 1; r < c.Size(); r++ {
		v := values[int64](r, 2)
		want = []int64{want[0] * v[0] % 10007, (v[0]*want[1] + v[1]) % 10007}
	}
	if err := equal("own operator", recv, want); err != nil {
		return err
	}
	if err := mpi.Allreduce(c, make([]int32, 2), make([]int32, 2), affine); !errors.Is(err, mpi.ErrOp) {
		return fmt.Errorf("own operator on numbers of another type: %v", err)
	}
	// A panic in an operator stays in Go and on the rank, and the ranks stay in step.
	d := make([]float64, 3)
	p := func() (p any) {
		defer func() { p = recover() }()
		mpi.Allreduce(c, nil, d, broken)
		return nil
	}()
	raised := []int32{0}
	if p != nil {
		if !strings.Contains(fmt.Sprint(p), "broken: panic: runtime error: index out of range") {
			return fmt.Errorf("panic of an operator: %v", p)
		}
		raised[0] = 1
	}
	if err := mpi.Allreduce(c, nil, raised, mpi.Sum); err != nil {
		return err
	}
	if c.Size() > 1 && raised[0] == 0 {
		return errors.New("no rank heard of the panic of an operator")
	}
	return nil
}

func pointToPoint(c *mpi.Comm) error {
	me, all := c.Rank(), c.Size()
	next, prev := (me+1)%all, (me+all-1)%all
	// Around a ring, in all sizes about the limits of the library's protocols.
	for _, n := range []int{0, 1, 100, 1 << 10, 1 << 16, 1 << 20} {
		send, recv := values[int32](me, n), make([]int32, n+1)
		st, err := mpi.SendRecv(c, send, next, 5, recv, prev, mpi.AnyTag)
		if err != nil {
			return err
		}
		if want := (mpi.Status{Source: prev, Tag: 5, Count: n}); st != want {
			return fmt.Errorf("status %+v, want %+v", st, want)
		}
		if err := equal("ring", recv[:n], values[int32](prev, n)); err != nil {
			return err
		}
	}
	// All to rank 0 at once, which takes them in the order of their tags, whatever order they come in.
	const each = 4
	if me != 0 {
		var rs []*mpi.Request
		for tag := range each {
			r, err := mpi.Isend(c, values[float64](100*me+tag, 1000*tag), 0, tag)
			if err != nil {
				return err
			}
			rs = append(rs, r)
		}
		runtime.GC() // nothing but the requests holds the buffers
		if err := mpi.WaitAll(rs...); err != nil {
			return err
		}
	} else {
		for tag := range each {
			for range all - 1 {
				found, err := mpi.Probe[float64](c, mpi.AnySource, tag)
				if err != nil {
					return err
				}
				buf := make([]float64, found.Count)
				st, err := mpi.Recv(c, buf, found.Source, tag)
				if err != nil {
					return err
				}
				if st != found || found.Count != 1000*tag {
					return fmt.Errorf("found %+v, received %+v, want %d", found, st, 1000*tag)
				}
				if err := equal("gathered", buf, values[float64](100*st.Source+tag, 1000*tag)); err != nil {
					return err
				}
			}
		}
	}
	// Test until it is done.
	in := make([]uint8, 10)
	r, err := mpi.Irecv(c, in, prev, 1)
	if err != nil {
		return err
	}
	if err := mpi.Send(c, values[uint8](me, 10), next, 1); err != nil {
		return err
	}
	for !r.Test() {
		runtime.Gosched()
	}
	if st, err := r.Wait(); err != nil || st != (mpi.Status{Source: prev, Tag: 1, Count: 10}) {
		return fmt.Errorf("%+v, %v", st, err)
	}
	// Nobody is a partner too.
	st, err := mpi.Recv(c, in, mpi.NoRank, 1)
	if err = errors.Join(err, mpi.Send(c, in, mpi.NoRank, 1)); err != nil || st.Source != mpi.NoRank || st.Count != 0 {
		return fmt.Errorf("to and from nobody: %+v, %v", st, err)
	}
	return equal("tested", in, values[uint8](prev, 10))
}

func communicators(c *mpi.Comm) error {
	me, all := c.Rank(), c.Size()
	colour := me % 2
	if me == 2 {
		colour = mpi.Undefined
	}
	half, err := c.Split(colour, -me)
	if err != nil {
		return err
	}
	if me == 2 {
		if half != nil {
			return fmt.Errorf("Split with the colour Undefined gave %v", half)
		}
	} else {
		var want []int
		for r := all - 1; r >= 0; r-- {
			if r != 2 && r%2 == me%2 {
				want = append(want, r)
			}
		}
		got := make([]int, half.Size())
		if err := mpi.Allgather(half, []int{me}, got); err != nil {
			return err
		}
		if err := equal("split", got, want); err != nil {
			return err
		}
		if half.Rank() != slices.Index(want, me) {
			return fmt.Errorf("rank %d in %v", half.Rank(), want)
		}
		if err := half.Free(); err != nil {
			return err
		}
	}
	// Messages of one communicator do not come out of another.
	dup, err := c.Dup()
	if err != nil {
		return err
	}
	a, err := mpi.Isend(c, []int{1}, me, 0)
	if err != nil {
		return err
	}
	b, err := mpi.Isend(dup, []int{2}, me, 0)
	if err != nil {
		return err
	}
	got := make([]int, 2)
	_, err1 := mpi.Recv(dup, got[1:], me, 0)
	_, err2 := mpi.Recv(c, got[:1], me, 0)
	if err := errors.Join(err1, err2, mpi.WaitAll(a, b), equal("dup", got, []int{1, 2}), dup.Free()); err != nil {
		return err
	}
	node, err := c.SplitShared()
	if err != nil {
		return err
	}
	if node.Size() != all || node.Rank() != me {
		return fmt.Errorf("ranks of this node: %d of %d", node.Rank(), node.Size())
	}
	return errors.Join(node.Free(), c.Barrier())
}

func grid(c *mpi.Comm) error {
	dims, err := c.Dims(0, 0)
	if err != nil {
		return err
	}
	if dims[0]*dims[1] != c.Size() || dims[0] < dims[1] {
		return fmt.Errorf("%d ranks in %v", c.Size(), dims)
	}
	g, err := c.Cart(dims, []bool{true, false}, false)
	if err != nil {
		return err
	}
	at, err := g.Coords(g.Rank())
	if err != nil {
		return err
	}
	if err := equal("coordinates", at, []int{g.Rank() / dims[1], g.Rank() % dims[1]}); err != nil {
		return err
	}
	number := func(i, j int) int {
		if j < 0 || j >= dims[1] {
			return mpi.NoRank
		}
		return (i+dims[0])%dims[0]*dims[1] + j
	}
	for d, want := range [][]int{{number(at[0]-1, at[1]), number(at[0]+1, at[1])}, {number(at[0], at[1]-1), number(at[0], at[1]+1)}} {
		from, to, err := g.Shift(d, 1)
		if err != nil {
			return err
		}
		if err := equal(fmt.Sprintf("neighbours along %d", d), []int{from, to}, want); err != nil {
			return err
		}
	}
	if r, err := g.RankAt(at[0]+dims[0], at[1]); err != nil || r != g.Rank() {
		return fmt.Errorf("round the grid is rank %d, %v", r, err)
	}
	if r, err := g.RankAt(0, dims[1]); !errors.Is(err, mpi.ErrRank) {
		return fmt.Errorf("outside of the grid is rank %d, %v", r, err)
	}
	row, err := g.Sub([]bool{false, true})
	if err != nil {
		return err
	}
	sum := []int{g.Rank()}
	if err := mpi.Allreduce(row.Comm, nil, sum, mpi.Sum); err != nil {
		return err
	}
	want := 0
	for j := range dims[1] {
		want += number(at[0], j)
	}
	if sum[0] != want || row.Size() != dims[1] || len(row.Dims) != 1 {
		return fmt.Errorf("row of %v: sum of ranks %d, want %d", at, sum[0], want)
	}
	// A grid with room for one rank less than there are.
	if c.Size() > 1 {
		small, err := c.Cart([]int{c.Size() - 1}, []bool{false}, false)
		if err != nil || (small == nil) != (c.Rank() == c.Size()-1) {
			return fmt.Errorf("a smaller grid: %v, %v", small, err)
		}
		if small != nil {
			if err := small.Free(); err != nil {
				return err
			}
		}
	}
	return errors.Join(row.Free(), g.Free())
}

// mistakes are errors, and the ranks go on.
func mistakes(c *mpi.Comm) error {
	me := c.Rank()
	long, short := make([]int, 10), make([]int, 3)
	r, err := mpi.Isend(c, long, me, 3)
	if err != nil {
		return err
	}
	_, truncated := mpi.Recv(c, short, me, 3)
	r.Wait()
	_, badSource := mpi.Recv(c, short, c.Size(), 0)
	_, wideTag := mpi.Recv(c, short, me, 1<<32+3) // as a C int it would be 3
	for _, m := range []struct {
		what      string
		got, want error
	}{
		{"a message longer than its buffer", truncated, mpi.ErrTruncate},
		{"receive from no rank", badSource, mpi.ErrRank},
		{"send to no rank", mpi.Send(c, short, c.Size(), 0), mpi.ErrRank},
		{"send to a negative rank", mpi.Send(c, short, -7, 0), mpi.ErrRank},
		{"send with a negative tag", mpi.Send(c, short, me, -5), mpi.ErrTag},
		{"send with any tag", mpi.Send(c, short, me, mpi.AnyTag), mpi.ErrTag},
		{"send with a tag of 33 bits", mpi.Send(c, short, me, 1<<32+3), mpi.ErrTag},
		{"receive with a tag of 33 bits", wideTag, mpi.ErrTag},
		{"broadcast from no rank", mpi.Bcast(c, short, -1), mpi.ErrRank},
		{"bitwise and of floats", mpi.Allreduce(c, nil, []float64{1}, mpi.BAnd), mpi.ErrOp},
		{"maximum of complex numbers", mpi.Allreduce(c, nil, []complex64{1}, mpi.Max), mpi.ErrOp},
		{"reduce into another length", mpi.Allreduce(c, long, short, mpi.Sum), mpi.ErrCount},
		{"gather into too little", mpi.Allgather(c, long, short), mpi.ErrCount},
		{"counts for other ranks", mpi.Allgatherv(c, short, short, make([]int, c.Size()+1)), mpi.ErrCount},
		{"a negative count", mpi.Alltoallv[int](c, nil, slices.Repeat([]int{-1}, c.Size()), nil, make([]int, c.Size())), mpi.ErrCount},
	} {
		if !errors.Is(m.got, m.want) {
			return fmt.Errorf("%s: %v, want %v", m.what, m.got, m.want)
		}
	}
	for _, k := range [][2]int{{1 << 32, 0}, {-2, 0}, {0, 1 << 32}} { // as C ints the first and last would be 0
		if d, err := c.Split(k[0], k[1]); err == nil {
			return fmt.Errorf("Split(%d, %d) gave %v", k[0], k[1], d)
		}
	}
	for _, n := range []int{0, -1, c.Size() + 1, 1<<32 + 1} {
		if g, err := c.Cart([]int{n}, []bool{false}, false); !errors.Is(err, mpi.ErrCount) {
			return fmt.Errorf("a grid of %d ranks: %v, %v", n, g, err)
		}
	}
	return c.Barrier()
}

// nothing is sent by all operations.
func nothing(c *mpi.Comm) error {
	none, some := []float64{}, make([]float64, 3)
	counts := make([]int, c.Size())
	var errs []error
	for _, in := range [][]float64{none, some[:0]} {
		errs = append(errs,
			mpi.Bcast(c, in, 0), mpi.Reduce(c, in, none, mpi.Sum, 0), mpi.Allreduce(c, in, none, mpi.Sum), mpi.Allreduce(c, nil, none, mpi.Sum),
			mpi.Scan(c, in, none, mpi.Sum), mpi.Gather(c, in, none, 0), mpi.Allgather(c, in, none), mpi.Scatter(c, none, in, 0),
			mpi.Alltoall(c, in, none), mpi.Gatherv(c, in, none, counts, 0), mpi.Allgatherv(c, in, none, counts),
			mpi.Scatterv(c, none, counts, in, 0), mpi.Alltoallv(c, in, counts, none, counts), mpi.Bcast[float64](c, nil, 0))
	}
	return errors.Join(errs...)
}

func TestThreads(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		if out, err := im.ranks(t, 2, "threads"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// threads has four goroutines in the library at once, on communicators of their own, while stacks grow and garbage is
// collected.
func threads() error {
	c, err := mpi.World()
	if err != nil {
		return err
	}
	const each = 4
	errs := make([]error, each)
	var wg sync.WaitGroup
	for g := range each {
		d, err := c.Dup()
		if err != nil {
			return err
		}
		wg.Go(func() {
			for i := range 150 {
				n := 1 + (i*37)%2000
				send, recv := values[float64](g+10*c.Rank(), n), make([]float64, n)
				if err := mpi.Allreduce(d, send, recv, mpi.Sum); err != nil {
					errs[g] = err
					return
				}
				want := values[float64](g, n)
				for k, v := range values[float64](g+10, n) {
					want[k] += v
				}
				if errs[g] = equal("sum", recv, want); errs[g] != nil {
					return
				}
				deep(i % 400)
				if i%10 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), mpi.Finalize())
}

func deep(n int) int {
	var pad [128]int
	if n == 0 {
		return pad[0]
	}
	return deep(n-1) + pad[n%128]
}

func TestRules(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		if out, err := im.ranks(t, 2, "rules"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// rules breaks the rules for communicators, and wants to hear of it.
func rules() error {
	c, err := mpi.World()
	if err != nil {
		return err
	}
	raises := func(what, want string, f func()) error {
		p := func() (p any) {
			defer func() { p = recover() }()
			f()
			return nil
		}()
		if p == nil || !strings.Contains(fmt.Sprint(p), want) {
			return fmt.Errorf("%s: panic %v, want %q", what, p, want)
		}
		return nil
	}
	// Of two goroutines in a barrier one is refused. Rank 1 comes to the barrier when that has happened.
	if c.Rank() == 0 {
		refused, passed := make(chan error), make(chan error)
		for range 2 {
			go func() {
				var err error
				p := raises("two collective operations", "collective operation of the same communicator", func() { err = c.Barrier() })
				if p == nil {
					refused <- nil
				} else {
					passed <- err
				}
			}()
		}
		if err := errors.Join(<-refused, mpi.Send(c, []int{1}, 1, 0), <-passed); err != nil {
			return err
		}
	} else {
		if _, err := mpi.Recv(c, make([]int, 1), 0, 0); err != nil {
			return err
		}
		if err := c.Barrier(); err != nil {
			return err
		}
	}
	d, err := c.Dup()
	if err != nil {
		return err
	}
	if err := d.Free(); err != nil {
		return err
	}
	for range 2 { // the first panic leaves nothing behind
		if err := raises("a freed communicator", "freed", func() { d.Barrier() }); err != nil {
			return err
		}
	}
	// What was begun on a communicator can be waited for when it is freed.
	if d, err = c.Dup(); err != nil {
		return err
	}
	got := make([]int, 1)
	in, err1 := mpi.Irecv(d, got, c.Rank(), 0)
	out, err2 := mpi.Isend(d, []int{7}, c.Rank(), 0)
	if err := errors.Join(err1, err2, d.Free(), mpi.WaitAll(in, out)); err != nil || got[0] != 7 {
		return fmt.Errorf("messages of a freed communicator: %v, %v", got, err)
	}
	if err := c.Free(); err == nil {
		return errors.New("the communicator of all ranks was freed")
	}
	r, err := mpi.Irecv(c, make([]int, 1), c.Rank(), 9)
	if err != nil {
		return err
	}
	if err := mpi.Finalize(); err == nil || !strings.Contains(err.Error(), "1 operations") {
		return fmt.Errorf("Finalize with an operation under way: %v", err)
	}
	if err := mpi.Send(c, []int{1}, c.Rank(), 9); err != nil {
		return err
	}
	if _, err := r.Wait(); err != nil {
		return err
	}
	if err := mpi.Finalize(); err != nil {
		return err
	}
	if _, err := mpi.World(); err == nil {
		return errors.New("World after Finalize")
	}
	return raises("a call after Finalize", "after Finalize", func() { c.Barrier() })
}
