package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// line is a line of the table.
type line struct {
	work, measured, reach string
	met                   string // yes, no, or nothing
}

// add appends a line. value is compared with the bound: at least it if more is better, else at most.
func (b *bench) add(work, measured, reach string, value, bound float64, moreIsBetter, ok bool) {
	l := line{work, measured, reach, "not measured"}
	if ok {
		l.met = "**no**"
		if moreIsBetter && value >= bound || !moreIsBetter && value <= bound {
			l.met = "yes"
		}
	}
	b.lines = append(b.lines, l)
}

// against appends the lines of a row that is compared with other systems by time.
func (b *bench) against(res results, us, work string, bounds map[string]float64, order ...string) {
	mine, ok := res.median(us, "seconds")
	if !ok {
		b.add(work, "", "", 0, 0, true, false)
		return
	}
	for _, other := range order {
		theirs, ok1 := res.median(other, "seconds")
		ratio, ok2 := res.ratio(other, us, "seconds")
		if !ok1 || !ok2 {
			b.add(work, other+": not here", fmt.Sprintf("%s x %s", number(bounds[other]), other), 0, 0, true, false)
			continue
		}
		b.add(work, fmt.Sprintf("%s s; %s %s s: **%s x** as fast", number(mine), other, number(theirs), number(ratio)),
			fmt.Sprintf("%s x %s", number(bounds[other]), other), ratio, bounds[other], true, true)
	}
}

func (b *bench) limit(res results, us, limit, what, work string) {
	if m, ok := res.median(limit, "seconds"); ok {
		r, _ := res.ratio(us, limit, "seconds")
		b.lines = append(b.lines, line{work, fmt.Sprintf("%s: %s s; we take %s x that", what, number(m), number(r)), "", ""})
	}
}

// rows measures all rows.
func (b *bench) rows(ctx context.Context) {
	if want := "10,000 no-op calls by Map"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("noop"), ours("noop goroutines"), b.peer("joblib", "noop"), b.peer("dask", "noop"))
		b.against(res, "noop", want, map[string]float64{"joblib": 2, "dask": 500}, "joblib", "dask")
		b.limit(res, "noop", "noop goroutines", "goroutines", want)
	}
	if want := "one warm call, p50"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("call"), ours("floor"))
		p50, ok := res.median("call", "p50_ms")
		p99, _ := res.median("call", "p99_ms")
		floor, _ := res.median("floor", "p50_ms")
		ratio, _ := res.ratio("call", "floor", "p50_ms")
		b.add(want, fmt.Sprintf("**%s ms** (p99 %s ms); the floor, pipe and files alone, is %s ms: %s x", number(p50), number(p99), number(floor), number(ratio)), "under 2 ms", p50, 2, false, ok)
	}
	if want := "1,000 calls of 10 ms CPU"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("cpu"), ours("cpu start"), ours("cpu goroutines"))
		cpu, ok1 := res.median("cpu", "cpu")
		start, ok2 := res.median("cpu start", "cpu")
		alone, _ := res.median("cpu goroutines", "cpu")
		b.add(want+", CPU of client and workers", fmt.Sprintf("%.2f s, without the %.2f s that their start takes: **%.3f x** the ideal 10 s (goroutines %.3f x)", cpu-start, start, (cpu-start)/10, alone/10),
			"1.05 x", (cpu-start)/10, 1.05, false, ok1 && ok2)
		wall, _ := res.median("cpu", "seconds")
		plain, _ := res.median("cpu goroutines", "seconds")
		ratio, ok := res.ratio("cpu", "cpu goroutines", "seconds")
		b.add(want+", wall", fmt.Sprintf("%s s; goroutines %s s: **%.3f x**", number(wall), number(plain), ratio), "1.05 x", ratio, 1.05, false, ok)
	}
	b.large = true
	if want := "100 calls, 8 MB in and 8 MB out"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("map8mb"), ours("map8mb copy"), b.peer("joblib", "map8mb"), b.peer("dask", "map8mb"))
		b.against(res, "map8mb", want, map[string]float64{"joblib": 2, "dask": 5}, "joblib", "dask")
		b.limit(res, "map8mb", "map8mb copy", "goroutines", want)
	}
	if want := "256 MB broadcast, read whole by 100 tasks"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("broadcast"), ours("broadcast limit"), b.peer("joblib", "bcastfull"), b.peer("dask", "bcastfull"))
		b.against(res, "broadcast", want, map[string]float64{"joblib": 1, "dask": 3}, "joblib", "dask")
		b.limit(res, "broadcast", "broadcast limit", "goroutines, nothing broadcast", want)
		files, ok1 := res.median("broadcast", "files_written")
		mapped, ok2 := res.median("broadcast", "files_mapped")
		procs, _ := res.median("broadcast", "processes")
		b.add(want, fmt.Sprintf("%.0f file written, %.0f file mapped, by %.0f processes", files, mapped, procs), "1 write, 1 mapping", files+mapped, 2, false, ok1 && ok2)
	}
	if want := "sum of 100 x 8 MB by remote reduce"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("reduce"), ours("reduce limit"), b.peer("joblib", "sumreduce"), b.peer("dask", "sumreduce"), b.peer("ppe", "sumreduce"))
		b.against(res, "reduce", want, map[string]float64{"joblib": 1, "dask": 1, "ppe": 1}, "joblib", "dask", "ppe")
		b.limit(res, "reduce", "reduce limit", "goroutines", want)
		more := b.alternate(ctx, want+", 400", ours("reduce 400"))
		a, ok1 := res.median("reduce", "peak_mb")
		z, ok2 := more.median("reduce 400", "peak_mb")
		b.add(want+", memory of the client", fmt.Sprintf("%.0f MB for 100 results, %.0f MB for 400", a, z), "constant", z, 1.25*a, false, ok1 && ok2)
	}
	b.large = false
	if want := "codec"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("codec"))
		for _, mb := range []int{1, 16, 64} {
			speed, _ := res.median("codec", fmt.Sprintf("memcpy_%dMB_GB/s", mb))
			for _, way := range []string{"enc", "dec"} {
				var parts []string
				least, all := 1e9, true
				for _, kind := range []string{"f64", "f32", "rows"} {
					v, ok := res.median("codec", fmt.Sprintf("%s_%s_%dMB", way, kind, mb))
					parts = append(parts, fmt.Sprintf("%s %.2f", kind, v))
					least, all = min(least, v), all && ok
				}
				work := fmt.Sprintf("codec: %s %d MB of numbers", map[string]string{"enc": "encode", "dec": "decode"}[way], mb)
				b.add(work, fmt.Sprintf("%s of memcpy (%s GB/s into memory that is there)", strings.Join(parts, ", "), number(speed)), "0.8", least, 0.8, true, all)
			}
		}
		for _, size := range []string{"1 MB", "16 MB", "256 MB"} {
			m := b.alternate(ctx, "codec map", ours("codec map "+size))
			us, ok := m.median("codec map "+size, "us")
			b.add("codec: map and decode "+size, fmt.Sprintf("**%s us**", number(us)), "under 100 us", us, 100, false, ok)
		}
		for _, c := range []struct {
			key, name string
			bound     float64
		}{{"structs", "codec: 100,000 small structs", 2}, {"tree", "codec: tree of 200,000 pointers", 0.5}} {
			for _, way := range []string{"enc", "dec"} {
				v, ok := res.median("codec", way+"_"+c.key)
				b.add(c.name+", "+map[string]string{"enc": "encode", "dec": "decode"}[way], fmt.Sprintf("**%s x** as fast as gob", number(v)), number(c.bound)+" x", v, c.bound, true, ok)
			}
		}
	}
	b.slurm(ctx)
	b.emulator(ctx)
	b.blobstore(ctx)
	b.azure(ctx)
	if want := "MapSeq over 1,000,000 ints"; b.match.MatchString(want) {
		res := b.alternate(ctx, want, ours("stream 100000"), ours("stream 1000000"))
		peak, ok := res.median("stream 1000000", "peak_mb")
		b.add(want+", memory of the client", fmt.Sprintf("**%.0f MB** at most", peak), "under 200 MB", peak, 200, false, ok)
		t, _ := res.median("stream 1000000", "seconds")
		ratio, ok := res.ratio("stream 1000000", "stream 100000", "seconds")
		b.add(want+", time", fmt.Sprintf("%s s, **%s x** that of 100,000", number(t), number(ratio)), "10 x, so no step that grows faster", ratio, 12, false, ok)
	}
	b.mpiRows(ctx)
}

// number writes a figure in three digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// table is what was measured, in Markdown.
func (b *bench) table() string {
	var t strings.Builder
	t.WriteString("| Work | Measured | Reach | Met |\n| --- | --- | --- | --- |\n")
	last := ""
	for _, l := range b.lines {
		work := l.work
		if work == last {
			work = ""
		}
		last = l.work
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", work, l.measured, l.reach, l.met)
	}
	return t.String()
}

// page is the page of the documentation.
func page(table string, rounds int) string {
	return fmt.Sprintf(`# Benchmarks

This page is written by %[1]smake bench%[1]s. %[1]sscripts/setup-bench.sh%[1]s installs the other systems from Debian, and
%[1]sPEERS=DIR%[1]s says where the script is that runs them (%[1]srun.sh PEER SCENARIO%[1]s, which prints a line
%[1]sPEER SCENARIO SECONDS%[1]s). Without them only the limits of the machine are measured.

Everything uses two workers on one machine; the time to start workers is left out everywhere. Inputs and results of
clusterless are stored as files; those of the others stay in memory. What is compared alternates, %[2]d rounds, each
measurement in a process of its own; the figures are medians, and the ratios medians of the ratios within a round.
Absolute times depend on the machine and on what else it does: only the ratios carry over.

Measured on %[3]s with %[4]s, %[5]s, %[6]d cores.

%[7]s`, "`", rounds, time.Now().Format("2 January 2006"), runtime.Version(), machine(), runtime.NumCPU(), table)
}
