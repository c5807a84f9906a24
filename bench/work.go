package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless"
)

// The work, the same as that of the other systems: two slots, 10,000 calls that do nothing, 1,000 that take 10 ms of CPU,
// arrays of 8 MB and of 256 MB. Time to start workers is left out, as it is there.
const (
	slots  = 2
	noops  = 10_000
	burns  = 1000
	arrays = 100
	n8     = 1_000_000  // float64s in 8 MB
	n256   = 32_000_000 // in 256 MB
)

var (
	noop   = clusterless.Define("noop", func(_ context.Context, i int) (int, error) { return i, nil })
	burn   = clusterless.Define("burn", func(_ context.Context, i int) (int, error) { burn10ms(); return i, nil })
	double = clusterless.Define("double", func(_ context.Context, x []float64) ([]float64, error) { return doubled(x), nil })
	full   = clusterless.Define("full", sumAll)
	makeIt = clusterless.Define("make", func(_ context.Context, i int) ([]float64, error) { return filled(float64(i)), nil })
	add    = clusterless.Define("add", clusterless.SumSlices[float64])
)

func doubled(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = 2 * v
	}
	return y
}

func filled(v float64) []float64 {
	x := make([]float64, n8)
	for i := range x {
		x[i] = v
	}
	return x
}

// sum adds in eight variables, as numpy does: with one, it would wait for the adder and not for memory.
func sum(x []float64) float64 {
	var a, b, c, d, e, f, g, h float64
	for ; len(x) >= 8; x = x[8:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
		e, f, g, h = e+x[4], f+x[5], g+x[6], h+x[7]
	}
	for _, v := range x {
		a += v
	}
	return (a + b) + (c + d) + ((e + f) + (g + h))
}

// seen is what a task saw of the array that was broadcast.
type seen struct {
	Sum  float64
	Maps []string // files of 128 MiB and more that its process has mapped
	PID  int
}

func sumAll(ctx context.Context, r clusterless.Ref[[]float64]) (seen, error) {
	x, err := r.Get(ctx)
	if err != nil {
		return seen{}, err
	}
	return seen{sum(x), largeMappings(), os.Getpid()}, nil
}

// measurements are what -one can make. Each has a directory to itself, which is not there yet.
var measurements = map[string]func(ctx context.Context, dir string) (sample, error){
	"touch":            touch,
	"noop":             noopMap,
	"noop goroutines":  noopGoroutines,
	"call":             singleCall,
	"floor":            floor,
	"cpu":              func(ctx context.Context, dir string) (sample, error) { return cpuMap(ctx, dir, burns) },
	"cpu start":        func(ctx context.Context, dir string) (sample, error) { return cpuMap(ctx, dir, 0) },
	"cpu goroutines":   cpuGoroutines,
	"map8mb":           map8,
	"map8mb copy":      map8Goroutines,
	"broadcast":        broadcast,
	"broadcast limit":  broadcastGoroutines,
	"reduce":           func(ctx context.Context, dir string) (sample, error) { return reduce(ctx, dir, arrays) },
	"reduce 400":       func(ctx context.Context, dir string) (sample, error) { return reduce(ctx, dir, 4*arrays) },
	"reduce limit":     reduceGoroutines,
	"stream 100000":    func(ctx context.Context, dir string) (sample, error) { return stream(ctx, dir, 100_000) },
	"stream 1000000":   func(ctx context.Context, dir string) (sample, error) { return stream(ctx, dir, 1_000_000) },
	"codec":            codecAll,
	"codec map 1 MB":   func(_ context.Context, dir string) (sample, error) { return codecMap(dir, 1<<20) },
	"codec map 16 MB":  func(_ context.Context, dir string) (sample, error) { return codecMap(dir, 16<<20) },
	"codec map 256 MB": func(_ context.Context, dir string) (sample, error) { return codecMap(dir, 256<<20) },
}

// touch uses memory for a moment. A virtual machine may have to get memory from its host when it is first used, or used
// after a pause, which takes ten times as long as the work that is to be measured; so it is done before each measurement.
func touch(context.Context, string) (sample, error) {
	return timed(func() error {
		b := make([]byte, 3<<30)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return nil
	})
}

// open opens a session whose workers have started.
func open(ctx context.Context, dir string) (*clusterless.Session, error) {
	s, err := clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(slots))
	if err != nil {
		return nil, err
	}
	job, err := noop.On(s, clusterless.Span(1)).Map(ctx, make([]int, 4*slots))
	if err == nil {
		_, err = job.Results(ctx)
	}
	return s, err
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// timed is the time that f takes.
func timed(f func() error) (sample, error) {
	began := time.Now()
	err := f()
	return sample{"seconds": time.Since(began).Seconds()}, err
}

// inTwo makes n calls in as many goroutines as there are slots.
func inTwo(n int, f func(i int)) {
	ch := make(chan int)
	var wg sync.WaitGroup
	for range slots {
		wg.Go(func() {
			for i := range ch {
				f(i)
			}
		})
	}
	for i := range n {
		ch <- i
	}
	close(ch)
	wg.Wait()
}

func noopMap(ctx context.Context, dir string) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ins := numbers(noops)
	return timed(func() error {
		job, err := noop.On(s).Map(ctx, ins)
		if err != nil {
			return err
		}
		out, err := job.Results(ctx)
		if err == nil && !slices.Equal(out, ins) {
			err = fmt.Errorf("results are not the inputs")
		}
		return err
	})
}

func noopGoroutines(context.Context, string) (sample, error) {
	out := make([]int, noops)
	return timed(func() error { inTwo(noops, func(i int) { out[i] = i }); return nil })
}

func singleCall(ctx context.Context, dir string) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return quantiles(1000, func(i int) error {
		_, err := noop.On(s).Call(ctx, i)
		return err
	})
}

// quantiles are those of the time of a call, in ms, after some to warm up.
func quantiles(n int, f func(i int) error) (sample, error) {
	var all []float64
	for i := range n + n/10 {
		began := time.Now()
		if err := f(i); err != nil {
			return nil, err
		}
		if i >= n/10 {
			all = append(all, time.Since(began).Seconds()*1e3)
		}
	}
	slices.Sort(all)
	return sample{"p50_ms": all[n/2], "p99_ms": all[n*99/100]}, nil
}

// cpuMap makes n calls, in a session of its own: with none, its CPU is what a session and its workers take to start and end.
func cpuMap(ctx context.Context, dir string, n int) (sample, error) {
	before := cpuTime()
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	smp, err := timed(func() error {
		job, err := burn.On(s).Map(ctx, numbers(n))
		if err != nil {
			return err
		}
		_, err = job.Results(ctx)
		return err
	})
	if e := s.Close(); err == nil { // which waits for the workers, so that their time counts
		err = e
	}
	smp["cpu"] = (cpuTime() - before).Seconds()
	return smp, err
}

func cpuGoroutines(context.Context, string) (sample, error) {
	before := cpuTime()
	smp, err := timed(func() error { inTwo(burns, func(int) { burn10ms() }); return nil })
	smp["cpu"] = (cpuTime() - before).Seconds()
	return smp, err
}

// burn10ms takes 10 ms of CPU of this thread. To look at the clock is a system call, of which the runtime makes work of its own
// (it looks every 20 us whether a thread is stuck in one), so it looks rarely until shortly before the end.
func burn10ms() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	x := 1.0
	spin := func(n int) {
		for range n {
			x = x*1.0000001 + 1e-9
		}
	}
	end := threadTime() + 10*time.Millisecond
	for left := 10 * time.Millisecond; left > 0; left = end - threadTime() {
		if left > time.Millisecond {
			spin(300_000) // about 0.5 ms
		} else {
			spin(20_000)
		}
	}
	if x == 0 {
		panic("never")
	}
}

func inputs8() [][]float64 {
	all := make([][]float64, arrays)
	for i := range all {
		all[i] = filled(float64(i))
	}
	return all
}

func map8(ctx context.Context, dir string) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ins := inputs8()
	return timed(func() error {
		job, err := double.On(s).Map(ctx, ins)
		if err != nil {
			return err
		}
		out, err := job.Results(ctx)
		if err == nil && (len(out) != arrays || out[arrays-1][n8-1] != 2*(arrays-1)) {
			err = fmt.Errorf("wrong results")
		}
		return err
	})
}

func map8Goroutines(context.Context, string) (sample, error) {
	ins, outs := inputs8(), make([][]float64, arrays)
	return timed(func() error { inTwo(arrays, func(i int) { outs[i] = doubled(ins[i]) }); return nil })
}

func ones() []float64 {
	x := make([]float64, n256)
	for i := range x {
		x[i] = 1
	}
	return x
}

func broadcast(ctx context.Context, dir string) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	x := ones()
	files, pids := map[string]bool{}, map[int]bool{}
	smp, err := timed(func() error {
		ref, err := clusterless.Broadcast(ctx, s, x)
		if err != nil {
			return err
		}
		job, err := full.On(s).Map(ctx, slices.Repeat([]clusterless.Ref[[]float64]{ref}, arrays))
		if err != nil {
			return err
		}
		out, err := job.Results(ctx)
		for _, o := range out {
			if o.Sum != n256 {
				return fmt.Errorf("sum is %v, want %v (%w)", o.Sum, n256, err)
			}
			pids[o.PID] = true
			for _, f := range o.Maps {
				files[f] = true
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	smp["files_mapped"], smp["processes"] = float64(len(files)), float64(len(pids))
	large := 0
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Size() >= 8*n256 {
			large++
		}
		return nil
	})
	smp["files_written"] = float64(large)
	return smp, err
}

func broadcastGoroutines(context.Context, string) (sample, error) {
	x := ones()
	sums := make([]float64, arrays)
	return timed(func() error { inTwo(arrays, func(i int) { sums[i] = sum(x) }); return nil })
}

func reduce(ctx context.Context, dir string, n int) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return timed(func() error {
		job, err := makeIt.On(s).Map(ctx, numbers(n))
		if err != nil {
			return err
		}
		sum, err := job.Reduce(ctx, add.On(s))
		if err == nil && (len(sum) != n8 || sum[5] != float64(n*(n-1)/2)) {
			err = fmt.Errorf("wrong sum")
		}
		return err
	})
}

func reduceGoroutines(context.Context, string) (sample, error) {
	acc := make([]float64, n8)
	var mu sync.Mutex
	return timed(func() error {
		inTwo(arrays, func(i int) {
			x := filled(float64(i))
			mu.Lock()
			defer mu.Unlock()
			for k, v := range x {
				acc[k] += v
			}
		})
		return nil
	})
}

func stream(ctx context.Context, dir string, n int) (sample, error) {
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return timed(func() error {
		job, err := noop.On(s).MapSeq(ctx, func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		got := 0
		for i, r := range job.Completed(ctx) {
			if r.Err != nil || r.Value != i {
				return fmt.Errorf("call %d: got %d, %v", i, r.Value, r.Err)
			}
			got++
		}
		if got != n {
			return fmt.Errorf("got %d results, want %d", got, n)
		}
		return nil
	})
}

// field is the n-th word of the line that begins so in a text like that of /proc/self/status.
func field(text, begin string, n int) string {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > n && f[0] == begin {
			return f[n]
		}
	}
	return ""
}
