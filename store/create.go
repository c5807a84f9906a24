package store

import (
	"context"
	"errors"
)

// A Creator can make the place that it keeps its blobs in, as a container.
type Creator interface {
	// Create makes it, unless it is there.
	Create(ctx context.Context) error
}

// Create asks a [Creator]. It is errors.ErrUnsupported for a store that is none.
func Create(ctx context.Context, s Store) error {
	if c, ok := s.(Creator); ok {
		return c.Create(ctx)
	}
	return errors.ErrUnsupported
}

func (t *retrying) Create(ctx context.Context) error {
	return t.do(ctx, func(int) error { return Create(ctx, t.s) })
}

func (l *limited) Create(ctx context.Context) error { return Create(ctx, l.s) }
