package figure

import (
	"image/color"
	"math"
)

// A Map gives the colour of a value between 0 and 1; values outside have the colour of the end.
type Map func(v float64) color.Color

func between(stops ...color.RGBA) Map {
	return func(v float64) color.Color {
		if math.IsNaN(v) {
			return color.RGBA{255, 0, 255, 255}
		}
		v = min(max(v, 0), 1) * float64(len(stops)-1)
		i := min(int(v), len(stops)-2)
		f := v - float64(i)
		mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + f*(float64(b)-float64(a)))) }
		a, b := stops[i], stops[i+1]
		return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
	}
}

var (
	// Gray goes from black to white: for reflections, with zero in the middle.
	Gray = between(color.RGBA{0, 0, 0, 255}, color.RGBA{255, 255, 255, 255})

	// Seismic goes from blue over white to red: for changes, with zero in the middle.
	Seismic = between(color.RGBA{5, 30, 110, 255}, color.RGBA{40, 100, 200, 255}, color.RGBA{255, 255, 255, 255},
		color.RGBA{215, 60, 40, 255}, color.RGBA{110, 5, 15, 255})

	// Viridis is even in lightness: for velocities. Its stops are those of matplotlib's.
	Viridis = between(color.RGBA{68, 1, 84, 255}, color.RGBA{72, 40, 120, 255}, color.RGBA{62, 74, 137, 255},
		color.RGBA{49, 104, 142, 255}, color.RGBA{38, 130, 142, 255}, color.RGBA{31, 158, 137, 255},
		color.RGBA{53, 183, 121, 255}, color.RGBA{110, 206, 88, 255}, color.RGBA{181, 222, 43, 255},
		color.RGBA{253, 231, 37, 255})
)
