package figure

import (
	"image"
	"image/color"
	"math"
	"slices"
	"testing"
)

func TestTicks(t *testing.T) {
	for name, test := range map[string]struct {
		a, b float64
		n    int
		want []float64
	}{
		"distance":   {-0.01, 17.01, 12, []float64{0, 2, 4, 6, 8, 10, 12, 14, 16}},
		"downwards":  {3.5, 0, 4, []float64{0, 1, 2, 3}},
		"amplitude":  {-1, 1, 4, []float64{-1, -0.5, 0, 0.5, 1}},
		"no range":   {2, 2, 4, nil},
		"no numbers": {0, math.NaN(), 4, nil},
	} {
		if got := ticks(test.a, test.b, test.n); !slices.Equal(got, test.want) {
			t.Errorf("%s: ticks at %v, want %v", name, got, test.want)
		}
	}
}

// Depth runs downwards and distance to the right: the raster's corners show where a cell lies.
func TestSectionIsTheRightWayUp(t *testing.T) {
	s := Section{NY: 2, NX: 2, Values: []float32{1, 0, 0, 0}, Map: Gray, Range: Axis{From: 0, To: 1},
		X: Axis{To: 1}, Y: Axis{To: 1}, Width: 100}
	m := s.Draw()
	at := func(x, y int) color.Gray {
		p := image.Pt(80+x, 50+y).Mul(scale)
		return color.GrayModel.Convert(m.At(p.X, p.Y)).(color.Gray)
	}
	if top, bottom, right := at(20, 20), at(20, 80), at(80, 20); top.Y < 200 || bottom.Y > 50 || right.Y > 50 {
		t.Errorf("the first cell is white: top left %d, below it %d, right of it %d", top.Y, bottom.Y, right.Y)
	}
}

func TestPercentileIgnoresMutedCells(t *testing.T) {
	if got := Percentile([]float32{0, 0, -3, 1, 2, 0}, 1); got != 3 {
		t.Errorf("%g, want 3", got)
	}
	if got := Percentile([]float32{0}, 0.5); got != 1 {
		t.Errorf("of nothing: %g, want 1", got)
	}
}
