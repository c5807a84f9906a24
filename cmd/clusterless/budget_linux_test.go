package main

import (
	"errors"
	"math"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// onEmulator is an engine on a pool of an emulator, with a credential of its own: azidentity would remember that of another emulator
// of this process.
func onEmulator(t *testing.T, batch *emulator.Server, change func(*azbatch.Config)) *azbatch.Engine {
	t.Helper()
	c := azbatch.Config{Endpoint: batch.URL(), Credential: batch.Credential(), Poll: 100 * time.Millisecond, Placement: azbatch.Placement{Pool: "p"},
		Make: azbatch.PoolSpec{VMSize: "Standard_D4s_v5", Nodes: 1, Lease: -1}}
	change(&c)
	e, err := azbatch.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// A job that has cost its budget is stopped, and says so to everybody. An hour of the account is a second.
func TestBudget(t *testing.T) {
	const budget, perHour = 0.5, 0.23 // of a node Standard_D4s_v5 in West Europe
	storage := azurite.Start(t)
	store := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/jobs?protocol=http"
	b, err := blobstore.Open(store, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), emulator.Options{Speed: 3600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	for _, v := range append(batch.Environ(), "AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key, "XDG_CACHE_HOME="+t.TempDir(), "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_STORE="+store) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	var mu sync.Mutex
	var most clusterless.Cost
	open := func(region string) *clusterless.Session {
		t.Helper()
		e := onEmulator(t, batch, func(c *azbatch.Config) { c.Region = region })
		s, err := clusterless.Open(t.Context(), clusterless.WithEngine(e), clusterless.Observe(func(st clusterless.JobStatus) {
			mu.Lock()
			defer mu.Unlock()
			if st.Cost.Spent > most.Spent {
				most = st.Cost
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := open("westeurope")
	if c, err := s.Estimate(t.Context(), 10, 0, 8*time.Hour); err != nil || math.Abs(c.Spent-80*perHour) > 1e-9 {
		t.Errorf("estimate: %+v, %v", c, err)
	}
	job, err := nap.On(s, clusterless.Name("dear"), clusterless.Budget(budget)).Map(t.Context(), []time.Duration{time.Hour, time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	check := func(who string, err error) {
		t.Helper()
		if !errors.Is(err, clusterless.ErrBudget) || !errors.Is(err, clusterless.ErrCancelled) || !strings.Contains(err.Error(), "USD of 0.5 USD; its machines go on costing 0.23 USD an hour") {
			t.Errorf("%s: %v, want that the budget is spent", who, err)
		}
	}
	_, err = job.Wait(t.Context())
	check("who waits", err)
	_, err = job.Result(t.Context(), 1)
	check("who wants a result", err)
	cost, err := job.Cost(t.Context())
	if err != nil || cost.Spent < budget || cost.Spent > 4*budget || cost.NodeTime.Hours() < budget/perHour {
		t.Errorf("it has cost %+v, %v; the budget is %v", cost, err, budget)
	}
	st, err := job.Stats(t.Context())
	if err != nil || st.Cost.Spent < budget || !strings.Contains(st.String(), "by prices of 2026-08-20") {
		t.Errorf("%+v, %v:\n%v", st.Cost, err, st)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		told := most
		mu.Unlock()
		if told.Spent >= budget && told.Hour == perHour {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("observers were told %+v", told)
		}
	}

	other, err := clusterless.Attach[int](t.Context(), open("westeurope"), "dear")
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Results(t.Context())
	check("another session", err)
	url := "azbatch" + strings.TrimPrefix(batch.URL(), "http") + "?http=true&pool=p&region=westeurope"
	out, err := exec.Command("clusterless", "--engine", url, "status", "dear").Output() // which TestMain has put into PATH
	if err != nil || !strings.Contains(string(out), "state     stopped at its budget") || !strings.Contains(string(out), "cost      ") || !strings.Contains(string(out), "0.23 USD an hour") {
		t.Errorf("status: %v\n%s", err, out)
	}

	_, err = nap.On(open("moon"), clusterless.Budget(budget)).Map(t.Context(), []time.Duration{0})
	if !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "--refresh --region moon") {
		t.Errorf("a budget where prices are not known: %v", err)
	}
	if _, err := nap.On(s, clusterless.Budget(0)).Map(t.Context(), []time.Duration{0}); err == nil || !strings.Contains(err.Error(), "option Budget") {
		t.Errorf("no budget: %v", err)
	}
	cheap, err := nap.On(s, clusterless.Budget(1e6)).Map(t.Context(), []time.Duration{0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cheap.Results(t.Context()); err != nil {
		t.Errorf("within its budget: %v", err)
	}
}
