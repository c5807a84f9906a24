package main

import (
	"testing"

	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

func TestMigrationOnSlurm(t *testing.T) {
	slurmtest.For(t)
	migration(t, "-engine", "slurm:")
}
