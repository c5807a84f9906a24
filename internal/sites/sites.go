//go:build linux

package sites

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	_ "github.com/clusterless-go/clusterless/engine/azbatch" // registers
	_ "github.com/clusterless-go/clusterless/engine/slurm"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// A Site is an engine of other machines, with three nodes or more of two cores or more, that lives until the end of the test.
type Site struct {
	Name string
	// Dir is a directory that the nodes and the test see, and that all may write to.
	Dir string
	// TooMany is what the engine says to a task with more nodes than there are.
	TooMany string
	mark    string // in the environment of all that the engine starts
	// lose ends a node as a power cut would; the end of the test heals it.
	lose func(t testing.TB, node string)
	opts []clusterless.Option
	// Environ is what another program needs to open the same.
	Environ []string
}

// Open opens a session, which ends with the test.
func (s *Site) Open(t testing.TB, opts ...clusterless.Option) *clusterless.Session {
	t.Helper()
	session, err := clusterless.Open(t.Context(), append(s.opts[:len(s.opts):len(s.opts)], opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	return session
}

// Lose ends a node as a power cut would. The end of the test brings it back.
func (s *Site) Lose(t testing.TB, node string) { t.Helper(); s.lose(t, node) }

// Empty waits until nothing runs any more that the engine started.
func (s *Site) Empty(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		left := ""
		all, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range all {
			if b, _ := os.ReadFile(path); strings.Contains(string(b), s.mark) {
				line, _ := os.ReadFile(filepath.Dir(path) + "/cmdline")
				left += fmt.Sprintf("\n%s: %q", filepath.Dir(path), line)
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("processes are left:%s", left)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// network has MPI use what all nodes on this machine share, and no memory: they are on one machine, which libraries may notice.
var network = []string{"UCX_TLS=tcp,self", "GORACE=atexit_sleep_ms=0"}

func env(all []string) (opts []clusterless.Option) {
	for _, v := range all {
		name, value, _ := strings.Cut(v, "=")
		opts = append(opts, clusterless.Env(name, value))
	}
	return opts
}

// shared is a directory for all users.
func shared(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "site-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Slurm starts a cluster of four nodes, n1 to n4. Without root they cannot be told apart, and the test is skipped.
func Slurm(t testing.TB) *Site {
	t.Helper()
	c := slurmtest.For(t)
	if !c.Namespaces() {
		t.Skip("as another user than root all nodes are one host")
	}
	s := &Site{Name: "slurm", Dir: shared(t), TooMany: "has only 4 nodes"}
	s.Environ = append([]string{"CLUSTERLESS_ENGINE=slurm:?poll=500ms&pack=0s", "CLUSTERLESS_DIR=" + s.Dir, "MPI_INTERFACE=lo"}, network...)
	s.opts = append(env(network), clusterless.Env("MPI_INTERFACE", "lo"), clusterless.Engine("slurm:?poll=500ms&pack=0s"), clusterless.Dir(s.Dir))
	s.mark = "CLUSTERLESS_STORE=file://" + s.Dir
	s.lose = func(t testing.TB, node string) {
		c.Kill(t, node, syscall.SIGKILL)
		t.Cleanup(func() {
			if err := c.Up(); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// Azure starts an account with a pool of three nodes that reach each other. It needs root, since each node has a network of its
// own.
func Azure(t testing.TB) *Site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("as another user than root all nodes are one host")
	}
	storage := azurite.Start(t)
	s := &Site{Name: "azure", Dir: shared(t), TooMany: "has no 9 nodes"}
	where := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/parallel?protocol=http"
	blobs, err := blobstore.Open(where, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(storage.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	mount := s.Dir + "/batch"
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), emulator.Options{AllocationTime: -1, BootTime: -1, Isolate: true, MountPoint: mount, Forward: []string{u.Host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := batch.Close(); err != nil {
			t.Error(err)
		}
	})
	b, err := url.Parse(batch.URL())
	if err != nil {
		t.Fatal(err)
	}
	engine := "azbatch://" + b.Host + "?http=true&poll=100ms&pool=parallel&vmsize=Standard_D4s_v5&nodes=3&slots=1&internode=true&retries=0"
	account := append(batch.Environ(), "AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key)
	for _, v := range account {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	s.Environ = append(account, "CLUSTERLESS_ENGINE="+engine, "CLUSTERLESS_STORE="+where)
	s.opts = append(env(network), clusterless.Engine(engine), clusterless.Store(where))
	client, err := azbatch.NewClient(batch.URL(), batch.Credential(), batch.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.mark = "CLUSTERLESS_STORE=" + where
	s.lose = func(t testing.TB, node string) {
		if err := batch.Break(context.Background(), "parallel", node); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, err := client.RebootNode(context.Background(), "parallel", node, &azbatch.RebootNodeOptions{Parameters: &azbatch.RebootNodeContent{
				NodeRebootOption: to.Ptr(azbatch.NodeRebootOptionRequeue)}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// Each runs a test at each site.
func Each(t *testing.T, f func(t *testing.T, s *Site)) {
	t.Run("slurm", func(t *testing.T) { f(t, Slurm(t)) })
	t.Run("azure", func(t *testing.T) { f(t, Azure(t)) })
}

// EachMPI runs a test with each MPI library; the option makes a session use it.
func EachMPI(t *testing.T, f func(t *testing.T, library clusterless.Option)) {
	for _, name := range []string{"openmpi", "mpich"} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("mpiexec." + name); err != nil {
				t.Skipf("mpiexec.%s is not installed: scripts/setup.sh does it", name)
			}
			f(t, clusterless.Env("MPIEXEC", "mpiexec."+name))
		})
	}
}
