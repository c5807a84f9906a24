//go:build unix

package mpi_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
)

// The test binary plays three parts: the tests; the workers and ranks of functions, by Init; and, under an mpiexec that a
// test runs, a rank of one of the programs.
const envProgram = "MPI_TEST_PROGRAM"

func TestMain(m *testing.M) {
	clusterless.Init()
	if name := os.Getenv(envProgram); name != "" {
		if err := programs[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each of hundreds of ranks waits a second for its end
	os.Exit(m.Run())
}

// An implementation is an MPI library with its mpiexec.
type implementation struct{ name, mpiexec, library string }

var implementations = []implementation{{"openmpi", "mpiexec.openmpi", "libmpi.so.40"}, {"mpich", "mpiexec.mpich", "libmpich.so.12"}}

// each runs a test with both libraries.
func each(t *testing.T, f func(t *testing.T, im implementation)) {
	for _, im := range implementations {
		t.Run(im.name, func(t *testing.T) {
			if _, err := exec.LookPath(im.mpiexec); err != nil {
				t.Skipf("%s is not installed: scripts/setup.sh does it", im.mpiexec)
			}
			f(t, im)
		})
	}
}

// ranks runs a program of this binary under mpiexec and returns its output.
func (im implementation) ranks(t *testing.T, n int, program string, env ...string) (string, error) {
	t.Helper()
	args := []string{"-n", fmt.Sprint(n)}
	if im.name == "openmpi" {
		args = append(args, "--oversubscribe", "--allow-run-as-root")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), im.mpiexec, append(args, exe)...)
	cmd.Env = append(append(os.Environ(), envProgram+"="+program, "GOMAXPROCS=2"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// compile builds a C program or library of testdata, and skips the test without a compiler.
func compile(t *testing.T, compiler, source, out string, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("%s is not installed: scripts/setup.sh does it", compiler)
	}
	path := filepath.Join(t.TempDir(), out)
	args := append(append([]string{"-O2", "-o", path}, flags...), filepath.Join("testdata", source))
	if b, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", compiler, strings.Join(args, " "), err, b)
	}
	return path
}
