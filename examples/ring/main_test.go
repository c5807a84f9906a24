package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The program is built and run as a user would, on one node and on two.
func TestRing(t *testing.T) {
	if _, err := exec.LookPath("mpiexec"); err != nil {
		t.Skip("no mpiexec is installed: scripts/setup.sh does it")
	}
	exe := filepath.Join(t.TempDir(), "ring")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"-ranks", "3"}, {"-ranks", "3", "-nodes", "3"}} {
		cmd := exec.CommandContext(t.Context(), exe, args...)
		cmd.Env = append(os.Environ(), "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_ENGINE=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		for _, want := range []string{
			`(?m)^around 3 ranks: \[3 103 1003\]$`,
			`(?m)^an error: ring on \S+: rank 2: dropped it$`,
			`is errDropped: true`,
		} {
			if !regexp.MustCompile(want).Match(out) {
				t.Errorf("%q does not print %s:\n%s", args, want, out)
			}
		}
	}
}
