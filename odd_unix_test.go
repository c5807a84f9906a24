//go:build !windows

package clusterless_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// A worker whose store takes nothing while a call runs ends with that call: it takes no other task beside it.
func TestStoreFailsUnderCall(t *testing.T) {
	t.Parallel()
	ctx, dir := within(t), t.TempDir()
	s := openIn(t, dir, clusterless.Backoff(time.Millisecond), clusterless.Slots(1))
	file := filepath.Join(t.TempDir(), "runs")
	ins := faultIns(2, func(in *faultIn) { in.File, in.Sleep = file, time.Duration(in.I)*3*time.Second })
	job := must(faultCount.On(s, clusterless.Name("broken"), clusterless.Span(2)).Map(ctx, ins))(t)
	faultEventually(t, "the second call runs", func() bool { return len(runsIn(t, file)) == 2 })
	tmp := filepath.Join(dir, "store", ",tmp") // without it nothing can be put
	if err := os.Rename(tmp, tmp+"-away"); err != nil {
		t.Fatal(err)
	}
	touch(t, tmp)
	if _, err := job.Results(ctx); err == nil {
		t.Fatal("results were stored where nothing can be")
	}
	busy := map[int]bool{}
	for _, r := range runsIn(t, file) {
		if busy[r.pid] {
			t.Errorf("process %d made call %d while another still ran in it", r.pid, r.call)
		}
		busy[r.pid] = busy[r.pid] || r.call == 1
	}
	if len(busy) == 0 {
		t.Error("nothing was run")
	}
}

// A name that could not be kept as it is, is refused.
func TestIncludeNameNotUTF8(t *testing.T) {
	t.Parallel()
	ctx, s, dir := within(t), open(t), filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a\xff"), []byte("x"), 0o600); err != nil {
		t.Skip("a file system of UTF-8 names only: ", err)
	}
	wantErr(t, s.Include(ctx, dir), nil, "is not UTF-8")
}

// oddScribble writes to what is the control socket.
var oddScribble = clusterless.Define("odd.scribble", func(_ context.Context, in faultIn) (int, error) {
	noteRun(context.Background(), in)
	syscall.Write(3, bytes.Repeat([]byte("x"), in.Bytes))
	syscall.Write(3, []byte("\n"))
	time.Sleep(time.Minute)
	return 0, nil
})

// What a call writes to the control socket is the failure of that call, and is not tried again.
func TestControlSocketScribbled(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), open(t)
	for _, n := range []int{1, 3 << 20} {
		file := filepath.Join(t.TempDir(), "runs")
		_, err := oddScribble.On(s).Call(ctx, faultIn{File: file, Bytes: n})
		taskErr(t, err, 0, clusterless.ErrCrashed)
		wantInError(t, err, "wrote to the socket by which clusterless controls it")
		if runs := runsIn(t, file); len(runs) != 1 || strings.Contains(err.Error(), "exit code") {
			t.Errorf("%d bytes: made %d times, want once: %v", n, len(runs), err)
		}
	}
}
