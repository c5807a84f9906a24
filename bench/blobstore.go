package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

const (
	azureBlobs    = 1000
	azureBlobSize = 1_000_000
	azureReaders  = 16
)

// Where the blobs are, for the processes that fetch them.
const (
	envAzureEndpoint = "CLUSTERLESS_BENCH_AZURITE"
	envAzureKey      = "CLUSTERLESS_BENCH_AZURITE_KEY"
	azureContainer   = "results"
)

func init() {
	measurements["azure fetch"] = fetchByStore
	measurements["azure download"] = fetchBySDK
}

func azureKey(i int) string { return fmt.Sprintf("jobs/bench/out/%06d", i) }

// blobstore measures how fast results come from Azure Blob Storage, beside Microsoft's client alone, from an Azurite that has
// them in memory.
func (b *bench) blobstore(ctx context.Context) {
	want := "fetch of 1,000 results of 1 MB from Azurite"
	if !b.match.MatchString(want) {
		return
	}
	stop, err := fillAzurite(ctx)
	if err != nil {
		fmt.Printf("%s: %v\n", want, err)
		b.add(want, "", "0.8 of a plain download", 0, 0, true, false)
		return
	}
	defer stop()
	res := b.alternate(ctx, want, ours("azure fetch"), ours("azure download"))
	mine, ok1 := res.median("azure fetch", "seconds")
	plain, ok2 := res.median("azure download", "seconds")
	ratio, ok3 := res.ratio("azure download", "azure fetch", "seconds")
	b.add(want, fmt.Sprintf("%s s; Microsoft's client alone, as many at once, %s s: **%s x** as fast", number(mine), number(plain), number(ratio)),
		"0.8 of a plain download", ratio, 0.8, true, ok1 && ok2 && ok3)
}

// fillAzurite starts Azurite and puts the results.
func fillAzurite(ctx context.Context) (stop func(), err error) {
	s, stop, err := startAzurite(ctx)
	if err != nil {
		return nil, err
	}
	content := make([]byte, azureBlobSize)
	rand.Read(content)
	err = atOnce(ctx, func(ctx context.Context, i int) error {
		return s.Put(ctx, azureKey(i), store.Source(func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		}))
	})
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// startAzurite starts Azurite, with an empty container.
func startAzurite(ctx context.Context) (s *blobstore.Store, stop func(), err error) {
	dir, err := os.MkdirTemp("", "clusterless-bench-")
	if err != nil {
		return nil, nil, err
	}
	server, end, err := azurite.Run(dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	stop = func() {
		end()
		os.RemoveAll(dir)
	}
	os.Setenv(envAzureEndpoint, server.Endpoint)
	os.Setenv(envAzureKey, server.Key)
	if s, err = openAzurite(); err == nil {
		err = s.Create(ctx)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return s, stop, nil
}

func openAzurite() (*blobstore.Store, error) {
	return blobstore.Open("azblob"+strings.TrimPrefix(os.Getenv(envAzureEndpoint), "http")+"/"+azureContainer+"?protocol=http",
		blobstore.WithKey(os.Getenv(envAzureKey)))
}

// atOnce calls f for all blobs, as many at once as there are readers.
func atOnce(ctx context.Context, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range azureReaders {
		wg.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < azureBlobs && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// fetchByStore reads the results as a client does.
func fetchByStore(ctx context.Context, _ string) (sample, error) {
	driver, err := openAzurite()
	if err != nil {
		return nil, err
	}
	s := store.Retry(driver, store.Policy{})
	return timed(func() error {
		return atOnce(ctx, func(ctx context.Context, i int) error {
			b, err := store.ReadAll(ctx, s, azureKey(i))
			if err == nil && len(b) != azureBlobSize {
				err = fmt.Errorf("%d bytes", len(b))
			}
			return err
		})
	})
}

// fetchBySDK reads them by Microsoft's client, into memory of the right size.
func fetchBySDK(ctx context.Context, _ string) (sample, error) {
	endpoint := os.Getenv(envAzureEndpoint)
	cred, err := azblob.NewSharedKeyCredential(endpoint[strings.LastIndexByte(endpoint, '/')+1:], os.Getenv(envAzureKey))
	if err != nil {
		return nil, err
	}
	client, err := azblob.NewClientWithSharedKeyCredential(endpoint, cred, nil)
	if err != nil {
		return nil, err
	}
	return timed(func() error {
		return atOnce(ctx, func(ctx context.Context, i int) error {
			r, err := client.DownloadStream(ctx, azureContainer, azureKey(i), nil)
			if err != nil {
				return err
			}
			defer r.Body.Close()
			_, err = io.ReadFull(r.Body, make([]byte, azureBlobSize))
			return err
		})
	})
}
