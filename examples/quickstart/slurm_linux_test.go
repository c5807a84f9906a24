package main

import (
	"testing"

	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

func TestQuickstartOnSlurm(t *testing.T) {
	slurmtest.For(t)
	quickstart(t, "CLUSTERLESS_ENGINE=slurm:")
}
