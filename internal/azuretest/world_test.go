//go:build linux

package azuretest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// The test binary is the program: nodes run it as a worker, and tests run it as a client that they kill.
func TestMain(m *testing.M) {
	clusterless.Init()
	if args := os.Args; len(args) > 2 && args[1] == clientArg {
		os.Exit(client(args[2:]))
	}
	dir, err := os.MkdirTemp("", "azuretest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server, stop, err := azurite.Run(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	storage = server
	code := m.Run()
	stop()
	os.RemoveAll(dir)
	os.Exit(code)
}

// storage is the account of storage that all tests use, so that the program is put there once.
var storage *azurite.Server

// A world is an Azure: an account of Batch with a pool "p", and a container of an account of storage.
type world struct {
	batch   *emulator.Server
	sdk     *sdk.Client
	storage *azurite.Server
	store   *blobstore.Store // opened with the account's key
	dir     string           // that tasks can use, which are other users where the emulator is root
}

func newWorld(t *testing.T, o emulator.Options) *world {
	t.Helper()
	if o.AllocationTime == 0 {
		o.AllocationTime, o.BootTime = -1, -1
	}
	w := &world{storage: storage}
	var err error
	if w.batch, err = emulator.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.batch.Close(); err != nil {
			t.Errorf("close the emulator: %v", err)
		}
	})
	if w.sdk, err = sdk.NewClient(w.batch.URL(), w.batch.Credential(), w.batch.ClientOptions()); err != nil {
		t.Fatal(err)
	}
	w.store = container(t, storage, "jobs")
	if w.dir, err = os.MkdirTemp("", "azuretest-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(w.dir) })
	if err := os.Chmod(w.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return w
}

// container makes one, opened with the account's key.
func container(t *testing.T, server *azurite.Server, name string) *blobstore.Store {
	t.Helper()
	s, err := blobstore.Open("azblob"+strings.TrimPrefix(server.Endpoint, "http")+"/"+name+"?protocol=http", blobstore.WithKey(server.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// pool makes a pool.
func (w *world) pool(t *testing.T, id string, dedicated, spot, slots int32) {
	t.Helper()
	if _, err := w.sdk.CreatePool(t.Context(), sdk.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr("Standard_D4s_v3"),
		TargetDedicatedNodes: to.Ptr(dedicated), TargetLowPriorityNodes: to.Ptr(spot), TaskSlotsPerNode: to.Ptr(slots),
		VirtualMachineConfiguration: &sdk.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
			ImageReference: &sdk.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server")}}}, nil); err != nil {
		t.Fatal(err)
	}
}

func (w *world) config() azbatch.Config {
	return azbatch.Config{Endpoint: w.batch.URL(), Credential: w.batch.Credential(), Poll: 100 * time.Millisecond, Placement: azbatch.Placement{Pool: "p"}}
}

// session opens a session on the pool "p".
func (w *world) session(t *testing.T, s store.Store, config azbatch.Config, opts ...clusterless.Option) *clusterless.Session {
	t.Helper()
	e, err := azbatch.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	session, err := clusterless.Open(t.Context(), append([]clusterless.Option{clusterless.WithEngine(e), clusterless.WithStore(s), clusterless.Backoff(10 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s", what)
		}
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *safeBuffer) logger() clusterless.Option {
	return clusterless.Logger(slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// A step is one call of the tests' job: it waits, and leaves a file with a name of its own each time it is made.
type step struct {
	Dir   string
	N     int
	Sleep time.Duration
	Until string // a file in Dir that it waits for
}

var square = clusterless.Define("azuretest.square", func(ctx context.Context, s step) (int, error) {
	f, err := os.CreateTemp(s.Dir, fmt.Sprintf("made-%d-", s.N))
	if err != nil {
		return 0, err
	}
	f.Close()
	time.Sleep(s.Sleep)
	for s.Until != "" {
		if _, err := os.Stat(filepath.Join(s.Dir, s.Until)); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.N * s.N, nil
})

func (w *world) steps(n int, change func(*step)) (all []step) {
	for i := range n {
		s := step{Dir: w.dir, N: i}
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	return all
}

// allRight checks the results of a job of steps.
func allRight(t *testing.T, got []int, err error, n int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("%d results, want %d", len(got), n)
	}
	for i, v := range got {
		if v != i*i {
			t.Errorf("result %d is %d, want %d", i, v, i*i)
		}
	}
}

// made is how many calls were begun.
func (w *world) made(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "made-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// let lets calls go on that wait for a file.
func (w *world) let(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, file), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
