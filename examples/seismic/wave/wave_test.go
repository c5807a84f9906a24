package wave

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func uniform(nz, nx int, dx float64, v float32) Model {
	m := Model{NZ: nz, NX: nx, DX: dx, V: make([]float32, nz*nx)}
	for i := range m.V {
		m.V[i] = v
	}
	return m
}

func fitted(t *testing.T, s Survey, models ...Model) Survey {
	t.Helper()
	if err := s.Fit(models...); err != nil {
		t.Fatal(err)
	}
	return s
}

func forward(t *testing.T, m Model, s Survey, x float64) Record {
	t.Helper()
	r, err := Forward(m, s, Shot{X: x})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// trace returns the samples of the receiver at x.
func trace(r Record, x float64) []float32 {
	ix := int(math.Round((x - r.First) / r.DX))
	return r.P[ix*r.NT:][:r.NT]
}

// analytic is the exact pressure at a distance from a line source in a homogeneous medium: the
// convolution of the wavelet with H(t-r/v) / (2 pi sqrt(t²-r²/v²)), with t = r/v cosh u.
func analytic(s Survey, distance, v float64) []float64 {
	out := make([]float64, s.Steps)
	const du = 1e-3
	for i := range out {
		for u := du / 2; ; u += du {
			t := float64(i)*s.Step - distance/v*math.Cosh(u)
			if t < 0 {
				break
			}
			a := math.Pi * s.Frequency * (t - s.Delay())
			out[i] += (1 - 2*a*a) * math.Exp(-a*a) * du / (2 * math.Pi)
		}
	}
	return out
}

// difference returns the root mean square of a-b in that of b.
func difference(a []float32, b []float64) float64 {
	var d, n float64
	for i := range a {
		d += (float64(a[i]) - b[i]) * (float64(a[i]) - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}

func TestForwardIsTheGreensFunction(t *testing.T) {
	m := uniform(81, 161, 20, 2000)
	s := fitted(t, Survey{Frequency: 8, Duration: 1.4, Depth: 800}, m)
	r := forward(t, m, s, 800)
	// What is left is the dispersion of second order in time, which grows with distance.
	for distance, most := range map[float64]float64{200: 0.015, 800: 0.05, 1600: 0.09} {
		e := difference(trace(r, 800+distance), analytic(s, distance, 2000))
		t.Logf("at %g m the pressure is %.1f %% off", distance, 100*e)
		if e > most {
			t.Errorf("at %g m the pressure is %.1f %% off the exact one, want < %g %%", distance, 100*e, 100*most)
		}
	}
}

func TestForwardConverges(t *testing.T) {
	var before float64
	for i, dx := range []float64{20, 10} {
		m := uniform(int(400/dx)+1, int(1200/dx)+1, dx, 2000)
		s := fitted(t, Survey{Frequency: 12, Duration: 0.8, Depth: 200}, m)
		s.Step = 2e-4 * dx
		s.Steps = int(s.Duration/s.Step) + 1
		r := forward(t, m, s, 200)
		e := difference(trace(r, 1000), analytic(s, 800, 2000))
		t.Logf("grid %g m, step %g s: error %.2e", dx, s.Step, e)
		if i > 0 && before/e < 3.3 {
			t.Errorf("half the grid and time step give 1/%.1f of the error, want 1/4: second order in time", before/e)
		}
		before = e
	}
}

func TestDifferencesAreOfEighthOrder(t *testing.T) {
	errors := func(k float64) (first, second float64) {
		d := 2 * (d1*math.Sin(k) + d2*math.Sin(2*k) + d3*math.Sin(3*k) + d4*math.Sin(4*k))
		c := c0 + 2*(c1*math.Cos(k)+c2*math.Cos(2*k)+c3*math.Cos(3*k)+c4*math.Cos(4*k))
		return math.Abs(d/k - 1), math.Abs(c/(k*k) + 1)
	}
	d, c := errors(0.8)
	dh, ch := errors(0.4)
	for name, ratio := range map[string]float64{"first": d / dh, "second": c / ch} {
		if order := math.Log2(ratio); order < 7.8 || order > 8.2 {
			t.Errorf("the %s difference is of order %.2f, want 8", name, order)
		}
	}
}

// The records of a small model are compared with those of one so large that no boundary is seen.
func TestBoundariesAbsorb(t *testing.T) {
	large := uniform(301, 401, 20, 2500)
	small := uniform(61, 161, 20, 2500)
	s := fitted(t, Survey{Frequency: 8, Duration: 1.9, Depth: 2400}, large)
	want := forward(t, large, s, 4000)
	for name, depth := range map[string]float64{"near the middle": 600, "near the top": 40} {
		s.Depth = depth
		got := forward(t, small, s, 1600)
		var peak, worst float64
		for ix := range got.NX {
			a, b := got.P[ix*got.NT:][:got.NT], trace(want, 2400+float64(ix)*20)
			for i := range a {
				worst = max(worst, math.Abs(float64(a[i]-b[i])))
				if x := math.Abs(float64(ix)*20 - 1600); x > 390 && x < 410 {
					peak = max(peak, math.Abs(float64(b[i])))
				}
			}
		}
		t.Logf("%s: the strongest reflection is %.2f %% of the wave 400 m from the source", name, 100*worst/peak)
		if worst > 0.01*peak {
			t.Errorf("%s: the boundaries reflect %.2f %% of the wave, want < 1 %%", name, 100*worst/peak)
		}
	}
}

func TestEnergyLeaves(t *testing.T) {
	m := Layered(60, 100, 20)
	s := fitted(t, Survey{Frequency: 8, Duration: 1, Depth: 40}, m)
	g := newPropagator(m, s.Step, s.Frequency)
	at := g.at(2, 50)
	energy := func() (sum float64) {
		for _, p := range g.p {
			sum += float64(p) * float64(p)
		}
		return sum
	}
	var most float64
	w := s.Ricker()
	for n := range 6 * s.Steps {
		g.step()
		if n < len(w) {
			g.inject(at, w[n])
		}
		most = max(most, energy())
	}
	if e := energy() / most; !(e < 1e-5) {
		t.Errorf("after %.0f s %.1e of the energy is left, want < 1e-5", 6*s.Duration, e)
	}
}

// uneven is a small model with everything in it.
func uneven() (m Model, bump []float32) {
	m = Layered(50, 70, 20)
	bump = make([]float32, len(m.V))
	for ix := range m.NX {
		for iz := range m.NZ {
			x, z := float64(ix-40)/6, float64(iz-25)/5
			bump[ix*m.NZ+iz] = float32(40 * math.Exp(-x*x-z*z))
		}
	}
	return m, bump
}

// For any record r, the products with the modelled record and those of the wavelet with what
// backward brings to the source have the same sum.
func TestBackwardIsTheTransposeOfForward(t *testing.T) {
	m, _ := uneven()
	s := fitted(t, Survey{Frequency: 10, Duration: 1, Depth: 40, Aperture: 600}, m)
	r, err := newRun(m, s, Shot{X: 640})
	if err != nil {
		t.Fatal(err)
	}
	record, other := r.newRecord(), r.newRecord()
	r.forward(&record, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var left, right float64
	for i := range other.P {
		other.P[i] = float32(rng.NormFloat64()) * record.P[rng.IntN(len(record.P))]
		left += float64(other.P[i]) * float64(record.P[i])
	}
	w := s.Ricker()
	r.backward(other, func(n int) {
		right += float64(w[n]) * float64(r.g.p[r.g.at(r.iz, r.ix)]) / (m.DX * m.DX)
	})
	if e := math.Abs(left/right - 1); !(e < 1e-3) {
		t.Errorf("products %.6g and %.6g: off by %.1e, want < 1e-3", left, right, e)
	}
}

func TestGradientIsTheChangeOfMisfit(t *testing.T) {
	m, bump := uneven()
	s := fitted(t, Survey{Frequency: 7, Duration: 1.2, Depth: 40}, m)
	observed := forward(t, m, s, 500)
	start := m.Smooth(100)
	g, err := Differentiate(start, s, observed)
	if err != nil {
		t.Fatal(err)
	}
	moved := func(by float32) float64 {
		v := start.Clone()
		for i := range v.V {
			v.V[i] += by * bump[i]
		}
		misfit, err := Misfit(v, s, observed)
		if err != nil {
			t.Fatal(err)
		}
		return misfit
	}
	if misfit := moved(0); misfit != g.Misfit {
		t.Errorf("Misfit is %g, Differentiate's is %g", misfit, g.Misfit)
	}
	var want float64
	for i := range bump {
		want += float64(g.G[i]) * float64(bump[i])
	}
	got := (moved(0.25) - moved(-0.25)) / 0.5
	t.Logf("change of the misfit: %.5g, gradient: %.5g", got, want)
	if math.Abs(got/want-1) > 0.01 {
		t.Errorf("the misfit changes by %.5g, the gradient says %.5g", got, want)
	}
}

func TestMigrateFindsReflector(t *testing.T) {
	m := uniform(80, 151, 20, 2000)
	smooth := m.Clone()
	for ix := range m.NX {
		for iz := 50; iz < m.NZ; iz++ {
			m.V[ix*m.NZ+iz] = 2200
		}
	}
	s := fitted(t, Survey{Frequency: 10, Duration: 1.6, Depth: 40, Aperture: 1000}, m, smooth)
	var sum Image
	for _, shot := range Line(m, 5) {
		image, err := Migrate(smooth, s, forward(t, m, s, shot.X))
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Add(image)
	}
	if sum.Shots != 5 {
		t.Errorf("%d shots, want 5", sum.Shots)
	}
	picture := sum.Reflectivity(smooth, 300)
	for ix := 50; ix <= 100; ix += 25 {
		best := 0
		for iz := range m.NZ {
			if picture[ix*m.NZ+iz] > picture[ix*m.NZ+best] {
				best = iz
			}
		}
		if best < 49 || best > 50 {
			t.Errorf("in column %d the image peaks in cell %d, want 49 or 50, on the two sides of the reflector", ix, best)
		}
	}
	use := make([]bool, len(m.V))
	for i := range use {
		use[i] = i%m.NZ > 20 && i/m.NZ > 20 && i/m.NZ < 130
	}
	if score := Compare(picture, Reflectors(m, s.Frequency), use, m.NZ, m.NX, 20); score.Correlation < 0.8 {
		t.Errorf("correlation %.2f with the reflectivity, want > 0.8", score.Correlation)
	}
}

func TestCompareTellsRightFromWrong(t *testing.T) {
	m := Layered(90, 300, 20)
	r := Reflectors(m, 8)
	use := make([]bool, len(r))
	for i := range use {
		use[i] = true
	}
	s := Compare(r, r, use, m.NZ, m.NX, 20)
	if math.Abs(s.Correlation-1) > 1e-6 || s.Cells != len(r) {
		t.Errorf("%+v, want correlation 1 on %d cells", s, len(r))
	}
}

func TestFitExplains(t *testing.T) {
	m := uniform(50, 50, 20, 1500)
	for name, test := range map[string]struct {
		s    Survey
		want string
	}{
		"too fine":     {Survey{Frequency: 30, Duration: 1}, "lower the frequency to 12.0 Hz or refine the grid to 8.0 m"},
		"no frequency": {Survey{Duration: 1}, "want positive numbers"},
		"too deep":     {Survey{Frequency: 8, Duration: 1, Depth: 5000}, "below the model"},
	} {
		if err := test.s.Fit(m); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
	}
	s := fitted(t, Survey{Frequency: 8, Duration: 1}, m)
	if _, err := Forward(uniform(50, 50, 20, 6000), s, Shot{}); err == nil || !strings.Contains(err.Error(), "unstable") {
		t.Errorf("a model too fast for the time step: error %v", err)
	}
	if _, err := Forward(m, s, Shot{X: 1e4}); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("a shot outside: error %v", err)
	}
	if _, err := Migrate(m, s, Record{}); err == nil || !strings.Contains(err.Error(), "samples") {
		t.Errorf("an empty record: error %v", err)
	}
}

func TestModelFiles(t *testing.T) {
	m := Layered(20, 30, 20)
	file := t.TempDir() + "/model.bin"
	if err := Save(file, m.V); err != nil {
		t.Fatal(err)
	}
	got, err := LoadModel(file, 20, 30, 20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.V {
		if got.V[i] != m.V[i] {
			t.Fatalf("cell %d: %g, want %g", i, got.V[i], m.V[i])
		}
	}
	if _, err := LoadModel(file, 20, 31, 20); err == nil || !strings.Contains(err.Error(), "4*20*31 = 2480") {
		t.Errorf("wrong size: error %v", err)
	}
	m.V[25] = float32(math.NaN())
	if err := Save(file, m.V); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadModel(file, 20, 30, 20); err == nil || !strings.Contains(err.Error(), "depth cell 5, distance cell 1") {
		t.Errorf("NaN: error %v", err)
	}
}
