package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// defaultMode is that of resource files that say none, and of directories made for them.
const defaultMode = 0o770

// download fetches resource files into a place. The error is a *Failure, or that of the context.
func (n *Node) download(ctx context.Context, files []ResourceFile, to place) error {
	for _, f := range files {
		mode, err := fileMode(f.FileMode)
		if err != nil {
			return fail(ResourceFileCreateFailed, err.Error(), Variable{"FilePath", f.FilePath})
		}
		container := f.StorageContainerURL
		if f.AutoStorageContainer != "" {
			if container, err = n.autoStorage(ctx, f.AutoStorageContainer); err != nil {
				return err
			}
		}
		switch {
		case container != "":
			err = n.downloadContainer(ctx, f, container, mode, to)
		case f.HTTPURL != "":
			err = n.downloadFile(ctx, f.HTTPURL, f.Identity, f.FilePath, mode, to)
		default:
			err = fail(ResourceFileCreateFailed, "a resource file has no source", Variable{"FilePath", f.FilePath})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fileMode reads octal digits. Only permissions count: bits such as setuid give a file to be run more than its owner has.
func fileMode(s string) (fs.FileMode, error) {
	if s == "" {
		return defaultMode, nil
	}
	m, err := strconv.ParseUint(s, 8, 16)
	if err != nil {
		return 0, fmt.Errorf("file mode %q is not octal", s)
	}
	return fs.FileMode(m & 0o777), nil
}

func (n *Node) autoStorage(ctx context.Context, container string) (string, error) {
	if n.c.AutoStorage == nil {
		return "", fail(ResourceContainerAccessDenied, "the account has no storage linked to it", Variable{"AutoStorageContainerName", container})
	}
	u, err := n.c.AutoStorage(ctx, container)
	if err != nil {
		return "", fail(ResourceContainerAccessDenied, err.Error(), Variable{"AutoStorageContainerName", container})
	}
	return u, nil
}

func (n *Node) downloadContainer(ctx context.Context, f ResourceFile, container string, mode fs.FileMode, to place) error {
	err := n.list(ctx, container, f.BlobPrefix, f.Identity, func(name string) error {
		from, err := blobURL(container, name)
		if err != nil {
			return err
		}
		as := name
		if f.FilePath != "" {
			as = f.FilePath + "/" + name
		}
		if strings.HasSuffix(name, "/") { // a directory, as some tools mark them
			return nil
		}
		return n.downloadFile(ctx, from, f.Identity, as, mode, to)
	})
	var b *blobError
	if errors.As(err, &b) && b.op == "list" {
		code := ResourceContainerAccessDenied
		if b.status != http.StatusUnauthorized && b.status != http.StatusForbidden && b.status != http.StatusConflict {
			code = downloadCode(b)
		}
		return fail(code, b.Error(), Variable{"StorageContainerUrl", shown(container)}, Variable{"FilePath", f.FilePath})
	}
	return err
}

// downloadFile fetches one file. The name may be anything, and must be of a file below the place.
func (n *Node) downloadFile(ctx context.Context, from, identity, name string, mode fs.FileMode, to place) error {
	where := []Variable{{"BlobSource", shown(from)}, {"FilePath", name}}
	if !local(name) || strings.HasSuffix(name, "/") {
		return fail(ResourceFileCreateFailed, "the path is not that of a file in the task's working directory", where...)
	}
	name = path.Clean(name)
	code := ResourceFileCreateFailed
	err := n.get(ctx, from, identity, func(r io.Reader) error {
		if err := to.parents(name, defaultMode); err != nil {
			return localError{err}
		}
		file, err := to.create(name, mode)
		if err != nil {
			return localError{err}
		}
		defer file.Close()
		if _, err := io.Copy(writer{file}, r); err != nil {
			code = ResourceFileWriteFailed
			return err
		}
		if err := file.Close(); err != nil {
			code = ResourceFileWriteFailed
			return localError{err}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	var b *blobError
	if errors.As(err, &b) {
		code = downloadCode(b)
	}
	if local(name) {
		_ = clear(to.root, name) // half of it, if anything
	}
	return failFile(code, err, where...)
}

// writer tells errors of writing from those of reading.
type writer struct{ io.Writer }

func (w writer) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		err = localError{err}
	}
	return n, err
}

func downloadCode(b *blobError) string {
	switch {
	case b.status == http.StatusNotFound:
		return BlobNotFound
	case b.status == http.StatusUnauthorized, b.status == http.StatusForbidden, b.status == http.StatusConflict:
		return BlobAccessDenied
	case errors.Is(b.err, errStalled):
		return BlobDownloadTimedOut
	}
	return BlobDownloadMiscError
}
