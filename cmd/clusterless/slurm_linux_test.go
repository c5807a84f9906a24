package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

// The command line and a program, on a real cluster.
func TestSlurm(t *testing.T) {
	slurmtest.For(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/slurm",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"waitjob": waitJob, "waitlog": waitLog},
		Setup: func(e *testscript.Env) error {
			e.Setenv("CLUSTERLESS_DIR", e.Getenv("WORK")+"/dir")
			e.Setenv("HOME", e.Getenv("WORK")+"/home")
			e.Setenv("SLURM_CONF", os.Getenv("SLURM_CONF"))
			e.Setenv("WAIT_ENGINE", "slurm:") // of waitlog, which does not see the script's configuration file
			return nil
		},
	})
}
