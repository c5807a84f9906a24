package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/slurm"
	"github.com/clusterless-go/clusterless/internal/slurmtest"
)

func startSlurm() (stop func(), err error) {
	c, err := slurmtest.Start()
	if err == nil && c == nil {
		err = errors.New("it is not installed: scripts/setup.sh installs it")
	}
	if err != nil {
		return nil, err
	}
	return c.Stop, nil
}

func init() {
	measurements["slurm tasks"] = func(ctx context.Context, dir string) (sample, error) {
		return slurmMap(ctx, dir, slurmTasks, clusterless.Span(1))
	}
	measurements["slurm isolated"] = func(ctx context.Context, dir string) (sample, error) {
		return slurmMap(ctx, dir, slurmTasks, clusterless.Span(1), clusterless.Isolated(true))
	}
	measurements["slurm calls"] = func(ctx context.Context, dir string) (sample, error) {
		return slurmMap(ctx, dir, slurmCalls)
	}
	measurements["slurm bare"] = func(ctx context.Context, _ string) (sample, error) { return slurmBare(ctx, slurmTasks) }
	measurements["slurm bare calls"] = func(ctx context.Context, _ string) (sample, error) { return slurmBare(ctx, slurmPart) }
}

// slurmMap makes n calls that do nothing, and reads their results.
func slurmMap(ctx context.Context, dir string, n int, opts ...clusterless.Option) (sample, error) {
	s, err := clusterless.Open(ctx, clusterless.Engine("slurm:"), clusterless.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	in := make([]int, n)
	for i := range in {
		in[i] = i
	}
	return timed(func() error {
		job, err := noop.On(s, opts...).Map(ctx, in)
		if err != nil {
			return err
		}
		out, err := job.Results(ctx)
		if err != nil {
			return err
		}
		for i, v := range out {
			if v != i {
				return fmt.Errorf("result %d is %d", i, v)
			}
		}
		return nil
	})
}

// slurmBare is the same with Slurm alone: an array of elements that do nothing, until it has left the queue.
func slurmBare(ctx context.Context, n int) (sample, error) {
	return timed(func() error {
		out, err := exec.CommandContext(ctx, "sbatch", "--parsable", fmt.Sprintf("--array=0-%d", n-1), "--output=/dev/null", "--wrap=true").Output()
		if err != nil {
			return err
		}
		for {
			left, err := exec.CommandContext(ctx, "squeue", "--noheader", "--jobs="+strings.TrimSpace(string(out))).Output()
			if err != nil || len(left) == 0 {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}
