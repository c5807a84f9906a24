package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
)

// colours of temperatures from -1 to 1.
var colours = []color.RGBA{
	{18, 52, 120, 255}, {52, 118, 190, 255}, {150, 196, 226, 255}, {245, 245, 240, 255}, {250, 200, 120, 255}, {226, 100, 50, 255}, {120, 10, 30, 255},
}

func colour(t float64) color.RGBA {
	x := min(max((t+1)/2, 0), 1) * float64(len(colours)-1)
	i := min(int(x), len(colours)-2)
	a, b, f := colours[i], colours[i+1], x-float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-f) + float64(b)*f) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// draw writes the pictures side by side, with thin lines between the parts of the ranks.
func draw(path string, film Film, size int) error {
	const gap, scale = 8, 2
	n := len(film.Shots)
	side := size * scale
	img := image.NewRGBA(image.Rect(0, 0, n*side+(n+1)*gap, side+2*gap))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	border := func(i, parts int) bool {
		for k := 1; k < parts; k++ {
			if from, _ := share(size, parts, k); i == from*scale {
				return true
			}
		}
		return false
	}
	for k, plate := range film.Shots {
		left := gap + k*(side+gap)
		for y := range side {
			for x := range side {
				c := colour(plate[y/scale*size+x/scale])
				if border(y, film.Dims[0]) || border(x, film.Dims[1]) {
					c = color.RGBA{c.R / 2, c.G / 2, c.B / 2, 255}
				}
				img.SetRGBA(left+x, gap+y, c)
			}
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		return err
	}
	return f.Close()
}
