//go:build !linux

package service

import (
	"context"
	"errors"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

type networks struct{}

func newNetworks(context.Context, []string) (*networks, error) {
	return nil, errors.New("emulator: nodes with networks of their own need Linux")
}

func (*networks) make(context.Context) (*node.Network, error) { return nil, nil }

func (*networks) close() error { return nil }
