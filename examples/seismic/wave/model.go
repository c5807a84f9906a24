package wave

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
)

// A Model is the speed of sound in a vertical section of the earth on a square grid. The zero of
// distance and depth is the centre of its first cell.
type Model struct {
	NZ, NX int       // cells in depth and in distance
	DX     float64   // spacing of the cells, m
	V      []float32 // velocity, m/s; depth fastest: the cell (iz, ix) is V[ix*NZ+iz]
}

// LoadModel reads nz*nx raw little-endian float32, depth fastest.
func LoadModel(file string, nz, nx int, dx float64) (Model, error) {
	m := Model{NZ: nz, NX: nx, DX: dx}
	b, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	if nz <= 0 || nx <= 0 || len(b) != 4*nz*nx {
		return m, fmt.Errorf("model %s: %d bytes, want 4*nz*nx = 4*%d*%d = %d", file, len(b), nz, nx, 4*nz*nx)
	}
	m.V = make([]float32, nz*nx)
	if _, err := binary.Decode(b, binary.LittleEndian, m.V); err != nil {
		return m, fmt.Errorf("model %s: %w", file, err)
	}
	if err := m.check(); err != nil {
		return m, fmt.Errorf("model %s: %w", file, err)
	}
	return m, nil
}

// Save writes values in the layout of a model: raw little-endian float32, depth fastest.
func Save(file string, values []float32) error {
	b, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o666)
}

func (m Model) check() error {
	if m.NZ < 2 || m.NX < 2 || m.DX <= 0 || len(m.V) != m.NZ*m.NX {
		return fmt.Errorf("a model of %d x %d cells of %g m cannot have %d values", m.NZ, m.NX, m.DX, len(m.V))
	}
	for i, v := range m.V {
		if !(v > 0) || math.IsInf(float64(v), 0) { // also NaN
			return fmt.Errorf("velocity %g m/s at depth cell %d, distance cell %d: want a positive number", v, i%m.NZ, i/m.NZ)
		}
	}
	return nil
}

// Clone returns a copy that shares nothing with m.
func (m Model) Clone() Model {
	m.V = slices.Clone(m.V)
	return m
}

// Window returns the columns lo to hi, excluding hi, of the model. It shares their values with m.
func (m Model) Window(lo, hi int) Model {
	return Model{NZ: m.NZ, NX: hi - lo, DX: m.DX, V: m.V[lo*m.NZ : hi*m.NZ]}
}

// Range returns the lowest and the highest velocity, m/s.
func (m Model) Range() (low, high float64) {
	return float64(slices.Min(m.V)), float64(slices.Max(m.V))
}

// Distance returns the root mean square of the difference of two models of one grid, m/s.
func (m Model) Distance(other Model) float64 {
	var sum float64
	for i, v := range m.V {
		d := float64(v - other.V[i])
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(m.V)))
}

// Seabed returns for each column the number of cells of water at its top: those at most 1 % faster
// than the first, if the first is slower than 1600 m/s.
func (m Model) Seabed() []int {
	bed := make([]int, m.NX)
	for ix := range bed {
		col := m.V[ix*m.NZ:][:m.NZ]
		if col[0] > 1600 {
			continue
		}
		for bed[ix] < m.NZ && col[bed[ix]] <= 1.01*col[0] {
			bed[ix]++
		}
	}
	return bed
}

// Smooth returns the model blurred by a Gaussian of standard deviation sigma, in m. It blurs the
// slowness, which keeps travel times, and leaves the water alone, whose speed is known.
func (m Model) Smooth(sigma float64) Model {
	bed := m.Seabed()
	s := make([]float32, len(m.V))
	for ix := range m.NX {
		below := m.V[ix*m.NZ+min(bed[ix], m.NZ-1)]
		for iz := range m.NZ {
			if i := ix*m.NZ + iz; iz < bed[ix] {
				s[i] = 1 / below // no water leaks into the sediment
			} else {
				s[i] = 1 / m.V[i]
			}
		}
	}
	s = blur(s, m.NZ, m.NX, sigma/m.DX)
	out := m.Clone()
	for ix := range m.NX {
		for iz := bed[ix]; iz < m.NZ; iz++ {
			out.V[ix*m.NZ+iz] = 1 / s[ix*m.NZ+iz]
		}
	}
	return out
}

// Coarsen returns the model on a grid factor times as coarse, averaging slowness. Cells that do not
// fill a coarse one at the far edges are dropped.
func (m Model) Coarsen(factor int) Model {
	c := Model{NZ: m.NZ / factor, NX: m.NX / factor, DX: m.DX * float64(factor)}
	c.V = make([]float32, c.NZ*c.NX)
	for ix := range c.NX {
		for iz := range c.NZ {
			var s float32
			for kx := range factor {
				for kz := range factor {
					s += 1 / m.V[(ix*factor+kx)*m.NZ+iz*factor+kz]
				}
			}
			c.V[ix*c.NZ+iz] = float32(factor*factor) / s
		}
	}
	return c
}

// Layered makes a section for trying things out: water over seven layers that are folded into an
// anticline and cut by a normal fault.
func Layered(nz, nx int, dx float64) Model {
	speeds := []float32{1500, 1750, 2000, 2250, 2150, 2600, 2950, 3400}
	tops := []float64{0.10, 0.22, 0.34, 0.45, 0.56, 0.68, 0.82} // of the depth, at the flanks
	m := Model{NZ: nz, NX: nx, DX: dx, V: make([]float32, nz*nx)}
	for ix := range nx {
		x := float64(ix) / float64(nx-1)
		fold := 0.10 * math.Exp(-math.Pow((x-0.38)/0.14, 2))
		for iz := range nz {
			z := float64(iz) / float64(nz-1)
			layer := 0
			for k, top := range tops {
				if k > 0 { // the seabed is flat; folding and faulting fade in below it
					top += 0.02*math.Sin(5*x) - fold*min(1, 2.5*(top-tops[0]))
					if x > 0.66+0.12*z {
						top += 0.05 * min(1, 8*(top-tops[0]))
					}
				}
				if z >= top {
					layer = k + 1
				}
			}
			m.V[ix*nz+iz] = speeds[layer]
		}
	}
	return m
}

// blur convolves values of nz x nx cells with a Gaussian of standard deviation sigma cells. Beyond
// an edge the value at the edge goes on.
func blur(values []float32, nz, nx int, sigma float64) []float32 {
	if sigma <= 0 {
		return slices.Clone(values)
	}
	half := int(math.Ceil(3 * sigma))
	kernel := make([]float64, 2*half+1)
	var sum float64
	for i := range kernel {
		kernel[i] = math.Exp(-0.5 * math.Pow(float64(i-half)/sigma, 2))
		sum += kernel[i]
	}
	along := func(in []float32, n, step, lines, next int) []float32 {
		out := make([]float32, len(in))
		for l := range lines {
			for i := range n {
				var v float64
				for k, w := range kernel {
					v += w * float64(in[l*next+min(max(i+k-half, 0), n-1)*step])
				}
				out[l*next+i*step] = float32(v / sum)
			}
		}
		return out
	}
	return along(along(values, nz, 1, nx, nz), nx, nz, nz, 1)
}
