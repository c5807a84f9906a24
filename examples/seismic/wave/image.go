package wave

import (
	"math"
	"slices"
)

// An Image is the raw result of migrating some shots: what is summed over shots.
type Image struct {
	NZ, NX       int
	DX           float64   // m
	Shots        int       // that it is the sum of
	Correlation  []float32 // of the source's and the receivers' fields, depth fastest
	Illumination []float32 // energy of the source's field
}

// Add returns the sum of two images. It may reuse i.
func (i Image) Add(other Image) Image {
	if i.Correlation == nil {
		return other
	}
	i.Shots += other.Shots
	i.Correlation = add(i.Correlation, other.Correlation)
	i.Illumination = add(i.Illumination, other.Illumination)
	return i
}

// add sums into a, which may be nil.
func add(a, b []float32) []float32 {
	if a == nil {
		return b
	}
	for i, v := range b {
		a[i] += v
	}
	return a
}

// Reflectivity turns the sum of correlations into a picture of reflectors, depth fastest, in
// arbitrary units: it divides by the illumination, takes the negative Laplacian, which suppresses
// the smooth back-scattered energy between source and reflectors, and mutes the cells above
// depth, m, where sources and receivers leave their footprint, and the water if m has any.
func (i Image) Reflectivity(m Model, depth float64) []float32 {
	n := len(i.Correlation)
	var mean float64
	for _, v := range i.Illumination {
		mean += float64(v) / float64(n)
	}
	light := blur(i.Illumination, i.NZ, i.NX, 5)
	ratio := make([]float32, n)
	for k, v := range i.Correlation {
		ratio[k] = v / (light[k] + float32(1e-3*mean))
	}
	out := make([]float32, n)
	bed := m.Seabed()
	for ix := range i.NX {
		l, r := max(ix-1, 0)*i.NZ, min(ix+1, i.NX-1)*i.NZ
		top := max(float64(bed[ix])-2, depth/i.DX, 1)
		for iz := 1; iz < i.NZ-1; iz++ {
			c := ix*i.NZ + iz
			lap := ratio[c-1] + ratio[c+1] + ratio[l+iz] + ratio[r+iz] - 4*ratio[c]
			fade := min(max((float64(iz)-top)/4, 0), 1)
			out[c] = -lap * float32(fade*fade*(3-2*fade))
		}
	}
	return out
}

// Reflectors returns what a perfect image of the model would be: for each column the reflection
// coefficients at vertical incidence and constant density, half the change of log v, seen through
// the zero-phase wavelet of an image, for a Ricker source with its peak at frequency Hz. The
// convolution is in two-way time, so that the wavelet stretches with velocity as it does in a
// migrated image.
func Reflectors(m Model, frequency float64) []float32 {
	const dt = 0.001 // s
	out := make([]float32, len(m.V))
	wavelet := imageWavelet(frequency, dt)
	half := len(wavelet) / 2
	for ix := range m.NX {
		v := m.V[ix*m.NZ:][:m.NZ]
		times := make([]float64, m.NZ) // of the centres of cells
		for iz := 1; iz < m.NZ; iz++ {
			times[iz] = times[iz-1] + m.DX*(1/float64(v[iz-1])+1/float64(v[iz]))
		}
		for iz := range m.NZ {
			var sum float64
			for k := 1; k < m.NZ; k++ {
				r := 0.5 * math.Log(float64(v[k])/float64(v[k-1]))
				at := 0.5 * (times[k] + times[k-1])
				if i := int(math.Round((times[iz]-at)/dt)) + half; r != 0 && i >= 0 && i < len(wavelet) {
					sum += r * wavelet[i]
				}
			}
			out[ix*m.NZ+iz] = float32(sum)
		}
	}
	return out
}

// imageWavelet samples the zero-phase wavelet whose spectrum is that of a Ricker wavelet squared:
// the correlation, the integral over time and the Laplacian leave no other power of frequency.
func imageWavelet(peak, dt float64) []float64 {
	half := int(1.5 / peak / dt)
	w := make([]float64, 2*half+1)
	for i := range w {
		t := float64(i-half) * dt
		for f := 0.0; f < 3*peak; f += peak / 50 {
			s := f * f / (peak * peak) * math.Exp(-f*f/(peak*peak))
			w[i] += s * s * math.Cos(2*math.Pi*f*t)
		}
	}
	top := w[half]
	for i := range w {
		w[i] /= top
	}
	return w
}

// Score compares an image with what it should show.
type Score struct {
	Correlation float64 // with the reflectors
	Mirrored    float64 // with the reflectors seen in a mirror, left for right: should be near 0
	Shifted     float64 // largest magnitude with the reflectors moved sideways by a quarter to three quarters of the section
	Cells       int     // compared
}

// Compare correlates two sections of nz x nx cells, without removing means, where use is true.
// Both are brought to even strength over windows of window cells first, so that the number tells
// of the position and sign of reflectors at all depths and not of the strongest one.
func Compare(image, reflectors []float32, use []bool, nz, nx int, window float64) Score {
	image, reflectors = balance(image, use, nz, nx, window), balance(reflectors, use, nz, nx, window)
	corr := func(column func(ix int) int) (float64, int) {
		var ab, aa, bb float64
		var n int
		for ix := range nx {
			jx := column(ix)
			for iz := range nz {
				i, j := ix*nz+iz, jx*nz+iz
				if !use[i] || !use[j] {
					continue
				}
				a, b := float64(image[i]), float64(reflectors[j])
				ab, aa, bb, n = ab+a*b, aa+a*a, bb+b*b, n+1
			}
		}
		return ab / math.Sqrt(aa*bb+1e-300), n
	}
	var s Score
	s.Correlation, s.Cells = corr(func(ix int) int { return ix })
	s.Mirrored, _ = corr(func(ix int) int { return nx - 1 - ix })
	for k := range 9 {
		shift := nx/4 + k*nx/16
		c, _ := corr(func(ix int) int { return (ix + shift) % nx })
		s.Shifted = max(s.Shifted, math.Abs(c))
	}
	return s
}

// balance divides by the root mean square in a Gaussian window of the cells in use.
func balance(values []float32, use []bool, nz, nx int, window float64) []float32 {
	power, weight := make([]float32, len(values)), make([]float32, len(values))
	var mean float64
	for i, v := range values {
		if use[i] {
			power[i], weight[i] = v*v, 1
			mean += float64(v) * float64(v) / float64(len(values))
		}
	}
	power, weight = blur(power, nz, nx, window), blur(weight, nz, nx, window)
	out := slices.Clone(values)
	for i := range out {
		if !use[i] {
			out[i] = 0
			continue
		}
		out[i] /= float32(math.Sqrt(float64(power[i]/max(weight[i], 1e-3)) + 0.01*mean))
	}
	return out
}
