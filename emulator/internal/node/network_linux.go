package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Networks are network namespaces of nodes that reach each other and nothing else: pairs of virtual devices on a bridge that is
// in a namespace of its own. None of it shows outside, and all of it is gone when the last process in it is.
type Networks struct {
	hub     *os.File
	forward []string

	mu   sync.Mutex
	next uint32
}

// networkPrefix is where the addresses of nodes are from. Nobody outside sees them.
var networkPrefix = netip.MustParsePrefix("10.224.0.0/16")

// A Network is that of one node.
type Network struct {
	Address   netip.Addr
	space     *os.File
	listeners []net.Listener
	serving   sync.WaitGroup
}

// NewNetworks makes the bridge. It needs root, and the command ip. In each node's network, connections to these addresses of
// the loopback device, such as 127.0.0.1:10000, are made to the same address of the machine.
func NewNetworks(ctx context.Context, forward ...string) (*Networks, error) {
	hub, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("node: make a network namespace: %w", err)
	}
	s := &Networks{hub: hub, forward: forward}
	if err := ip(ctx, hub, nil, "link add nodes type bridge", "link set nodes up"); err != nil {
		hub.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the bridge up, which lives on as long as nodes do. No Network may be made afterwards.
func (s *Networks) Close() error { return s.hub.Close() }

// Network makes a network for one more node.
func (s *Networks) Network(ctx context.Context) (*Network, error) {
	s.mu.Lock()
	s.next++
	i := s.next
	s.mu.Unlock()
	base := networkPrefix.Addr().As4()
	address := netip.AddrFrom4([4]byte{base[0], base[1], byte(i >> 8), byte(i)})
	if i >= 1<<16-1 {
		return nil, errors.New("node: there are no more addresses for networks of nodes")
	}
	space, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("node: make a network namespace: %w", err)
	}
	n := &Network{Address: address, space: space}
	err = ip(ctx, s.hub, space,
		fmt.Sprintf("link add node%d type veth peer name eth0 netns /proc/self/fd/3", i),
		fmt.Sprintf("link set node%d master nodes up", i))
	if err == nil {
		err = ip(ctx, space, nil, "link set lo up", fmt.Sprintf("address add %s/%d dev eth0", address, networkPrefix.Bits()), "link set eth0 up")
	}
	for _, to := range s.forward {
		if err == nil {
			err = n.serve(to)
		}
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close ends the forwarding, and the network when no process is in it any more. It is for when the node is closed.
func (n *Network) Close() error {
	for _, l := range n.listeners {
		l.Close()
	}
	n.serving.Wait()
	return n.space.Close()
}

// serve forwards connections to an address.
func (n *Network) serve(to string) error {
	var l net.Listener
	err := inside(n.space, func() (err error) {
		l, err = net.Listen("tcp4", to)
		return err
	})
	if err != nil {
		return fmt.Errorf("node: forward %s into a node's network: %w", to, err)
	}
	n.listeners = append(n.listeners, l)
	n.serving.Go(func() {
		var pipes sync.WaitGroup
		defer pipes.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			pipes.Go(func() { pipe(ctx, c, to) })
		}
	})
	return nil
}

// pipe connects a connection with an address of the machine until both sides are done, or the context is.
func pipe(ctx context.Context, c net.Conn, to string) {
	defer c.Close()
	var dialer net.Dialer
	d, err := dialer.DialContext(ctx, "tcp4", to)
	if err != nil {
		return
	}
	defer d.Close()
	stop := context.AfterFunc(ctx, func() {
		c.Close()
		d.Close()
	})
	defer stop()
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(d, c)
		_ = d.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, d)
	_ = c.(*net.TCPConn).CloseWrite()
	there.Wait()
}

// newNamespace makes a network namespace that lives as long as the file is open or a process is in it.
func newNamespace() (f *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return f, err
}

// inside calls a function in a network namespace.
func inside(space *os.File, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// onThread calls a function on a thread that ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// ip has the command ip make changes in a namespace. A file that it names is its descriptor 3.
func ip(ctx context.Context, space, file *os.File, changes ...string) error {
	return inside(space, func() error {
		cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(changes, "\n") + "\n")
		if file != nil {
			cmd.ExtraFiles = []*os.File{file}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("node: set up a network (ip, of Debian's package iproute2): %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}
