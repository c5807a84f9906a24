package azbatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// An Engine runs jobs on an Azure Batch account. See the package's documentation.
type Engine struct {
	c      Config
	log    *slog.Logger
	client *azbatch.Client
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	made   map[string]string        // jobs that this engine has seen active, with the exports that their tasks find
	pools  map[string]pool          // seen lately
	news   map[string]chan struct{} // closed when this engine has changed a job
}

// New makes an engine. It does not ask the service for anything yet.
func New(c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if _, err := c.placement(nil); err != nil {
		return nil, fmt.Errorf("azbatch: %w", err)
	}
	c.Poll, c.Start, c.Lifetime, c.Retries = cmp.Or(c.Poll, DefaultPoll), cmp.Or(c.Start, DefaultStart), cmp.Or(c.Lifetime, DefaultLifetime), cmp.Or(c.Retries, DefaultRetries)
	plain := strings.HasPrefix(c.Endpoint, "http:")
	if c.Credential == nil {
		var err error
		if c.Credential, err = azidentity.NewDefaultAzureCredential(nil); err != nil {
			return nil, fmt.Errorf("azbatch: credential: %w", err)
		}
	}
	client, err := azbatch.NewClient(c.Endpoint, c.Credential, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{
		InsecureAllowCredentialWithHTTP: plain, Transport: c.Transport,
		Retry:     policy.RetryOptions{MaxRetries: 6, MaxRetryDelay: 30 * time.Second},
		Telemetry: policy.TelemetryOptions{ApplicationID: "clusterless"},
	}})
	if err != nil {
		return nil, fmt.Errorf("azbatch: %w", err)
	}
	e := &Engine{c: c, log: c.Logger, client: client, made: map[string]string{}, pools: map[string]pool{}, news: map[string]chan struct{}{}}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// begin makes a context that ends with ctx or Close, and refuses when the engine is closed.
func (e *Engine) begin(ctx context.Context) (context.Context, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil, engine.ErrClosed
	}
	e.wg.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(e.ctx, func() { cancel(engine.ErrClosed) })
	return ctx, func() { stop(); cancel(nil); e.wg.Done() }, nil
}

// ended is the error of a call that began before Close, if Close is why it failed.
func ended(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), engine.ErrClosed) {
		return engine.ErrClosed
	}
	return err
}

// check refuses a job that could never run.
func (e *Engine) check(job *engine.Job) error {
	if err := job.Check(); err != nil {
		return fmt.Errorf("azbatch: submit %s: %w", job.ID, err)
	}
	if err := engine.CheckExports(job.Env); err != nil {
		return fmt.Errorf("azbatch: submit %s: %w", job.ID, err)
	}
	switch {
	case job.Resources.Nodes > 1:
		return fmt.Errorf("azbatch: submit %s: tasks on several nodes are not supported by this engine yet: %w", job.ID, engine.ErrCannotRun)
	case job.Resources.GPUs > 0:
		return fmt.Errorf("azbatch: submit %s: this engine cannot hand out GPUs: %w", job.ID, engine.ErrCannotRun)
	}
	for _, r := range job.Runs {
		if r.Task > math.MaxInt32 || r.Attempt > math.MaxInt32 {
			return fmt.Errorf("azbatch: submit %s: run of task %d, attempt %d: want numbers below 2^31", job.ID, r.Task, r.Attempt)
		}
	}
	return nil
}

// changed wakes those who watch a job through this engine.
func (e *Engine) changed(job string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.news[job]; c != nil {
		close(c)
		delete(e.news, job)
	}
}

// change is closed at the next change of a job by this engine.
func (e *Engine) change(job string) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.news[job] == nil {
		e.news[job] = make(chan struct{})
	}
	return e.news[job]
}

// forget drops what is remembered of a job.
func (e *Engine) forget(job string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.made, job)
}

// Cancel implements engine.Engine. It ends the Batch job, to which no runs can be added after that.
func (e *Engine) Cancel(ctx context.Context, jobID string) error {
	if err := e.terminate(ctx, jobID, reasonCancelled); err != nil {
		return fmt.Errorf("azbatch: cancel %s: %w", jobID, err)
	}
	e.changed(jobID)
	return nil
}

// Reasons for which we end a Batch job: what the service keeps with it.
const (
	reasonCancelled  = "clusterless: cancelled"
	reasonNotStarted = "clusterless: not started: " // and why
)

// terminate ends a Batch job. One that has ended is left as it is.
func (e *Engine) terminate(ctx context.Context, jobID, why string) error {
	if !engine.ValidID(jobID) {
		return engine.ErrNotExist
	}
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, err = e.client.TerminateJob(ctx, batchID(jobID), &azbatch.TerminateJobOptions{Parameters: &azbatch.TerminateJobContent{TerminationReason: to.Ptr(why)}})
	switch code(err) {
	case "JobCompleted", "JobBeingTerminated":
		return nil
	case "JobNotFound", "JobBeingDeleted":
		return engine.ErrNotExist
	}
	return ended(ctx, explain(err))
}

// Delete implements engine.Engine. The service ends what runs, and forgets the job within seconds or minutes; a Submit of the
// same ID waits for that.
func (e *Engine) Delete(ctx context.Context, jobID string) error {
	if !engine.ValidID(jobID) {
		return nil
	}
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return fmt.Errorf("azbatch: delete %s: %w", jobID, err)
	}
	defer end()
	e.forget(jobID)
	_, err = e.client.DeleteJob(ctx, batchID(jobID), nil)
	e.changed(jobID)
	if c := code(err); err == nil || c == "JobNotFound" || c == "JobBeingDeleted" {
		return nil
	}
	return fmt.Errorf("azbatch: delete %s: %w", jobID, ended(ctx, explain(err)))
}

// Close implements engine.Engine. Jobs go on.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	return nil
}

// metadata is that of a Batch job or pool.
func metadata(all map[string]string) (items []azbatch.MetadataItem) {
	for name, value := range maps.All(all) {
		items = append(items, azbatch.MetadataItem{Name: to.Ptr(name), Value: to.Ptr(value)})
	}
	return items
}
