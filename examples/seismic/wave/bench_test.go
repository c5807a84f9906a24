package wave

import "testing"

func BenchmarkStep(b *testing.B) {
	m := Layered(176, 301, 20)
	g := newPropagator(m, 0.002, 8)
	at, n := g.at(88, 150), 0
	step := func() { // a source that goes on keeps the field from decaying to denormal numbers
		n++
		g.step()
		g.inject(at, float32(n%100)-50)
	}
	for range 300 {
		step()
	}
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(len(m.V))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mcells/s")
	b.ReportMetric(float64(g.w*g.h)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpadded/s")
}
