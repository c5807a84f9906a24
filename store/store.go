// Package store is the seam between clusterless and whatever keeps its blobs: programs, inputs, results,
// manifests. A Store holds immutable blobs by key; each is there whole or not at all, and is created once.
//
// A driver (filestore, blobstore, memstore) implements [Store] and, where it can do better than the plain methods, some of
// the optional interfaces [Ranger], [Filer], [Namer], [Signer], [Creator] and [Copier]. Callers never test for those themselves: they use
// [GetRange], [File], [PutNamed], [OpenAt], [ReadAll], [ReadParallel] and [Copy], which fall back to what every Store can do.
// [Retry] and [Limit] decorate any Store. Package storetest holds the suite that every driver passes.
//
// A driver registers itself under the scheme of its URLs when its package is imported; [Open] finds it by URL.
package store

import (
	"context"
	"io"
	"iter"
	"time"
)

// Info describes one blob of a Store.
type Info struct {
	Key     string
	Size    int64     // bytes
	Created time.Time // when the blob was committed, by the clock of the store
}

// A Store keeps immutable blobs by key. All methods may be called at once by any number of goroutines,
// processes and machines.
//
// A key is one or more segments separated by single slashes; a segment is made of letters, digits and ".-_+=@~"
// and is neither "." nor "..". A segment is at most 200 bytes long, the whole at most 512. Other keys are an error that
// wraps fs.ErrInvalid (see [CheckKey]). A key may begin with another one: "a" and "a/b" can both be there.
//
// Errors name the store, what was done and the key, and wrap fs.ErrNotExist for a key that is not there,
// fs.ErrExist for one that is taken, and the cause (syscall.ENOSPC, fs.ErrPermission, …) otherwise.
type Store interface {
	// Put stores all of r under key, or nothing. A key that is taken is fs.ErrExist, also when several
	// processes or machines put it at the same time: exactly one of them succeeds, and the blob never changes
	// afterwards. An error of r is returned as it is (wrapped) and leaves nothing behind. Where r implements
	// io.WriterTo, the driver lets it write itself, so that large memory is not copied on its way. A cancelled
	// ctx stops the transfer and leaves nothing behind. Where the key is taken beforehand, r may not be read at all.
	Put(ctx context.Context, key string, r io.Reader) error

	// Get opens the blob for reading from its beginning. The caller closes it.
	Get(ctx context.Context, key string) (io.ReadCloser, error)

	// List yields every blob whose key begins with prefix (any string, not only whole segments), in order of
	// keys compared as bytes. After an error it stops. Blobs put or deleted meanwhile may or may not show;
	// half-written ones never do.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes the blob. A key that is not there is no error.
	Delete(ctx context.Context, key string) error

	// URL names the store so that store.Open reopens it in another process. It holds no secret.
	URL() string
}

// A Ranger reads a part of a blob without the rest. A decorator is a Ranger whatever it decorates, and returns
// errors.ErrUnsupported if that is none; the same holds for a Filer.
type Ranger interface {
	// GetRange opens n bytes from offset off; n < 0 means to the end. A range that begins past the end, or ends
	// past it, is io.ErrUnexpectedEOF, at the call or while reading.
	GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
}

// A Filer has its blobs as files of this machine, so that they can be mapped into memory.
type Filer interface {
	// File returns the path of the file that is the blob. The file must not be written to. It stays until the
	// blob is deleted; a mapping or an open descriptor outlives even that.
	File(ctx context.Context, key string) (path string, err error)
}

// A Namer stores a blob under a key that comes of its content, and is known only when all of it has been read: that takes
// one pass over the content where Put would take two. Where the driver does not, [PutNamed] is errors.ErrUnsupported.
type Namer interface {
	// PutNamed is Put, with a key that is asked for after all of r was read. A key that is taken is fs.ErrExist.
	PutNamed(ctx context.Context, r io.Reader, key func() string) error
}
