package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/sites"
	"github.com/clusterless-go/clusterless/mpi"
)

// The functions of the tests on engines of other machines.
var (
	Report   = mpi.Define("report", report)
	Blackout = mpi.Define("blackout", blackout)
	Stranger = clusterless.Define("stranger", stranger)
)

// A Place is where a rank was, and what it saw of the batch system.
type Place struct {
	Node, Host string
	Size       int
	Slurm      bool
}

// report adds the ranks up, so that messages really go from one to the other, and returns where they were.
func report(ctx context.Context, c *mpi.Comm, _ int) ([]Place, error) {
	sum := []int{c.Rank()}
	if err := mpi.Allreduce(c, nil, sum, mpi.Sum); err != nil {
		return nil, err
	}
	if n := c.Size(); sum[0] != n*(n-1)/2 {
		return nil, fmt.Errorf("the sum of %d ranks is %d", n, sum[0])
	}
	t, _ := clusterless.Current(ctx)
	host, _ := os.Hostname()
	_, slurm := os.LookupEnv("SLURM_JOB_ID")
	text := make([]byte, 256)
	copy(text, fmt.Sprintf("%s %s %t", t.Node, host, slurm))
	var all []byte
	if c.Rank() == 0 {
		all = make([]byte, len(text)*c.Size())
	}
	if err := mpi.Gather(c, text, all, 0); err != nil {
		return nil, err
	}
	var places []Place
	for ; len(all) > 0; all = all[len(text):] {
		p := Place{Size: c.Size()}
		fmt.Sscan(strings.TrimRight(string(all[:len(text)]), "\x00"), &p.Node, &p.Host, &p.Slurm)
		places = append(places, p)
	}
	return places, nil
}

// blackout writes the name of the second node into a file, and waits for the end; if the file is there, it returns.
func blackout(ctx context.Context, c *mpi.Comm, file string) (int, error) {
	if _, err := os.Stat(file); err == nil {
		return c.Size(), c.Barrier()
	}
	if err := c.Barrier(); err != nil {
		return 0, err
	}
	if c.Rank() == c.Size()-1 {
		t, _ := clusterless.Current(ctx)
		if err := os.WriteFile(file+".new", []byte(t.Node), 0o666); err != nil {
			return 0, err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return 0, err
		}
	}
	select {}
}

// stranger dials the worker as an agent that has another token, and returns what came of it.
func stranger(ctx context.Context, _ int) (string, error) {
	env, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return "", err
	}
	addr := ""
	for v := range strings.SplitSeq(string(env), "\x00") {
		if a, ok := strings.CutPrefix(v, "CLUSTERLESS_TEAM="); ok {
			addr = a
		}
	}
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), "CLUSTERLESS_WORKER=1", "CLUSTERLESS_ROLE=agent", "CLUSTERLESS_NODE=stranger", "CLUSTERLESS_TEAM="+addr,
		"CLUSTERLESS_TOKEN=0123456789abcdef0123456789abcdef")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", errors.New("the stranger was let in")
	}
	return string(out), mpi.Run(ctx, "true") // with the agents that belong to it all is well
}

func TestSlurm(t *testing.T) { onSite(t, sites.Slurm(t)) }

// onSite runs what must work, and what may go wrong, on an engine of other machines.
func onSite(t *testing.T, site *sites.Site) {
	two := []clusterless.Option{clusterless.Nodes(2), clusterless.RanksPerNode(2)}
	each(t, func(t *testing.T, im implementation) {
		open := func(t *testing.T, opts ...clusterless.Option) *clusterless.Session {
			return site.Open(t, append(opts, with(im))...)
		}
		t.Run("nodes", func(t *testing.T) {
			job, err := Report.On(open(t), two...).Map(t.Context(), []int{0, 1})
			if err != nil {
				t.Fatal(err)
			}
			all, err := job.Results(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, places := range all {
				if len(places) != 4 || places[0] != places[1] || places[2] != places[3] || places[0].Node == places[2].Node || places[0].Host == places[2].Host || places[0].Size != 4 {
					t.Errorf("ranks were at %+v, want two each on two nodes", places)
				}
				for _, p := range places {
					if p.Slurm {
						t.Errorf("rank sees an allocation: %+v", p)
					}
				}
			}
		})
		t.Run("one node", func(t *testing.T) {
			places, err := Report.On(open(t), clusterless.Ranks(2)).Call(t.Context(), 0)
			if err != nil || len(places) != 2 || places[0] != places[1] {
				t.Errorf("ranks were at %+v, %v, want two on one node", places, err)
			}
		})
		t.Run("existing program", func(t *testing.T) {
			exe := filepath.Join(site.Dir, im.name+"-hello")
			if err := os.Link(compile(t, "mpicc."+im.name, "hello.c", "hello"), exe); err != nil {
				t.Fatal(err)
			}
			if out, err := Old.On(open(t), clusterless.Nodes(2), clusterless.RanksPerNode(2), clusterless.Ranks(3)).Call(t.Context(), []string{exe}); err != nil || out != "sum 5\n" {
				t.Errorf("%q, %v, want sum 5", out, err)
			}
		})
		t.Run("rank fails", func(t *testing.T) {
			s := open(t, clusterless.Retries(0))
			for how, want := range map[string]string{"error": "rank 1: plate: too cold", "kill": "rank 1 (process "} {
				_, err := Trip.On(s, clusterless.Nodes(2), clusterless.RanksPerNode(1), clusterless.Ranks(2)).Call(t.Context(), how)
				var te *clusterless.TaskError
				if !errors.As(err, &te) || !strings.Contains(te.Message, want) || how == "error" && !errors.Is(err, errCold) {
					t.Errorf("%s: %v, want %q", how, err, want)
				}
			}
			site.Empty(t)
		})
		t.Run("rank hangs", func(t *testing.T) {
			_, err := Trip.On(open(t), append(two, clusterless.Ranks(4), clusterless.Timeout(4*time.Second))...).Call(t.Context(), "stop")
			if !errors.Is(err, clusterless.ErrTimeout) || !strings.Contains(err.Error(), "the function had not returned on ranks 0, 1, 2, 3") {
				t.Errorf("%v, want a timeout that names the ranks", err)
			}
			site.Empty(t)
		})
		t.Run("node lost", func(t *testing.T) { nodeLost(t, site, open(t), 2) })
		t.Run("node lost without retries", func(t *testing.T) { nodeLost(t, site, open(t), 0) })
		t.Run("foreign library", func(t *testing.T) {
			lib := filepath.Join(site.Dir, im.name+"-libmpi.so")
			if err := os.Link(compile(t, "gcc", "foreign.c", "libmpi.so", "-shared", "-fPIC"), lib); err != nil {
				t.Fatal(err)
			}
			if _, err := Report.On(open(t, clusterless.Env("MPI_LIBRARY", lib)), two...).Call(t.Context(), 0); !errors.Is(err, mpi.ErrForeign) {
				t.Errorf("%v, want ErrForeign", err)
			}
		})
	})
	t.Run("too many", func(t *testing.T) {
		job, err := Report.On(site.Open(t), clusterless.Nodes(9), clusterless.RanksPerNode(1)).Map(t.Context(), []int{0})
		said := fmt.Sprint(err)
		for end := time.Now().Add(time.Minute); err == nil && !strings.Contains(said, site.TooMany) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			said = fmt.Sprint(job.Status().Queue) // an engine whose nodes may yet come says why it waits
		}
		if err == nil {
			err = job.Cancel(t.Context())
		}
		if !strings.Contains(said, site.TooMany) {
			t.Errorf("%s, %v, want %q", said, err, site.TooMany)
		}
	})
	t.Run("no library", func(t *testing.T) {
		s := site.Open(t, clusterless.Env("MPIEXEC", "mpiexec.absent"))
		if _, err := Report.On(s, two...).Call(t.Context(), 0); !errors.Is(err, mpi.ErrNoLibrary) {
			t.Errorf("%v, want ErrNoLibrary", err)
		}
	})
	t.Run("wrong token", func(t *testing.T) {
		said, err := Stranger.On(site.Open(t), two...).Call(t.Context(), 0)
		if err != nil || !strings.Contains(said, "the other side does not have this task's token") {
			t.Errorf("%q, %v, want that the stranger was turned away, and that the task goes on", said, err)
		}
	})
}

// nodeLost ends a node under ranks on two: the task is made again elsewhere; where it may not be, the error says which node.
func nodeLost(t *testing.T, site *sites.Site, s *clusterless.Session, retries int) {
	file := filepath.Join(site.Dir, strings.ReplaceAll(t.Name(), "/", "-"))
	var node string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(2 * time.Minute); node == "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b, _ := os.ReadFile(file)
			node = string(b)
		}
		if node != "" {
			site.Lose(t, node)
		}
	}()
	n, err := Blackout.On(s, clusterless.Nodes(2), clusterless.RanksPerNode(1), clusterless.Retries(retries)).Call(t.Context(), file)
	<-done
	var te *clusterless.TaskError
	switch {
	case retries > 0 && (err != nil || n != 2):
		t.Errorf("%d ranks, %v: want them made again without %s", n, err, node)
	case retries == 0 && !errors.As(err, &te),
		retries == 0 && !strings.Contains(te.Message, "node "+node+" was lost") && !strings.Contains(te.Message, "by a process that is gone"): // begun again by the engine
		t.Errorf("%v, want that %s was lost", err, node)
	}
	site.Empty(t)
}

func TestAzure(t *testing.T) { onSite(t, sites.Azure(t)) }
