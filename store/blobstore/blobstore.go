// Package blobstore keeps the blobs of a [store.Store] in Azure Blob Storage, over gocloud.dev/blob. A store is a container,
// and a blob of it a block blob that is named as its key. Importing the package registers the scheme azblob.
//
// # URL
//
// The URL of a store is that of its container with another scheme:
//
//	azblob://ACCOUNT.blob.core.windows.net/CONTAINER
//	azblob://ACCOUNT/CONTAINER                                 the same
//	azblob://127.0.0.1:10000/ACCOUNT/CONTAINER?protocol=http   Azurite
//
// The container must be there; [Store.Create] makes it. An account with a hierarchical namespace cannot be used, since in
// one a and a/b cannot both be blobs, and lists are in another order.
//
// # Credentials
//
// They are no part of the URL. What is found first is used:
//
//   - what was given to [Open]: [WithKey], [WithToken] or [WithCredential];
//   - the variable [TokenVariable], if it has a token for this container: this is how workers get theirs;
//   - the key of this account in AZURE_STORAGE_CONNECTION_STRING, or in AZURE_STORAGE_KEY with AZURE_STORAGE_ACCOUNT. A key
//     opens the whole account, and is for clients and for Azurite: nothing here hands it on;
//   - what a credentials.json says of this account (docs/configuration.md);
//   - azidentity's DefaultAzureCredential: the managed identity of a node (AZURE_CLIENT_ID chooses among several), or what
//     "az login" left. It needs the role Storage Blob Data Contributor, and to make tokens for others Storage Blob Delegator.
//
// # Whole or not at all
//
// A Put sends blocks, which nobody sees, and commits their list under the condition that there is no such blob. A lost answer
// to the commit is settled by a random number that each Put leaves in the metadata of its blob: so exactly one of several
// writers hears that it succeeded, also when requests are sent again. A ctx that ends while the commit is under way leaves it
// open whether the blob is there; it is whole if it is. Azure removes blocks that were not committed after a week.
//
// A Put needs memory for 4 blocks of 8 MiB at most, whatever the size of the blob, which can be 390 GiB.
//
// # Other clouds
//
// The schemes s3 and gs are registered too, and work for a program that imports gocloud.dev/blob/s3blob or gcsblob: what
// follows the scheme, and where credentials come from, is described there. Neither is linked otherwise.
package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"

	"github.com/clusterless-go/clusterless/store"
)

// attempts are those at each operation of a store that was opened by its URL, beyond the three that the SDK repeats by itself: a
// minute without a service, as for a failover, ends no job.
const attempts = 12

func init() {
	store.Register("azblob", func(_ context.Context, u *url.URL) (store.Store, error) {
		s, err := fromURL(u)
		if err != nil {
			return nil, err
		}
		return store.Retry(s, store.Policy{Attempts: attempts}), nil
	})
	store.Register("s3", openOther)
	store.Register("gs", openOther)
}

// A Store keeps its blobs in a container, or in what another cloud calls a bucket. Besides [store.Store] it is a
// [store.Ranger], and on Azure a [store.Signer] and a [store.Copier].
type Store struct {
	bucket *blob.Bucket
	url    string
	azure  *azure // nil on other clouds
}

var (
	_ store.Ranger = (*Store)(nil)
	_ store.Signer = (*Store)(nil)
	_ store.Copier = (*Store)(nil)
)

// openOther opens a bucket by a driver of gocloud.dev that the program has imported.
func openOther(ctx context.Context, u *url.URL) (store.Store, error) {
	if !blob.DefaultURLMux().ValidBucketScheme(u.Scheme) {
		driver := map[string]string{"s3": "s3blob", "gs": "gcsblob"}[u.Scheme]
		return nil, fmt.Errorf(`blobstore: this program cannot open %s: URLs: import _ "gocloud.dev/blob/%s"`, u.Scheme, driver)
	}
	b, err := blob.DefaultURLMux().OpenBucketURL(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("blobstore: %w", err)
	}
	return &Store{bucket: b, url: u.String()}, nil
}

// URL returns the URL of the container, as described above.
func (s *Store) URL() string { return s.url }

// Get opens the blob. The reader tells its Size.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.GetRange(ctx, key, 0, -1)
}

// GetRange opens a part of the blob by one request, as [store.Ranger] says.
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, key); err != nil {
		return nil, s.wrap("get", key, err)
	}
	if off < 0 {
		return nil, s.wrap("get", key, fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid))
	}
	n = min(n, math.MaxInt64-off)
	name := blobName(key)
	var r *blob.Reader
	var size int64
	var err error
	if n != 0 { // the service has no request for no bytes
		r, err = s.bucket.NewRangeReader(ctx, name, off, n, nil)
	}
	switch {
	case n == 0 || err != nil && s.beyondEnd(err):
		attrs, e := s.bucket.Attributes(ctx, name)
		if e != nil {
			return nil, s.fail(ctx, "get", key, e)
		}
		size = attrs.Size
	case err != nil:
		return nil, s.fail(ctx, "get", key, err)
	default:
		size = r.Size()
	}
	if n < 0 {
		n = size - off
	}
	switch {
	case n < 0 || off+n > size:
		if r != nil {
			r.Close()
		}
		return nil, s.wrap("get", key, fmt.Errorf("bytes %d to %d of %d: %w", off, off+n, size, io.ErrUnexpectedEOF))
	case n > 0 && r == nil: // it was something else
		return nil, s.fail(ctx, "get", key, err)
	}
	return &reader{s: s, ctx: ctx, key: key, r: r, left: n}, nil
}

// reader reads a part of a blob. It keeps the context of its request, to tell an end of it from other errors.
type reader struct {
	s    *Store
	ctx  context.Context
	key  string
	r    *blob.Reader // nil: there is nothing to read
	left int64
}

// Size is how many bytes are left to read.
func (r *reader) Size() int64 { return r.left }

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case err == nil, r.left == 0:
		return n, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, r.s.fail(r.ctx, "get", r.key, err)
}

func (r *reader) Close() error {
	if r.r == nil {
		return nil
	}
	return r.r.Close()
}

// List yields the blobs in key order, 5,000 by each request. What is in the container and has no key is left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		list := s.bucket.List(&blob.ListOptions{Prefix: namePrefix(prefix), BeforeList: wholePages})
		for {
			o, err := list.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(store.Info{}, s.fail(ctx, "list", prefix, err))
				return
			}
			name := o.Key
			var item container.BlobItem
			if o.As(&item) && item.Name != nil {
				name = *item.Name // as it is, where gocloud.dev may have seen an escape in it
			}
			key, ok := keyOf(name)
			if ok && !yield(store.Info{Key: key, Size: o.Size, Created: o.ModTime}, nil) {
				return
			}
		}
	}
}

// wholePages asks Azure for as many blobs at a time as it gives.
func wholePages(as func(any) bool) error {
	var o *container.ListBlobsHierarchyOptions
	if as(&o) {
		o.MaxResults = to.Ptr[int32](5000)
	}
	return nil
}

// Delete removes the blob.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return s.wrap("delete", key, err)
	}
	err := s.bucket.Delete(ctx, blobName(key))
	if err == nil {
		return nil
	}
	if err = s.fail(ctx, "delete", key, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.CheckKey(key)
}
