package wave

import (
	"fmt"
	"math"
)

// maxStored bounds the memory for stored wave fields of one shot, bytes.
const maxStored = 300 << 20

// Forward models a shot: the pressure at receivers on every column of the model that the shot sees.
// The source puts the survey's Ricker wavelet into the wave equation; its position and depth are
// rounded to a cell.
func Forward(m Model, s Survey, shot Shot) (Record, error) {
	r, err := newRun(m, s, shot)
	if err != nil {
		return Record{}, err
	}
	record := r.newRecord()
	r.forward(&record, nil)
	return record, nil
}

// Migrate images the reflections of a record in a smooth model: it subtracts the direct wave,
// which is what the smooth model gives, runs the source forward and the rest of the record
// backward in time, and correlates the two fields at zero lag.
//
// The record is integrated over time first. That turns the wavelet of the image by 90 degrees, as
// receivers that send back pressure leave it antisymmetric about reflectors, and makes up for the
// Laplacian of Reflectivity, which weights with the square of frequency.
func Migrate(m Model, s Survey, record Record) (Image, error) {
	r, err := newRun(m, s, record.Shot)
	if err != nil {
		return Image{}, err
	}
	if err := r.match(record); err != nil {
		return Image{}, err
	}
	fields, err := r.newFields()
	if err != nil {
		return Image{}, err
	}
	residual := r.newRecord()
	r.forward(&residual, fields)
	for i, p := range record.P {
		residual.P[i] = p - residual.P[i]
	}
	r.prepare(residual)

	image := Image{NZ: m.NZ, NX: m.NX, DX: m.DX, Shots: 1}
	image.Correlation = make([]float32, len(m.V))
	image.Illumination = make([]float32, len(m.V))
	correlation, illumination := image.Correlation[r.lo*m.NZ:], image.Illumination[r.lo*m.NZ:]
	for _, u := range fields.stored {
		for i, v := range u {
			illumination[i] += v * v
		}
	}
	lambda := make([]float32, r.model.NX*m.NZ)
	r.backward(residual, func(n int) {
		u := fields.at(n)
		if u == nil {
			return
		}
		r.copyField(lambda)
		for i, v := range u {
			correlation[i] += v * lambda[i]
		}
	})
	// Where the image of a shot ends within the model, it fades out.
	for ix := range r.model.NX {
		fade := float32(1)
		if r.lo > 0 {
			fade *= ramp(float64(ix)+0.5, float64(r.model.NX)/8)
		}
		if r.lo+r.model.NX < m.NX {
			fade *= ramp(float64(r.model.NX-ix)-0.5, float64(r.model.NX)/8)
		}
		for i := ix * m.NZ; i < (ix+1)*m.NZ; i++ {
			correlation[i] *= fade
			illumination[i] *= fade
		}
	}
	return image, nil
}

// prepare integrates the traces of a record, and fades them out towards their ends and the outer
// receivers towards the ends of the spread, which would send out waves of their own.
func (r *run) prepare(record Record) {
	for ix := range record.NX {
		trace := record.P[ix*record.NT:][:record.NT]
		side := ramp(float64(min(ix, record.NX-1-ix))+0.5, float64(record.NX)/10)
		var sum float32
		for i := range trace {
			sum += trace[i] * ramp(float64(record.NT-1-i), float64(record.NT)/20) * float32(record.Step)
			trace[i] = sum * side
		}
	}
}

// ramp rises from 0 at 0 to 1 at length, with half a cosine.
func ramp(at, length float64) float32 {
	if at >= length {
		return 1
	}
	return float32(0.5 - 0.5*math.Cos(math.Pi*max(at, 0)/length))
}

// A Gradient says how the misfit between modelled and observed records changes with the model.
type Gradient struct {
	Misfit       float64   // half the sum of squared differences of the samples, times the time step
	G            []float32 // derivative of Misfit by the velocity of each cell, depth fastest
	Illumination []float32 // energy of the second time derivative of the source's field
}

// Add returns the sum of two gradients. It may reuse g.
func (g Gradient) Add(other Gradient) Gradient {
	g.Misfit += other.Misfit
	g.G = add(g.G, other.G)
	g.Illumination = add(g.Illumination, other.Illumination)
	return g
}

// Differentiate returns the misfit of a model to an observed record, and its gradient by the
// adjoint method.
func Differentiate(m Model, s Survey, observed Record) (Gradient, error) {
	r, err := newRun(m, s, observed.Shot)
	if err != nil {
		return Gradient{}, err
	}
	if err := r.match(observed); err != nil {
		return Gradient{}, err
	}
	fields, err := r.newFields()
	if err != nil {
		return Gradient{}, err
	}
	fields.acceleration = true
	residual := r.newRecord()
	r.forward(&residual, fields)
	grad := Gradient{G: make([]float32, len(m.V)), Illumination: make([]float32, len(m.V))}
	for i, p := range observed.P {
		residual.P[i] -= p
		grad.Misfit += 0.5 * s.Step * float64(residual.P[i]) * float64(residual.P[i])
	}
	g, illumination := grad.G[r.lo*m.NZ:], grad.Illumination[r.lo*m.NZ:]
	lambda := make([]float32, r.model.NX*m.NZ)
	r.backward(residual, func(n int) {
		u := fields.at(n)
		if u == nil {
			return
		}
		r.copyField(lambda)
		for i, v := range u {
			g[i] += v * lambda[i]
			illumination[i] += v * v
		}
	})
	// With 1/v² ∂²p/∂t² = f + ..., a change of v changes the equation by -2/v³ ∂²p/∂t².
	scale := 2 * s.Step * float64(fields.every)
	for i, v := range r.model.V {
		g[i] *= float32(scale / (float64(v) * float64(v) * float64(v)))
	}
	return grad, nil
}

// Misfit returns Differentiate's misfit alone, at less than half the cost.
func Misfit(m Model, s Survey, observed Record) (float64, error) {
	r, err := newRun(m, s, observed.Shot)
	if err != nil {
		return 0, err
	}
	if err := r.match(observed); err != nil {
		return 0, err
	}
	modelled := r.newRecord()
	r.forward(&modelled, nil)
	var sum float64
	for i, p := range observed.P {
		d := float64(modelled.P[i] - p)
		sum += 0.5 * s.Step * d * d
	}
	return sum, nil
}

// A run is the modelling of one shot in the part of a model that it sees.
type run struct {
	model  Model // the part
	lo     int   // its first column
	survey Survey
	shot   Shot
	iz, ix int // the source; receivers are at iz too
	g      *propagator
}

func newRun(m Model, s Survey, shot Shot) (*run, error) {
	if s.Step <= 0 || s.Steps < 2 {
		return nil, fmt.Errorf("wave: the survey has no time step: call Fit first")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("wave: %w", err)
	}
	if _, high := m.Range(); high*s.Step/m.DX >= courant {
		return nil, fmt.Errorf("wave: a time step of %g s is unstable at %.0f m/s on %g m; Fit the survey to this model", s.Step, high, m.DX)
	}
	iz, ix := int(math.Round(s.Depth/m.DX)), int(math.Round(shot.X/m.DX))
	if ix < 0 || ix >= m.NX || iz >= m.NZ {
		return nil, fmt.Errorf("wave: the shot at %g m, %g m deep, is outside the model, which is %g m long and %g m deep", shot.X, s.Depth, float64(m.NX-1)*m.DX, float64(m.NZ-1)*m.DX)
	}
	lo, hi := s.window(m, shot.X)
	part := m.Window(lo, hi)
	return &run{model: part, lo: lo, survey: s, shot: shot, iz: iz, ix: ix - lo,
		g: newPropagator(part, s.Step, s.Frequency)}, nil
}

func (r *run) newRecord() Record {
	return Record{
		Shot: r.shot, First: float64(r.lo) * r.model.DX, DX: r.model.DX, Step: r.survey.Step,
		NT: r.survey.Steps, NX: r.model.NX, P: make([]float32, r.survey.Steps*r.model.NX),
	}
}

func (r *run) match(record Record) error {
	if want := r.newRecord(); record.NT != want.NT || record.NX != want.NX || record.First != want.First ||
		record.Step != want.Step || len(record.P) != len(want.P) {
		return fmt.Errorf("wave: the record of the shot at %g m has %d samples of %g s on %d receivers from %g m; the survey has %d of %g s on %d from %g m",
			record.Shot.X, record.NT, record.Step, record.NX, record.First, want.NT, want.Step, want.NX, want.First)
	}
	return nil
}

// Fields are what is kept of the source's wave field: every so many steps, the part of the model.
type fields struct {
	every        int
	acceleration bool        // keep ∂²p/∂t² instead of p
	stored       [][]float32 // the field at the step n is stored[n/every]
}

func (r *run) newFields() (*fields, error) {
	f := &fields{every: r.survey.interval()}
	n, cells := (r.survey.Steps-1)/f.every+1, len(r.model.V)
	if bytes := 4 * n * cells; bytes > maxStored {
		return nil, fmt.Errorf("wave: %d wave fields of %d x %d cells take %d MB, more than %d: choose a smaller aperture or shorter records",
			n, r.model.NZ, r.model.NX, bytes>>20, maxStored>>20)
	}
	f.stored = make([][]float32, n)
	for i := range f.stored {
		f.stored[i] = make([]float32, cells)
	}
	return f, nil
}

// at returns the field of the step n, or nil if it was not kept.
func (f *fields) at(n int) []float32 {
	if n%f.every != 0 {
		return nil
	}
	return f.stored[n/f.every]
}

// forward fills the record and, unless it is nil, f.
func (r *run) forward(record *Record, f *fields) {
	g, nz := r.g, r.model.NZ
	g.reset()
	source, receivers := g.at(r.iz, r.ix), r.receivers()
	wavelet := r.survey.Ricker()
	for n := range r.survey.Steps - 1 {
		var keep []float32
		if f != nil {
			keep = f.at(n)
		}
		if keep != nil && !f.acceleration {
			r.copyField(keep)
		}
		if keep != nil && f.acceleration {
			for ix := range r.model.NX {
				p, q := g.inside(g.p, ix), g.inside(g.q, ix)
				for i := range p {
					keep[ix*nz+i] = q[i] - 2*p[i]
				}
			}
		}
		g.step()
		g.inject(source, wavelet[n])
		if keep != nil && f.acceleration {
			scale := float32(1 / (r.survey.Step * r.survey.Step))
			for ix := range r.model.NX {
				for i, v := range g.inside(g.p, ix) {
					keep[ix*nz+i] = (keep[ix*nz+i] + v) * scale
				}
			}
		}
		for ix, at := range receivers {
			record.P[ix*record.NT+n+1] = g.p[at]
		}
	}
}

// backward sends a record back from its receivers in time, and calls visit after the step n of
// forward's was taken back. It is the exact transpose of forward: the field then is the derivative
// of the sum of products of record and pressure by the source of the step n.
func (r *run) backward(record Record, visit func(n int)) {
	g := r.g
	g.reset()
	receivers := r.receivers()
	area := float32(r.model.DX * r.model.DX)
	for n := r.survey.Steps - 2; n >= 0; n-- {
		g.step()
		for ix, at := range receivers {
			g.inject(at, area*record.P[ix*record.NT+n+1])
		}
		visit(n)
	}
}

func (r *run) receivers() []int {
	at := make([]int, r.model.NX)
	for ix := range at {
		at[ix] = r.g.at(r.iz, ix)
	}
	return at
}

// copyField copies the pressure in the model, without the absorbing layer, to dst.
func (r *run) copyField(dst []float32) {
	for ix := range r.model.NX {
		copy(dst[ix*r.model.NZ:][:r.model.NZ], r.g.inside(r.g.p, ix))
	}
}
