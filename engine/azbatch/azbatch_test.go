//go:build linux

package azbatch_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// account is an emulator with a client of its own.
type account struct {
	*emulator.Server
	client *sdk.Client
}

func start(t testing.TB, o emulator.Options) account {
	t.Helper()
	if o.AllocationTime == 0 {
		o.AllocationTime, o.BootTime = -1, -1
	}
	s, err := emulator.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the emulator: %v", err)
		}
	})
	client, err := sdk.NewClient(s.URL(), s.Credential(), s.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	return account{s, client}
}

// pool makes a pool with the service's own means.
func (a account) pool(t testing.TB, id string, nodes, slots int32, change ...func(*sdk.CreatePoolContent)) {
	t.Helper()
	c := sdk.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr("Standard_D4s_v3"), TargetDedicatedNodes: to.Ptr(nodes), TaskSlotsPerNode: to.Ptr(slots),
		VirtualMachineConfiguration: &sdk.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
			ImageReference: &sdk.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server")}}}
	for _, f := range change {
		f(&c)
	}
	if _, err := a.client.CreatePool(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
}

func (a account) open(t testing.TB, change ...func(*azbatch.Config)) *azbatch.Engine {
	t.Helper()
	c := azbatch.Config{Endpoint: a.URL(), Credential: a.Credential(), Poll: 100 * time.Millisecond, Retries: -1, Placement: azbatch.Placement{Pool: "p"}}
	for _, f := range change {
		f(&c)
	}
	e, err := azbatch.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// shared is a directory that tasks can use, which on nodes of an emulator that root runs are other users.
func shared(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "azbatch-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// helper is the helper program where tasks can run it.
func helper(t testing.TB) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(shared(t), "helper")
	to, err := os.OpenFile(path+".exe", os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	// Tasks do not inherit GORACE from here; without it each takes a second to exit under the race detector.
	script := "#!/bin/sh\nGORACE=\"atexit_sleep_ms=0\" exec " + path + ".exe \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEngine(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 8) // one node, since each has a user of its own, and they share files
	enginetest.Run(t, enginetest.Options{Many: 100, Program: helper(t), Dir: shared, Open: func(t testing.TB) engine.Engine { return a.open(t) }})
}

func job(id string, n int, command ...string) engine.Job {
	return engine.Job{ID: id, Command: command, Runs: enginetest.Runs(n)}
}

func submit(t testing.TB, e engine.Engine, j engine.Job) {
	t.Helper()
	if err := e.Submit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}
