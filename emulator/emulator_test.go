package emulator_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/emulator/internal/apicheck"
	"github.com/clusterless-go/clusterless/emulator/internal/auth"
)

// deadline is for conditions that are waited for: much more than they take.
const deadline = 60 * time.Second

var checker = sync.OnceValues(apicheck.New)

// An account is an emulator with a client, whose requests and answers are checked against the API's description.
type account struct {
	*emulator.Server
	*azbatch.Client
	t    *testing.T
	http *http.Client
}

// quick are options of an account whose nodes need no time to come.
func quick() emulator.Options {
	return emulator.Options{AllocationTime: -1, BootTime: -1}
}

func start(t *testing.T, o emulator.Options) *account {
	t.Helper()
	if testing.Verbose() && os.Getenv("EMULATOR_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
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
	return connect(t, s)
}

// connect makes a client of an emulator that runs.
func connect(t *testing.T, s *emulator.Server) *account {
	t.Helper()
	h := s.HTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	return clientOf(t, s, h, s.URL(), s.Credential())
}

// clientOf makes an account of what reaches it. s is nil for an emulator in another process.
func clientOf(t *testing.T, s *emulator.Server, h *http.Client, url string, credential azcore.TokenCredential) *account {
	t.Helper()
	check, err := checker()
	if err != nil {
		t.Fatal(err)
	}
	h.Transport = check.RoundTripper(h.Transport, func(err error) { t.Errorf("the API's description: %v", err) })
	client, err := azbatch.NewClient(url, credential, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{
		InsecureAllowCredentialWithHTTP: true, Transport: h, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	return &account{Server: s, Client: client, t: t, http: h}
}

// remote is an account of an emulator in another process, which has its state in dir.
func remote(t *testing.T, url, dir string) *account {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseKey(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	t.Cleanup(h.CloseIdleConnections)
	return clientOf(t, nil, h, url, tokens{auth.NewIssuer(key)})
}

// tokens are those of an account whose key is known.
type tokens struct{ issuer *auth.Issuer }

func (c tokens) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expires, err := c.issuer.Token(auth.Audience)
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, err
}

// pool is what most pools of the tests are.
func pool(id string, nodes int32) azbatch.CreatePoolContent {
	return azbatch.CreatePoolContent{
		ID: to.Ptr(id), VMSize: to.Ptr("Standard_D2s_v3"), TargetDedicatedNodes: to.Ptr(nodes),
		VirtualMachineConfiguration: &azbatch.VirtualMachineConfiguration{
			ImageReference: &azbatch.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"),
				SKU: to.Ptr("server")},
			NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
		},
	}
}

// simulated makes a pool one of simulated nodes.
func simulated(p azbatch.CreatePoolContent, how string) azbatch.CreatePoolContent {
	p.Metadata = append(p.Metadata, azbatch.MetadataItem{Name: to.Ptr("EMULATOR_SIMULATE"), Value: to.Ptr(how)})
	return p
}

func job(id, pool string) azbatch.CreateJobContent {
	return azbatch.CreateJobContent{ID: to.Ptr(id), PoolInfo: &azbatch.PoolInfo{PoolID: to.Ptr(pool)}}
}

func task(id, command string) azbatch.CreateTaskContent {
	return azbatch.CreateTaskContent{ID: to.Ptr(id), CommandLine: to.Ptr(command)}
}

func (a *account) must(what string, err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatalf("%s: %v", what, err)
	}
}

func (a *account) addPool(p azbatch.CreatePoolContent) {
	a.t.Helper()
	_, err := a.CreatePool(a.t.Context(), p, nil)
	a.must("add the pool "+*p.ID, err)
}

func (a *account) addJob(j azbatch.CreateJobContent) {
	a.t.Helper()
	_, err := a.CreateJob(a.t.Context(), j, nil)
	a.must("add the job "+*j.ID, err)
}

func (a *account) addTask(job string, t azbatch.CreateTaskContent) {
	a.t.Helper()
	_, err := a.CreateTask(a.t.Context(), job, t, nil)
	a.must("add the task "+*t.ID, err)
}

// until waits for a condition. state is what it says while it is not met.
func until(t *testing.T, what string, met func(ctx context.Context) (ok bool, state string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for {
		ok, state := met(ctx)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %s", deadline, what, state)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (a *account) get(job, id string) azbatch.Task {
	a.t.Helper()
	got, err := a.GetTask(a.t.Context(), job, id, nil)
	a.must("get the task "+id, err)
	return got.Task
}

func (a *account) taskIn(job, id string, state azbatch.TaskState) (got azbatch.Task) {
	a.t.Helper()
	until(a.t, fmt.Sprintf("task %s %s to be %s", job, id, state), func(context.Context) (bool, string) {
		got = a.get(job, id)
		return *got.State == state, string(*got.State)
	})
	return got
}

// completed waits for a task to be completed.
func (a *account) completed(job, id string) azbatch.Task {
	a.t.Helper()
	return a.taskIn(job, id, azbatch.TaskStateCompleted)
}

// jobIn waits for a job to be in a state.
func (a *account) jobIn(id string, state azbatch.JobState) (got azbatch.Job) {
	a.t.Helper()
	until(a.t, fmt.Sprintf("job %s to be %s", id, state), func(ctx context.Context) (bool, string) {
		r, err := a.GetJob(ctx, id, nil)
		a.must("get the job "+id, err)
		got = r.Job
		return *got.State == state, string(*got.State)
	})
	return got
}

// nodes waits for a pool to have a number of nodes in a state.
func (a *account) nodes(pool string, count int, state azbatch.NodeState) []azbatch.Node {
	a.t.Helper()
	var found []azbatch.Node
	until(a.t, fmt.Sprintf("pool %s to have %d nodes %s", pool, count, state), func(ctx context.Context) (bool, string) {
		found = nil
		var states []azbatch.NodeState
		for pager := a.NewListNodesPager(pool, nil); pager.More(); {
			page, err := pager.NextPage(ctx)
			a.must("list nodes", err)
			for _, n := range page.Value {
				states = append(states, *n.State)
				if *n.State == state {
					found = append(found, n)
				}
			}
		}
		return len(found) == count, fmt.Sprint(states)
	})
	return found
}

// file reads a file of a task.
func (a *account) file(job, id, name string) string {
	a.t.Helper()
	r, err := a.GetTaskFile(a.t.Context(), job, id, name, nil)
	a.must("get "+name+" of "+id, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	a.must("read "+name+" of "+id, err)
	return string(b)
}

// code is the error code that a call failed with.
func code(err error) string {
	var e *azcore.ResponseError
	if !asResponse(err, &e) {
		return fmt.Sprintf("no error of the service: %v", err)
	}
	return e.ErrorCode
}

func asResponse(err error, e **azcore.ResponseError) bool {
	for err != nil {
		if r, ok := err.(*azcore.ResponseError); ok {
			*e = r
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

func TestATaskRuns(t *testing.T) {
	t.Parallel()
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addTask("j", task("t", `/bin/sh -c "echo hello from $AZ_BATCH_TASK_ID; echo oh >&2; exit 3"`))
	got := a.completed("j", "t")
	e := got.ExecutionInfo
	if e.ExitCode == nil || *e.ExitCode != 3 || *e.Result != azbatch.TaskExecutionResultFailure || *e.FailureInfo.Code != "FailureExitCode" {
		t.Errorf("execution = %+v, want exit code 3 and its failure", e)
	}
	if got, want := a.file("j", "t", "stdout.txt"), "hello from t\n"; got != want {
		t.Errorf("stdout.txt = %q, want %q", got, want)
	}
	if got, want := a.file("j", "t", "stderr.txt"), "oh\n"; got != want {
		t.Errorf("stderr.txt = %q, want %q", got, want)
	}
	if !strings.HasSuffix(*got.NodeInfo.TaskRootDirectory, "workitems/j/job-1/t") {
		t.Errorf("taskRootDirectory = %q", *got.NodeInfo.TaskRootDirectory)
	}
}
