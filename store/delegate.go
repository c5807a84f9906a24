package store

import (
	"context"
	"errors"
	"time"
)

// A Delegator lets processes on other machines open the store, by a secret that is good for this store alone.
type Delegator interface {
	// Delegate returns environment variables, as NAME=value, with which a process can open the store by its URL, read, list
	// and put, for as long as valid says, or longer. Their values are secrets.
	Delegate(ctx context.Context, valid time.Duration) ([]string, error)
}

// Delegate asks a [Delegator]. It is errors.ErrUnsupported for a store that is none.
func Delegate(ctx context.Context, s Store, valid time.Duration) ([]string, error) {
	if d, ok := s.(Delegator); ok {
		return d.Delegate(ctx, valid)
	}
	return nil, errors.ErrUnsupported
}

// SignedURL asks a [Signer]. It is errors.ErrUnsupported for a store that is none.
func SignedURL(ctx context.Context, s Store, key string, valid time.Duration) (string, error) {
	if g, ok := s.(Signer); ok {
		return g.SignedURL(ctx, key, valid)
	}
	return "", errors.ErrUnsupported
}

func (t *retrying) Delegate(ctx context.Context, valid time.Duration) (env []string, err error) {
	err = t.do(ctx, func(int) (err error) {
		env, err = Delegate(ctx, t.s, valid)
		return err
	})
	return env, err
}

func (l *limited) Delegate(ctx context.Context, valid time.Duration) ([]string, error) {
	return Delegate(ctx, l.s, valid)
}
