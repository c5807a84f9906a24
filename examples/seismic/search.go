package main

import (
	"math"

	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

// A search is the memory of an L-BFGS minimisation (Nocedal and Wright, algorithm 7.4) over the
// velocities of a model, scaled by the light of the sources: cells that they hardly reach have small
// gradients, but are not known any better.
type search struct {
	scale     []float64 // m/s per unit of the scaled variables; 0 for cells that stay
	low, high float32   // bounds of the velocity, m/s
	s, y      [][]float64
}

const (
	remembered = 6    // pairs of steps and changes of gradient
	firstStep  = 50.0 // largest change of velocity in the first step, m/s
)

func newSearch(start wave.Model, g wave.Gradient) *search {
	low, high := start.Range()
	s := &search{scale: make([]float64, len(start.V)), low: float32(0.7 * low), high: float32(1.08 * high)}
	var mean float64
	for _, e := range g.Illumination {
		mean += float64(e) / float64(len(g.Illumination))
	}
	for ix, bed := range start.Seabed() {
		for i := ix*start.NZ + bed; i < (ix+1)*start.NZ; i++ {
			s.scale[i] = 1 / math.Sqrt(float64(g.Illumination[i])/mean+0.02)
		}
	}
	return s
}

func (s *search) scaled(g wave.Gradient) []float64 {
	out := make([]float64, len(g.G))
	for i, v := range g.G {
		out[i] = float64(v) * s.scale[i]
	}
	return out
}

// direction returns a descent direction in scaled variables, of the length that L-BFGS expects to be
// right.
func (s *search) direction(g wave.Gradient) []float64 {
	d := s.scaled(g)
	for i := range d {
		d[i] = -d[i]
	}
	n := len(s.s)
	if n == 0 {
		var top float64
		for i, v := range d {
			top = max(top, math.Abs(v*s.scale[i]))
		}
		if top > 0 {
			axpy(d, firstStep/top-1, d)
		}
		return d
	}
	alpha := make([]float64, n)
	for k := n - 1; k >= 0; k-- {
		alpha[k] = dot(s.s[k], d) / dot(s.s[k], s.y[k])
		axpy(d, -alpha[k], s.y[k])
	}
	axpy(d, dot(s.s[n-1], s.y[n-1])/dot(s.y[n-1], s.y[n-1])-1, d)
	for k := range n {
		axpy(d, alpha[k]-dot(s.y[k], d)/dot(s.s[k], s.y[k]), s.s[k])
	}
	return d
}

// move returns the model after the fraction of a step, within the bounds.
func (s *search) move(m wave.Model, step []float64, fraction float64) wave.Model {
	next := m.Clone()
	for i, d := range step {
		if s.scale[i] > 0 {
			next.V[i] = min(max(m.V[i]+float32(fraction*d*s.scale[i]), s.low), s.high)
		}
	}
	return next
}

// learn remembers a step, unless the gradient along it fell, which no quadratic with a minimum does.
func (s *search) learn(from, to wave.Model, before, after wave.Gradient) {
	y := s.scaled(after)
	axpy(y, -1, s.scaled(before))
	step := make([]float64, len(y))
	for i := range step {
		if s.scale[i] > 0 {
			step[i] = float64(to.V[i]-from.V[i]) / s.scale[i]
		}
	}
	if dot(step, y) <= 0 {
		return
	}
	s.s, s.y = append(s.s, step), append(s.y, y)
	if len(s.s) > remembered {
		s.s, s.y = s.s[1:], s.y[1:]
	}
}

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// axpy adds f*b to a; they may be the same.
func axpy(a []float64, f float64, b []float64) {
	for i, v := range b {
		a[i] += f * v
	}
}
