package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// rankMemory is how ranks of a Func have the C library keep memory: see docs/mpi.md.
var rankMemory = []string{"GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=0x7fffffffffffffff"}

// mpiRows measures package mpi beside the same in C, with both libraries. The program that is measured is another one:
// see mpibench.
func (b *bench) mpiRows(ctx context.Context) {
	if !b.match.MatchString("mpi") && !b.match.MatchString("nested map") {
		return
	}
	dir, err := os.MkdirTemp("", "clusterless-bench-mpi-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ours := filepath.Join(dir, "ours")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", ours, "./bench/mpibench").CombinedOutput(); err != nil {
		fmt.Printf("mpibench is not measured: %v\n%s", err, out)
		return
	}
	alone := func(who, mpiexec string, args ...string) contender {
		return contender{who, func(ctx context.Context) (sample, error) {
			data, err := os.MkdirTemp(dir, "d")
			if err != nil {
				return nil, err
			}
			return measured(ctx, []string{"MPIBENCH_DIR=" + data, "MPIEXEC=" + mpiexec}, ours, args...)
		}}
	}
	for _, name := range []string{"openmpi", "mpich"} {
		c := filepath.Join(dir, "c."+name)
		if out, err := exec.CommandContext(ctx, "mpicc."+name, "-O2", "-o", c, "bench/mpibench/testdata/mpi.c").CombinedOutput(); err != nil {
			fmt.Printf("%s is not measured: %v\n%s", name, err, out)
			continue
		}
		ranks := func(who string, n int, env []string, argv ...string) contender {
			args := []string{"-n", fmt.Sprint(n)}
			if name == "openmpi" {
				args = append(args, "--oversubscribe", "--allow-run-as-root")
			}
			return contender{who, func(ctx context.Context) (sample, error) {
				return measured(ctx, env, "mpiexec."+name, append(args, argv...)...)
			}}
		}
		if want := "mpi, " + name + ": 8 bytes one way"; b.match.MatchString(want) {
			res := b.alternate(ctx, want, ranks("C", 2, nil, c, "pingpong"), alone("Go", "mpiexec."+name, "pingpong"))
			inC, _ := res.median("C", "us")
			inGo, ok := res.median("Go", "us")
			b.add(want, fmt.Sprintf("%s us, with Threads(2); C %s us: **%s us** more", number(inGo), number(inC), number(inGo-inC)), "1 us more than C", inGo-inC, 1, false, ok)
		}
		for _, n := range []string{"1000000", "10000000"} {
			want := fmt.Sprintf("mpi, %s: allreduce of %s doubles, 4 ranks", name, map[string]string{"1000000": "1e6", "10000000": "1e7"}[n])
			if !b.match.MatchString(want) {
				continue
			}
			res := b.alternate(ctx, want, ranks("C", 4, nil, c, "allreduce", n), ranks("C, memory as ours", 4, rankMemory, c, "allreduce", n), alone("Go", "mpiexec."+name, "allreduce", n))
			inGo, _ := res.median("Go", "seconds")
			inC, _ := res.median("C", "seconds")
			ratio, ok := res.ratio("Go", "C", "seconds")
			tuned, _ := res.ratio("Go", "C, memory as ours", "seconds")
			b.add(want, fmt.Sprintf("%s ms; C %s ms: **%s x**; %s x C with the memory settings of our ranks", number(1000*inGo), number(1000*inC), number(ratio), number(tuned)),
				"1.2 x C", ratio, 1.2, false, ok)
		}
		if want := "mpi, " + name + ": start of a task of 4 ranks"; b.match.MatchString(want) {
			bare := ranks("bare", 4, nil, c)
			timed := contender{"bare", func(ctx context.Context) (sample, error) {
				begin := time.Now()
				_, err := bare.measure(ctx)
				return sample{"seconds": time.Since(begin).Seconds()}, err
			}}
			res := b.alternate(ctx, want, timed, alone("start", "mpiexec."+name, "start"))
			task, _ := res.median("start", "seconds")
			plain, _ := res.median("start", "plain")
			mpiexec, ok := res.median("bare", "seconds")
			b.add(want, fmt.Sprintf("%s ms; mpiexec of C alone %s ms and a task without ranks %s ms: **%s x**", number(1000*task), number(1000*mpiexec), number(1000*plain),
				number(task/(mpiexec+plain))), "1.3 x", task/(mpiexec+plain), 1.3, false, ok && task > 0)
		}
	}
	if want := "nested map of 1,000 calls in a task"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, alone("nested", "", "nested"))
		inside, _ := res.median("nested", "seconds")
		client, ok := res.median("nested", "client")
		b.add(want, fmt.Sprintf("%s ms; from the client %s ms: **%s x**, both with the start of two processes", number(1000*inside), number(1000*client), number(inside/client)),
			"1 x", inside/client, 1, false, ok)
	}
}

// measured runs a program that prints a sample as JSON, or nothing.
func measured(ctx context.Context, env []string, name string, args ...string) (sample, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil || len(out) == 0 {
		return nil, err
	}
	s := sample{}
	return s, json.Unmarshal(out, &s)
}
