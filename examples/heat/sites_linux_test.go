package main

import (
	"slices"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/sites"
)

// Nor does it matter on which machines the parts are.
func TestSitesAgreeWithOneLoop(t *testing.T) {
	sites.Each(t, func(t *testing.T, site *sites.Site) {
		sites.EachMPI(t, func(t *testing.T, library clusterless.Option) {
			plate := Plate{Size: 41, Steps: 60, Shots: 2}
			film, err := Heat.On(site.Open(t, library), clusterless.Nodes(2), clusterless.RanksPerNode(2)).Call(t.Context(), plate)
			if err != nil {
				t.Fatal(err)
			}
			if film.Dims != [2]int{2, 2} || len(film.Shots) != 2 || !slices.Equal(film.Shots[1], plain(plate.Size, plate.Steps)) {
				t.Errorf("%d pictures of parts in %v: another plate than that of one loop", len(film.Shots), film.Dims)
			}
		})
	})
}
