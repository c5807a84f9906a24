//go:build !linux

package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
)

func privileges() (users, views bool) { return false, false }

func (n *Node) takeLock(context.Context) (bool, error) {
	return false, fmt.Errorf("nodes that run commands need Linux, and this is %s: use simulated nodes, or a virtual machine", runtime.GOOS)
}

const nonBlocking = 0

func signalName(number int) string { return fmt.Sprintf("signal %d", number) }

// A Network is a network of nodes on this machine. There is none on this system.
type Network struct {
	Address netip.Addr
	space   *os.File
}

// Close does nothing.
func (*Network) Close() error { return nil }
