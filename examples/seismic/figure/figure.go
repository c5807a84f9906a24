// Package figure draws the pictures that go with sections of the earth: a raster with axes and a
// colour bar, and curves.
package figure

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"
	"slices"
	"strconv"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// An Axis is a labelled range of numbers. The first value of a raster is at From, the last at To.
type Axis struct {
	Label    string
	From, To float64
}

// A Section is a raster with depth or time downwards.
type Section struct {
	Title  string
	X, Y   Axis
	NY, NX int
	Values []float32 // of the cell (iy, ix) at ix*NY+iy
	Map    Map
	Range  Axis // of the values that Map covers, with the label of the colour bar
	Width  int  // of the raster, pixels; 0: 1100
	Height int  // of the raster, pixels; 0: to the scale of the width, Exaggeration times as high

	Exaggeration float64 // 0: 1
}

const scale = 2 // pixels to a point of the layout, for sharp type

// Draw renders the section.
func (s Section) Draw() image.Image {
	w, h := s.Width, s.Height
	if w == 0 {
		w = 1100
	}
	if h == 0 {
		h = int(math.Round(float64(w) * cmp.Or(s.Exaggeration, 1) * math.Abs((s.Y.To-s.Y.From)/(s.X.To-s.X.From))))
	}
	c := newCanvas(w+210, h+130)
	area := image.Rect(80, 50, 80+w, 50+h)

	raster := image.NewRGBA(image.Rect(0, 0, s.NX, s.NY))
	for ix := range s.NX {
		for iy := range s.NY {
			v := (float64(s.Values[ix*s.NY+iy]) - s.Range.From) / (s.Range.To - s.Range.From)
			raster.Set(ix, iy, s.Map(v))
		}
	}
	xdraw.CatmullRom.Scale(c.img, scaled(area), raster, raster.Bounds(), draw.Src, nil)
	// The axes refer to the centres of cells, the edges of the raster are half a cell further out.
	c.axes(area, s.X.widened(s.NX), s.Y.widened(s.NY).flipped(), s.Title, false)

	bar := image.Rect(area.Max.X+25, area.Min.Y, area.Max.X+43, area.Max.Y)
	for y := scaled(bar).Min.Y; y < scaled(bar).Max.Y; y++ {
		v := 1 - (float64(y-scaled(bar).Min.Y)+0.5)/float64(scaled(bar).Dy())
		draw.Draw(c.img, image.Rect(scaled(bar).Min.X, y, scaled(bar).Max.X, y+1), image.NewUniform(s.Map(v)), image.Point{}, draw.Src)
	}
	c.frame(bar)
	for _, v := range ticks(s.Range.From, s.Range.To, max(2, bar.Dy()/50)) {
		y := bar.Max.Y - int(math.Round((v-s.Range.From)/(s.Range.To-s.Range.From)*float64(bar.Dy())))
		c.line(float64(bar.Max.X), float64(y), float64(bar.Max.X+5), float64(y), 1, color.Black)
		c.text(bar.Max.X+9, y+5, number(v), 14, left)
	}
	c.vertical(bar.Max.X+68, (bar.Min.Y+bar.Max.Y)/2, s.Range.Label, 15)
	return c.img
}

// A Curve is a line through points at x = 0, 1, 2, ...
type Curve struct {
	Title         string
	X, Y          string // labels
	Values        []float64
	Width, Height int // of the area, pixels; 0: 520 x 320
}

// Draw renders the curve, from zero upwards.
func (c Curve) Draw() image.Image {
	w, h := c.Width, c.Height
	if w == 0 {
		w, h = 520, 320
	}
	canvas := newCanvas(w+120, h+130)
	area := image.Rect(90, 50, 90+w, 50+h)
	x := Axis{Label: c.X, From: 0, To: float64(max(1, len(c.Values)-1))}
	y := Axis{Label: c.Y, From: 0, To: 1.05 * slices.Max(c.Values)}
	canvas.axes(area, x, y, c.Title, true)
	at := func(i int) (float64, float64) {
		return float64(area.Min.X) + float64(i)/x.To*float64(w), float64(area.Max.Y) - c.Values[i]/y.To*float64(h)
	}
	blue := color.RGBA{31, 96, 170, 255}
	for i := range c.Values {
		x1, y1 := at(i)
		if i > 0 {
			x0, y0 := at(i - 1)
			canvas.line(x0, y0, x1, y1, 2, blue)
		}
		canvas.line(x1-3.5, y1, x1+3.5, y1, 7, blue)
	}
	return canvas.img
}

// Column puts pictures below one another.
func Column(images ...image.Image) image.Image {
	var size image.Point
	for _, m := range images {
		size.X = max(size.X, m.Bounds().Dx())
		size.Y += m.Bounds().Dy()
	}
	out := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	y := 0
	for _, m := range images {
		draw.Draw(out, m.Bounds().Add(image.Pt(0, y)), m, image.Point{}, draw.Src)
		y += m.Bounds().Dy()
	}
	return out
}

// Save writes a picture as a PNG.
func Save(file string, m image.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return fmt.Errorf("figure %s: %w", file, err)
	}
	return os.WriteFile(file, b.Bytes(), 0o666)
}

// Percentile returns the magnitude below which the fraction p of the values lies, for clipping.
func Percentile(values []float32, p float64) float64 {
	m := make([]float32, 0, len(values))
	for _, v := range values {
		if v != 0 { // muted cells say nothing about strength
			m = append(m, max(v, -v))
		}
	}
	if len(m) == 0 {
		return 1
	}
	slices.Sort(m)
	return float64(m[int(p*float64(len(m)-1))])
}

func (a Axis) widened(n int) Axis {
	half := 0.5 * (a.To - a.From) / float64(max(1, n-1))
	return Axis{a.Label, a.From - half, a.To + half}
}

func (a Axis) flipped() Axis { return Axis{a.Label, a.To, a.From} }

// ticks returns about n round numbers between a and b.
func ticks(a, b float64, n int) []float64 {
	lo, hi := min(a, b), max(a, b)
	raw := (hi - lo) / float64(n)
	if !(raw > 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5, 10} {
		if k*step >= raw {
			step *= k
			break
		}
	}
	var out []float64
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9*step; i++ {
		out = append(out, math.Round(i*step*1e9)/1e9+0) // + 0: no -0
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// A canvas is a white picture with coordinates in points.
type canvas struct{ img *image.RGBA }

func newCanvas(w, h int) canvas {
	img := image.NewRGBA(image.Rect(0, 0, w*scale, h*scale))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	return canvas{img}
}

func scaled(r image.Rectangle) image.Rectangle {
	return image.Rectangle{Min: r.Min.Mul(scale), Max: r.Max.Mul(scale)}
}

// axes draws frame, ticks, labels and title. From is at the left and at the bottom.
func (c canvas) axes(area image.Rectangle, x, y Axis, title string, grid bool) {
	gray := color.Gray{225}
	for _, v := range ticks(x.From, x.To, max(2, area.Dx()/90)) {
		px := float64(area.Min.X) + (v-x.From)/(x.To-x.From)*float64(area.Dx())
		if grid {
			c.line(px, float64(area.Min.Y), px, float64(area.Max.Y), 1, gray)
		}
		c.line(px, float64(area.Max.Y), px, float64(area.Max.Y+6), 1, color.Black)
		c.text(int(math.Round(px)), area.Max.Y+22, number(v), 14, centre)
	}
	for _, v := range ticks(y.From, y.To, max(2, area.Dy()/50)) {
		py := float64(area.Max.Y) - (v-y.From)/(y.To-y.From)*float64(area.Dy())
		if grid {
			c.line(float64(area.Min.X), py, float64(area.Max.X), py, 1, gray)
		}
		c.line(float64(area.Min.X-6), py, float64(area.Min.X), py, 1, color.Black)
		c.text(area.Min.X-10, int(math.Round(py))+5, number(v), 14, right)
	}
	c.frame(area)
	c.text((area.Min.X+area.Max.X)/2, area.Max.Y+48, x.Label, 15, centre)
	c.vertical(area.Min.X-48, (area.Min.Y+area.Max.Y)/2, y.Label, 15)
	c.text(area.Min.X, area.Min.Y-18, title, 17, left)
}

func (c canvas) frame(r image.Rectangle) {
	x0, y0, x1, y1 := float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)
	c.line(x0, y0, x1, y0, 1, color.Black)
	c.line(x0, y1, x1, y1, 1, color.Black)
	c.line(x0, y0, x0, y1, 1, color.Black)
	c.line(x1, y0, x1, y1, 1, color.Black)
}

func (c canvas) line(x0, y0, x1, y1, width float64, ink color.Color) {
	dx, dy := x1-x0, y1-y0
	l := math.Hypot(dx, dy)
	if l == 0 {
		return
	}
	nx, ny := -dy/l*width/2, dx/l*width/2
	box := image.Rect( // a rasterizer costs as much as its area
		int(scale*(min(x0, x1)-width)), int(scale*(min(y0, y1)-width)),
		int(scale*(max(x0, x1)+width))+1, int(scale*(max(y0, y1)+width))+1).Intersect(c.img.Bounds())
	r := vector.NewRasterizer(box.Dx(), box.Dy())
	at := func(x, y float64) (float32, float32) {
		return float32(scale*x) - float32(box.Min.X), float32(scale*y) - float32(box.Min.Y)
	}
	r.MoveTo(at(x0+nx, y0+ny))
	r.LineTo(at(x1+nx, y1+ny))
	r.LineTo(at(x1-nx, y1-ny))
	r.LineTo(at(x0-nx, y0-ny))
	r.ClosePath()
	r.Draw(c.img, box, image.NewUniform(ink), image.Point{})
}

// Where a text is anchored, in widths.
const (
	left   = 0.0
	centre = 0.5
	right  = 1.0
)

var typeface = func() *opentype.Font {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // the font is compiled in
	}
	return f
}()

func write(img draw.Image, x, y int, s string, points int, anchor float64) {
	face, err := opentype.NewFace(typeface, &opentype.FaceOptions{Size: float64(points * scale), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err) // only for a size below zero
	}
	defer face.Close()
	d := font.Drawer{Dst: img, Src: image.Black, Face: face}
	d.Dot = fixed.P(x*scale, y*scale)
	d.Dot.X -= fixed.Int26_6(anchor * float64(d.MeasureString(s)))
	d.DrawString(s)
}

// text writes s with its baseline at y.
func (c canvas) text(x, y int, s string, points int, anchor float64) {
	write(c.img, x, y, s, points, anchor)
}

// vertical writes s upwards, centred at y.
func (c canvas) vertical(x, y int, s string, points int) {
	w, h := 12*points*len(s)/10+20, 2*points
	flat := image.NewRGBA(image.Rect(0, 0, w*scale, h*scale))
	write(flat, w/2, h/2+points/3, s, points, centre)
	turned := image.NewRGBA(image.Rect(0, 0, h*scale, w*scale))
	for i := range w * scale {
		for j := range h * scale {
			turned.SetRGBA(j, w*scale-1-i, flat.RGBAAt(i, j))
		}
	}
	at := image.Rect(x-h/2, y-w/2, x-h/2+h, y-w/2+w)
	draw.Draw(c.img, scaled(at), turned, image.Point{}, draw.Over)
}
