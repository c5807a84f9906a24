package blobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/clusterless-go/clusterless/store"
)

// SignedURL makes a URL that reads the blob, as [store.Signer] says.
func (s *Store) SignedURL(ctx context.Context, key string, valid time.Duration) (string, error) {
	if s.azure == nil {
		return "", errors.ErrUnsupported
	}
	if err := check(ctx, key); err != nil {
		return "", s.wrap("sign", key, err)
	}
	a, name := s.azure, blobName(key)
	u := a.client.NewBlobClient(name).URL()
	if a.token != nil {
		return u, nil // with the token of the store
	}
	query, err := a.sign(ctx, valid, sas.BlobSignatureValues{ContainerName: a.container, BlobName: name,
		Permissions: to.Ptr(sas.BlobPermissions{Read: true}).String()})
	if err != nil {
		return "", s.fail(ctx, "sign", key, err)
	}
	return u + "?" + query, nil
}

// CopyFrom lets the service fetch the blob, as [store.Copier] says. Azure does so for blobs of up to 256 MiB of any account
// that it can reach.
func (s *Store) CopyFrom(ctx context.Context, key, source string) error {
	if s.azure == nil {
		return errors.ErrUnsupported
	}
	if err := check(ctx, key); err != nil {
		return s.wrap("copy", key, err)
	}
	u, err := url.Parse(source)
	if err != nil {
		return s.wrap("copy", key, errors.New("not a URL")) // whose text may be a secret
	}
	u.RawQuery = ""
	from := sha256.Sum256([]byte(u.String()))
	mark := "copy" + hex.EncodeToString(from[:])
	_, err = s.azure.client.NewBlobClient(blobName(key)).CopyFromURL(ctx, source, &blob.CopyFromURLOptions{
		BlobAccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}},
		Metadata:             map[string]*string{putMark: &mark},
	})
	if err == nil {
		return nil
	}
	var resp *azcore.ResponseError
	failure := s.settle(ctx, "copy", key, mark, err)
	if failure == nil || !errors.As(err, &resp) || store.IsTransient(failure) || errors.Is(failure, fs.ErrExist) {
		return failure
	}
	return fmt.Errorf("%w: %w", errors.ErrUnsupported, failure) // too large, or out of its reach
}
