// Flags are not parsed in workers.
package main

import (
	"context"
	"flag"

	"github.com/clusterless-go/clusterless"
)

var (
	shots  = flag.Int("shots", 10, "number of shots")
	depth  float64
	free   = flag.Bool("free", false, "only the client reads it")
	format string
)

func init() { flag.Float64Var(&depth, "depth", 1, "") }

var Shoot = clusterless.Define("shoot", func(ctx context.Context, i int) (float64, error) {
	return float64(*shots) + depth + float64(len(format)), nil // want `shots is a flag, and function "shoot" \(flags.go:20\) reads it \(flags.go:21\), which runs in workers: there it has its default` `depth is a flag` `format is a flag`
})

func main() {
	clusterless.Init()
	flag.StringVar(&format, "format", "png", "")
	flag.Parse()
	if *free {
		Shoot.Call(context.Background(), 1)
	}
}
