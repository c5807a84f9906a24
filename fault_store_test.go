//go:build !windows

package clusterless_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// faultDamage changes one byte of a file.
func faultDamage(t testing.TB, path string, at int64, mask byte) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// faultBig has a large input and a large result.
var faultBig = clusterless.Define("fault.big", func(ctx context.Context, in []float64) ([]float64, error) {
	out := make([]float64, len(in))
	for i, x := range in {
		out[i] = 2*x + 1
	}
	return out, nil
})

// faultMake makes n numbers.
var faultMake = clusterless.Define("fault.make", func(_ context.Context, n int) ([]float64, error) { return faultRamp(n, 0), nil })

// faultGate waits for a file, then doubles.
type faultGated struct {
	Gate string
	X    []float64
	V    clusterless.Ref[[]float64]
}

var faultGate = clusterless.Define("fault.gate", func(ctx context.Context, in faultGated) ([]float64, error) {
	for in.Gate != "" {
		if _, err := os.Stat(in.Gate); err == nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	out := make([]float64, len(in.X))
	var v []float64
	if !in.V.IsZero() {
		var err error
		if v, err = in.V.Get(ctx); err != nil {
			return nil, err
		}
	}
	for i, x := range in.X {
		out[i] = 2 * x
		if v != nil {
			out[i] += v[i%len(v)]
		}
	}
	return out, nil
})

// faultRamp is n numbers from k.
func faultRamp(n, k int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i + k)
	}
	return x
}

// faultBlob is the file of a blob.
func faultBlob(dir, key string) string {
	parts := strings.Split(key, "/")
	for i := range parts[:len(parts)-1] {
		parts[i] += ","
	}
	return filepath.Join(append([]string{dir, "store"}, parts...)...)
}

// faultBlobs are the files of the blobs of a job below a prefix, such as "out/".
func faultBlobs(t testing.TB, dir, job, sub string) []string {
	t.Helper()
	var all []string
	root := faultBlob(dir, "jobs/"+job+"/"+sub+"/x")
	entries, err := os.ReadDir(filepath.Dir(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, filepath.Join(filepath.Dir(root), e.Name()))
	}
	return all
}

// faultHarm tries many ways to damage a file, one after another, and puts it right each time.
func faultHarm(t *testing.T, path string, f func(what string)) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		os.Chmod(path, 0o600)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer put(whole)
	n := len(whole)
	seen := map[int]bool{}
	for _, at := range []int{0, 3, 7, 9, 13, 17, 40, 70, 75, 100, 140, n / 5, n / 3, n / 2, n - n/3, n - n/5, n - 300, n - 120, n - 80, n - 60, n - 40, n - 33, n - 30, n - 24, n - 20, n - 14, n - 5, n - 1} {
		if at < 0 || at >= n || seen[at] {
			continue
		}
		seen[at] = true
		b := slices.Clone(whole)
		b[at] ^= 1
		put(b)
		f(fmt.Sprintf("byte %d of %d changed", at, n))
	}
	for _, size := range []int{0, 1, 8, 20, n / 2, n - 40, n - 1} {
		if size < 0 || size >= n || seen[-1-size] {
			continue
		}
		seen[-1-size] = true
		put(whole[:size])
		f(fmt.Sprintf("cut to %d of %d bytes", size, n))
	}
	put(append(slices.Clone(whole), "more"...))
	f("4 bytes added")
}

// A finished job whose manifest, plan or results were damaged: every result is right or an error that says what is
// damaged; none is wrong, and nothing hangs.
func TestFaultDamagedResults(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	job, err := faultBig.On(s, clusterless.Name("big"), clusterless.Span(1)).Map(ctx, [][]float64{faultRamp(100, 0), faultRamp(100_000, 1), faultRamp(2000, 2), faultRamp(10, 3), faultRamp(10, 4), faultRamp(10, 5), faultRamp(10, 6)})
	if err != nil {
		t.Fatal(err)
	}
	want, err := job.Results(ctx)
	if err != nil {
		t.Fatal(err)
	}
	small, err := square.On(s, clusterless.Name("small"), clusterless.Span(500)).Map(ctx, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	if err != nil {
		t.Fatal(err)
	}
	wantSmall, err := small.Results(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	harmed, found := 0, 0
	check := func(what string, err error, name string) {
		t.Helper()
		harmed++
		if err == nil {
			return
		}
		if found++; found > 3 && t.Failed() {
			return // it is known by now
		}
		if !errors.Is(err, clusterless.ErrDamaged) && !strings.Contains(err.Error(), "use the program that wrote it") {
			t.Errorf("%s: errors.Is(err, ErrDamaged) is false: %v", what, err)
		}
		if !strings.Contains(err.Error(), "job "+name) {
			t.Errorf("%s: the error does not name the job: %v", what, err)
		}
	}
	look := func(what string) {
		s := openIn(t, dir)
		defer s.Close()
		j, err := clusterless.Attach[[]float64](ctx, s, "big")
		if err != nil {
			check(what, err, "big")
			return
		}
		bad := error(nil)
		all := faultOutcomes(t, ctx, j)
		if len(all) != len(want) {
			t.Errorf("%s: %d calls came, want %d", what, len(all), len(want))
		}
		for call, r := range all {
			if r.Err != nil {
				bad = r.Err
			} else if call >= len(want) || !slices.Equal(r.Value, want[call]) {
				t.Errorf("%s: wrong data for call %d", what, call)
			}
		}
		check(what, bad, "big")
		v, err := j.Result(ctx, 1)
		if err == nil && !slices.Equal(v, want[1]) {
			t.Errorf("%s: wrong data for call 1 by Result", what)
		}
		if err != nil && bad == nil {
			t.Errorf("%s: Result failed where Completed did not: %v", what, err)
		}
	}
	lookSmall := func(what string) {
		s := openIn(t, dir)
		defer s.Close()
		j, err := clusterless.Attach[int](ctx, s, "small")
		if err == nil {
			var v []int
			if v, err = j.Results(ctx); err == nil && !slices.Equal(v, wantSmall) {
				t.Errorf("%s: wrong data %v", what, v)
			}
		}
		check(what, err, "small")
	}
	for _, kind := range []struct {
		name, file string
		look       func(string)
		least      float64 // part of the damages that hit something that matters
	}{
		{"manifest", faultBlob(dir, "jobs/big/manifest"), look, 0.6},
		{"manifest with inputs", faultBlob(dir, "jobs/small/manifest"), lookSmall, 0.3}, // the inputs are of no use any more
		{"large result", faultBlobs(t, dir, "big", "out")[1], look, 0.7},
		{"small result", faultBlobs(t, dir, "big", "out")[0], look, 0.7},
		{"flat results", faultBlobs(t, dir, "small", "out")[0], lookSmall, 0.7},
		{"plan record", faultBlobs(t, dir, "big", "plan")[0], look, 0.7},
	} {
		harmed, found = 0, 0
		faultHarm(t, kind.file, func(what string) { kind.look(kind.name + ": " + what) })
		if float64(found) < kind.least*float64(harmed) {
			t.Errorf("%s: only %d of %d damages were found", kind.name, found, harmed)
		}
	}
	look("all put right")
	if harmed, found = 0, 0; true {
		look("all put right")
		if found != 0 {
			t.Errorf("after all was put right there still is an error")
		}
	}

	// A blob that is gone.
	for _, kind := range []struct{ name, file string }{{"result", faultBlobs(t, dir, "big", "out")[1]}, {"plan record", faultBlobs(t, dir, "big", "plan")[0]}} {
		if err := os.Rename(kind.file, kind.file+"x"); err != nil {
			t.Fatal(err)
		}
		func() {
			s := openIn(t, dir)
			defer s.Close()
			j, err := clusterless.Attach[[]float64](ctx, s, "big")
			if err != nil {
				if !strings.Contains(err.Error(), "big") {
					t.Errorf("%s gone: %v", kind.name, err)
				}
				return
			}
			for call, r := range faultOutcomes(t, ctx, j) { // made again, or an error
				if r.Err == nil && !slices.Equal(r.Value, want[call]) {
					t.Errorf("%s gone: wrong data for call %d", kind.name, call)
				}
			}
		}()
		os.Remove(kind.file + "x")
	}
}

// Inputs and broadcast values that were damaged before their calls were made.
func TestFaultDamagedInputs(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	dir := t.TempDir()
	gate := filepath.Join(t.TempDir(), "gate")
	s := openIn(t, dir, clusterless.Backoff(time.Millisecond))
	small, err := clusterless.Broadcast(ctx, s, faultRamp(50, 7))
	if err != nil {
		t.Fatal(err)
	}
	large, err := clusterless.Broadcast(ctx, s, faultRamp(100_000, 8))
	if err != nil {
		t.Fatal(err)
	}
	ins := []faultGated{{gate, faultRamp(10, 0), clusterless.Ref[[]float64]{}}, {gate, faultRamp(10, 1), small}, {gate, faultRamp(10, 2), large},
		{gate, faultRamp(30_000, 3), small}, {gate, faultRamp(50_000, 4), large}, {gate, faultRamp(10, 5), small}}
	want := make([][]float64, len(ins))
	for i, in := range ins {
		in.Gate = ""
		if want[i], err = faultGate.Call(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	// Jobs are begun and left; each is damaged in its own way, and finished by another session.
	type harm struct {
		key string
		at  int // from the end if negative
		cut bool
	}
	harms := map[string]harm{"none": {}}
	for _, at := range []int{64, 70, 130, 250, 1000, 5000, 100_000, 300_000, 400_000, -1, -12, -30, -40, -100} {
		harms[fmt.Sprintf("in-%d", at)] = harm{key: "in/000000", at: at}
	}
	for _, at := range []int{0, 10, 100_000, 200_000, -1} {
		harms[fmt.Sprintf("incut-%d", at)] = harm{key: "in/000000", at: at, cut: true}
	}
	for i := range harms {
		if _, err := faultGate.On(s, clusterless.Name(i), clusterless.Span(1)).Map(ctx, ins); err != nil {
			t.Fatal(err)
		}
	}
	inline := []faultGated{{gate, faultRamp(10, 0), small}, {gate, faultRamp(10, 1), small}, {gate, faultRamp(10, 2), small}}
	for _, at := range []int{-20, -60, -130, -300, -400, -500, -600, -700, -800} {
		name := fmt.Sprintf("inline%d", at)
		harms[name] = harm{key: "manifest", at: at}
		if _, err := faultGate.On(s, clusterless.Name(name), clusterless.Span(1)).Map(ctx, inline); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, h := range harms {
		if h.key == "" {
			continue
		}
		file := faultBlob(dir, "jobs/"+name+"/"+h.key)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(h.at)
		if at < 0 {
			at += info.Size()
		}
		if at < 0 || at > info.Size() {
			t.Fatalf("%s: %d of %d", name, at, info.Size())
		}
		if h.cut {
			os.Chmod(file, 0o600)
			if err := os.Truncate(file, at); err != nil {
				t.Fatal(err)
			}
		} else {
			faultDamage(t, file, at, 0x10)
		}
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir, clusterless.Backoff(time.Millisecond))
	found := 0
	for name := range harms {
		var bad error
		job, err := clusterless.Attach[[]float64](ctx, s, name)
		if err != nil {
			bad = err
		} else {
			for call, r := range faultOutcomes(t, ctx, job) {
				if r.Err != nil {
					bad = r.Err
				} else if !slices.Equal(r.Value, want[call]) && !(strings.HasPrefix(name, "inline") && faultSum(r.Value) == faultSum(inlineWant(ctx, inline[call]))) {
					t.Errorf("%s: wrong data for call %d", name, call)
				}
			}
		}
		if bad == nil {
			continue
		}
		found++
		if name == "none" {
			t.Errorf("%s: %v", name, bad)
			continue
		}
		if !errors.Is(bad, clusterless.ErrDamaged) && found < 4 {
			t.Errorf("%s: errors.Is(err, ErrDamaged) is false: %v", name, bad)
		}
		wantInError(t, bad, "job "+name)
		if !strings.Contains(bad.Error(), "input") && !strings.Contains(bad.Error(), "manifest") {
			t.Errorf("%s: the error does not say that it is an input: %v", name, bad)
		}
	}
	if found < len(harms)/2 {
		t.Errorf("only %d of %d damages were found", found, len(harms))
	}

	// Broadcast values.
	values, _ := filepath.Glob(filepath.Join(dir, "store", "values,", "*"))
	if len(values) != 2 {
		t.Fatalf("%d values in the store", len(values))
	}
	for _, file := range values {
		info, _ := os.Stat(file)
		which, ref := "small", small
		if info.Size() > 10_000 {
			which, ref = "large", large
		}
		harmed, found := 0, 0
		faultHarm(t, file, func(what string) {
			harmed++
			what = which + " broadcast value: " + what
			in := faultGated{X: faultRamp(3, 0), V: ref}
			v, err := faultGate.On(s).Call(ctx, in)
			_, cerr := clusterless.Bind(s, ref).Get(ctx)
			if err == nil {
				t.Errorf("%s: the call did not notice, and returned %v", what, v)
			} else {
				found++
				taskErr(t, err, 0, clusterless.ErrDamaged)
				wantInError(t, err, filepath.Base(file)[:12])
			}
			if cerr == nil && !strings.HasSuffix(what, "added") {
				t.Errorf("%s: Get on the client did not notice", what)
			} else if cerr != nil && !errors.Is(cerr, clusterless.ErrDamaged) {
				t.Errorf("%s: Get on the client: errors.Is(err, ErrDamaged) is false: %v", what, cerr)
			}
		})
		// One that is gone.
		if err := os.Rename(file, file+"x"); err != nil {
			t.Fatal(err)
		}
		_, err := faultGate.On(s).Call(ctx, faultGated{X: faultRamp(3, 0), V: ref})
		taskErr(t, err, 0, nil)
		wantInError(t, err, filepath.Base(file)[:12], "no longer in the store", "broadcast it again")
		if err := os.Rename(file+"x", file); err != nil {
			t.Fatal(err)
		}
		if v, err := faultGate.On(s).Call(ctx, faultGated{X: []float64{1}, V: ref}); err != nil || len(v) != 1 || v[0] != 2+float64(map[string]int{"small": 7, "large": 8}[which]) {
			t.Errorf("with the value back: %v, %v", v, err)
		}
	}
}

func inlineWant(ctx context.Context, in faultGated) []float64 {
	in.Gate = ""
	v, _ := faultGate.Call(ctx, in)
	return v
}

func faultSum(x []float64) (s float64) {
	for i, v := range x {
		s += v * float64(i+1)
	}
	return s
}

// The store is deleted while calls run: every call ends, with the right result or an error.
func TestFaultStoreDeleted(t *testing.T) {
	for _, what := range []string{"store", "engine", ""} {
		t.Run("dir "+what, func(t *testing.T) {
			t.Parallel()
			ctx := faultCtx(t)
			dir := t.TempDir()
			s, err := clusterless.Open(ctx, clusterless.Dir(dir), clusterless.Slots(2), clusterless.Backoff(time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			job, err := faultCount.On(s).Map(ctx, faultIns(60, func(in *faultIn) { in.Sleep = 20 * time.Millisecond }))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := job.Result(ctx, 3); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, what)); err != nil && what != "" {
				t.Logf("remove: %v", err)
			}
			all := faultOutcomes(t, ctx, job)
			failed := 0
			for call, r := range all {
				if r.Err != nil {
					failed++
				} else if r.Value != 3*call+1 {
					t.Errorf("call %d returned %d, want %d", call, r.Value, 3*call+1)
				}
			}
			if len(all) != 60 {
				t.Errorf("%d calls ended, want 60", len(all))
			}
			if what == "engine" && failed > 0 {
				t.Errorf("%d calls failed, though the store was there; one of them: %v", failed, job.Status().Err)
			}
			if what != "engine" && failed == 0 {
				t.Error("no call failed, though the store was gone")
			}
			if what != "engine" {
				_, err := job.Results(ctx)
				wantInError(t, err, job.Name())
				if !strings.Contains(err.Error(), "no such file") && !strings.Contains(err.Error(), "not exist") && !strings.Contains(err.Error(), "is gone") {
					t.Errorf("the error does not say that something is not there: %v", err)
				}
			}
			s.Close() // may complain, must not hang
			if left := workersOf(dir); len(left) != 0 {
				t.Errorf("workers %v are left", left)
			}
		})
	}
}

// A directory that cannot be a store.
func TestFaultDirectory(t *testing.T) {
	t.Parallel()
	ctx := faultCtx(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		s, err := clusterless.Open(ctx, clusterless.Dir(dir))
		if err == nil {
			s.Close()
			t.Errorf("Open in %s: no error", dir)
		}
		wantInError(t, err, "clusterless: open", dir, "CLUSTERLESS_DIR", "Dir")
	}
}
