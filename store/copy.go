package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Signer gives others access to a blob.
type Signer interface {
	// SignedURL returns a URL at which HTTP clients can read the blob for as long as valid says, or longer. It is a secret.
	// Whether the blob is there is not looked at.
	SignedURL(ctx context.Context, key string, valid time.Duration) (string, error)
}

// A Copier fetches a blob from elsewhere by itself, so that it does not pass through this process.
type Copier interface {
	// CopyFrom is Put of what is at a URL that a [Signer] gave. It is errors.ErrUnsupported, and nothing was stored, where
	// the store cannot: it does not reach the URL, or the blob is too large. That a CopyFrom of the same URL, but for what
	// follows its "?", has put the blob before is no error, so that it can be tried again.
	CopyFrom(ctx context.Context, key, url string) error
}

// signedFor is long enough for a store to read a blob from another.
const signedFor = time.Hour

// Copy puts the blob of src into dst, under the same key. The stores do that between them where they can ([Signer], [Copier]);
// else the blob passes through this process, never whole. A key that is taken in dst is fs.ErrExist, unless the stores see that
// it is a copy of that very blob; one that is not in src is fs.ErrNotExist.
func Copy(ctx context.Context, dst, src Store, key string) error {
	if err := copyDirect(ctx, dst, src, key); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return dst.Put(ctx, key, Source(func(w io.Writer) error {
		r, err := src.Get(ctx, key)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
		return err
	}))
}

// copyDirect is Copy without a substitute.
func copyDirect(ctx context.Context, dst, src Store, key string) error {
	signer, ok := src.(Signer)
	if !ok {
		return errors.ErrUnsupported
	}
	copier, ok := dst.(Copier)
	if !ok {
		return errors.ErrUnsupported
	}
	u, err := signer.SignedURL(ctx, key, signedFor)
	if err != nil {
		return err
	}
	return copier.CopyFrom(ctx, key, u)
}

func (t *retrying) SignedURL(ctx context.Context, key string, valid time.Duration) (u string, err error) {
	s, ok := t.s.(Signer)
	if !ok {
		return "", errors.ErrUnsupported
	}
	err = t.do(ctx, func(int) (err error) {
		u, err = s.SignedURL(ctx, key, valid)
		return err
	})
	return u, err
}

// CopyFrom need not find out whose a blob is that is in the way: the driver does.
func (t *retrying) CopyFrom(ctx context.Context, key, url string) error {
	c, ok := t.s.(Copier)
	if !ok {
		return errors.ErrUnsupported
	}
	return t.do(ctx, func(int) error { return c.CopyFrom(ctx, key, url) })
}

func (l *limited) SignedURL(ctx context.Context, key string, valid time.Duration) (string, error) {
	s, ok := l.s.(Signer)
	if !ok {
		return "", errors.ErrUnsupported
	}
	if err := l.enter(ctx, "sign", key); err != nil {
		return "", err
	}
	defer l.leave()
	return s.SignedURL(ctx, key, valid)
}

func (l *limited) CopyFrom(ctx context.Context, key, url string) error {
	c, ok := l.s.(Copier)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := l.enter(ctx, "copy", key); err != nil {
		return err
	}
	defer l.leave()
	return c.CopyFrom(ctx, key, url)
}
