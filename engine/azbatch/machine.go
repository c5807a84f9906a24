package azbatch

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

// A machine is what the nodes of a pool have that tasks must know of.
type machine struct {
	container *azbatch.TaskContainerSettings // that every task names; nil: tasks run on the node itself
	identity  string                         // resource ID of the nodes' managed identity; "": they have none
	client    string                         // its client ID
	size      string                         // of the VM
	slots     int
	memory    int64 // bytes; 0: not known
	gpus      int   // 0: none that is known
	seen      time.Time
}

func machineOf(p *azbatch.Pool) machine {
	m := machine{container: taskContainer(p), size: deref(p.VMSize), slots: slotsOf(p)}
	m.memory, m.gpus = memoryOf(m.size), gpusOf(m.size)
	if p.Identity != nil && len(p.Identity.UserAssignedIdentities) > 0 {
		i := p.Identity.UserAssignedIdentities[0]
		m.identity, m.client = deref(i.ResourceID), deref(i.ClientID)
	}
	return m
}

// adapt is a job for nodes like these. If they have an identity of their own, they open the store and fetch the program by that:
// the job has no token then.
func (m machine) adapt(given *engine.Job) *engine.Job {
	if m.identity == "" {
		return given
	}
	job := *given
	job.Env = slices.DeleteFunc(slices.Clone(job.Env), func(v string) bool { return strings.HasPrefix(v, contract.EnvAccess+"=") })
	// azidentity would try other credentials first, and give up on a node that is slow to answer.
	job.Env = append(job.Env, "AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential")
	if m.client != "" {
		job.Env = append(job.Env, "AZURE_CLIENT_ID="+m.client)
	}
	if job.Program != nil {
		if u, err := url.Parse(job.Program.URL); err == nil && u.Query().Has("sig") {
			u.RawQuery = ""
			p := *job.Program
			p.URL = u.String()
			job.Program = &p
		}
	}
	return &job
}

// take is a task for nodes like these that was made for others.
func (m machine) take(t azbatch.CreateTaskContent, from machine) azbatch.CreateTaskContent {
	t.ContainerSettings = m.container
	if m.identity != from.identity { // what the Batch job has suits its nodes
		t.EnvironmentSettings = slices.DeleteFunc(slices.Clone(t.EnvironmentSettings), func(s azbatch.EnvironmentSetting) bool { return deref(s.Name) == "CLUSTERLESS_ENVIRON" })
	}
	return t
}

// learn keeps what the nodes at a place have, and lets the lease of their pool go on.
func (e *Engine) learn(ctx context.Context, at place, p *azbatch.Pool) machine {
	e.in(at.account).renew(ctx, p)
	m := machineOf(p)
	m.memory, m.gpus = cmp.Or(e.c.NodeMemory, m.memory), cmp.Or(e.c.NodeGPUs, m.gpus)
	m.seen = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.machines[at.host+"/"+at.pool] = m
	return m
}

// machineAt is what the nodes at a place have: as it was, if that cannot be found out now.
func (e *Engine) machineAt(ctx context.Context, at place) (machine, error) {
	e.mu.Lock()
	m := e.machines[at.host+"/"+at.pool]
	e.mu.Unlock()
	if time.Since(m.seen) < poolTime {
		return m, nil
	}
	p, err := at.client.GetPool(ctx, at.pool, nil)
	if err == nil {
		return e.learn(ctx, at, &p.Pool), nil
	}
	if code(err) != "PoolNotFound" && m.seen.IsZero() { // one that is gone has no nodes
		return m, err
	}
	return m, nil
}

// resource is a file that nodes fetch.
func (m machine) resource(from, as string) azbatch.ResourceFile {
	f := azbatch.ResourceFile{HTTPURL: to.Ptr(from), FilePath: to.Ptr(as)}
	if u, err := url.Parse(from); m.identity != "" && err == nil && u.RawQuery == "" {
		f.IdentityReference = &azbatch.NodeIdentityReference{ResourceID: to.Ptr(m.identity)}
	}
	return f
}

// A ManagedPool is a pool whose nodes have a managed identity, which the service itself cannot make: it goes through ARM.
type ManagedPool struct {
	Host       string                 // of the Batch account's endpoint
	Credential azcore.TokenCredential // of who makes it
	Identity   string                 // resource ID
	Pool       azbatch.CreatePoolContent
}

// managed makes such a pool; an error of the code PoolExists says that there is one.
var managed func(ctx context.Context, p ManagedPool) error

// ManagePools is how package engine/azbatch/managed registers itself. It is called by init functions only.
func ManagePools(create func(ctx context.Context, p ManagedPool) error) { managed = create }

func (e *Engine) createManaged(ctx context.Context, c azbatch.CreatePoolContent, identity string) error {
	if managed == nil {
		return fmt.Errorf("a pool with an identity is made through ARM, which this program does not link: run clusterless azure pool create, "+
			"or import _ %q: %w", "github.com/clusterless-go/clusterless/engine/azbatch/managed", engine.ErrCannotRun)
	}
	return managed(ctx, ManagedPool{Host: e.host, Credential: e.credential, Identity: identity, Pool: c})
}
