package blobstore

import (
	"context"
	"time"
)

// Delegate makes a token for this container, with which workers can read, list and put.
func (s *Store) Delegate(ctx context.Context, valid time.Duration) ([]string, error) {
	token, err := s.Token(ctx, valid, Write)
	if err != nil {
		return nil, err
	}
	return []string{TokenVariable + "=" + token}, nil
}
