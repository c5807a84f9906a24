package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

func chaosOptions(dir string) Options {
	return Options{Account: "a", Dir: dir, File: filepath.Join(dir, "state.db"), Speed: 2000,
		AllocationTime: time.Second, BootTime: time.Second, PreemptedTime: 20 * time.Second,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// TestWhateverHappensTheStateIsConsistent does all that can be done with pools, nodes and jobs at once and at random, with
// restarts between, and checks what must always hold; and in the end all tasks are completed.
func TestWhateverHappensTheStateIsConsistent(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	s, err := Open(chaosOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	low := int32(10)
	how := "task=20s,spread=0.9,fail=0.1,start=2s,startfail=0.2,preempt=60,unusable=5"
	image := &model.ImageReference{Publisher: images[0].publisher, Offer: images[0].offer, SKU: images[0].sku}
	spec := &model.PoolAddParameter{
		ID: "p", VMSize: "standard_d4_v3", TaskSlotsPerNode: ptr(int32(3)),
		TargetDedicatedNodes: &low, TargetLowPriorityNodes: &low,
		VirtualMachineConfiguration: &model.VirtualMachineConfiguration{NodeAgentSKUID: images[0].agent, ImageReference: image},
		StartTask:                   &model.StartTask{CommandLine: "true", MaxTaskRetryCount: ptr(int32(-1))},
		Metadata:                    []model.MetadataItem{{Name: simulateKey, Value: how}},
	}
	if _, err := s.AddPool(ctx, spec); err != nil {
		t.Fatal(err)
	}
	jobs := []string{"plain", "prepared", "limited"}
	for i, id := range jobs {
		j := &model.JobAddParameter{ID: id, PoolInfo: &model.PoolInformation{PoolID: "p"}, Priority: ptr(int32(i)),
			Constraints: &model.JobConstraints{MaxTaskRetryCount: ptr(int32(-1))}}
		switch id {
		case "prepared":
			j.JobPreparationTask = &model.JobPreparationTask{CommandLine: "true",
				Constraints: &model.TaskConstraints{MaxTaskRetryCount: ptr(int32(-1))}}
			j.JobReleaseTask = &model.JobReleaseTask{CommandLine: "true"}
		case "limited":
			j.MaxParallelTasks, j.UsesTaskDependencies = ptr(int32(7)), ptr(true)
		}
		if _, err := s.AddJob(ctx, j); err != nil {
			t.Fatal(err)
		}
	}
	const tasks = 300
	for round := range 3 {
		var work sync.WaitGroup
		for w := range 4 {
			work.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(w)))
				for k := range tasks / 4 / 3 {
					for _, id := range jobs {
						spec := &model.TaskAddParameter{ID: fmt.Sprintf("%d-%d-%d", round, w, k), CommandLine: "true",
							RequiredSlots: ptr(int32(1 + r.IntN(3)))}
						if id == "limited" && k > 0 {
							spec.DependsOn = &model.TaskDependencies{TaskIDs: []string{fmt.Sprintf("%d-%d-%d", round, w,
								r.IntN(k))}}
						}
						if _, err := s.AddTask(ctx, id, PrepareTask(spec)); err != nil {
							t.Errorf("add a task to %s: %v", id, err)
						}
					}
					chaos(ctx, s, r, jobs)
				}
			})
		}
		work.Wait()
		checkState(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(chaosOptions(dir)); err != nil {
			t.Fatal(err)
		}
		checkState(t, s)
	}
	// Everything is mended, and all gets done.
	end := time.Now().Add(60 * time.Second)
	for {
		for _, id := range jobs {
			s.EnableJob(ctx, id, odata.Conditions{})
		}
		s.ResizePool(ctx, "p", &model.PoolResizeParameter{TargetDedicatedNodes: &low, TargetLowPriorityNodes: &low},
			odata.Conditions{})
		s.mu.Lock()
		p, _ := s.pools.get("p")
		var broken, off []string
		for n := range p.nodes.all() {
			switch n.State.State {
			case unusable:
				broken = append(broken, n.ID)
			case deallocated:
				off = append(off, n.ID)
			}
			if n.Disabled {
				n.Disabled = false
				n.refile()
			}
		}
		left := int32(0)
		for _, id := range jobs {
			j, _ := s.jobs.get(id)
			left += j.unfinished()
		}
		s.mu.Unlock()
		if left == 0 {
			break
		}
		for _, id := range broken {
			s.Reimage(ctx, "p", id, "")
		}
		for _, id := range off {
			s.StartNode(ctx, "p", id)
		}
		if time.Now().After(end) {
			checkState(t, s)
			t.Fatalf("%d tasks are never completed", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
	checkState(t, s)
}

// chaos does something at random. That much of it is refused is as it should be.
func chaos(ctx context.Context, s *Service, r *rand.Rand, jobs []string) {
	s.mu.Lock()
	p, _ := s.pools.get("p")
	var ids []string
	for n := range p.nodes.all() {
		ids = append(ids, n.ID)
	}
	s.mu.Unlock()
	pick := func() string {
		if len(ids) == 0 {
			return "none"
		}
		return ids[r.IntN(len(ids))]
	}
	options := []string{"", requeue, terminate, taskCompletion, retainedData}
	option := options[r.IntN(len(options))]
	if option == terminate { // which would complete tasks; all are to run
		option = requeue
	}
	job := jobs[r.IntN(len(jobs))]
	switch r.IntN(14) {
	case 0:
		s.Reboot(ctx, "p", pick(), option)
	case 1:
		s.Reimage(ctx, "p", pick(), option)
	case 2:
		s.Deallocate(ctx, "p", pick(), option)
	case 3:
		s.StartNode(ctx, "p", pick())
	case 4:
		s.PreemptNode(ctx, "p", pick())
	case 5:
		s.BreakNode(ctx, "p", pick())
	case 6:
		s.SetScheduling(ctx, "p", pick(), r.IntN(2) == 0, option)
	case 7:
		s.RemoveNodes(ctx, "p", &model.NodeRemoveParameter{NodeList: []string{pick()}, NodeDeallocationOption: option},
			odata.Conditions{})
	case 8:
		s.ResizePool(ctx, "p", &model.PoolResizeParameter{TargetDedicatedNodes: ptr(int32(r.IntN(12))),
			TargetLowPriorityNodes: ptr(int32(r.IntN(12))), NodeDeallocationOption: option}, odata.Conditions{})
	case 9:
		s.StopResize(ctx, "p", odata.Conditions{})
	case 10:
		s.DisableJob(ctx, job, []string{requeue, "wait"}[r.IntN(2)], odata.Conditions{})
	case 11:
		s.EnableJob(ctx, job, odata.Conditions{})
	case 12:
		s.SetCapacity(ctx, "p", [kinds]int{r.IntN(15) - 1, r.IntN(15) - 1}, r.IntN(2) == 0)
	case 13:
		s.PatchJob(ctx, job, &model.JobPatchParameter{Priority: ptr(int32(r.IntN(100)))}, odata.Conditions{})
	}
}

// checkState checks what must hold whenever nobody changes the state.
func checkState(t *testing.T, s *Service) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range s.jobs.all() {
		var want [len(taskStates)]counts
		for x := range j.tasks.all() {
			want[x.State].tasks++
			want[x.State].slots += x.Slots
			if (x.run != nil) != (x.State == taskRunning || x.State == taskPreparing) {
				t.Errorf("task %s of %s is %s with the run %v", x.ID, j.Spec.ID, x.State, x.run)
			}
			if x.State == taskActive && !x.queued && x.waits == 0 {
				t.Errorf("task %s of %s is active and in no queue", x.ID, j.Spec.ID)
			}
		}
		if j.counts != want {
			t.Errorf("job %s counts %v, and has %v", j.Spec.ID, j.counts, want)
		}
	}
	for p := range s.pools.all() {
		var count, staying [kinds]int
		for n := range p.nodes.all() {
			count[n.kind()]++
			if n.State.State != leavingPool {
				staying[n.kind()]++
			}
			used := 0
			for _, r := range n.runs {
				used += int(r.t.Slots)
				if r.t.run != r {
					t.Errorf("node %s has a run that task %s does not have", n.ID, r.t.ID)
				}
			}
			bucket := -1
			if n.usable() && !n.Disabled {
				bucket = p.slots - used
			}
			if n.used != used || n.bucket != bucket || bucket >= 0 && p.free[bucket][n.place] != n || used > p.slots {
				t.Errorf("node %s is %s and uses %d slots of %d; it counts %d, and is in bucket %d", n.ID,
					n.State.State, used, p.slots, n.used, n.bucket)
			}
			if (n.State.State == running) != (len(n.runs) > 0) && n.usable() {
				t.Errorf("node %s is %s with %d runs", n.ID, n.State.State, len(n.runs))
			}
		}
		if p.count != count || p.staying != staying {
			t.Errorf("pool %s counts %v nodes and %v that stay, and has %v and %v", p.Spec.ID, p.count, p.staying,
				count, staying)
		}
		filed := 0
		for _, b := range p.free {
			filed += len(b)
		}
		for n := range p.nodes.all() {
			if n.bucket >= 0 {
				filed--
			}
		}
		if filed != 0 {
			t.Errorf("pool %s has %d nodes too many to place tasks on", p.Spec.ID, filed)
		}
	}
}
