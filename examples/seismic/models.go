package main

import (
	"fmt"

	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

// models returns the true model and a smooth one.
func models(file, smoothFile string, nz, nx int, dx float64) (earth, smooth wave.Model, err error) {
	if nz < 2 || nx < 2 || dx <= 0 {
		return earth, smooth, fmt.Errorf("-nz %d -nx %d -dx %g: want a model of at least 2 x 2 cells", nz, nx, dx)
	}
	if earth = wave.Layered(nz, nx, dx); file != "" {
		if earth, err = wave.LoadModel(file, nz, nx, dx); err != nil {
			return earth, smooth, err
		}
	}
	if smoothFile != "" {
		smooth, err = wave.LoadModel(smoothFile, nz, nx, dx)
		return earth, smooth, err
	}
	return earth, earth.Smooth(8 * dx), nil
}
