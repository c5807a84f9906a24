package main

import (
	"context"
	"fmt"
)

// Tasks of the rows about Slurm.
const (
	slurmTasks = 1000
	slurmCalls = 10_000
	slurmPart  = 2000 // of as many calls, as a task each, which all together take five minutes and more
)

// slurm measures what the Slurm engine adds to Slurm itself, on a cluster of four nodes that is started on this machine.
func (b *bench) slurm(ctx context.Context) {
	tasks, calls := "1,000 tasks on Slurm", "10,000 short calls on Slurm"
	if !b.match.MatchString(tasks) && !b.match.MatchString(calls) {
		return
	}
	stop, err := startSlurm()
	if err != nil {
		fmt.Printf("Slurm is not measured: %v\n", err)
		return
	}
	defer stop()
	if b.match.MatchString(tasks) {
		res := b.alternate(ctx, tasks, ours("slurm tasks"), ours("slurm isolated"), ours("slurm bare"))
		bare, _ := res.median("slurm bare", "seconds")
		for _, way := range []struct{ name, text string }{{"slurm tasks", ""}, {"slurm isolated", ", each with an array element of its own (Isolated)"}} {
			mine, _ := res.median(way.name, "seconds")
			ratio, ok := res.ratio(way.name, "slurm bare", "seconds")
			b.add(tasks+way.text, fmt.Sprintf("%s s, %s ms a task; sbatch --array of true %s s: **%s x**", number(mine), number(mine), number(bare), number(ratio)),
				"1.3 x", ratio, 1.3, false, ok)
		}
	}
	if b.match.MatchString(calls) {
		res := b.alternate(ctx, calls, ours("slurm calls"), ours("slurm bare calls"))
		mine, _ := res.median("slurm calls", "seconds")
		bare, _ := res.median("slurm bare calls", "seconds")
		const all = slurmCalls / slurmPart
		ratio, ok := res.ratio("slurm bare calls", "slurm calls", "seconds")
		b.add(calls, fmt.Sprintf("%s s; one task each, as sbatch --array of true, %s s for 2,000, so %s s: **%s x** as fast",
			number(mine), number(bare), number(all*bare), number(all*ratio)), "20 x", all*ratio, 20, true, ok)
	}
}
