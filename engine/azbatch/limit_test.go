//go:build linux

package azbatch_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

// The quota of cores is reached when half of the nodes have come, and that of jobs in one of two accounts: what there is does
// the work.
func TestQuotaHalfWay(t *testing.T) {
	t.Parallel()
	a, b := start(t, emulator.Options{Quota: &emulator.Quota{DedicatedCores: 8}}), start(t, emulator.Options{Quota: &emulator.Quota{Jobs: 1}})
	a.pool(t, "p", 4, 1)
	b.pool(t, "p", 1, 1)
	b.idle(t, "p", 1)
	until(t, "two nodes", func() bool {
		p, err := a.client.GetPool(t.Context(), "p", nil)
		return err == nil && *p.AllocationState == sdk.AllocationStateSteady && *p.CurrentDedicatedNodes == 2
	})
	a.idle(t, "p", 2)
	submit(t, b.open(t), job("one", 1, "sleep", "1000"))
	var log safeBuffer
	e := a.open(t, also(b, "p"), func(c *azbatch.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	j := job("two", 20, once(t)...)
	submit(t, e, j)
	wellEnded(t, enginetest.Wait(t, e, j.ID, 20))
	if !strings.Contains(log.String(), "ActiveJobAndScheduleQuotaReached") {
		t.Errorf("nothing says that the quota of jobs was reached: %s", log.String())
	}
	if n := a.tasks(t, a.jobs(t)["p"]); n != 20 {
		t.Errorf("%d of 20 runs where the quota left room", n)
	}
	// With no node at all, runs say why they wait.
	a.SetQuota(emulator.Quota{DedicatedCores: 4})
	a.pool(t, "large", 1, 1, func(c *sdk.CreatePoolContent) { c.VMSize = to.Ptr("Standard_D16s_v3") })
	wait := a.open(t, pools("large"))
	submit(t, wait, job("three", 1, "true"))
	enginetest.Until(t, wait, "three", func(got map[engine.Run]engine.Event) bool {
		return strings.Contains(got[first].Reason, "AccountCoreQuotaReached") && strings.Contains(got[first].Reason, "use fewer or smaller nodes")
	})
}

// The service's clock is hours ahead, or hardly moves.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for name, speed := range map[string]float64{"ahead": 2000, "behind": 0.02} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Options{Speed: speed})
			a.pool(t, "p", 1, 4)
			a.idle(t, "p", 1)
			e := a.open(t)
			for _, id := range []string{"first", "second"} {
				j := job(id, 10, "/bin/sh", "-c", "[ $CLUSTERLESS_TASK != 3 ] || exit 7; sleep 0.3")
				submit(t, e, j)
				for r, ev := range enginetest.Wait(t, a.open(t), id, 10) {
					if want := map[bool]int{true: 7}[r.Task == 3]; ev.State != engine.Exited || ev.ExitCode != want {
						t.Errorf("%v: %+v", r, ev)
					}
				}
				j.Runs = []engine.Run{{Task: 3, Attempt: 2}} // added when the clock shows something else
				submit(t, e, j)
				enginetest.Wait(t, e, id, 11)
			}
		})
	}
}

// Runs that ask for memory or GPUs take as many slots as go with them, and of the GPUs of a node each has its own.
func TestMemoryAndGPUs(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{})
	a.pool(t, "p", 1, 4) // Standard_D4s_v3: 16 GiB
	e := a.open(t)
	dir := shared(t)
	// Each run counts those that run with it.
	count := `mkdir ` + dir + `/$CLUSTERLESS_JOB-$CLUSTERLESS_TASK; ls ` + dir + ` | grep -c "^$CLUSTERLESS_JOB-"; sleep 0.2; rmdir ` + dir + `/$CLUSTERLESS_JOB-$CLUSTERLESS_TASK`
	memory := job("memory", 6, "/bin/sh", "-c", count)
	memory.Resources.Memory = 7 << 30
	submit(t, e, memory)
	wellEnded(t, enginetest.Wait(t, e, memory.ID, 6))
	for _, r := range enginetest.Runs(6) {
		if log := enginetest.Log(t, e, memory.ID, r); log != "1\n" && log != "2\n" {
			t.Errorf("%v ran with %q runs of 7 GiB on a node of 16", r, log)
		}
	}
	memory.ID, memory.Resources.Memory = "too much", 16<<30
	gpus := job("gpus", 1, "true")
	gpus.Resources.GPUs = 1
	unknown := job("unknown", 1, "true")
	unknown.Resources.Memory = 1
	a.pool(t, "hpc", 0, 1, func(c *sdk.CreatePoolContent) { c.VMSize = to.Ptr("Standard_HB120rs_v3") })
	unknown.Settings = []string{"pool=hpc"}
	for _, test := range []struct {
		job  engine.Job
		want string
	}{{memory, "has 16 GiB, 1 GiB of them for itself"}, {gpus, "setting nodegpus"}, {unknown, "setting nodememory"}} {
		test.job.ID = strings.ReplaceAll(test.job.ID, " ", "-")
		if err := e.Submit(t.Context(), test.job); !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.job.ID, err, test.want)
		}
	}

	e = a.open(t, func(c *azbatch.Config) { c.NodeGPUs = 4 })
	gpus = job("three", 8, "/bin/sh", "-c", `for g in $(echo $CUDA_VISIBLE_DEVICES | tr , " "); do mkdir `+dir+`/gpu-$g || exit 1; done; echo $CUDA_VISIBLE_DEVICES; sleep 0.2; rmdir `+
		`$(for g in $(echo $CUDA_VISIBLE_DEVICES | tr , " "); do echo `+dir+`/gpu-$g; done)`)
	gpus.Resources.GPUs = 2
	submit(t, e, gpus)
	wellEnded(t, enginetest.Wait(t, e, gpus.ID, 8))
	for _, r := range enginetest.Runs(8) {
		if log := enginetest.Log(t, e, gpus.ID, r); log != "0,1\n" && log != "2,3\n" && len(log) != 4 {
			t.Errorf("%v has the GPUs %q", r, log)
		}
	}
}
