package blobstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"gocloud.dev/blob"

	"github.com/clusterless-go/clusterless/store"
)

// A blob of at most one block is put by one request. Azure takes 50,000 blocks.
const (
	blockSize = 8 << 20
	atOnce    = 4 // blocks on their way, of one Put
)

// putMark is the name of the metadata that tells whose Put, or copy of what, a blob is.
const putMark = "put"

// Put stores r. Whether the key is taken is found out when the first block is full, before a second one is read, and again by
// the service when it commits the blob.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := check(ctx, key); err != nil {
		return s.wrap("put", key, err)
	}
	mark := rand.Text()
	err := s.upload(ctx, blobName(key), mark, r)
	var own sourceError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return s.wrap("put", key, own.error)
	case err == fs.ErrExist:
		return s.wrap("put", key, err)
	}
	return s.settle(ctx, "put", key, mark, err)
}

// sourceError is an error of what is put, not of the store.
type sourceError struct{ error }

// upload sends r. The end of ctx, an error of r and a request that failed all end it, and then nothing is committed.
func (s *Store) upload(ctx context.Context, name, mark string, r io.Reader) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pr, pw := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		// Not by a blob.Writer: Azure's, of v0.47.0, is not safe to close when its upload has failed.
		err := s.bucket.Upload(context.WithValue(ctx, uploadKey{}, cancel), name, pr, &blob.WriterOptions{
			BufferSize:     blockSize,
			MaxConcurrency: atOnce,
			ContentType:    "application/octet-stream",
			Metadata:       map[string]string{putMark: mark},
			IfNotExist:     true,
		})
		pr.CloseWithError(err)
		sent <- err
	}()
	w := &writer{ctx: ctx, w: pw, taken: func() bool {
		there, err := s.bucket.Exists(ctx, name)
		return err == nil && there
	}}
	source := errors.New("the source panicked")
	defer func() {
		pw.CloseWithError(source) // nil is the end of the blob
		err = <-sent
		switch cause := context.Cause(ctx); {
		case w.err == nil && source != nil:
			err = sourceError{source}
		case w.err == fs.ErrExist:
			err = w.err
		case cause != nil:
			err = cause
		}
	}()
	if _, source = io.Copy(w, r); w.err != nil { // also when r kept it to itself
		source = w.err
	}
	return nil
}

// settle finds out whose the blob is that is in the way of a commit: the answer to a first try of it may have been lost.
func (s *Store) settle(ctx context.Context, op, key, mark string, err error) error {
	// These are blocks of ours that are gone, since another Put of the blob was committed.
	lost := bloberror.HasCode(err, bloberror.InvalidBlockList)
	failure := s.fail(ctx, op, key, err)
	if !lost && !errors.Is(failure, fs.ErrExist) {
		return failure
	}
	attrs, err := s.bucket.Attributes(ctx, blobName(key))
	switch {
	case err == nil && attrs.Metadata[putMark] == mark:
		return nil
	case err == nil:
		return s.wrap(op, key, fs.ErrExist)
	}
	err = s.fail(ctx, op, key, err)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case lost:
		return s.wrap(op, key, store.Transient(errors.New("another writer's blob came between, and was deleted")))
	}
	return failure // deleted meanwhile
}

// writer writes to a blob until its context ends.
type writer struct {
	ctx   context.Context
	w     io.Writer
	taken func() bool
	n     int64
	err   error // the first
}

func (w *writer) Write(p []byte) (n int, err error) {
	if w.err == nil {
		w.err = context.Cause(w.ctx)
	}
	if before := w.n; w.err == nil && before <= blockSize && before+int64(len(p)) > blockSize && w.taken() {
		w.err = fs.ErrExist
	}
	if w.err == nil {
		n, w.err = w.w.Write(p)
		w.n += int64(n)
	}
	return n, w.err
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// ReadFrom copies with a larger buffer than io.Copy has.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}

type uploadKey struct{}

// watchUploads ends an upload when one of its requests has failed for good. Without it the SDK would read the source to its
// end first.
type watchUploads struct{}

func (watchUploads) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	failed, ok := req.Raw().Context().Value(uploadKey{}).(context.CancelCauseFunc)
	if !ok {
		return resp, err
	}
	if err == nil && resp.StatusCode >= 400 && req.Raw().Method == http.MethodPut {
		err := runtime.NewResponseError(resp)
		failed(err)
		return nil, err
	}
	if err != nil {
		failed(err)
	}
	return resp, err
}
