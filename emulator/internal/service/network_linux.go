package service

import (
	"context"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// networks are the network namespaces of nodes. A nil one has none: nodes have addresses of the loopback device.
type networks struct{ all *node.Networks }

// newNetworks makes them. Connections to forward, addresses of the loopback device, are made to the machine.
func newNetworks(ctx context.Context, forward []string) (*networks, error) {
	all, err := node.NewNetworks(ctx, forward...)
	if err != nil {
		return nil, err
	}
	return &networks{all}, nil
}

func (n *networks) make(ctx context.Context) (*node.Network, error) {
	if n == nil {
		return nil, nil
	}
	return n.all.Network(ctx)
}

func (n *networks) close() error {
	if n == nil {
		return nil
	}
	return n.all.Close()
}
