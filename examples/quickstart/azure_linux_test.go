package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// The same program on Azure Batch and Azure Storage, as the emulators have them. It finds its credentials as it would on Azure.
func TestAzure(t *testing.T) {
	storage := azurite.Start(t)
	store := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/quickstart?protocol=http"
	s, err := blobstore.Open(store, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	u, err := url.Parse(batch.URL())
	if err != nil {
		t.Fatal(err)
	}
	engine := "azbatch://" + u.Host + "?http=true&poll=100ms&pool=quickstart&vmsize=Standard_D2s_v5&nodes=2"
	quickstart(t, append(batch.Environ(), "CLUSTERLESS_ENGINE="+engine, "CLUSTERLESS_STORE="+store,
		"AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key)...)
	for info, err := range s.List(t.Context(), "jobs/") {
		t.Errorf("left in the store: %s, %v", info.Key, err)
	}
	client, err := azbatch.NewClient(batch.URL(), batch.Credential(), batch.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	for pages := client.NewListJobsPager(&azbatch.ListJobsOptions{Filter: to.Ptr("state ne 'deleting'")}); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Value {
			t.Errorf("left in the account: job %s, %s", *j.DisplayName, *j.State)
		}
	}
}
