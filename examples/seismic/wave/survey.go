package wave

import (
	"fmt"
	"math"
)

// A Survey is what all shots have in common. Call Fit before using it.
type Survey struct {
	Frequency float64 // peak of the source's spectrum, a Ricker wavelet, Hz
	Duration  float64 // length of a record, s
	Depth     float64 // of sources and receivers, m
	Aperture  float64 // how far a shot sees and has receivers to either side, m; 0: the whole model

	Step  float64 // time step of the solver and sample interval of the records, s; set by Fit
	Steps int     // samples of a trace; set by Fit
}

// A Shot is one firing of the source.
type Shot struct {
	X float64 // position, m
}

// A Record is what the receivers of a shot measure.
type Record struct {
	Shot   Shot
	First  float64   // position of the first receiver, m
	DX     float64   // spacing of the receivers, m
	Step   float64   // sample interval, s
	NT, NX int       // samples of a trace, receivers
	P      []float32 // pressure; time fastest: the sample it of receiver ix is P[ix*NT+it]
}

const (
	// highest is where a Ricker wavelet's spectrum has fallen to 3 % of its peak, in peaks.
	highest = 2.5
	// pointsPerWavelength at the highest frequency and the lowest velocity. With eighth order in
	// space, waves on 2.5 points travel 6 % too slowly, on 3 points 2 %, on 5 points 0.1 %.
	pointsPerWavelength = 2.5
	// courant is the largest stable v*Step/DX in two dimensions: 2/sqrt(2*sum|c|), where c are
	// the coefficients of the second derivative.
	courant = 0.5546
)

// Fit chooses a time step that is stable in all the models, which must be on one grid, or says why
// the survey cannot be modelled on it.
func (s *Survey) Fit(models ...Model) error {
	if s.Frequency <= 0 || s.Duration <= 0 || s.Depth < 0 || s.Aperture < 0 {
		return fmt.Errorf("wave: survey of %g Hz, %g s, depth %g m, aperture %g m: want positive numbers", s.Frequency, s.Duration, s.Depth, s.Aperture)
	}
	low, high := math.Inf(1), 0.0
	for _, m := range models {
		if err := m.check(); err != nil {
			return fmt.Errorf("wave: %w", err)
		}
		l, h := m.Range()
		low, high = min(low, l), max(high, h)
	}
	dx := models[0].DX
	if n := low / (highest * s.Frequency * dx); n < pointsPerWavelength {
		return fmt.Errorf("wave: a Ricker wavelet of %g Hz (energy up to %g Hz) has %.1f points per wavelength where the velocity is %.0f m/s and the grid %g m; want %g: lower the frequency to %.1f Hz or refine the grid to %.1f m",
			s.Frequency, highest*s.Frequency, n, low, dx, pointsPerWavelength,
			math.Floor(10*low/(highest*pointsPerWavelength*dx))/10, math.Floor(10*low/(highest*pointsPerWavelength*s.Frequency))/10)
	}
	if depth := float64(models[0].NZ-1) * dx; s.Depth > depth {
		return fmt.Errorf("wave: sources at %g m are below the model, which ends at %g m", s.Depth, depth)
	}
	// 10 % below the limit, as the velocity may rise in the course of an inversion; a round number.
	// With 40 steps to a period the peak of the spectrum travels 0.1 % too fast.
	s.Step = math.Floor(min(0.9*courant*dx/high, 1/(40*s.Frequency))*1e5) / 1e5
	s.Steps = int(math.Ceil(s.Duration/s.Step)) + 1
	return nil
}

// Line returns n shots at equal distances along the model, half a distance from its ends.
func Line(m Model, n int) []Shot {
	shots := make([]Shot, n)
	for i := range shots {
		x := (float64(i) + 0.5) / float64(n) * float64(m.NX-1)
		shots[i].X = math.Round(x) * m.DX
	}
	return shots
}

// Ricker returns the source's wavelet: the second derivative of a Gaussian with peak 1, delayed so
// that it starts at nothing.
func (s Survey) Ricker() []float32 {
	w := make([]float32, s.Steps)
	for i := range w {
		a := math.Pi * s.Frequency * (float64(i)*s.Step - s.Delay())
		w[i] = float32((1 - 2*a*a) * math.Exp(-a*a))
	}
	return w
}

// Delay returns the time of the wavelet's peak, s.
func (s Survey) Delay() float64 { return 1.2 / s.Frequency }

// interval is the number of time steps between the wave fields that are kept for correlation: 8
// to a period at the peak, so that products of two fields are still sampled well enough to be
// summed.
func (s Survey) interval() int {
	return max(1, int(1/(8*s.Frequency*s.Step)))
}

// window returns the columns of m that a shot at x sees.
func (s Survey) window(m Model, x float64) (lo, hi int) {
	if s.Aperture == 0 {
		return 0, m.NX
	}
	lo = max(0, int(math.Ceil((x-s.Aperture)/m.DX)))
	hi = min(m.NX, int(math.Floor((x+s.Aperture)/m.DX))+1)
	return lo, hi
}
