package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Keeper is the program's side of a keeper process. One goroutine at a time may use it, apart from Kill and Close.
type Keeper struct {
	cmd     *exec.Cmd
	conn    *net.UnixConn
	sending sync.Mutex
	replies chan message  // to set up, run and kill
	lost    chan struct{} // closed when the process is gone

	mu    sync.Mutex
	ended chan Status // of the present command
}

// Start starts a keeper. It is up and in its namespaces when Start returns.
func Start(o Options) (*Keeper, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "keeper"), os.NewFile(uintptr(fds[1]), "keeper")
	defer theirs.Close()
	generic, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	k := &Keeper{conn: generic.(*net.UnixConn), replies: make(chan message, 1), lost: make(chan struct{})}
	k.cmd = &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{"azure-batch-node"},
		Env:         []string{marker + "=1", "GORACE=atexit_sleep_ms=0"}, // the race detector would have it end a second later
		Dir:         "/",
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if o.Lock != nil {
		k.cmd.ExtraFiles = append(k.cmd.ExtraFiles, o.Lock)
	}
	if o.View != nil {
		k.cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS
	}
	if err := k.cmd.Start(); err != nil {
		k.conn.Close()
		return nil, fmt.Errorf("keeper: start: %w", err)
	}
	go k.read()
	m := message{Kind: setUp, View: o.View}
	if o.Net != nil {
		m.files = []*os.File{o.Net}
	}
	reply, err := k.ask(m)
	if err == nil && reply.Kind != ready {
		err = fmt.Errorf("keeper: set up: %s", reply.Reason)
	}
	if err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// Run starts a command; stdout and stderr are not needed any more when it returns. The error is a *StartError if the
// command is to blame, ErrLost if the keeper is gone.
func (k *Keeper) Run(c Command, stdout, stderr *os.File) error {
	k.mu.Lock()
	k.ended = make(chan Status, 1)
	k.mu.Unlock()
	reply, err := k.ask(message{Kind: run, Command: &c, files: []*os.File{stdout, stderr}})
	if err != nil {
		return err
	}
	if reply.Kind == failed {
		return &StartError{Program: c.Args[0], NotFound: reply.Missing, Reason: reply.Reason}
	}
	return nil
}

// Ended has the status of the command that was run last, once it ends. Other processes that it started may still live.
func (k *Keeper) Ended() <-chan Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ended
}

// Lost is closed when the keeper process is gone.
func (k *Keeper) Lost() <-chan struct{} { return k.lost }

// Kill kills whatever there is. When it returns nil, nothing is left, and the next command may be run.
func (k *Keeper) Kill() error {
	reply, err := k.ask(message{Kind: kill})
	if err == nil && reply.Kind == some {
		err = ErrStuck
	}
	return err
}

// Left reports whether any process is there, of the command or of what it started.
func (k *Keeper) Left() (bool, error) {
	reply, err := k.ask(message{Kind: left})
	return reply.Kind == some, err
}

// Close ends the keeper process, which kills whatever there is, and waits for it.
func (k *Keeper) Close() {
	_ = k.conn.CloseWrite()
	<-k.lost
}

// ask sends a request and waits for its reply. The keeper answers requests in their order.
func (k *Keeper) ask(m message) (message, error) {
	k.sending.Lock()
	defer k.sending.Unlock()
	if err := send(k.conn, m); err != nil {
		select {
		case <-k.lost:
			return message{}, ErrLost
		default:
			return message{}, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	select {
	case reply := <-k.replies:
		return reply, nil
	case <-k.lost:
		select {
		case reply := <-k.replies:
			return reply, nil
		default:
			return message{}, ErrLost
		}
	}
}

// read passes on what the keeper says until it is gone.
func (k *Keeper) read() {
	defer close(k.lost)
	defer k.cmd.Wait()
	defer k.conn.Close()
	for {
		m, err := receive(k.conn)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				_ = k.conn.CloseWrite()
			}
			return
		}
		if m.Kind == ended {
			k.mu.Lock()
			k.ended <- m.Status
			k.mu.Unlock()
			continue
		}
		k.replies <- m
	}
}
