package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

const (
	batchCalls    = 100_000
	originalCalls = 10_000 // of the original's way, which takes minutes for all
	batchFollow   = 10 * time.Second
	reduceResults = 64
)

// envBatch is the URL of the emulator that measurements use.
const envBatch = "CLUSTERLESS_BENCH_BATCH"

func init() {
	measurements["azure map"] = func(ctx context.Context, _ string) (sample, error) { return submitOurs(ctx) }
	measurements["azure tasks"] = func(ctx context.Context, _ string) (sample, error) { return submitOurs(ctx, clusterless.Span(1)) }
	measurements["azure original"] = submitOriginal
	measurements["azure reduce"] = reduceOnAzure
}

// azure measures the engine of Azure Batch against the emulator and Azurite, which run in this process and beside it: what is
// measured is the client.
func (b *bench) azure(ctx context.Context) {
	submit, sum := "Azure Batch: Map of 100,000 calls onto 2,000 simulated nodes", "Azure Batch: remote reduce of 64 results of 8 MB"
	if !b.match.MatchString(submit) && !b.match.MatchString(sum) {
		return
	}
	stop, err := startAzure(ctx)
	if err != nil {
		fmt.Printf("Azure Batch: %v\n", err)
		b.add(submit, "", "", 0, 0, true, false)
		return
	}
	defer stop()
	if b.match.MatchString(submit) {
		b.azureSubmit(ctx, submit)
	}
	if b.match.MatchString(sum) {
		res := b.alternate(ctx, sum, ours("azure reduce"))
		seconds, ok := res.median("azure reduce", "seconds")
		mb, _ := res.median("azure reduce", "client_mb")
		jobs, _ := res.median("azure reduce", "batch_jobs")
		peak, _ := res.median("azure reduce", "peak_mb")
		b.add(sum, fmt.Sprintf("%s s on two nodes of one slot; the client read **%s MB**, the last result and the indexes of the others, and had %s MB of memory at most", number(seconds), number(mb), number(peak)),
			"no result but the last: under 16 MB", mb, 16, false, ok)
		b.add(sum, fmt.Sprintf("**%.0f** Batch jobs, one of them for the results", jobs), "a fixed number", jobs, 10, false, ok)
	}
}

func (b *bench) azureSubmit(ctx context.Context, work string) {
	res := b.alternate(ctx, work, ours("emulator"), ours("azure tasks"), ours("azure map"), ours("azure original"))
	added, ok := res.median("azure tasks", "added/s")
	ratio, ok1 := res.ratio("azure tasks", "emulator", "added/s")
	b.add(work, fmt.Sprintf("a task for each call (Span 1): **%s** tasks added a second, %s of what the emulator takes", number(added), number(ratio)), "0.5 of its rate", ratio, 0.5, true, ok && ok1)
	peak, ok := res.median("azure tasks", "peak_mb")
	b.add(work, fmt.Sprintf("memory of the client at most: **%s MB**; with spans %s MB", number(peak), first(res.median("azure map", "peak_mb"))), "under 300 MB", peak, 300, false, ok)
	one, _ := res.median("azure tasks", "requests/1000")
	spans, ok := res.median("azure map", "requests/1000")
	theirs, ok1 := res.median("azure original", "requests/1000")
	fewer, ok2 := res.ratio("azure original", "azure map", "requests/1000")
	b.add(work, fmt.Sprintf("requests for 1,000 calls, with %v of following: **%s** (Span 1: %s); the original's way %s: %s x fewer", batchFollow, number(spans), number(one), number(theirs), number(fewer)),
		"20 x fewer", fewer, 20, true, ok && ok1 && ok2)
	mine, ok := res.median("azure map", "us/call")
	each, _ := res.median("azure tasks", "us/call")
	original, ok1 := res.median("azure original", "us/call")
	faster, ok2 := res.ratio("azure original", "azure map", "us/call")
	b.add(work, fmt.Sprintf("submit: **%s us** a call (Span 1: %s us); the original's way %s us: %s x as fast", number(mine), number(each), number(original), number(faster)),
		"10 x as fast", faster, 10, true, ok && ok1 && ok2)
}

func first(v float64, _ bool) string { return number(v) }

// startAzure starts the emulator, with 2,000 simulated nodes whose tasks do not end and two real ones, and Azurite.
func startAzure(ctx context.Context) (stop func(), err error) {
	_, stopStorage, err := startAzurite(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "clusterless-bench-")
	if err != nil {
		stopStorage()
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // tasks have users of their own
		return nil, err
	}
	s, err := emulator.Start(ctx, emulator.Options{Dir: filepath.Join(dir, "account"), AllocationTime: -1, BootTime: -1})
	if err != nil {
		stopStorage()
		os.RemoveAll(dir)
		return nil, err
	}
	stop = func() {
		s.Close()
		stopStorage()
		os.RemoveAll(dir)
	}
	os.Setenv(envBatch, s.URL())
	for _, v := range s.Environ() {
		name, value, _ := strings.Cut(v, "=")
		os.Setenv(name, value)
	}
	c, err := sdk.NewClient(s.URL(), s.Credential(), s.ClientOptions())
	if err == nil {
		err = errors.Join(makePool(ctx, c, "simulated", emulatorNodes, "task=10h"), makePool(ctx, c, "real", 2, ""))
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func makePool(ctx context.Context, c *sdk.Client, id string, nodes int32, simulate string) error {
	p := sdk.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr("Standard_D2s_v3"), TargetDedicatedNodes: to.Ptr(nodes),
		VirtualMachineConfiguration: &sdk.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
			ImageReference: &sdk.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server")}}}
	if simulate != "" {
		p.Metadata = []sdk.MetadataItem{{Name: to.Ptr("EMULATOR_SIMULATE"), Value: to.Ptr(simulate)}}
	}
	_, err := c.CreatePool(ctx, p, nil)
	return err
}

// requests counts those of a client.
type requests struct {
	all, jobs   atomic.Int64
	mu          sync.Mutex
	first, last time.Time // of those that added tasks
}

// Do implements policy.Transporter.
func (r *requests) Do(req *http.Request) (*http.Response, error) {
	r.all.Add(1)
	if req.Method == http.MethodPost && req.URL.Path == "/jobs" {
		r.jobs.Add(1)
	}
	adds := strings.HasSuffix(req.URL.Path, "/addtaskcollection")
	began := time.Now()
	resp, err := batchClient.Do(req)
	if adds {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.first.IsZero() || began.Before(r.first) {
			r.first = began
		}
		r.last = time.Now()
	}
	return resp, err
}

var batchClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// A counted store counts requests, as far as a put or a get is one, and bytes that are read.
type counted struct {
	*blobstore.Store
	requests, bytes atomic.Int64
}

func (c *counted) Put(ctx context.Context, key string, r io.Reader) error {
	c.requests.Add(1)
	return c.Store.Put(ctx, key, r)
}

func (c *counted) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return c.GetRange(ctx, key, 0, -1)
}

func (c *counted) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	c.requests.Add(1)
	r, err := c.Store.GetRange(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &countedReader{r, &c.bytes}, nil
}

type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.n.Add(int64(n))
	return n, err
}

// onAzure opens a session on a pool of the emulator.
func onAzure(ctx context.Context, pool string) (*clusterless.Session, *counted, *requests, error) {
	driver, err := openAzurite()
	if err != nil {
		return nil, nil, nil, err
	}
	blobs, batch := &counted{Store: driver}, &requests{}
	e, err := azbatch.New(azbatch.Config{Endpoint: os.Getenv(envBatch), Transport: batch, Poll: time.Second, Placement: azbatch.Placement{Pool: pool}})
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := clusterless.Open(ctx, clusterless.WithEngine(e), clusterless.WithStore(blobs))
	return s, blobs, batch, err
}

// submitOurs makes a job of 100,000 calls and follows it for a while. The program is in the store already, from a job before.
func submitOurs(ctx context.Context, opts ...clusterless.Option) (sample, error) {
	s, blobs, batch, err := onAzure(ctx, "simulated")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	warm, err := noop.On(s).Map(ctx, numbers(1))
	if err != nil {
		return nil, err
	}
	if err := warm.Delete(ctx); err != nil {
		return nil, err
	}
	before := batch.all.Load() + blobs.requests.Load()
	batch.first = time.Time{}
	began := time.Now()
	job, err := noop.On(s, opts...).Map(ctx, numbers(batchCalls))
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	time.Sleep(batchFollow)
	all := batch.all.Load() + blobs.requests.Load() - before
	batch.mu.Lock()
	adding := batch.last.Sub(batch.first)
	batch.mu.Unlock()
	return sample{"us/call": took.Seconds() * 1e6 / batchCalls, "added/s": batchCalls / adding.Seconds(), "requests/1000": float64(all) * 1000 / batchCalls}, job.Delete(ctx)
}

// submitOriginal does what the original does: for each call a blob with its argument and a task with a signed URL of that, and a
// listing of all tasks each second. It is given 16 uploads at a time and 100 tasks in a request, 16 at a time, as we have.
func submitOriginal(ctx context.Context, _ string) (sample, error) {
	driver, err := openAzurite()
	if err != nil {
		return nil, err
	}
	cred, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	count := &requests{}
	options := &sdk.ClientOptions{}
	options.Transport, options.InsecureAllowCredentialWithHTTP = count, true
	c, err := sdk.NewClient(os.Getenv(envBatch), cred, options)
	if err != nil {
		return nil, err
	}
	job := fmt.Sprintf("original-%d", time.Now().UnixNano())
	if _, err := c.CreateJob(ctx, sdk.CreateJobContent{ID: to.Ptr(job), PoolInfo: &sdk.PoolInfo{PoolID: to.Ptr("simulated")}}, nil); err != nil {
		return nil, err
	}
	var puts atomic.Int64
	began := time.Now()
	tasks := make([]sdk.CreateTaskContent, originalCalls)
	err = inGroups(ctx, originalCalls, 1, func(i, _ int) error {
		key := fmt.Sprintf("%s/%06d", job, i)
		if err := driver.Put(ctx, key, strings.NewReader(fmt.Sprint(i))); err != nil {
			return err
		}
		puts.Add(1)
		url, err := store.SignedURL(ctx, driver, key, time.Hour)
		tasks[i] = sdk.CreateTaskContent{ID: to.Ptr(fmt.Sprint(i)), CommandLine: to.Ptr("/bin/true"), ResourceFiles: []sdk.ResourceFile{{HTTPURL: to.Ptr(url), FilePath: to.Ptr("argument")}}}
		return err
	})
	if err == nil {
		err = inGroups(ctx, originalCalls, 100, func(from, end int) error {
			_, err := c.CreateTaskCollection(ctx, job, sdk.TaskGroup{Value: tasks[from:end]}, nil)
			return err
		})
	}
	took := time.Since(began)
	for end := time.Now().Add(batchFollow); err == nil && time.Now().Before(end); time.Sleep(time.Second) {
		for pages := c.NewListTasksPager(job, nil); pages.More() && err == nil; {
			_, err = pages.NextPage(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	_, err = c.DeleteJob(ctx, job, nil)
	return sample{"us/call": took.Seconds() * 1e6 / originalCalls, "requests/1000": float64(count.all.Load()+puts.Load()) * 1000 / originalCalls}, err
}

// inGroups calls f for groups of numbers below n, 16 at once.
func inGroups(ctx context.Context, n, size int, f func(from, end int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	room := make(chan struct{}, 16)
	for from := 0; from < n && ctx.Err() == nil; from += size {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if err := f(from, min(n, from+size)); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// reduceOnAzure sums results of 8 MB by tasks.
func reduceOnAzure(ctx context.Context, _ string) (sample, error) {
	s, blobs, batch, err := onAzure(ctx, "real")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	out, err := timed(func() error {
		job, err := makeIt.On(s).Map(ctx, numbers(reduceResults))
		if err != nil {
			return err
		}
		sum, err := job.Reduce(ctx, add.On(s))
		if err == nil && (len(sum) != n8 || sum[5] != reduceResults*(reduceResults-1)/2) {
			err = errors.New("wrong sum")
		}
		return errors.Join(err, job.Delete(ctx))
	})
	if err == nil {
		out["client_mb"], out["batch_jobs"] = float64(blobs.bytes.Load())/1e6, float64(batch.jobs.Load())
	}
	return out, err
}
