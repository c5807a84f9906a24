// Variables that main sets and functions read.
package main

import (
	"context"
	"encoding/json"
	"os"
	"sync"

	"github.com/clusterless-go/clusterless"
)

type config struct {
	Steps int
	Names []string
}

var (
	steps    = 100 // that main sets counts, though it has a value
	cfg      config
	table    map[string]int
	model    []float64
	deep     string
	hook     func()
	prepared []float64
	lazy     []float64
	once     sync.Once
	tuned    = config{Steps: 5}
	early    string
	byInit   int
	unread   int
	pointed  *config
)

func init() { byInit = 4 }

var _ = clusterless.Setup(prepare)

func prepare(context.Context) error {
	prepared = make([]float64, 10)
	return nil
}

var Simulate = clusterless.Define("simulate", simulate)

func simulate(ctx context.Context, x int) (float64, error) {
	for i := 0; i < steps; i++ { // want `steps is set by main \(vars.go:\d+\), and function "simulate" \(vars.go:44\) reads it \(vars.go:\d+\), which runs in workers: there it has the value that the initialisation of its package gave it: put it into the input, or set it in a function given to Setup`
		x++
	}
	if hook != nil { // knows that it may not be set
		hook()
	}
	get()
	byInit++
	return helper(x) + prepared[0] + lazy[0] + float64(tuned.Steps+byInit+len(early)), nil
}

func helper(x int) float64 {
	n := cfg.Steps + pointed.Steps // want `cfg is set by main` `pointed is set by main`
	return model[n] + float64(x)   // want `model is set by main`
}

// The function itself sets what it reads.
func get() { once.Do(func() { lazy = []float64{1} }) }

var Look = clusterless.Define("look", func(ctx context.Context, key string) (int, error) {
	return table[key], nil // want `table is set by main`
})

type solver struct{ n int }

func (s solver) solve(ctx context.Context, x int) (int, error) {
	return x + s.n + len(deep), nil // want `deep is set by main`
}

var Solve = clusterless.Define("solve", solver{3}.solve)

func main() {
	early = os.Getenv("EARLY") // workers come by here, too
	clusterless.Main(run)
}

func run(ctx context.Context) error {
	steps = 200
	b, err := os.ReadFile("config.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &cfg); err != nil {
		return err
	}
	load()
	tuned.Steps = 7 // has a value from the start that a worker can do with
	unread = 3
	hook = func() {}
	pointed = &cfg
	go func() { deep = "x" }()
	prepared, lazy = nil, nil
	byInit = 5
	_, err = Simulate.Call(ctx, 1)
	return err
}

func load() {
	table = map[string]int{}
	model, _ = []float64{1}, unread
}
