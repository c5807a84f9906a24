package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

var (
	Differentiate = clusterless.Define("seismic.differentiate", differentiate)
	AddGradients  = clusterless.Define("seismic.add-gradients", addGradients)
)

func differentiate(ctx context.Context, in RecordInput) (wave.Gradient, error) {
	model, err := in.Model.Get(ctx)
	if err != nil {
		return wave.Gradient{}, err
	}
	observed, err := in.Record.Get(ctx)
	if err != nil {
		return wave.Gradient{}, err
	}
	return wave.Differentiate(model, in.Survey, observed)
}

func addGradients(_ context.Context, gradients []wave.Gradient) (sum wave.Gradient, err error) {
	for _, g := range gradients {
		sum = sum.Add(g)
	}
	return sum, nil
}

// invert looks for the model whose records are those of the earth, from a smooth one, by L-BFGS on
// a grid as coarse as the frequency allows. The water is known and stays.
func invert(ctx context.Context, s *clusterless.Session, earth, smooth wave.Model, survey wave.Survey, n, iterations int, out string) error {
	for factor := 4; factor > 1; factor-- {
		coarse, start := earth.Coarsen(factor), smooth.Coarsen(factor)
		if coarse.NZ < 20 || coarse.NX < 20 {
			continue
		}
		if survey.Fit(coarse, start) == nil {
			earth, smooth = coarse, start
			break
		}
	}
	if err := survey.Fit(earth, smooth); err != nil {
		return err
	}
	fmt.Printf("inverting %d shots of %g Hz on %d x %d cells of %g m\n", n, survey.Frequency, earth.NZ, earth.NX, earth.DX)
	records, err := modelShots(ctx, s, earth, survey, wave.Line(earth, n))
	if err != nil {
		return err
	}
	gradient := func(model wave.Model) (wave.Gradient, error) { // one task per shot; only the sum comes back
		ref, err := clusterless.Broadcast(ctx, s, model)
		if err != nil {
			return wave.Gradient{}, err
		}
		inputs := make([]RecordInput, n)
		for i, record := range records.Refs() {
			inputs[i] = RecordInput{Model: ref, Survey: survey, Record: record}
		}
		job, err := Differentiate.On(s).Map(ctx, inputs)
		if err != nil {
			return wave.Gradient{}, err
		}
		return job.Reduce(ctx, AddGradients.On(s))
	}

	began := time.Now()
	model := smooth.Clone()
	g, err := gradient(model)
	if err != nil {
		return err
	}
	misfits := []float64{g.Misfit}
	report := func() {
		fmt.Printf("iteration %2d: misfit %.4g (%5.1f %%), velocity off by %.0f m/s, %.1f s\n", len(misfits)-1, g.Misfit,
			100*g.Misfit/misfits[0], model.Distance(earth), time.Since(began).Seconds())
	}
	report()
	search := newSearch(model, g)
	for len(misfits) <= iterations {
		next, step, found := model, search.direction(g), false
		for try := 0; try < 5 && !found; try++ { // half the step until the misfit falls
			next = search.move(model, step, math.Pow(0.5, float64(try)))
			at, err := gradient(next)
			if err != nil {
				return err
			}
			if found = at.Misfit < g.Misfit; found {
				search.learn(model, next, g, at)
				g = at
			}
		}
		if !found {
			fmt.Println("no step along the gradient lowers the misfit any more")
			break
		}
		model = next
		misfits = append(misfits, g.Misfit)
		report()
	}
	if err := wave.Save(filepath.Join(out, "fwi.bin"), model.V); err != nil {
		return err
	}
	return drawInversion(out, earth, smooth, model, misfits)
}
