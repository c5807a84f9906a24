package blobstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

func TestContainers(t *testing.T) {
	server := azurite.Start(t)
	ours := open(t, url(server.Endpoint, "ours"), blobstore.WithKey(server.Key))
	if err := ours.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	credential, err := azblob.NewSharedKeyCredential(server.Account, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(server.Endpoint, credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), "theirs", nil); err != nil {
		t.Fatal(err)
	}
	all, err := blobstore.Containers(t.Context(), url(server.Endpoint, "any"), blobstore.WithKey(server.Key))
	if err != nil || len(all) != 2 {
		t.Fatalf("Containers = %+v, %v, want 2", all, err)
	}
	if c := all[0]; c.Name != "ours" || c.URL != ours.URL() || time.Since(c.Made) > time.Hour {
		t.Errorf("got %+v, want ours, made just now", c)
	}
	if c := all[1]; c.Name != "theirs" || !c.Made.IsZero() {
		t.Errorf("got %+v, want theirs, made by others", c)
	}
	if _, err := blobstore.Containers(t.Context(), ours.URL(), blobstore.WithToken(token(t, ours, time.Hour, blobstore.Delete))); err == nil || !strings.Contains(err.Error(), "for one container") {
		t.Errorf("with a token: %v", err)
	}
}
