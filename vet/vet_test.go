package vet_test

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/clusterless-go/clusterless/vet"
)

func TestAnalyzer(t *testing.T) {
	var pkgs []string
	for _, name := range []string{"vars", "flags", "app", "travel", "place", "names", "parts/all", "ranks"} {
		pkgs = append(pkgs, "example.com/"+name)
	}
	if n := len(analysistest.Run(t, analysistest.TestData(), vet.Analyzer, pkgs...)); n != len(pkgs) {
		t.Errorf("%d packages were analysed; want %d", n, len(pkgs))
	}
}
