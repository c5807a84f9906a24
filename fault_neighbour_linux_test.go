package clusterless_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/clusterless-go/clusterless"
)

// What a call does must not be felt by the calls that its process makes after it.

type besideIn struct {
	I   int
	How string
	Ref clusterless.Ref[[]float64]
}

// faultBeside does what How says in some calls; the others return what they see of it, 0 if nothing.
var faultBeside = clusterless.Define("fault.beside", func(ctx context.Context, in besideIn) (float64, error) {
	odd := in.I%2 == 1
	switch in.How {
	case "lock": // writes to a broadcast value and locks its memory
		v, err := in.Ref.Get(ctx)
		if err != nil || odd {
			return besideSum(v), err
		}
		v[3]++
		p := memoryOf(v)
		syscall.Mlock(p)
		v[len(v)-3]++
		return 0, nil
	case "late": // goes on writing to one when its time is over
		v, err := in.Ref.Get(ctx)
		if err != nil {
			return 0, err
		}
		if in.I == 0 {
			go func() {
				for i := range v {
					if v[i] = 1; i%4096 == 0 {
						time.Sleep(2 * time.Millisecond)
					}
				}
			}()
			<-ctx.Done()
			return 0, ctx.Err()
		}
		time.Sleep(10 * time.Millisecond)
		return besideSum(v), nil
	case "print":
		if odd {
			return 0, errFault
		}
		os.Stderr.WriteString("text of another call\n")
		return 0, nil
	case "umask":
		if odd {
			now := syscall.Umask(0o77)
			syscall.Umask(now)
			return float64(now), nil
		}
		syscall.Umask(0)
		return 0, nil
	case "files": // makes its process one that can store nothing any more
		if in.I == 17 {
			return 0, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: 1 << 10})
		}
		return 0, nil
	case "forge":
		if in.I == 5 {
			for fd := 3; fd < 20; fd++ {
				syscall.Write(fd, []byte(`{"kind":"done","task":1}`+"\n"))
			}
			time.Sleep(50 * time.Millisecond)
		}
		return 0, nil
	case "slow": // a run of calls takes much longer than the others; all say which process made them
		if in.I >= 3000 && in.I < 3100 {
			time.Sleep(100 * time.Millisecond)
		}
		return float64(os.Getpid()), nil
	case "sleep":
		time.Sleep(30 * time.Millisecond)
		return float64(os.Getpid()), nil
	}
	return 0, fmt.Errorf("how %q?", in.How)
})

func besideSum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

func besideMap(t *testing.T, s *clusterless.Session, n int, how string, ref clusterless.Ref[[]float64], opts ...clusterless.Option) *clusterless.Job[float64] {
	t.Helper()
	in := make([]besideIn, n)
	for i := range in {
		in[i] = besideIn{i, how, ref}
	}
	job, err := faultBeside.On(s, append([]clusterless.Option{clusterless.Backoff(time.Millisecond)}, opts...)...).Map(faultCtx(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// wantZeros checks that just the bad calls failed and that the others saw nothing.
func wantZeros(t *testing.T, job *clusterless.Job[float64], n int, bad ...int) map[int]clusterless.Result[float64] {
	t.Helper()
	all := faultOutcomes(t, faultCtx(t), job)
	failed, seen := []int{}, 0
	for call, r := range all {
		if r.Err != nil {
			failed = append(failed, call)
		} else if r.Value != 0 {
			seen++
		}
	}
	slices.Sort(failed)
	if len(all) != n || !slices.Equal(failed, bad) {
		t.Errorf("of %d calls, %v failed, want %v of %d", len(all), failed, bad, n)
		for _, call := range failed[:min(2, len(failed))] {
			t.Logf("call %d: %v", call, all[call].Err)
		}
	}
	if seen > 0 {
		t.Errorf("%d calls saw what another did", seen)
	}
	return all
}

func TestFaultBesideValue(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	s := open(t, clusterless.Slots(1))
	small, err := clusterless.Broadcast(ctx, s, make([]float64, 40_000))
	if err != nil {
		t.Fatal(err)
	}
	wantZeros(t, besideMap(t, s, 100, "lock", small), 100)
	large, err := clusterless.Broadcast(ctx, s, make([]float64, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	all := wantZeros(t, besideMap(t, s, 40, "late", large, clusterless.Timeout(200*time.Millisecond)), 40, 0)
	taskErr(t, all[0].Err, 0, clusterless.ErrTimeout)
}

var faultReduceLate = clusterless.Define("fault.reducelate", func(ctx context.Context, all [][]float64) ([]float64, error) {
	go func() {
		s := 0.0
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			for _, v := range all {
				s += besideSum(v)
			}
		}
		fmt.Println(s)
	}()
	<-ctx.Done()
	return nil, ctx.Err()
})

// The inputs of a reduction are mapped; one that stops when its time is over may leave a goroutine behind that reads them.
func TestFaultBesideReduction(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	s := open(t, clusterless.Slots(1))
	job, err := faultBig.On(s).Map(ctx, [][]float64{faultRamp(300_000, 0), faultRamp(300_000, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = job.Reduce(ctx, faultReduceLate.On(s, clusterless.Timeout(200*time.Millisecond)))
	if !errors.Is(err, clusterless.ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
	onlyBad(t, faultMap(t, s, 40, -1, "", clusterless.Retries(0)), 40)
}

func TestFaultBesideProcess(t *testing.T) {
	t.Parallel()
	s := open(t, clusterless.Slots(1))
	none := clusterless.Ref[[]float64]{}

	for call, r := range faultOutcomes(t, faultCtx(t), besideMap(t, s, 400, "print", none)) {
		if e := (*clusterless.TaskError)(nil); errors.As(r.Err, &e) && strings.Contains(e.Detail(), "text of another") {
			t.Errorf("the error of call %d has another call's output: %s", call, e.Detail())
			break
		}
	}

	mask := syscall.Umask(0o77)
	syscall.Umask(mask)
	other := 0
	for call, r := range faultOutcomes(t, faultCtx(t), besideMap(t, s, 1000, "umask", none)) {
		if call%2 == 1 && (r.Err != nil || r.Value != float64(mask)) {
			other++
		}
	}
	if other > 0 {
		t.Errorf("%d calls have another's umask", other)
	}

	wantZeros(t, besideMap(t, s, 14, "forge", none, clusterless.Span(1)), 14, 5)
	wantZeros(t, besideMap(t, s, 40, "files", none), 40, 17)
}

// A task of what were short calls hands back those that are not, in time for other slots to make some of them.
func TestFaultBesideSlow(t *testing.T) {
	t.Parallel()
	s := open(t, clusterless.Slots(4))
	by := map[float64]int{}
	for call, r := range faultOutcomes(t, faultCtx(t), besideMap(t, s, 8000, "slow", clusterless.Ref[[]float64]{})) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if call >= 3000 && call < 3100 {
			by[r.Value]++
		}
	}
	if most := slices.Max(slices.Collect(maps.Values(by))); most > 70 {
		t.Errorf("of 100 slow calls in a row one of 4 processes made %d", most)
	}
}

// A plan that is damaged under way ends the job, in place of one call after another.
func TestFaultDamagedPlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir, clusterless.Slots(2))
	ctx := faultCtx(t)
	job := besideMap(t, s, 400, "sleep", clusterless.Ref[[]float64]{}, clusterless.Name("planned"))
	failed := 0
	var last error
	damaged := false
	for call, r := range job.Completed(ctx) {
		if r.Err != nil {
			if last = r.Err; call >= 0 {
				failed++
			}
			continue
		}
		if damaged || len(faultBlobs(t, dir, "planned", "plan")) < 3 {
			continue
		}
		damaged = true
		for _, path := range faultBlobs(t, dir, "planned", "plan") {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Chmod(path, 0o600)
			if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("1"), []byte("7")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		syscall.Kill(int(r.Value), syscall.SIGKILL) // the process that takes its place reads the plan
	}
	if !damaged {
		t.Fatal("the plan had fewer than 3 records all the time")
	}
	_, err := job.Results(ctx)
	if err == nil {
		err = last
	}
	wantInError(t, err, "plan record")
	if st := job.Status(); st.Err == nil || st.Failed > 4 {
		t.Errorf("the job ended with %v, and %d calls failed one by one", st.Err, st.Failed)
	}
	t.Log(failed, err)
}

// memoryOf is the memory of v.
func memoryOf(v []float64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 8*len(v))
}
