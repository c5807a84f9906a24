package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

const (
	emulatorNodes = 2000
	emulatorTasks = 100_000
	emulatorCalls = 8 // requests at a time
)

func init() { measurements["emulator"] = measureEmulator }

// emulator measures the emulator of Azure Batch alone, with Microsoft's client in the same process: tasks that do nothing on
// simulated nodes.
func (b *bench) emulator(ctx context.Context) {
	want := "Azure Batch emulator: 100,000 no-op tasks on 2,000 simulated nodes"
	if !b.match.MatchString(want) {
		return
	}
	res := b.alternate(ctx, want, ours("emulator"))
	added, ok := res.median("emulator", "added/s")
	if !ok {
		b.add(want, "", "", 0, 0, true, false)
		return
	}
	done, _ := res.median("emulator", "completed/s")
	heap, _ := res.median("emulator", "heap_mb")
	peak, _ := res.median("emulator", "peak_mb")
	listed, _ := res.median("emulator", "list_seconds")
	for _, measured := range []string{
		fmt.Sprintf("**%s** tasks added a second, 100 in a request, 8 requests at a time", number(added)),
		fmt.Sprintf("**%s** tasks completed a second", number(done)),
		fmt.Sprintf("**%s MB** of memory in use with 100,000 tasks, %s MB at most (with the client)", number(heap),
			number(peak)),
		fmt.Sprintf("all 100,000 listed with their states in %s s", number(listed)),
	} {
		b.lines = append(b.lines, line{want, measured, "", ""})
	}
}

func measureEmulator(ctx context.Context, dir string) (sample, error) {
	s, err := emulator.Start(ctx, emulator.Options{Dir: filepath.Join(dir, "account"), AllocationTime: -1, BootTime: -1,
		Simulate: "task=0s"})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	c, err := azbatch.NewClient(s.URL(), s.Credential(), s.ClientOptions())
	if err != nil {
		return nil, err
	}
	_, err = c.CreatePool(ctx, azbatch.CreatePoolContent{
		ID: to.Ptr("p"), VMSize: to.Ptr("Standard_D2s_v3"), TargetDedicatedNodes: to.Ptr[int32](emulatorNodes),
		VirtualMachineConfiguration: &azbatch.VirtualMachineConfiguration{
			NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
			ImageReference: &azbatch.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server")},
		}}, nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.CreateJob(ctx, azbatch.CreateJobContent{ID: to.Ptr("j"),
		PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr("p")}}, nil); err != nil {
		return nil, err
	}
	if _, err := c.DisableJob(ctx, "j",
		azbatch.DisableJobContent{DisableTasks: to.Ptr(azbatch.DisableJobOptionRequeue)}, nil); err != nil {
		return nil, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun := time.Now()
	if err := addTasks(ctx, c); err != nil {
		return nil, err
	}
	adding := time.Since(begun).Seconds()
	runtime.GC()
	runtime.ReadMemStats(&after)

	begun = time.Now()
	if _, err := c.EnableJob(ctx, "j", nil); err != nil {
		return nil, err
	}
	for {
		r, err := c.GetJobTaskCounts(ctx, "j", nil)
		if err != nil {
			return nil, err
		}
		if *r.TaskCounts.Succeeded == emulatorTasks {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	completing := time.Since(begun).Seconds()

	begun = time.Now()
	for pager := c.NewListTasksPager("j", &azbatch.ListTasksOptions{SelectParam: []string{"id", "state",
		"executionInfo"}}); pager.More(); {
		if _, err := pager.NextPage(ctx); err != nil {
			return nil, err
		}
	}
	return sample{"added/s": emulatorTasks / adding, "completed/s": emulatorTasks / completing,
		"heap_mb": float64(after.HeapAlloc-before.HeapAlloc) / 1e6, "list_seconds": time.Since(begun).Seconds()}, nil
}

// addTasks adds all tasks, a hundred in a request.
func addTasks(ctx context.Context, c *azbatch.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	groups := make(chan int)
	var calls sync.WaitGroup
	for range emulatorCalls {
		calls.Go(func() {
			for at := range groups {
				var g azbatch.TaskGroup
				for i := at; i < at+100; i++ {
					g.Value = append(g.Value, azbatch.CreateTaskContent{ID: to.Ptr(fmt.Sprintf("task-%06d", i)),
						CommandLine: to.Ptr("/bin/true")})
				}
				if _, err := c.CreateTaskCollection(ctx, "j", g, nil); err != nil {
					cancel(err)
				}
			}
		})
	}
	for at := 0; at < emulatorTasks && ctx.Err() == nil; at += 100 {
		groups <- at
	}
	close(groups)
	calls.Wait()
	return context.Cause(ctx)
}
