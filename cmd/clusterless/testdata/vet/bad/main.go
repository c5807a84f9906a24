// Bad is a program with mistakes that clusterless vet finds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/clusterless-go/clusterless"
)

var shots = flag.Int("shots", 10, "number of shots")

var layers []float64

// Travel reads what only the client has.
var Travel = clusterless.Define("travel", func(_ context.Context, depth int) (float64, error) {
	return layers[depth] * float64(*shots), nil
})

// Open returns what cannot be sent.
var Open = clusterless.Define("open", func(_ context.Context, name string) (*os.File, error) { return os.Open(name) })

func main() { clusterless.Main(run) }

func run(ctx context.Context) error {
	flag.Parse()
	layers = []float64{1, 2, 3}
	s, err := clusterless.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	t, err := Travel.On(s).Call(ctx, 1)
	fmt.Println(t)
	return err
}
