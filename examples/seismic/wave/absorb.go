package wave

import (
	"math"
	"slices"
)

// A strip is the absorbing layer along one side of the grid, with the memory of its filters
// F: f becomes b f + a input, in each time step.
type strip struct {
	from      int       // first row or column of the layer
	a, b      []float32 // the filter of each row or column of the layer
	psi, zeta []float32 // F∂p and F(∂²p + ∂F∂p) of the cells
}

// margin is how far psi, which is zero outside the layer, is kept beyond it, so that its difference
// can be taken on all cells that the layer's own cells reach.
const margin = 2 * halo

func newStrip(from int, a, b []float32, length int) strip {
	return strip{
		from: from, a: a, b: b,
		psi:  make([]float32, (len(a)+2*margin)*length),
		zeta: make([]float32, len(a)*length),
	}
}

// absorbing returns the filters of a layer of n cells, outermost first, for waves that travel speed
// cells in a time step and have frequency peaks in a time step: a quadratic profile that would
// reflect 1e-4 at normal incidence, shifted in frequency so that grazing and slow waves are
// absorbed too.
func absorbing(n int, speed, frequency float64) (a, b []float32) {
	a, b = make([]float32, n), make([]float32, n)
	for i := range n {
		depth := (float64(n-i) - 0.5) / float64(n)
		d := 1.5 * speed * math.Log(1e4) / float64(n) * depth * depth
		alpha := math.Pi * frequency * (1 - depth)
		decay := math.Exp(-(d + alpha))
		b[i] = float32(decay)
		a[i] = float32(d / (d + alpha) * (decay - 1))
	}
	return a, b
}

func reversed(s []float32) []float32 {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// rememberX updates F∂p in a layer at the left or right.
func (g *propagator) rememberX(s *strip) {
	h, n := g.h, g.h-2*halo
	for k, a := range s.a {
		b, o := s.b[k], (s.from+k)*h+halo
		psi := s.psi[(k+margin)*h+halo:][:n]
		p := g.p
		l1, r1, l2, r2 := p[o-h:][:n], p[o+h:][:n], p[o-2*h:][:n], p[o+2*h:][:n]
		l3, r3, l4, r4 := p[o-3*h:][:n], p[o+3*h:][:n], p[o-4*h:][:n], p[o+4*h:][:n]
		for i := range psi {
			psi[i] = b*psi[i] + a*(d1*(r1[i]-l1[i])+d2*(r2[i]-l2[i])+d3*(r3[i]-l3[i])+d4*(r4[i]-l4[i]))
		}
	}
}

// absorbX adds the terms of a layer at the left or right to the step that leap has made in q.
func (g *propagator) absorbX(s *strip) {
	h, n := g.h, g.h-2*halo
	for k := -halo; k < len(s.a)+halo; k++ {
		ix := s.from + k
		if ix < halo || ix >= g.w-halo {
			continue
		}
		o, so := ix*h+halo, (k+margin)*h+halo
		q, c := g.q[o:][:n], g.c[o:][:n]
		f := s.psi
		l1, r1, l2, r2 := f[so-h:][:n], f[so+h:][:n], f[so-2*h:][:n], f[so+2*h:][:n]
		l3, r3, l4, r4 := f[so-3*h:][:n], f[so+3*h:][:n], f[so-4*h:][:n], f[so+4*h:][:n]
		if k < 0 || k >= len(s.a) {
			for i := range q {
				q[i] += c[i] * (d1*(r1[i]-l1[i]) + d2*(r2[i]-l2[i]) + d3*(r3[i]-l3[i]) + d4*(r4[i]-l4[i]))
			}
			continue
		}
		lap := g.column[:n]
		g.differenceX(lap, ix)
		zeta, a, b := s.zeta[k*h+halo:][:n], s.a[k], s.b[k]
		for i := range q {
			t := d1*(r1[i]-l1[i]) + d2*(r2[i]-l2[i]) + d3*(r3[i]-l3[i]) + d4*(r4[i]-l4[i])
			zeta[i] = b*zeta[i] + a*(lap[i]+t)
			q[i] += c[i] * (t + zeta[i])
		}
	}
}

// differenceX sets dst to the second difference of p along x on a column.
func (g *propagator) differenceX(dst []float32, ix int) {
	n, h, o := len(dst), g.h, ix*g.h+halo
	p := g.p
	m, l1, r1, l2, r2 := p[o:][:n], p[o-h:][:n], p[o+h:][:n], p[o-2*h:][:n], p[o+2*h:][:n]
	l3, r3, l4, r4 := p[o-3*h:][:n], p[o+3*h:][:n], p[o-4*h:][:n], p[o+4*h:][:n]
	for i := range dst {
		dst[i] = c0*m[i] + c1*(l1[i]+r1[i]) + c2*(l2[i]+r2[i]) + c3*(l3[i]+r3[i]) + c4*(l4[i]+r4[i])
	}
}

// rememberZ updates F∂p in a layer at the top or bottom.
func (g *propagator) rememberZ(s *strip) {
	n := len(s.a)
	a, b := s.a, s.b[:n]
	for ix := halo; ix < g.w-halo; ix++ {
		psi := s.psi[ix*(n+2*margin)+margin:][:n]
		slope := g.column[:n]
		differenceZ(slope, g.p[ix*g.h+s.from-halo:])
		for i := range psi {
			psi[i] = b[i]*psi[i] + a[i]*slope[i]
		}
	}
}

// absorbZ adds the terms of a layer at the top or bottom to the step that leap has made in q.
func (g *propagator) absorbZ(s *strip) {
	n := len(s.a)
	a, b := s.a, s.b[:n]
	lo, hi := max(-halo, halo-s.from), min(n+halo, g.h-halo-s.from)
	for ix := halo; ix < g.w-halo; ix++ {
		t := g.column[:hi-lo]
		differenceZ(t, s.psi[ix*(n+2*margin)+margin+lo-halo:])
		zeta, inside := s.zeta[ix*n:][:n], t[-lo:][:n]
		p := g.p[ix*g.h+s.from-halo:][:n+2*halo]
		down := p[2*halo:][:n]
		u4, u3, u2, u1, m, d1, d2, d3 := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
		for i := range zeta {
			d4 := down[i]
			lap := c0*m + c1*(u1+d1) + c2*(u2+d2) + c3*(u3+d3) + c4*(u4+d4)
			zeta[i] = b[i]*zeta[i] + a[i]*(lap+inside[i])
			inside[i] += zeta[i]
			u4, u3, u2, u1, m, d1, d2, d3 = u3, u2, u1, m, d1, d2, d3, d4
		}
		o := ix*g.h + s.from + lo
		q, c := g.q[o:][:len(t)], g.c[o:][:len(t)]
		for i := range t {
			q[i] += c[i] * t[i]
		}
	}
}

// differenceZ sets dst to the first difference of f, which begins halo cells before dst.
func differenceZ(dst, f []float32) {
	down := f[2*halo:][:len(dst)]
	u4, u3, u2, u1, m, n1, n2, n3 := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]
	for i := range dst {
		n4 := down[i]
		dst[i] = d1*(n1-u1) + d2*(n2-u2) + d3*(n3-u3) + d4*(n4-u4)
		u4, u3, u2, u1, m, n1, n2, n3 = u3, u2, u1, m, n1, n2, n3, n4
	}
}
