//go:build linux

package slurmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Cluster is four nodes n1 to n4, with four cores each; see scripts/slurm-up.sh. Commands of this process find it through
// SLURM_CONF, which is set while it is up: a test process has one cluster at a time.
type Cluster struct {
	dir string
	env []string
}

// Main is for TestMain: it runs the tests with a cluster, and stops it at their end, also when they are interrupted. env are
// variables for scripts/slurm-up.sh. Where Slurm is not installed the tests run without: [Need] skips.
func Main(m *testing.M, env ...string) int {
	c, err := Start(env...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "slurmtest:", err)
		return 1
	}
	if c != nil {
		defer c.Stop()
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		go func() {
			<-stop
			c.Stop()
			os.Exit(1)
		}()
	}
	the = c
	return m.Run()
}

// the cluster of this test process, nil if there is none.
var the *Cluster

// Need returns the cluster, and skips the test where Slurm is not installed.
func Need(t testing.TB) *Cluster {
	t.Helper()
	if the == nil {
		t.Skip("Slurm is not installed: scripts/setup.sh installs it")
	}
	return the
}

// For starts a cluster for one test; see [Main]. The test is skipped where Slurm is not installed.
func For(t testing.TB, env ...string) *Cluster {
	t.Helper()
	before, had := os.LookupEnv("SLURM_CONF")
	c, err := Start(env...)
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		t.Skip("Slurm is not installed: scripts/setup.sh installs it")
	}
	t.Cleanup(func() {
		c.Stop()
		if os.Unsetenv("SLURM_CONF"); had {
			os.Setenv("SLURM_CONF", before)
		}
	})
	return c
}

// Installed reports whether Slurm's daemons and commands are here.
func Installed() bool {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, c := range []string{"munged", "slurmctld", "slurmd", "sbatch"} {
		if _, err := exec.LookPath(c); err != nil {
			return false
		}
	}
	return true
}

// Start starts a cluster and sets SLURM_CONF; nil if Slurm is not installed. The caller stops it.
func Start(env ...string) (*Cluster, error) {
	if !Installed() {
		return nil, nil
	}
	dir, err := os.MkdirTemp("/tmp", "slurm-") // short, since names of sockets are built from it
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir, env}
	if err := c.Up(); err != nil {
		c.Stop()
		return nil, err
	}
	os.Setenv("SLURM_CONF", filepath.Join(dir, "slurm.conf"))
	return c, nil
}

// Up starts what does not run: at first everything, later what a test broke.
func (c *Cluster) Up() error { return c.script("slurm-up.sh") }

// Stop ends the cluster and all that runs on it.
func (c *Cluster) Stop() {
	if err := c.script("slurm-down.sh"); err != nil {
		fmt.Fprintln(os.Stderr, "slurmtest:", err)
	}
	os.RemoveAll(c.dir)
}

func (c *Cluster) script(name string) error {
	path, err := find(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, c.dir)
	cmd.Env = append(os.Environ(), c.env...)
	var out bytes.Buffer
	log, err := os.CreateTemp("", "slurmtest-") // a pipe would be kept open by the daemons
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		b, _ := os.ReadFile(log.Name())
		out.Write(b)
		return fmt.Errorf("%s: %w\n%s", name, err, &out)
	}
	return nil
}

// find finds a script of the repository from below its root.
func find(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "scripts", name), nil
		}
	}
	return "", fmt.Errorf("no go.mod above the working directory, where scripts/%s would be", name)
}

// PID is the process of a daemon: "slurmctld", or a node. As root that of a node is the init of its namespace: with it goes
// all that runs on the node.
func (c *Cluster) PID(name string) (int, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, "run", name+".pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// Kill ends a daemon by a signal and waits until it is gone.
func (c *Cluster) Kill(t testing.TB, name string, sig syscall.Signal) {
	t.Helper()
	pid, err := c.PID(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("kill %s: %v", name, err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		// A zombie, which nobody waits for, has no command line.
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); len(b) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s, process %d, does not end", name, pid)
		}
	}
}

// Namespaces reports whether nodes have namespaces of their own, so that killing one is a power cut.
func (c *Cluster) Namespaces() bool {
	pid, err := c.PID("n1")
	if err != nil {
		return false
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return bytes.HasPrefix(b, []byte("unshare"))
}

// Hide makes a directory look empty on a node, until the end of the test.
func (c *Cluster) Hide(t testing.TB, node, dir string) {
	t.Helper()
	pid, err := c.PID(node)
	if err != nil {
		t.Fatal(err)
	}
	inside := []string{"--target=" + strconv.Itoa(pid), "--mount"}
	c.Run(t, "nsenter", append(inside, "mount", "-t", "tmpfs", "none", dir)...)
	t.Cleanup(func() { c.Run(t, "nsenter", append(inside, "umount", dir)...) })
}

// Run runs a command of Slurm, such as scontrol, and returns what it printed.
func (c *Cluster) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
