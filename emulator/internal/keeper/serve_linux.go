package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// marker is the variable in the environment that makes the executable a keeper.
const marker = "CLUSTERLESS_EMULATOR_KEEPER"

func init() {
	if os.Getenv(marker) != "" {
		os.Exit(serve())
	}
}

// keptFor is how long a keeper without a program tries to kill what does not die.
const keptFor = 30 * time.Second

// A server is the keeper process itself. All requests are served on the main thread: the kernel kills a command when the
// thread that started it ends, and only that thread is in the namespace of the network.
type server struct {
	conn    *net.UnixConn
	sending sync.Mutex
	etc     map[string][]byte // the machine's own files, if there is a view
	scratch string
	forked  chan struct{} // tells the reaper that there is a process

	mu      sync.Mutex
	command int  // its pid
	any     bool // some process may live
	none    *sync.Cond
}

func serve() int {
	runtime.LockOSThread()
	closeOnExec()
	f := os.NewFile(3, "program")
	generic, err := net.FileConn(f)
	if err != nil {
		fmt.Fprintf(os.Stderr, "keeper: %s is set in the environment, but nobody wants a keeper here: unset it\n", marker)
		return 1
	}
	f.Close()
	s := &server{conn: generic.(*net.UnixConn), forked: make(chan struct{}, 1)}
	s.none = sync.NewCond(&s.mu)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.reply(message{Kind: failed, Reason: "become a subreaper: " + err.Error()})
		return 1
	}
	syscall.Umask(0o022)
	go s.reap()
	for {
		m, err := receive(s.conn)
		if err != nil {
			s.killAll(keptFor)
			return 0
		}
		switch m.Kind {
		case setUp:
			s.setUp(m)
		case run:
			s.run(m)
		case kill:
			s.killAll(keptFor)
			s.count()
		case left:
			s.count()
		}
		closeAll(m.files)
	}
}

// closeOnExec sees to it that commands get no files that this process was started with.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	names, _ := os.ReadDir("/proc/self/fd") // Linux before 5.11
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func (s *server) reply(m message) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = send(s.conn, m) // a program that is gone is noticed when reading
}

func (s *server) setUp(m message) {
	err := s.view(m.View)
	if err == nil && len(m.files) > 0 {
		err = os.NewSyscallError("setns", unix.Setns(int(m.files[0].Fd()), unix.CLONE_NEWNET))
	}
	if err != nil {
		s.reply(message{Kind: failed, Reason: err.Error()})
		return
	}
	s.reply(message{Kind: ready})
}

// view makes the view, in namespaces that the keeper was born in.
func (s *server) view(v *View) error {
	if v == nil {
		return nil
	}
	if err := unix.Sethostname([]byte(v.Hostname)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	for at, dir := range v.Mounts {
		if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", dir, at, err)
		}
	}
	if err := unix.Mount("tmpfs", v.Scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=16m"); err != nil {
		return fmt.Errorf("mount memory at %s: %w", v.Scratch, err)
	}
	s.scratch, s.etc = v.Scratch, map[string][]byte{}
	for _, name := range []string{"passwd", "group", "hosts"} {
		b, err := os.ReadFile("/etc/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue // nowhere to mount it
		}
		if err != nil {
			return err
		}
		s.etc[name] = b
		own := filepath.Join(v.Scratch, name)
		if err := os.WriteFile(own, b, 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, "/etc/"+name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount /etc/%s: %w", name, err)
		}
	}
	return s.append("hosts", v.Address+"\t"+v.Hostname+"\n")
}

// append writes one of the view's files anew: what the machine has, and some lines.
func (s *server) append(name, lines string) error {
	b, ok := s.etc[name]
	if !ok {
		return nil
	}
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b[:len(b):len(b)], '\n')
	}
	return os.WriteFile(filepath.Join(s.scratch, name), append(b[:len(b):len(b)], lines...), 0o644)
}

func (s *server) run(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.any {
		s.reply(message{Kind: failed, Reason: "the command before has left processes"})
		return
	}
	pid, err := s.start(m.Command, m.files)
	if err != nil {
		s.reply(message{Kind: failed, Reason: reason(err), Missing: errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound)})
		return
	}
	s.reply(message{Kind: began}) // before the reaper can say that it ended
	s.command, s.any = pid, true
	s.forked <- struct{}{}
}

// reason is an error without what the caller says anyway.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return err.Error()
}

func (s *server) start(c *Command, files []*os.File) (int, error) {
	if len(files) != 2 {
		return 0, fmt.Errorf("%d files came with the command", len(files))
	}
	if err := errors.Join(s.append("passwd", c.Passwd), s.append("group", c.Group)); err != nil {
		return 0, err
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return 0, fmt.Errorf("working directory: %s", reason(err))
	}
	path, err := find(c)
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Env,
		Files: []uintptr{null.Fd(), files[0].Fd(), files[1].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if u := c.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: []uint32{uint32(u.GID)}}
		if u.Capable {
			attr.Sys.AmbientCaps = capabilities()
		}
	}
	// A file is busy while somebody has it open to write, such as a process that was forked while it was being
	// downloaded and has not yet got to its exec.
	for wait := time.Millisecond; ; wait *= 2 {
		pid, err := syscall.ForkExec(path, c.Args, attr)
		if !errors.Is(err, syscall.ETXTBSY) || wait > time.Second {
			return pid, err
		}
		time.Sleep(wait)
	}
}

// find looks for a program as execvp does, but in the command's PATH and directory.
func find(c *Command) (string, error) {
	name := c.Args[0]
	if name == "" {
		return "", exec.ErrNotFound
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(c.Dir, name)
		}
		if st, err := os.Stat(name); err != nil {
			return "", err
		} else if st.IsDir() {
			return "", syscall.EISDIR
		}
		return name, nil
	}
	var path string
	for _, v := range c.Env {
		if rest, ok := strings.CutPrefix(v, "PATH="); ok {
			path = rest
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.Dir, dir)
		}
		file := filepath.Join(dir, name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

// capabilities are all that this process may pass on.
func capabilities() (all []uintptr) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil
	}
	for c := range uintptr(64) {
		if data[c/32].Permitted&(1<<(c%32)) != 0 {
			all = append(all, c)
		}
	}
	return all
}

// reap waits for all processes, and says when the command ended.
func (s *server) reap() {
	for range s.forked {
		for s.reapOne() {
		}
	}
}

// reapOne waits for the end of one process; false says that there was none to wait for.
func (s *server) reapOne() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
	if err == unix.EINTR {
		return true
	}
	s.mu.Lock() // while others are being killed, no number is given up to a process of somebody else
	defer s.mu.Unlock()
	if err != nil {
		s.any = false
		s.none.Broadcast()
		return false
	}
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if err != nil || pid != s.command {
		return true
	}
	s.command = 0
	if status.Signaled() {
		s.reply(message{Kind: ended, Status: Status{Signal: int(status.Signal())}})
	} else {
		s.reply(message{Kind: ended, Status: Status{Code: status.ExitStatus()}})
	}
	return true
}

// count says whether there is any process, also when the reaper has yet to notice that there is none.
func (s *server) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.any && unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) != unix.ECHILD {
		s.reply(message{Kind: some})
	} else {
		s.reply(message{Kind: empty})
	}
}

// killAll kills everything below the keeper. What does not die in time is left.
func (s *server) killAll(timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.Now().Add(timeout)
	for wait := time.Millisecond; s.any; wait = min(2*wait, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			return
		}
		killBelow(os.Getpid())
		wake := time.AfterFunc(wait, s.none.Broadcast)
		s.none.Wait()
		wake.Stop()
	}
}
