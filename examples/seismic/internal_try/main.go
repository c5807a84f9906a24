package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/examples/seismic/figure"
	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
func main() {
	model := flag.String("model", "", "")
	smooth := flag.String("smooth", "", "")
	shots := flag.Int("shots", 30, "")
	fp := flag.Float64("f", 8, "")
	T := flag.Float64("t", 4, "")
	ap := flag.Float64("ap", 3000, "")
	out := flag.String("out", "/tmp/seis", "")
	flag.Parse()
	_ = pprof.StartCPUProfile
	var m wave.Model
	var err error
	if *model != "" {
		m, err = wave.LoadModel(*model, 176, 851, 20)
		must(err)
	} else {
		m = wave.Layered(176, 851, 20)
	}
	sm := m.Smooth(120)
	if *smooth != "" {
		sm, err = wave.LoadModel(*smooth, 176, 851, 20)
		must(err)
	}
	s := wave.Survey{Frequency: *fp, Duration: *T, Depth: 40, Aperture: *ap}
	must(s.Fit(m, sm))
	lo, hi := m.Range()
	fmt.Println(s, lo, hi, m.Seabed()[0:5], m.Seabed()[400], sm.Seabed()[400])
	t0 := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var img wave.Image
	line := wave.Line(m, *shots)
	sem := make(chan int, 2)
	var shown wave.Record
	for i, sh := range line {
		wg.Go(func() {
			sem <- 1
			defer func() { <-sem }()
			r, err := wave.Forward(m, s, sh)
			must(err)
			im, err := wave.Migrate(sm, s, r)
			must(err)
			mu.Lock()
			defer mu.Unlock()
			if i == len(line)/2 {
				shown = r
			}
			img = img.Add(im)
		})
	}
	wg.Wait()
	fmt.Println("time", time.Since(t0))
	x := figure.Axis{Label: "Distance (km)", From: 0, To: float64(m.NX-1) * m.DX / 1000}
	z := figure.Axis{Label: "Depth (km)", From: 0, To: float64(m.NZ-1) * m.DX / 1000}
	sec := figure.Section{Title: "Velocity model", X: x, Y: z, NY: m.NZ, NX: m.NX, Values: m.V, Map: figure.Viridis, Range: figure.Axis{Label: "Velocity (m/s)", From: lo, To: hi}}
	must(figure.Save(*out+"/velocity.png", sec.Draw()))
	sec.Values = sm.V
	must(figure.Save(*out+"/smooth.png", sec.Draw()))
	ref := img.Reflectivity(sm, 100)
	wave.Save(*out+"/image.bin", ref)
	for _, p := range []float64{-1, -0.5, 0} {
		rr := wave.Reflectors(m, *fp, p)
		use := make([]bool, len(rr))
		bed := m.Seabed()
		for i := range use {
			use[i] = i%m.NZ > bed[i/m.NZ]+3 && i%m.NZ < m.NZ-3
		}
		for _, w := range []float64{10, 20, 40, 1000} {
			if w > 100 {
				continue
			}
			fmt.Println(p, w, wave.Compare(ref, rr, use, m.NZ, m.NX, w))
		}
		if p == 0 {
			c := figure.Percentile(rr, .98)
			sec := figure.Section{Title: "refl", X: x, Y: z, NY: m.NZ, NX: m.NX, Values: rr, Map: figure.Gray, Range: figure.Axis{Label: "Amplitude", From: -c, To: c}}
			must(figure.Save(*out+"/refl.png", sec.Draw()))
		}
	}
	c := figure.Percentile(ref, .98)
	for i := range ref {
		ref[i] /= float32(c)
	}
	sec = figure.Section{Title: "Reverse-time migration", X: x, Y: z, NY: m.NZ, NX: m.NX, Values: ref, Map: figure.Gray, Range: figure.Axis{Label: "Amplitude", From: -1, To: 1}}
	must(figure.Save(*out+"/image.png", sec.Draw()))
	c = figure.Percentile(shown.P, .95)
	sec = figure.Section{Title: "Shot", X: figure.Axis{Label: "Distance (km)", From: shown.First / 1000, To: shown.First/1000 + float64(shown.NX-1)*shown.DX/1000}, Y: figure.Axis{Label: "Time (s)", From: 0, To: float64(shown.NT-1) * shown.Step}, NY: shown.NT, NX: shown.NX, Values: shown.P, Map: figure.Gray, Range: figure.Axis{Label: "Pressure", From: -c, To: c}, Width: 700, Height: 700}
	must(figure.Save(*out+"/shot.png", sec.Draw()))
	_ = os.Stdout
}
