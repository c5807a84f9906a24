package main

import (
	"fmt"
	"image"
	"math"
	"path/filepath"

	"github.com/clusterless-go/clusterless/examples/seismic/figure"
	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

// drawMigration writes velocity.png, shot.png and image.png.
func drawMigration(out string, earth wave.Model, record wave.Record, reflectivity []float32, survey wave.Survey) error {
	low, high := earth.Range()
	velocity := section(earth, "P-wave velocity", earth.V, figure.Viridis, low, high, "Velocity (m/s)")
	if err := figure.Save(filepath.Join(out, "velocity.png"), velocity); err != nil {
		return err
	}
	if err := figure.Save(filepath.Join(out, "shot.png"), drawRecord(record, survey)); err != nil {
		return err
	}
	// Deep reflectors have lost more to those above them than the illumination tells.
	shown := make([]float32, len(reflectivity))
	for i, v := range reflectivity {
		shown[i] = v * float32(i%earth.NZ)
	}
	normalise(shown, 0.98)
	title := fmt.Sprintf("Reverse-time migration, %g Hz Ricker source, gain with depth", survey.Frequency)
	picture := section(earth, title, shown, figure.Gray, -1, 1, "Amplitude (98th percentile = 1)")
	return figure.Save(filepath.Join(out, "image.png"), picture)
}

// drawInversion writes fwi.png: the start, the result, the truth, the update and the misfits.
func drawInversion(out string, earth, start, result wave.Model, misfits []float64) error {
	low, high := earth.Range()
	update, most := make([]float32, len(result.V)), 0.0
	for i := range update {
		update[i] = result.V[i] - start.V[i]
	}
	most = max(1, figure.Percentile(update, 0.99))
	fall := make([]float64, len(misfits))
	for i, m := range misfits {
		fall[i] = 100 * m / misfits[0]
	}
	curve := figure.Curve{Title: "Data misfit", X: "Iteration", Y: "Misfit (% of the start)", Values: fall}
	return figure.Save(filepath.Join(out, "fwi.png"), figure.Column(
		section(earth, "Velocity before", start.V, figure.Viridis, low, high, "Velocity (m/s)"),
		section(earth, fmt.Sprintf("Velocity after %d iterations", len(misfits)-1), result.V, figure.Viridis, low, high, "Velocity (m/s)"),
		section(earth, "True velocity", earth.V, figure.Viridis, low, high, "Velocity (m/s)"),
		section(earth, "Update", update, figure.Seismic, -most, most, "Change (m/s)"),
		curve.Draw(),
	))
}

// section draws values of the model's cells; long sections are drawn half as high again, as interpreters do.
func section(m wave.Model, title string, values []float32, colours figure.Map, low, high float64, unit string) image.Image {
	exaggeration := 1.0
	if m.NX > 4*m.NZ {
		exaggeration = 1.5
		title += " (vertical exaggeration 1.5)"
	}
	return figure.Section{
		Title: title, Exaggeration: exaggeration,
		X:  figure.Axis{Label: "Distance (km)", To: float64(m.NX-1) * m.DX / 1000},
		Y:  figure.Axis{Label: "Depth (km)", To: float64(m.NZ-1) * m.DX / 1000},
		NY: m.NZ, NX: m.NX, Values: values,
		Map: colours, Range: figure.Axis{Label: unit, From: low, To: high},
	}.Draw()
}

func drawRecord(r wave.Record, survey wave.Survey) image.Image {
	values := append([]float32(nil), r.P...)
	normalise(values, 0.95)
	return figure.Section{
		Title: fmt.Sprintf("Shot at %.2f km, %g Hz Ricker source, receivers every %g m at %g m", r.Shot.X/1000, survey.Frequency, r.DX, survey.Depth),
		X:     figure.Axis{Label: "Distance (km)", From: r.First / 1000, To: (r.First + float64(r.NX-1)*r.DX) / 1000},
		Y:     figure.Axis{Label: "Time (s)", To: float64(r.NT-1) * r.Step},
		NY:    r.NT, NX: r.NX, Values: values,
		Map: figure.Gray, Range: figure.Axis{Label: "Pressure (95th percentile = 1)", From: -1, To: 1},
		Width: 800, Height: 700,
	}.Draw()
}

// normalise divides by the percentile p of the magnitude.
func normalise(values []float32, p float64) {
	top := float32(max(figure.Percentile(values, p), math.SmallestNonzeroFloat32))
	for i := range values {
		values[i] /= top
	}
}

// imaged tells which cells of an image to compare with the model: those below the seabed that got
// more than a thousandth of the mean light.
func imaged(i wave.Image, earth wave.Model) []bool {
	var mean float32
	for _, e := range i.Illumination {
		mean += e / float32(len(i.Illumination))
	}
	use := make([]bool, len(i.Illumination))
	for ix, bed := range earth.Seabed() {
		for iz := max(bed, 5) + 3; iz < earth.NZ-3; iz++ {
			k := ix*earth.NZ + iz
			use[k] = i.Illumination[k] > 1e-3*mean
		}
	}
	return use
}
