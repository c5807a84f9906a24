package azbatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/azlogin"
	"github.com/clusterless-go/clusterless/internal/azwait"
)

// An Engine runs jobs on an Azure Batch account, or on several. See the package's documentation.
type Engine struct {
	*account // that of Config.Endpoint
	c        Config
	log      *slog.Logger
	accounts []*account      // all, that one first
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	store    string                   // of the jobs; "" until Scope says it
	made     map[string]*made         // jobs that this engine has seen active
	pools    map[string]*pool         // seen lately, by host/ID
	machines map[string]machine       // so too
	given    map[*account]int         // slots that its pools were dealt
	news     map[string]chan struct{} // closed when this engine has changed a job

	costs costs
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
	given := c.Credential != nil
	if !given {
		var err error
		if c.Credential, err = azlogin.Batch(c.Endpoint); err != nil {
			return nil, fmt.Errorf("azbatch: credential: %w", err)
		}
	}
	e := &Engine{c: c, log: c.Logger, made: map[string]*made{}, pools: map[string]*pool{}, machines: map[string]machine{}, given: map[*account]int{}, news: map[string]chan struct{}{}}
	for _, p := range append([]Place{{}}, c.Places...) {
		endpoint := cmp.Or(p.Endpoint, c.Endpoint)
		if e.accountAt(hostOf(endpoint)) != nil {
			continue
		}
		if p.Credential == nil && !given && len(e.accounts) > 0 {
			var err error
			if p.Credential, err = azlogin.Batch(endpoint); err != nil {
				return nil, fmt.Errorf("azbatch: credential: %w", err)
			}
		}
		a, err := c.connect(endpoint, p.Credential)
		if err != nil {
			return nil, err
		}
		e.accounts = append(e.accounts, a)
	}
	e.account = e.accounts[0]
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// connect makes the client of an account.
func (c *Config) connect(endpoint string, credential azcore.TokenCredential) (*account, error) {
	if credential == nil {
		credential = c.Credential
	}
	client, err := azbatch.NewClient(endpoint, credential, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{
		InsecureAllowCredentialWithHTTP: strings.HasPrefix(endpoint, "http:"), Transport: c.Transport,
		Retry:     policy.RetryOptions{MaxRetries: 6, MaxRetryDelay: 2 * time.Minute}, // a longer Retry-After would be an error at once
		Telemetry: policy.TelemetryOptions{ApplicationID: "clusterless"}, PerRetryPolicies: []policy.Policy{azwait.Policy{Service: "Azure Batch"}},
	}})
	if err != nil {
		return nil, fmt.Errorf("azbatch: %w", err)
	}
	return &account{host: hostOf(endpoint), client: client, credential: credential}, nil
}

// Scope implements engine.Scoper: people who share an account have jobs of the same name, each in a store of their own.
func (e *Engine) Scope(store string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.store != "" && e.store != store {
		return fmt.Errorf("azbatch: this engine is for jobs in the store %s, and cannot be for those in %s: make another", e.store, store)
	}
	e.store = store
	return nil
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
	if n := len(exports(job)); n > maxVariable {
		return fmt.Errorf("azbatch: submit %s: the job's environment has %d KiB, and nodes take %d: put what is large into an input: %w", job.ID, n>>10, maxVariable>>10, engine.ErrCannotRun)
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
	e.costs.forget(job)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.made, job)
}

// Cancel implements engine.Engine. It ends the Batch jobs, to which no runs can be added after that.
func (e *Engine) Cancel(ctx context.Context, jobID string) error {
	err := e.everywhere(ctx, jobID, func(ctx context.Context, p place) error { return p.terminate(ctx, reasonCancelled) })
	if err != nil {
		return fmt.Errorf("azbatch: cancel %s: %w", jobID, err)
	}
	e.changed(jobID)
	return nil
}

// everywhere does something at all places of a job. It is ErrNotExist if that is the answer of all.
func (e *Engine) everywhere(ctx context.Context, jobID string, do func(ctx context.Context, p place) error) error {
	if !engine.ValidID(jobID) {
		return engine.ErrNotExist
	}
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	s, err := e.find(ctx, jobID)
	if err != nil && len(s.places) == 0 {
		return ended(ctx, explain(err))
	}
	errs := make([]error, len(s.places))
	var all sync.WaitGroup
	for i, p := range s.places {
		all.Go(func() { errs[i] = ended(ctx, explain(do(ctx, p))) })
	}
	all.Wait()
	if errors.Is(err, engine.ErrCannotRun) { // there are places that we do not know
		errs = append(errs, err)
	}
	missing := func(err error) bool { return errors.Is(err, engine.ErrNotExist) }
	if there := slices.DeleteFunc(slices.Clone(errs), missing); len(there) > 0 {
		return inOneLine(there)
	}
	return engine.ErrNotExist
}

// Reasons for which we end a Batch job: what the service keeps with it.
const (
	reasonCancelled  = "clusterless: cancelled"
	reasonNotStarted = "clusterless: not started: "    // and why
	reasonHandedOver = "clusterless: handed over to: " // numbers of places, a colon, and why
)

// terminate ends the Batch job of a place. One that has ended is left as it is.
func (p place) terminate(ctx context.Context, why string) error {
	_, err := p.client.TerminateJob(ctx, p.id, &azbatch.TerminateJobOptions{Parameters: &azbatch.TerminateJobContent{TerminationReason: to.Ptr(why)}})
	switch code(err) {
	case "JobCompleted", "JobBeingTerminated":
		return nil
	case "JobNotFound", "JobBeingDeleted":
		return engine.ErrNotExist
	}
	return err
}

// Delete implements engine.Engine. The service ends what runs, and forgets the job within seconds or minutes; a Submit of the
// same ID waits for that.
func (e *Engine) Delete(ctx context.Context, jobID string) error {
	e.forget(jobID)
	err := e.everywhere(ctx, jobID, func(ctx context.Context, p place) error { return p.delete(ctx) })
	if err != nil && !errors.Is(err, engine.ErrNotExist) {
		return fmt.Errorf("azbatch: delete %s: %w", jobID, err)
	}
	e.changed(jobID)
	return nil
}

// delete deletes the Batch job of a place. One that is not there is no error.
func (p place) delete(ctx context.Context) error {
	_, err := p.client.DeleteJob(ctx, p.id, nil)
	if c := code(err); c == "JobNotFound" || c == "JobBeingDeleted" {
		return nil
	}
	return err
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

// metaOf is what metadata was made of.
func metaOf(items []azbatch.MetadataItem) map[string]string {
	all := make(map[string]string, len(items))
	for _, m := range items {
		all[deref(m.Name)] = deref(m.Value)
	}
	return all
}
