package main

import (
	"os"
	"slices"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/sites"
)

func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

// The same on Slurm and on Azure Batch, on two nodes with two ranks each.
func TestSites(t *testing.T) {
	sites.Each(t, func(t *testing.T, site *sites.Site) {
		sites.EachMPI(t, func(t *testing.T, library clusterless.Option) {
			around := Ring.On(site.Open(t, library), clusterless.Nodes(2), clusterless.RanksPerNode(2))
			job, err := around.Map(t.Context(), []Lap{{0, -1}, {100, -1}})
			if err != nil {
				t.Fatal(err)
			}
			if sums, err := job.Results(t.Context()); err != nil || !slices.Equal(sums, []int{6, 106}) {
				t.Errorf("around four ranks: %d, %v, want 6 and 106", sums, err)
			}
		})
	})
}
