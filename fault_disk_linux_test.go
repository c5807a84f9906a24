package clusterless_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterless-go/clusterless"
)

// smallDisk mounts a disk of some MB.
func smallDisk(t *testing.T, mb int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(mb)+"m"); err != nil {
		t.Skipf("mounting a small disk needs root: %v", err)
	}
	t.Cleanup(func() {
		for range 100 {
			if err := unix.Unmount(dir, 0); err == nil || errors.Is(err, unix.EINVAL) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("the small disk is still in use")
		unix.Unmount(dir, unix.MNT_DETACH)
	})
	return dir
}

// A result that does not fit on the disk fails its call, and no other; the disk is as empty afterwards as before.
func TestFaultResultTooLarge(t *testing.T) {
	t.Parallel()
	for _, span := range []int{1, 4} {
		t.Run(strconv.Itoa(span), func(t *testing.T) {
			ctx := faultCtx(t)
			dir := smallDisk(t, 16)
			s := openIn(t, dir)
			job, err := faultMake.On(s, clusterless.Backoff(time.Millisecond), clusterless.Span(span)).Map(ctx, []int{10, 20, 4 << 20, 30, 40, 50, 60, 70})
			if err != nil {
				t.Fatal(err)
			}
			all := faultOutcomes(t, ctx, job)
			for call, n := range []int{10, 20, 0, 30, 40, 50, 60, 70} {
				r := all[call]
				if call == 2 {
					wantInError(t, r.Err, "call 2 ", "no space left on device")
					continue
				}
				if r.Err != nil || !slices.Equal(r.Value, faultRamp(n, 0)) {
					t.Errorf("call %d: %d numbers, %v; want %d", call, len(r.Value), r.Err, n)
				}
			}
			filepath.WalkDir(filepath.Join(dir, "store", ",tmp"), func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					t.Errorf("a half-written blob is left: %s", path)
				}
				return nil
			})
			if v, err := faultMake.On(s).Call(ctx, 1<<20); err != nil || len(v) != 1<<20 {
				t.Errorf("afterwards a result of 8 MB: %d numbers, %v", len(v), err)
			}
		})
	}
}

// A disk that is full at submit, and one that fills up while calls run. What was stored is not lost, and when there
// is room again, all goes on.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := smallDisk(t, 32)
	s := openIn(t, dir, clusterless.Backoff(time.Millisecond))
	ballast := filepath.Join(dir, "ballast")
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for size := 1 << 20; size > 0; {
			n, err := f.Write(make([]byte, size))
			if err != nil || n < size {
				size /= 2
			}
		}
	}
	done, err := faultMake.On(s, clusterless.Name("done")).Map(ctx, []int{1000, 2000, 3000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := done.Results(ctx); err != nil {
		t.Fatal(err)
	}

	// A named job keeps the program, in the background, and one that found no room would give some back below.
	faultEventually(t, "the program to be stored", func() bool {
		kept, _ := filepath.Glob(filepath.Join(dir, "store", "programs,", "*"))
		return len(kept) == 1
	})
	fill()
	_, err = faultBig.On(s).Map(ctx, [][]float64{faultRamp(100_000, 0)})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("submit to a full disk: got %v, want ENOSPC", err)
	}
	_, err = faultBig.On(s, clusterless.Name("again")).Map(ctx, [][]float64{faultRamp(10, 0)})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("small submit to a full disk: got %v, want ENOSPC", err)
	}
	if _, err := clusterless.Broadcast(ctx, s, faultRamp(100_000, 0)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("broadcast to a full disk: got %v, want ENOSPC", err)
	}
	if v, err := done.Results(ctx); err != nil || len(v) != 3 || !slices.Equal(v[2], faultRamp(3000, 0)) {
		t.Errorf("results that were there: %v", err)
	}
	os.Remove(ballast)

	// A job begins, the disk fills up, calls end without room for their results.
	gate := filepath.Join(t.TempDir(), "gate")
	var ins []faultGated
	for i := range 12 {
		in := faultGated{X: faultRamp(20_000, i)}
		if i >= 4 {
			in.Gate = gate
		}
		ins = append(ins, in)
	}
	job, err := faultGate.On(s, clusterless.Name("again"), clusterless.Span(1)).Map(ctx, ins)
	if err != nil {
		t.Fatalf("the name of a submit that failed is taken: %v", err)
	}
	for i := range 4 {
		if _, err := job.Result(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	failed := 0
	for i := range ins {
		r, want := all[i], 2*float64(i)
		switch {
		case r.Err != nil:
			if failed++; i < 4 {
				t.Errorf("call %d was lost: %v", i, r.Err)
			}
			if !strings.Contains(r.Err.Error(), "no space left on device") {
				t.Errorf("call %d: the error does not name the cause: %v", i, r.Err)
			}
		case len(r.Value) != 20_000 || r.Value[0] != want:
			t.Errorf("call %d: wrong result", i)
		}
	}
	if failed == 0 {
		t.Error("no call failed on a full disk")
	}
	os.Remove(ballast)
	check := func(job *clusterless.Job[[]float64], when string) {
		t.Helper()
		v, err := job.Results(ctx)
		if err != nil || len(v) != 12 {
			t.Fatalf("%s: %d results, %v", when, len(v), err)
		}
		for i := range v {
			if want := faultRamp(20_000, i); !slices.Equal(v[i], doubled(want)) {
				t.Errorf("%s: wrong result of call %d", when, i)
			}
		}
	}
	if n, err := job.Retry(ctx); err != nil || n != failed {
		t.Errorf("Retry makes %d calls again, %v; want %d", n, err, failed)
	}
	check(job, "after Retry")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if job, err = clusterless.Attach[[]float64](ctx, s, "again"); err != nil {
		t.Fatal(err)
	}
	check(job, "attached")
}

// A store that turns read-only: at the start, and while calls run.
func TestFaultNotWritable(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := smallDisk(t, 32)
	s := openIn(t, dir, clusterless.Backoff(time.Millisecond))
	gate := filepath.Join(t.TempDir(), "gate")
	job, err := faultGate.On(s, clusterless.Name("job"), clusterless.Span(1)).Map(ctx, []faultGated{{X: faultRamp(5, 0)}, {X: faultRamp(5, 1), Gate: gate}, {X: faultRamp(5, 2), Gate: gate}, {X: faultRamp(5, 3), Gate: gate}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Result(ctx, 0); err != nil {
		t.Fatal(err)
	}
	st := filepath.Join(dir, "store")
	if err := unix.Mount(st, st, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(st, unix.MNT_DETACH)
	if err := unix.Mount("", st, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := faultOutcomes(t, ctx, job)
	if r := all[0]; r.Err != nil || !slices.Equal(r.Value, []float64{0, 2, 4, 6, 8}) {
		t.Errorf("call 0: %v, %v", r.Value, r.Err)
	}
	for i := 1; i < 4; i++ {
		if all[i].Err == nil {
			t.Errorf("call %d: no error", i)
			continue
		}
		wantInError(t, all[i].Err, "job job", "read-only file system")
	}
	_, err = faultCount.On(s).Call(ctx, faultIn{})
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("submit: got %v, want EROFS", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}

	// Attached while it is read-only: an error, not a hang; nothing is lost.
	s = openIn(t, dir, clusterless.Backoff(time.Millisecond))
	if job, err = clusterless.Attach[[]float64](ctx, s, "job"); err == nil {
		_, err = job.Results(ctx)
	}
	wantInError(t, err, "job", "read-only file system")
	s.Close()
	if err := unix.Unmount(st, 0); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if job, err = clusterless.Attach[[]float64](ctx, s, "job"); err != nil {
		t.Fatal(err)
	}
	v, err := job.Results(ctx)
	if err != nil || len(v) != 4 || v[3][4] != 14 {
		t.Errorf("writable again: %v, %v", v, err)
	}
	s.Close()

	// The whole directory.
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s, err = clusterless.Open(ctx, clusterless.Dir(dir))
	if err == nil {
		s.Close()
		t.Fatal("Open in a read-only directory: no error")
	}
	wantInError(t, err, dir, "read-only file system")
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v, want EROFS", err)
	}
}

func doubled(x []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = 2 * x[i]
	}
	return out
}
