package main

import (
	"os"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/sites"
)

func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

// A search finds the same on two nodes of Slurm and of Azure Batch as here.
func TestSites(t *testing.T) {
	s, err := clusterless.Open(t.Context(), clusterless.Dir(t.TempDir()), clusterless.Slots(2))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want, err := Search.On(s, clusterless.Cores(2)).Call(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	sites.Each(t, func(t *testing.T, site *sites.Site) {
		got, err := Search.On(site.Open(t), clusterless.Nodes(2), clusterless.Cores(2)).Call(t.Context(), 3)
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}
