//go:build linux

package azuretest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// Both services throttle, answer with errors, drop connections and are slow, the storage for the workers and the nodes too.
func TestServicesFail(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 2, 0, 2)
	endpoint := must(url.Parse(w.storage.Endpoint))(t)
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "azurite", "127.0.0.1:0", endpoint.Host)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer proxy.Stop()
	bad := must(blobstore.Open(strings.Replace(w.store.URL(), endpoint.Host, proxy.Listen, 1), blobstore.WithKey(w.storage.Key)))(t)
	for _, rule := range []string{
		`{"status": 503, "rate": 0.05}`,
		`{"status": 429, "rate": 0.05, "retryAfter": 1}`,
		`{"drop": "after", "rate": 0.05}`,
		`{"drop": "before", "rate": 0.05}`,
		`{"operation": "Task_List", "drop": "midway", "rate": 0.1}`,
		`{"delay": "300ms", "rate": 0.2}`,
	} {
		defer must(w.batch.Fail(rule))(t)()
	}
	done := make(chan struct{})
	var weather sync.WaitGroup
	weather.Go(func() {
		for i := 0; ; i++ {
			kind := [][3]string{
				{"downstream", "reset_peer", `"timeout": 20`},
				{"upstream", "reset_peer", `"timeout": 20`},
				{"downstream", "latency", `"latency": 400, "jitter": 200`},
				{"downstream", "limit_data", `"bytes": 20000`},
				{"upstream", "timeout", `"timeout": 50`},
			}[i%5]
			name := fmt.Sprint(i)
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name": %q, "stream": %q, "type": %q, "attributes": {%s}}`, name, kind[0], kind[1], kind[2]))); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(100 * time.Millisecond)
			if err := proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(400 * time.Millisecond):
			}
		}
	})
	s := w.session(t, store.Retry(bad, store.Policy{}), w.config())
	job, err := square.On(s, clusterless.Span(3)).Map(t.Context(), w.steps(30, func(s *step) { s.Sleep = 50 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	all, err := job.Results(t.Context())
	close(done)
	weather.Wait()
	allRight(t, all, err, 30)
	t.Logf("%d calls were begun for 30 results", w.made(t))
}

// Nodes are preempted while they run calls, again and again: finished calls are not made again, the others are.
func TestNodesPreempted(t *testing.T) {
	w := newWorld(t, emulator.Options{PreemptedTime: 200 * time.Millisecond})
	w.pool(t, "p", 0, 3, 1)
	s := w.session(t, w.store, w.config())
	const n = 24
	job := must(square.On(s, clusterless.Span(4)).Map(t.Context(), w.steps(n, func(s *step) { s.Sleep = 300 * time.Millisecond })))(t)
	taken := 0
	for taken < 4 && !job.Status().Over {
		var running []string
		for pages := w.sdk.NewListNodesPager("p", &sdk.ListNodesOptions{Filter: to.Ptr("state eq 'running'")}); pages.More(); {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, node := range page.Value {
				running = append(running, *node.ID)
			}
		}
		if len(running) > 0 && w.batch.Preempt(t.Context(), "p", running[taken%len(running)]) == nil {
			taken++
		}
		time.Sleep(400 * time.Millisecond)
	}
	all, err := job.Results(t.Context())
	allRight(t, all, err, n)
	if taken == 0 {
		t.Error("no node was preempted")
	}
	if made := w.made(t); made > n+taken {
		t.Errorf("%d calls were begun for %d results, though only %d nodes were lost", made, n, taken)
	}
}

// clientArg makes the test binary a client: clientArg make|attach JOB DIR N.
const clientArg = "azuretest-client"

// client is a program as a user would write it; where its services are stands in the environment.
func client(args []string) int {
	err := func() error {
		ctx := context.Background()
		s, err := clusterless.Open(ctx, clusterless.Backoff(10*time.Millisecond))
		if err != nil {
			return err
		}
		defer s.Close()
		name, dir := args[1], args[2]
		var n int
		if _, err := fmt.Sscan(args[3], &n); err != nil {
			return err
		}
		w := &world{dir: dir}
		steps := w.steps(n, func(s *step) { s.Sleep = 30 * time.Millisecond })
		job, err := square.On(s, clusterless.Name(name), clusterless.OrAttach(true), clusterless.Span(5)).Map(ctx, steps)
		if err != nil {
			return err
		}
		all, err := job.Results(ctx)
		if err != nil {
			return err
		}
		fmt.Println(all)
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A client is killed at any moment; the next one has an empty directory, and goes on where it finds the job. Everything is there
// in the end, and no call was made again that had been committed.
func TestClientKilled(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 2, 0, 2)
	exe := must(os.Executable())(t)
	const n = 100
	run := func(life time.Duration) (out string, killed bool) {
		cmd := exec.Command(exe, clientArg, "make", "killed", w.dir, fmt.Sprint(n))
		var stdout, stderr safeBuffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), w.batch.Environ()...)
		cmd.Env = append(cmd.Env, "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_STORE="+w.store.URL(), "AZURE_STORAGE_ACCOUNT="+w.storage.Account, "AZURE_STORAGE_KEY="+w.storage.Key,
			"CLUSTERLESS_ENGINE=azbatch"+strings.TrimPrefix(w.batch.URL(), "http")+"?http=true&poll=100ms&pool=p")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if life > 0 {
			timer := time.AfterFunc(life, func() { cmd.Process.Signal(syscall.SIGKILL) })
			defer timer.Stop()
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
			return "", true
		}
		if err != nil {
			t.Fatalf("a client: %v: %s", err, stderr.String())
		}
		return stdout.String(), false
	}
	kills := 0
	out := ""
	for life := 100 * time.Millisecond; ; life *= 2 {
		var b [1]byte
		rand.Read(b[:])
		var killed bool
		if out, killed = run(life + time.Duration(b[0])*time.Millisecond); !killed {
			break
		}
		kills++
	}
	t.Logf("%d clients were killed; %d calls were begun for %d results", kills, w.made(t), n)
	var want []int
	for i := range n {
		want = append(want, i*i)
	}
	if strings.TrimSpace(out) != fmt.Sprint(want) {
		t.Errorf("the last client has %.200s", out)
	}
	if again, _ := run(0); again != out {
		t.Errorf("one that comes later has %.200s", again)
	}
	if kills == 0 {
		t.Error("no client was killed")
	}
	if made := w.made(t); made > n+4*kills {
		t.Errorf("%d calls were begun for %d results", made, n)
	}
}

// A job outlives the token that its workers have for the container: the error says so, and what to do.
func TestTokenExpires(t *testing.T) {
	w := newWorld(t, emulator.Options{Speed: 0.05}) // so the service does not end the job for its age before
	w.pool(t, "p", 1, 0, 1)
	config := w.config()
	config.Lifetime = 10 * time.Second
	s := w.session(t, w.store, config, clusterless.Retries(0))
	job := must(square.On(s).Map(t.Context(), w.steps(1, func(s *step) { s.Until = "late" })))(t)
	began := time.Now() // the token is older
	until(t, "the call was begun", func() bool { return w.made(t) == 1 })
	time.Sleep(time.Until(began.Add(config.Lifetime + 3*time.Second)))
	w.let(t, "late")
	_, err := job.Results(t.Context())
	if err == nil || !strings.Contains(err.Error(), "expired at") || !strings.Contains(err.Error(), "lifetime") || strings.Contains(err.Error(), "sig=") {
		t.Errorf("a job that outlives its token: %v", err)
	}
}

// Somebody deletes the container while calls run.
func TestContainerDeleted(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 1, 0, 2)
	w.store = container(t, storage, "doomed")
	s := w.session(t, w.store, w.config())
	job := must(square.On(s, clusterless.Span(1)).Map(t.Context(), w.steps(4, func(s *step) { s.Until = "deleted" })))(t)
	until(t, "calls were begun", func() bool { return w.made(t) >= 2 })
	if err := w.store.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.let(t, "deleted")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := job.Results(ctx)
	if ctx.Err() != nil || !errors.Is(err, blobstore.ErrNoContainer) || !strings.Contains(err.Error(), "somebody deleted it") {
		t.Errorf("a job whose container was deleted: %v", err)
	}
}
