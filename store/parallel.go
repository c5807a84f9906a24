package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Parallel says how a blob is read in parts at once. The zero value is a good one for a store over a network.
type Parallel struct {
	Readers int   // at once; 0 means 8
	Part    int64 // bytes; 0 means 8 MiB
}

// ReadParallel reads the first len(buf) bytes of the blob into buf, several parts of it at once where the store can
// read ranges, else all in one go. A blob that is shorter is io.ErrUnexpectedEOF; that it is longer is not noticed.
// After an error the content of buf is undefined, but nobody writes to it any more.
func ReadParallel(ctx context.Context, s Store, key string, buf []byte, p Parallel) error {
	if path, ok, err := File(ctx, s, key); err != nil {
		return err
	} else if ok {
		f, err := os.Open(path)
		if err != nil {
			return &Error{Store: s.URL(), Op: "get", Key: key, Err: err}
		}
		defer f.Close()
		return p.run(ctx, s, key, int64(len(buf)), func(_ context.Context, off, n int64) error {
			if _, err := io.ReadFull(io.NewSectionReader(f, off, n), buf[off:off+n]); err != nil {
				return &Error{Store: s.URL(), Op: "get", Key: key, Err: short(err)}
			}
			return nil
		})
	}
	into := func(r io.Reader, off, n int64) error {
		_, err := io.ReadFull(r, buf[off:off+n])
		return err
	}
	return p.read(ctx, s, key, int64(len(buf)), into)
}

// CopyParallel is [ReadParallel] into w, which is written to from several goroutines at once, in parts that do not
// overlap and in no order.
func CopyParallel(ctx context.Context, s Store, key string, size int64, w io.WriterAt, p Parallel) error {
	return p.read(ctx, s, key, size, func(r io.Reader, off, n int64) error {
		buf := make([]byte, max(1, min(n, 256<<10)))
		m, err := io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(w, off)}, struct{ io.Reader }{io.LimitReader(r, n)}, buf)
		if err == nil && m < n {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

// read gets size bytes of the blob and hands each part to into.
func (p Parallel) read(ctx context.Context, s Store, key string, size int64, into func(r io.Reader, off, n int64) error) error {
	part := func(ctx context.Context, off, n int64) error {
		r, err := nativeRange(ctx, s, key, off, n)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := into(r, off, n); err != nil {
			return &Error{Store: s.URL(), Op: "get", Key: key, Err: short(err)}
		}
		return nil
	}
	err := p.run(ctx, s, key, size, part)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	r, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := into(r, 0, size); err != nil {
		return &Error{Store: s.URL(), Op: "get", Key: key, Err: short(err)}
	}
	return nil
}

// short makes one error of the two that mean that there was less than was asked for.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// run calls part for all parts of size bytes, Readers at once, and returns the first error after all have ended.
func (p Parallel) run(ctx context.Context, s Store, key string, size int64, part func(ctx context.Context, off, n int64) error) error {
	if size < 0 || p.Part < 0 || p.Readers < 0 {
		return &Error{Store: s.URL(), Op: "get", Key: key, Err: fmt.Errorf("negative size or parts: %d bytes, %+v", size, p)}
	}
	if p.Part == 0 {
		p.Part = 8 << 20
	}
	if p.Readers == 0 {
		p.Readers = 8
	}
	if size <= p.Part { // also size 0: whether the blob is there shows
		return part(ctx, 0, size)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	offsets := make(chan int64)
	var wg sync.WaitGroup
	for range min(int64(p.Readers), (size-1)/p.Part+1) {
		wg.Go(func() {
			for off := range offsets {
				if err := part(ctx, off, min(p.Part, size-off)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
feed:
	for off := int64(0); off < size; off += p.Part {
		select {
		case offsets <- off:
		case <-ctx.Done():
			break feed
		}
	}
	close(offsets)
	wg.Wait()
	return context.Cause(ctx)
}
