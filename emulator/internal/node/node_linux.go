package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nonBlocking opens a pipe without waiting for somebody at its other end.
const nonBlocking = unix.O_NONBLOCK

// signalName is the name of a signal: SIGKILL.
func signalName(number int) string { return unix.SignalName(syscall.Signal(number)) }

// privileges reports whether processes can be given to other users, and whether they can be given a view of their own.
func privileges() (users, views bool) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if os.Geteuid() != 0 || unix.Capget(&header, &data[0]) != nil {
		return false, false
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	users = has(unix.CAP_SETUID) && has(unix.CAP_SETGID) && has(unix.CAP_CHOWN) && has(unix.CAP_DAC_OVERRIDE) && has(unix.CAP_KILL)
	return users, users && has(unix.CAP_SYS_ADMIN)
}

// takeLock waits until the directory is nobody's, neither an emulator's nor a keeper's, and reports whether it was
// somebody's once.
func (n *Node) takeLock(ctx context.Context) (reopened bool, err error) {
	name := filepath.Join(n.c.Dir, "lock")
	_, err = os.Lstat(name)
	reopened = err == nil
	if n.lock, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return false, err
	}
	for {
		err := syscall.Flock(int(n.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return reopened, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return false, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("another emulator uses it, or processes of one that died do not end: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
