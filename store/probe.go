package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
)

// GetRange opens n bytes of the blob from offset off; n < 0 means to its end. It uses the driver's own [Ranger],
// and else reads the blob from its beginning and drops what comes before off. A range that is not wholly inside
// the blob is io.ErrUnexpectedEOF, at the call or while reading; the empty range at the very end is inside.
func GetRange(ctx context.Context, s Store, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, &Error{Store: s.URL(), Op: "get", Key: key, Err: fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid)}
	}
	r, err := nativeRange(ctx, s, key, off, n)
	if !errors.Is(err, errors.ErrUnsupported) {
		return r, err
	}
	r, err = s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		r.Close()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, &Error{Store: s.URL(), Op: "get", Key: key, Err: err}
	}
	if n < 0 {
		return r, nil
	}
	return &exactly{r: r, left: n}, nil
}

// nativeRange is GetRange without a substitute: errors.ErrUnsupported where s cannot do it itself.
func nativeRange(ctx context.Context, s Store, key string, off, n int64) (io.ReadCloser, error) {
	if r, ok := s.(Ranger); ok {
		return r.GetRange(ctx, key, off, n)
	}
	return nil, errors.ErrUnsupported
}

// File returns the path of the file that is the blob; ok is false, and err nil, if the store has no files on this
// machine. The file must not be written to.
func File(ctx context.Context, s Store, key string) (path string, ok bool, err error) {
	f, ok := s.(Filer)
	if !ok {
		return "", false, nil
	}
	path, err = f.File(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		return "", false, nil
	}
	return path, err == nil, err
}

// PutNamed stores r under a key that is asked for after all of r was read, as [Namer] says. It is errors.ErrUnsupported
// where the store has to know the key first; then nothing was read.
func PutNamed(ctx context.Context, s Store, r io.Reader, key func() string) error {
	if n, ok := s.(Namer); ok {
		return n.PutNamed(ctx, r, key)
	}
	return errors.ErrUnsupported
}

// ReadAll returns the content of the blob. Where the store knows the size beforehand, the memory is allocated
// once and nothing is copied within it.
func ReadAll(ctx context.Context, s Store, key string) ([]byte, error) {
	r, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	size := readerSize(r)
	if size < 0 || size >= math.MaxInt {
		return io.ReadAll(r)
	}
	// One byte more than needed makes the end show in the same read.
	buf := make([]byte, size+1)
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return buf[:n:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, &Error{Store: s.URL(), Op: "get", Key: key, Err: fmt.Errorf("longer than its %d bytes: %w", size, ErrDamaged)}
}

// readerSize is what the reader of a Get says about its length, or -1. A reader says it by a method Size() int64,
// or by being a file.
func readerSize(r io.Reader) int64 {
	switch r := r.(type) {
	case interface{ Size() int64 }:
		return r.Size()
	case interface{ Stat() (os.FileInfo, error) }:
		if info, err := r.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return -1
}

// exactly reads exactly left bytes of r: fewer are io.ErrUnexpectedEOF.
type exactly struct {
	r    io.ReadCloser
	left int64
}

func (e *exactly) Size() int64 { return e.left }

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if err == io.EOF {
		if e.left > 0 {
			return n, io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (e *exactly) Close() error { return e.r.Close() }
