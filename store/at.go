package store

import (
	"context"
	"io"
	"io/fs"
	"os"
)

// At is a blob opened for reading at any offset, by any number of goroutines at once. The caller closes it when
// none of them reads any more.
type At interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// OpenAt opens a blob for reading at any offset: as a file where the store has files, else by ranges, each ReadAt a
// request of its own. Its reads end with ctx.
func OpenAt(ctx context.Context, s Store, key string) (At, error) {
	if path, ok, err := File(ctx, s, key); err != nil {
		return nil, err
	} else if ok {
		f, err := os.Open(path)
		if err != nil {
			return nil, &Error{Store: s.URL(), Op: "open", Key: key, Err: err}
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, &Error{Store: s.URL(), Op: "open", Key: key, Err: err}
		}
		return fileAt{f, st.Size()}, nil
	}
	for info, err := range s.List(ctx, key) {
		if err != nil {
			return nil, err
		}
		if info.Key == key {
			return &rangeAt{ctx, s, key, info.Size}, nil
		}
		break
	}
	return nil, &Error{Store: s.URL(), Op: "open", Key: key, Err: fs.ErrNotExist}
}

type fileAt struct {
	*os.File
	size int64
}

func (f fileAt) Size() int64 { return f.size }

// rangeAt keeps the context of OpenAt, because io.ReaderAt has none: it is the life of the reader.
type rangeAt struct {
	ctx  context.Context
	s    Store
	key  string
	size int64
}

func (r *rangeAt) Size() int64  { return r.size }
func (r *rangeAt) Close() error { return nil }

func (r *rangeAt) ReadAt(b []byte, off int64) (int, error) {
	n := int64(len(b))
	if off >= r.size {
		return 0, io.EOF
	}
	short := off+n > r.size
	if short {
		n = r.size - off
	}
	rc, err := GetRange(r.ctx, r.s, r.key, off, n)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	k, err := io.ReadFull(rc, b[:n])
	if err == nil && short {
		err = io.EOF
	}
	return k, err
}
