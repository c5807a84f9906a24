// Heat computes how a plate with hot and cold spots warms through, on several MPI ranks: each has a part of the plate, and in
// every step they exchange the edges of their parts. It writes a picture of the beginning, the middle and the end. Run it
// with: go run ./examples/heat -ranks 4 -o heat.png (it needs Open MPI or MPICH).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // with -engine it also runs on Azure: see docs/azure.md
	_ "github.com/clusterless-go/clusterless/engine/slurm"   // and on a cluster: see docs/slurm.md
	"github.com/clusterless-go/clusterless/mpi"
	_ "github.com/clusterless-go/clusterless/store/blobstore"
)

// Heat is the function that the ranks make together.
var Heat = mpi.Define("heat", heat)

// Plate is a square plate of Size x Size points, whose edge is kept at 0.
type Plate struct {
	Size  int
	Steps int
	Shots int // pictures to take, evenly from the first step to the last
}

// Film is what comes of it.
type Film struct {
	Shots [][]float64 // Size x Size temperatures, row by row
	Dims  [2]int      // how the ranks divide the plate
}

// start is the temperature at a point at the beginning, for coordinates from 0 to 1: a hot disc, a warm ring and a cold bar.
func start(x, y float64) float64 {
	d2 := func(cx, cy float64) float64 { return (x-cx)*(x-cx) + (y-cy)*(y-cy) }
	switch {
	case d2(0.3, 0.35) < 0.15*0.15:
		return 1
	case d2(0.68, 0.62) < 0.2*0.2 && d2(0.68, 0.62) > 0.13*0.13:
		return 0.8
	case x > 0.15 && x < 0.45 && y > 0.75 && y < 0.82:
		return -0.6
	}
	return 0
}

// A part is a rank's rectangle of the plate, with a frame of one point that belongs to its neighbours.
type part struct {
	grid       *mpi.Cart
	r0, r1     int // rows of the plate
	c0, c1     int // columns
	w          int // width with the frame
	now, next  []float64
	send, recv []float64 // for a column
}

// share is the i-th of n even parts of size points.
func share(size, n, i int) (from, to int) { return size * i / n, size * (i + 1) / n }

func newPart(grid *mpi.Cart, size int) (*part, error) {
	at, err := grid.Coords(grid.Rank())
	if err != nil {
		return nil, err
	}
	p := &part{grid: grid}
	p.r0, p.r1 = share(size, grid.Dims[0], at[0])
	p.c0, p.c1 = share(size, grid.Dims[1], at[1])
	rows, cols := p.r1-p.r0, p.c1-p.c0
	if rows < 1 || cols < 1 {
		return nil, fmt.Errorf("a plate of %d points is too small for a grid of %d ranks", size, grid.Dims)
	}
	p.w = cols + 2
	p.now, p.next = make([]float64, (rows+2)*p.w), make([]float64, (rows+2)*p.w)
	p.send, p.recv = make([]float64, rows), make([]float64, rows)
	for r := range rows {
		for c := range cols {
			p.now[(r+1)*p.w+c+1] = start((float64(p.c0+c)+0.5)/float64(size), (float64(p.r0+r)+0.5)/float64(size))
		}
	}
	return p, nil
}

// exchange fills the frame with the edges of the neighbours' parts. Where there is no neighbour the frame stays 0.
func (p *part) exchange() error {
	rows := p.r1 - p.r0
	row := func(r int) []float64 { return p.now[r*p.w+1 : (r+1)*p.w-1] }
	for _, steps := range []int{1, -1} {
		from, to, err := p.grid.Shift(0, steps)
		if err != nil {
			return err
		}
		edge, frame := row(rows), row(0)
		if steps < 0 {
			edge, frame = row(1), row(rows+1)
		}
		if _, err := mpi.SendRecv(p.grid.Comm, edge, to, 0, frame, from, 0); err != nil {
			return err
		}
	}
	for _, steps := range []int{1, -1} {
		from, to, err := p.grid.Shift(1, steps)
		if err != nil {
			return err
		}
		edge, frame := p.w-2, 0
		if steps < 0 {
			edge, frame = 1, p.w-1
		}
		for r := range rows {
			p.send[r] = p.now[(r+1)*p.w+edge]
		}
		if _, err := mpi.SendRecv(p.grid.Comm, p.send, to, 0, p.recv, from, 0); err != nil {
			return err
		}
		if from != mpi.NoRank {
			for r := range rows {
				p.now[(r+1)*p.w+frame] = p.recv[r]
			}
		}
	}
	return nil
}

// step lets the heat flow for a time: an explicit step of the heat equation, at the largest ratio of time step to squared
// spacing that is stable in two dimensions, with a margin.
func (p *part) step() {
	const k = 0.24
	w := p.w
	for r := 1; r <= p.r1-p.r0; r++ {
		for i := r*w + 1; i < (r+1)*w-1; i++ {
			p.next[i] = p.now[i] + k*(p.now[i-1]+p.now[i+1]+p.now[i-w]+p.now[i+w]-4*p.now[i])
		}
	}
	p.now, p.next = p.next, p.now
}

// gather puts the parts of all ranks together, on rank 0.
func (p *part) gather(size int) ([]float64, error) {
	var mine []float64
	for r := 1; r <= p.r1-p.r0; r++ {
		mine = append(mine, p.now[r*p.w+1:(r+1)*p.w-1]...)
	}
	n := p.grid.Size()
	corners := make([]int, 4*n)
	if err := mpi.Allgather(p.grid.Comm, []int{p.r0, p.r1, p.c0, p.c1}, corners); err != nil {
		return nil, err
	}
	var all []float64
	counts := make([]int, n)
	for i := range counts {
		k := corners[4*i:]
		counts[i] = (k[1] - k[0]) * (k[3] - k[2])
	}
	if p.grid.Rank() == 0 {
		all = make([]float64, size*size)
	}
	if err := mpi.Gatherv(p.grid.Comm, mine, all, counts, 0); err != nil || all == nil {
		return nil, err
	}
	plate, at := make([]float64, size*size), 0
	for i := range n {
		k := corners[4*i:]
		for r := k[0]; r < k[1]; r++ {
			at += copy(plate[r*size+k[2]:r*size+k[3]], all[at:])
		}
	}
	return plate, nil
}

func heat(_ context.Context, c *mpi.Comm, plate Plate) (Film, error) {
	if plate.Shots < 2 {
		return Film{}, errors.New("want at least two pictures")
	}
	dims, err := c.Dims(0, 0)
	if err != nil {
		return Film{}, err
	}
	grid, err := c.Cart(dims, []bool{false, false}, false)
	if err != nil {
		return Film{}, err
	}
	defer grid.Free()
	p, err := newPart(grid, plate.Size)
	if err != nil {
		return Film{}, err
	}
	film := Film{Dims: [2]int(dims)}
	for step := 0; ; step++ {
		if step == len(film.Shots)*plate.Steps/(plate.Shots-1) {
			shot, err := p.gather(plate.Size)
			if err != nil {
				return Film{}, err
			}
			film.Shots = append(film.Shots, shot)
		}
		if step == plate.Steps {
			return film, nil
		}
		if err := p.exchange(); err != nil {
			return Film{}, err
		}
		p.step()
	}
}

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	ranks := flag.Int("ranks", 4, "ranks")
	nodes := flag.Int("nodes", 1, "nodes")
	size := flag.Int("size", 240, "points along each edge of the plate")
	steps := flag.Int("steps", 1000, "steps")
	out := flag.String("o", "heat.png", "picture to write")
	engine := flag.String("engine", "", "URL of the engine; this machine if empty")
	flag.Parse()
	where := clusterless.Engine(*engine)
	if *engine == "" {
		where = clusterless.Slots(max(runtime.NumCPU(), *ranks+*nodes)) // also with more ranks than cores
	}
	s, err := clusterless.Open(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close()
	film, err := Heat.On(s, clusterless.Ranks(*ranks), clusterless.Nodes(*nodes)).Call(ctx, Plate{Size: *size, Steps: *steps, Shots: 3})
	if err != nil {
		return err
	}
	if err := draw(*out, film, *size); err != nil {
		return err
	}
	fmt.Printf("%d ranks in %d x %d; mean temperature %.4f at the beginning, %.4f at the end; see %s\n",
		*ranks, film.Dims[0], film.Dims[1], mean(film.Shots[0]), mean(film.Shots[len(film.Shots)-1]), *out)
	return nil
}

func mean(plate []float64) (m float64) {
	for _, t := range plate {
		m += t / float64(len(plate))
	}
	return m
}
