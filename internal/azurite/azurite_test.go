package azurite_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/clusterless-go/clusterless/internal/azurite"
)

func TestAServerKeepsBlobsForItsKeyOnly(t *testing.T) {
	ctx := context.Background()
	s := azurite.Start(t)
	client := open(t, s, s.Key)
	if _, err := client.CreateContainer(ctx, "container", nil); err != nil {
		t.Fatal(err)
	}
	want := []byte("some bytes")
	if _, err := client.UploadBuffer(ctx, "container", "dir/blob", want, nil); err != nil {
		t.Fatal(err)
	}
	r, err := client.DownloadStream(ctx, "container", "dir/blob", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	other := open(t, s, "b3RoZXI=")
	if _, err := other.DownloadStream(ctx, "container", "dir/blob", nil); err == nil {
		t.Error("another key opens the blob")
	}
}

func open(t *testing.T, s *azurite.Server, key string) *azblob.Client {
	t.Helper()
	cred, err := azblob.NewSharedKeyCredential(s.Account, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(s.Endpoint, cred, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
