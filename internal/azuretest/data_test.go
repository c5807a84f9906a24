//go:build linux

package azuretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
)

// say prints, and crashes when it is told to.
var say = clusterless.Define("azuretest.say", func(_ context.Context, text string) (int, error) {
	if text != "" {
		fmt.Println("this is", text)
	}
	if text == "crash" {
		os.Exit(3)
	}
	return len(text), nil
})

// What runs wrote can be read when all nodes have gone, and its end is in the errors.
func TestLogsOutliveNodes(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 1, 0, 2)
	s := w.session(t, w.store, w.config(), clusterless.Retries(1))
	job := must(say.On(s, clusterless.Name("say"), clusterless.Span(1)).Map(t.Context(), []string{"one", "two", "", "crash"}))(t)
	if failed, err := job.Wait(t.Context()); err != nil || len(failed) != 1 || failed[0] != 3 {
		t.Fatalf("failed calls: %v, %v", failed, err)
	}
	var crashed *clusterless.TaskError
	if _, err := job.Result(t.Context(), 3); !errors.As(err, &crashed) || !strings.Contains(crashed.Log, "this is crash") {
		t.Errorf("the call that crashed: %+v", crashed)
	}
	if _, err := w.sdk.ResizePool(t.Context(), "p", sdk.ResizePoolContent{TargetDedicatedNodes: to.Ptr[int32](0)}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "all nodes have gone", func() bool {
		p, err := w.sdk.GetPool(t.Context(), "p", nil)
		return err == nil && *p.CurrentDedicatedNodes == 0
	})
	later := must(w.session(t, w.store, w.config()).Look(t.Context(), "say"))(t)
	for call, want := range []string{"this is one\n", "this is two\n", "", "this is crash\n"} {
		r, err := later.Log(t.Context(), call, false)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("log of a call that wrote nothing, after its node has gone: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("log of call %d: %v", call, err)
			continue
		}
		text := string(must(io.ReadAll(r))(t))
		r.Close()
		if !strings.Contains(text, want) {
			t.Errorf("log of call %d: %q, want %q", call, text, want)
		}
	}
	if err := later.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	for info, err := range w.store.List(t.Context(), "jobs/say/") {
		t.Errorf("left in the store: %s, %v", info.Key, err)
	}
}

var numbers = clusterless.Define("azuretest.numbers", func(_ context.Context, n int) ([]float64, error) {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i)
	}
	return x, nil
})

// A result moves from one account's store to another's, from there to files, and back.
func TestCopyBetweenAccounts(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 1, 0, 1)
	here := w.session(t, w.store, w.config())
	there := w.session(t, container(t, azurite.Start(t), "far"), w.config())
	beside := w.session(t, container(t, w.storage, "beside"), w.config())
	files, err := clusterless.Open(t.Context(), clusterless.Engine("local:"), clusterless.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	const n = 8 << 20 // 64 MB
	fut := must(numbers.On(here).Go(t.Context(), n))(t)
	if _, err := fut.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref := fut.Ref()
	for _, to := range []struct {
		name string
		s    *clusterless.Session
	}{{"another account", there}, {"files", files}, {"the first account", here}, {"another container of it", beside}, {"the other account once more", there}} {
		before := peak(t)
		var err error
		if ref, err = ref.CopyTo(t.Context(), to.s); err != nil {
			t.Fatalf("to %s: %v", to.name, err)
		}
		if grown := peak(t) - before; grown > 48<<20 {
			t.Errorf("to %s: memory grew by %d MB for a value of 64 MB", to.name, grown>>20)
		}
	}
	if x := must(ref.Get(t.Context()))(t); len(x) != n || x[n-1] != n-1 {
		t.Errorf("%d numbers", len(x))
	}
}

// peak is the most memory that the process has had since the last call.
func peak(t *testing.T) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(string(must(os.ReadFile("/proc/self/status"))(t)), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
