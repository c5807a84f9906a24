// Seismic images the earth with sound: it models shots, migrates their records backward in time and
// stacks the images, one task per shot. With -fwi it inverts the records for the velocity instead.
//
//	go run ./examples/seismic
//	go run ./examples/seismic -model vp.bin -smooth start.bin -nz 176 -nx 851 -dx 20
//	go run ./examples/seismic -model vp.bin -smooth start.bin -fwi 10
//
// All models are raw little-endian float32, depth fastest. Without a model it makes a layered one.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // also runs on Azure: see docs/azure.md
	_ "github.com/clusterless-go/clusterless/engine/slurm"   // and on a cluster: see docs/slurm.md
	"github.com/clusterless-go/clusterless/examples/seismic/wave"
	"github.com/clusterless-go/clusterless/progress"
	_ "github.com/clusterless-go/clusterless/store/blobstore" // where Azure's nodes find it
)

// A ShotInput is a shot to be modelled.
type ShotInput struct {
	Model  clusterless.Ref[wave.Model]
	Survey wave.Survey
	Shot   wave.Shot
}

// A RecordInput is a record to be migrated or inverted. It goes from task to task: the program that
// submits the calls never holds it.
type RecordInput struct {
	Model  clusterless.Ref[wave.Model]
	Survey wave.Survey
	Record clusterless.Ref[wave.Record]
}

var (
	Model   = clusterless.Define("seismic.model", modelShot)
	Migrate = clusterless.Define("seismic.migrate", migrateRecord)
	Stack   = clusterless.Define("seismic.stack", stack)
)

func main() { clusterless.Main(run) }

func modelShot(ctx context.Context, in ShotInput) (wave.Record, error) {
	model, err := in.Model.Get(ctx)
	if err != nil {
		return wave.Record{}, err
	}
	return wave.Forward(model, in.Survey, in.Shot)
}

func migrateRecord(ctx context.Context, in RecordInput) (wave.Image, error) {
	model, err := in.Model.Get(ctx)
	if err != nil {
		return wave.Image{}, err
	}
	record, err := in.Record.Get(ctx)
	if err != nil {
		return wave.Image{}, err
	}
	return wave.Migrate(model, in.Survey, record)
}

func stack(_ context.Context, images []wave.Image) (sum wave.Image, err error) {
	for _, image := range images {
		sum = sum.Add(image)
	}
	return sum, nil
}

func run(ctx context.Context) error {
	modelFile := flag.String("model", "", "velocity in m/s, raw float32, depth fastest; none: a layered model")
	smoothFile := flag.String("smooth", "", "velocity to migrate with or to start from; none: the model, smoothed")
	nz := flag.Int("nz", 176, "cells of the model in depth")
	nx := flag.Int("nx", 851, "cells of the model in distance")
	dx := flag.Float64("dx", 20, "spacing of the cells in m")
	shots := flag.Int("shots", 0, "number of shots (default 32 with a model, 10 without)")
	frequency := flag.Float64("frequency", 0, "peak of the Ricker source in Hz (default 8, with -fwi 4)")
	duration := flag.Float64("time", 4, "length of the records in s")
	aperture := flag.Float64("aperture", 0, "how far a shot sees to either side in m (default 3000, with -fwi 6000)")
	iterations := flag.Int("fwi", 0, "iterations of full-waveform inversion, instead of migration")
	engineURL := flag.String("engine", "", "URL of the engine (default: this machine)")
	out := flag.String("out", "seismic-out", "directory for pictures and image.bin")
	flag.Parse()

	earth, smooth, err := models(*modelFile, *smoothFile, *nz, *nx, *dx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o777); err != nil {
		return err
	}
	opts := []clusterless.Option{progress.Show(os.Stderr)}
	if *engineURL != "" {
		opts = append(opts, clusterless.Engine(*engineURL))
	}
	s, err := clusterless.Open(ctx, opts...)
	if err != nil {
		return err
	}
	defer s.Close()

	if *iterations > 0 {
		survey := wave.Survey{Frequency: cmp.Or(*frequency, 4), Duration: *duration, Depth: 2 * *dx, Aperture: cmp.Or(*aperture, 6000)}
		return invert(ctx, s, earth, smooth, survey, cmp.Or(*shots, 16), *iterations, *out)
	}
	survey := wave.Survey{Frequency: cmp.Or(*frequency, 8), Duration: *duration, Depth: 2 * *dx, Aperture: cmp.Or(*aperture, 3000)}
	if *shots == 0 && *modelFile == "" {
		*shots = 10
	}
	return migrate(ctx, s, earth, smooth, survey, cmp.Or(*shots, 32), *out)
}

// migrate models n shots in the earth and makes an image of them with the smooth model.
func migrate(ctx context.Context, s *clusterless.Session, earth, smooth wave.Model, survey wave.Survey, n int, out string) error {
	if err := survey.Fit(earth, smooth); err != nil {
		return err
	}
	start := time.Now()
	records, err := modelShots(ctx, s, earth, survey, wave.Line(earth, n))
	if err != nil {
		return err
	}
	smoothRef, err := clusterless.Broadcast(ctx, s, smooth)
	if err != nil {
		return err
	}
	inputs := make([]RecordInput, n)
	for i, record := range records.Refs() { // of results that may not be there yet
		inputs[i] = RecordInput{Model: smoothRef, Survey: survey, Record: record}
	}
	images, err := Migrate.On(s).Map(ctx, inputs)
	if err != nil {
		return err
	}
	image, err := images.Reduce(ctx, Stack.On(s))
	if err != nil {
		return err
	}
	record, err := records.Result(ctx, n/2)
	if err != nil {
		return err
	}
	fmt.Printf("%d shots of %g s on %d x %d cells in %.1f s\n", image.Shots, survey.Duration, earth.NZ, earth.NX, time.Since(start).Seconds())

	reflectivity := image.Reflectivity(smooth, 3*survey.Depth)
	score := wave.Compare(reflectivity, wave.Reflectors(earth, survey.Frequency), imaged(image, earth), earth.NZ, earth.NX, 20)
	fmt.Printf("correlation with reflectivity %.2f (against the mirrored section %.2f, against shifted ones at most %.2f)\n",
		score.Correlation, score.Mirrored, score.Shifted)
	if err := wave.Save(filepath.Join(out, "image.bin"), reflectivity); err != nil {
		return err
	}
	return drawMigration(out, earth, record, reflectivity, survey)
}

func modelShots(ctx context.Context, s *clusterless.Session, earth wave.Model, survey wave.Survey, shots []wave.Shot) (*clusterless.Job[wave.Record], error) {
	model, err := clusterless.Broadcast(ctx, s, earth)
	if err != nil {
		return nil, err
	}
	inputs := make([]ShotInput, len(shots))
	for i, shot := range shots {
		inputs[i] = ShotInput{Model: model, Survey: survey, Shot: shot}
	}
	return Model.On(s).Map(ctx, inputs)
}
