package wave

import "slices"

// Coefficients of central differences of eighth order on a unit grid.
const (
	c0 = -205.0 / 72
	c1 = 8.0 / 5
	c2 = -1.0 / 5
	c3 = 8.0 / 315
	c4 = -1.0 / 560

	d1 = 4.0 / 5
	d2 = -1.0 / 5
	d3 = 4.0 / 105
	d4 = -1.0 / 280

	halo = 4 // cells a difference reaches to either side
)

// A propagator steps the acoustic wave equation
//
//	1/v² ∂²p/∂t² = ∂²p/∂x² + ∂²p/∂z² + f
//
// with second order in time and eighth in space. All four sides absorb: there is no free surface,
// so records have no ghosts and no surface multiples.
//
// Waves are absorbed in a convolutional perfectly matched layer for the equation of second order
// (Pasalic and McGarry, SEG 2010): with F a recursive filter in time that is zero outside the
// layer, ∂²p becomes (1+F)(∂²p + ∂F∂p) along each axis. Up to a diagonal factor that is 1 outside
// the layer this is a symmetric matrix, also on the grid, if ∂F∂p is taken on the cells that the
// layer's differences reach. The transpose of a run is therefore the same run on the reversed
// source, to rounding, and gradients are as exact as the wave fields kept for them are dense.
type propagator struct {
	model  Model
	w, h   int       // width and height of the padded grid: model, layer and halo
	layer  int       // thickness of the absorbing layer, cells
	p, q   []float32 // pressure now and, until step replaces it, before
	c      []float32 // (v*dt/dx)²
	x, z   []strip
	column []float32 // scratch of h cells
}

// layerCells is the thickness of the absorbing layer.
const layerCells = 16

func newPropagator(m Model, dt, frequency float64) *propagator {
	g := &propagator{model: m, layer: layerCells}
	pad := halo + g.layer
	g.w, g.h = m.NX+2*pad, m.NZ+2*pad
	n := g.w * g.h
	g.p, g.q, g.c = make([]float32, n), make([]float32, n), make([]float32, n)
	g.column = make([]float32, g.h)
	for ix := range g.w {
		col := m.V[min(max(ix-pad, 0), m.NX-1)*m.NZ:][:m.NZ]
		for iz := range g.h {
			r := float64(col[min(max(iz-pad, 0), m.NZ-1)]) * dt / m.DX
			g.c[ix*g.h+iz] = float32(r * r)
		}
	}

	_, high := m.Range()
	a, b := absorbing(g.layer, high*dt/m.DX, frequency*dt)
	g.x = []strip{newStrip(halo, a, b, g.h), newStrip(g.w-pad, reversed(a), reversed(b), g.h)}
	g.z = []strip{newStrip(halo, a, b, g.w), newStrip(g.h-pad, reversed(a), reversed(b), g.w)}
	return g
}

// reset returns the field to rest.
func (g *propagator) reset() {
	clear(g.p)
	clear(g.q)
	for _, s := range slices.Concat(g.x, g.z) {
		clear(s.psi)
		clear(s.zeta)
	}
}

// at returns the index of a cell of the model in the padded grid.
func (g *propagator) at(iz, ix int) int {
	pad := halo + g.layer
	return (ix+pad)*g.h + iz + pad
}

// inside returns the field p or q on a column of the model.
func (g *propagator) inside(field []float32, ix int) []float32 {
	return field[g.at(0, ix):][:g.model.NZ]
}

// inject adds the source f, integrated over its cell, to the step just made.
func (g *propagator) inject(at int, f float32) { g.p[at] += g.c[at] * f }

// step moves on by one time step without a source: p becomes the field after it, q the field before.
func (g *propagator) step() {
	for i := range g.x {
		g.rememberX(&g.x[i])
	}
	for i := range g.z {
		g.rememberZ(&g.z[i])
	}
	for ix := halo; ix < g.w-halo; ix++ {
		g.leap(ix)
	}
	for i := range g.x {
		g.absorbX(&g.x[i])
	}
	for i := range g.z {
		g.absorbZ(&g.z[i])
	}
	g.p, g.q = g.q, g.p
}

// leap makes the step on a column without absorption: q becomes 2p - q + c*(second differences of
// p). Scalar arithmetic is what bounds it, so it adds the neighbours at one distance along both axes
// before it multiplies, and slides the column over registers instead of loading it.
func (g *propagator) leap(ix int) {
	n, h, o := g.h-2*halo, g.h, ix*g.h+halo
	p, q, c := g.p, g.q[o:][:n], g.c[o:][:n]
	l1, r1, l2, r2 := p[o-h:][:n], p[o+h:][:n], p[o-2*h:][:n], p[o+2*h:][:n]
	l3, r3, l4, r4 := p[o-3*h:][:n], p[o+3*h:][:n], p[o-4*h:][:n], p[o+4*h:][:n]
	down := p[o+halo:][:n]
	above := p[o-halo:][:2*halo]
	u4, u3, u2, u1, m, d1, d2, d3 := above[0], above[1], above[2], above[3], above[4], above[5], above[6], above[7]
	for i := range q {
		d4 := down[i]
		lap := 2*c0*m + c1*(l1[i]+r1[i]+u1+d1) + c2*(l2[i]+r2[i]+u2+d2) +
			c3*(l3[i]+r3[i]+u3+d3) + c4*(l4[i]+r4[i]+u4+d4)
		q[i] = 2*m - q[i] + c[i]*lap
		u4, u3, u2, u1, m, d1, d2, d3 = u3, u2, u1, m, d1, d2, d3, d4
	}
}
