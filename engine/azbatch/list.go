package azbatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// A PoolInfo is what there is of a pool.
type PoolInfo struct {
	ID        string
	VMSize    string
	State     string    // "active", "resizing" or "deleting"
	Made      time.Time // by CreatePool, or by a job; zero: by other means
	Slots     int       // of a node
	Nodes     int       // dedicated ones that are there, and cost money
	Spot      int       // spot nodes, also those that were preempted
	WantNodes int       // as many are to be there
	WantSpot  int
	Lease     time.Time // idle nodes leave then; zero: there is no lease
	Scales    bool      // it has more nodes when there is more to do, or by a formula of the user's own
	Container string    // image that tasks run in
	Identity  string    // resource ID of the nodes' managed identity
	Problem   string    // why it has not the nodes that it should have
}

// Pools lists all pools of the account, in the service's order.
func (e *Engine) Pools(ctx context.Context) (all []PoolInfo, err error) {
	err = e.listing(ctx, "pools", func(ctx context.Context) error {
		for pages := e.client.NewListPoolsPager(nil); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for i := range page.Value {
				all = append(all, poolInfo(&page.Value[i]))
			}
		}
		return nil
	})
	return all, err
}

func (e *Engine) listing(ctx context.Context, what string, do func(context.Context) error) error {
	ctx, end, err := e.begin(ctx)
	if err == nil {
		defer end()
		err = ended(ctx, explain(do(ctx)))
	}
	if err != nil {
		return fmt.Errorf("azbatch: list %s: %w", what, err)
	}
	return nil
}

func poolInfo(p *azbatch.Pool) PoolInfo {
	i := PoolInfo{ID: *p.ID, VMSize: deref(p.VMSize), State: string(word(p.State)), Slots: slotsOf(p), Lease: leaseOf(p), Scales: !ofFixedSize(p),
		Nodes: int(deref32(p.CurrentDedicatedNodes)), Spot: int(deref32(p.CurrentLowPriorityNodes)), WantNodes: int(deref32(p.TargetDedicatedNodes)), WantSpot: int(deref32(p.TargetLowPriorityNodes)),
		Identity: machineOf(p).identity, Problem: resizeText(p.ResizeErrors)}
	if word(p.State) == azbatch.PoolStateActive && word(p.AllocationState) != azbatch.AllocationStateSteady {
		i.State = "resizing"
	}
	i.Made, _ = time.Parse(time.RFC3339, metaOf(p.Metadata)[metaPool])
	if c := taskContainer(p); c != nil {
		i.Container = deref(c.ImageName)
	}
	if r := p.AutoScaleRun; i.Problem == "" && r != nil && r.Error != nil {
		i.Problem = "its formula fails: " + deref(r.Error.Message)
	}
	return i
}

// Expired reports whether the lease of a pool is over, and no task, of whatever job, waits or runs there.
func (e *Engine) Expired(ctx context.Context, id string) (expired bool, err error) {
	err = e.onPool(ctx, "look at", id, func(ctx context.Context) error {
		p, err := e.client.GetPool(ctx, id, nil)
		if err != nil {
			return err
		}
		if end := leaseOf(&p.Pool); end.IsZero() || time.Until(end) > 0 {
			return nil
		}
		o := &azbatch.ListJobsOptions{Filter: to.Ptr("state eq 'active'"), SelectParam: []string{"id", "poolInfo"}}
		for pages := e.client.NewListJobsPager(o); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, j := range page.Value {
				if j.PoolInfo == nil || !strings.EqualFold(deref(j.PoolInfo.PoolID), id) {
					continue
				}
				n, err := e.client.GetJobTaskCounts(ctx, *j.ID, nil)
				if err != nil {
					return err
				}
				if c := n.TaskCounts; c == nil || deref32(c.Active)+deref32(c.Running) > 0 {
					return nil
				}
			}
		}
		expired = true
		return nil
	})
	return expired, err
}

// A JobInfo is a Batch job that the service has of a job.
type JobInfo struct {
	Job     string // the job's ID
	Batch   string // that of the Batch job
	Pool    string
	State   string // of the service: "active", "completed", "terminating", "deleting" and so on
	Places  int    // how many Batch jobs the job has, this one included, perhaps in several accounts
	Created time.Time
}

// BatchJobs lists the jobs that the account has, whoever submitted them, in the service's order. Batch jobs that are not ours are
// left out.
func (e *Engine) BatchJobs(ctx context.Context) (all []JobInfo, err error) {
	err = e.listing(ctx, "jobs", func(ctx context.Context) error {
		o := &azbatch.ListJobsOptions{Filter: to.Ptr("startswith(id, 'cl-')"), SelectParam: []string{"id", "state", "metadata", "creationTime", "poolInfo"}}
		for pages := e.client.NewListJobsPager(o); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, j := range page.Value {
				meta := metaOf(j.Metadata)
				if meta[metaJob] != "" && strings.HasPrefix(*j.ID, "cl-") {
					all = append(all, JobInfo{Job: meta[metaJob], Batch: *j.ID, Pool: deref(j.PoolInfo.PoolID), State: string(word(j.State)),
						Places: max(1, len(strings.Fields(meta[metaPlaces]))), Created: *j.CreationTime})
				}
			}
		}
		return nil
	})
	return all, err
}

// DeleteBatchJob deletes one Batch job, of a job that may have others. One that is not there is no error.
func (e *Engine) DeleteBatchJob(ctx context.Context, id string) error {
	ctx, end, err := e.begin(ctx)
	if err == nil {
		defer end()
		err = ended(ctx, explain(place{account: e.account, id: id}.delete(ctx)))
	}
	if err != nil {
		return fmt.Errorf("azbatch: delete the Batch job %s: %w", id, err)
	}
	return nil
}
