package local

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterless-go/clusterless/internal/contract"
)

const maxrssUnit = 1 << 10

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits for the end of the process. Before its number can be another's, what is left of its group is killed.
func (p *process) reap() (*os.ProcessState, error) {
	exited := waitExited(p.os.Pid)
	p.alive.Lock()
	defer p.alive.Unlock()
	p.sweep(!exited)
	p.gone = true
	return p.os.Wait()
}

// waitExited waits until a child has ended without reaping it, and reports whether it exited by itself.
func waitExited(pid int) bool {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			const cldExited = 1
			return err == nil && info.Code == cldExited
		}
	}
}

// endReading lets a reader of the socket have what was sent and then the end, whoever else holds the other end.
func endReading(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) })
	}
}

// killTree kills a living child, its process group and all its descendants. They are stopped first, until no new
// ones turn up, so that none can slip away by forking.
func killTree(pid int, name string) {
	_ = syscall.Kill(-pid, syscall.SIGSTOP)
	stopped := map[int]bool{pid: true}
	for range 16 {
		grown := false
		for _, child := range descendants(pid) {
			if !stopped[child] {
				stopped[child] = true
				grown = true
				_ = syscall.Kill(child, syscall.SIGSTOP)
			}
		}
		if !grown {
			break
		}
	}
	// Stopped processes are not reaped by each other, so their numbers are still theirs.
	for child := range stopped {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	killMarked(name, startTime(pid))
}

// killMarked kills the processes that have the marker of a process in their environment; with a name that ends in
// a dash those of all processes of an owner. They may fork while we look, so we look until there are none. Those that
// began before since, the start time of the process, are not its descendants; "" is any time.
func killMarked(name, since string) {
	s := sweep{marker: []byte(contract.EnvProcess + "=" + name), since: since, buf: make([]byte, 128<<10)}
	if !strings.HasSuffix(name, "-") {
		s.marker = append(s.marker, 0)
	}
	for range 16 {
		s.found = false
		unclear := slices.DeleteFunc(pids(), s.decided)
		for range execLooks {
			if len(unclear) == 0 {
				break
			}
			time.Sleep(execLook)
			unclear = slices.DeleteFunc(unclear, s.decided)
		}
		if !s.found {
			return
		}
	}
}

// A process in the middle of an execve has no environment for a moment. It is looked at again this often, at this
// distance; one that has none even then was given none.
const (
	execLooks = 40
	execLook  = time.Millisecond / 2
)

// sweep is a search for marked processes.
type sweep struct {
	marker []byte
	since  string
	buf    []byte
	found  bool // and killed one
}

// decided kills a process if it has the marker, through a descriptor, so that no other process which gets the number in
// the meantime is hit. It reports whether it is known that the process has the marker, or has not.
func (s *sweep) decided(pid int) bool {
	if has, known := s.marked(pid); !has {
		return known
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		s.found = s.found || err != unix.ESRCH && syscall.Kill(pid, syscall.SIGKILL) == nil
		return true
	}
	defer unix.Close(fd)
	has, known := s.marked(pid)
	if has && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
		s.found = true
	}
	return known
}

// marked reports whether the environment of a process has the marker. Of a zombie, and of a thread of the kernel, it
// has not. It is not known of a process that has no environment, or not yet.
func (s *sweep) marked(pid int) (has, known bool) {
	if pid == os.Getpid() {
		return false, true
	}
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false, true
	}
	defer f.Close()
	// In one read: a second one ends early if the process is in an execve by then.
	n, _ := unix.Pread(int(f.Fd()), s.buf, 0)
	for n == len(s.buf) {
		s.buf = make([]byte, 2*len(s.buf))
		n, _ = unix.Pread(int(f.Fd()), s.buf, 0)
	}
	if n > 0 {
		env := s.buf[:n]
		return bytes.HasPrefix(env, s.marker) || bytes.Contains(env, append([]byte{0}, s.marker...)), true
	}
	const flagKernel = 0x00200000 // PF_KTHREAD of the kernel's sched.h
	st := stat(pid)
	if len(st) <= 19 || st[0] == "Z" || st[0] == "X" {
		return false, true
	}
	flags, _ := strconv.ParseUint(st[6], 10, 64)
	return false, flags&flagKernel != 0 || older(st[19], s.since)
}

// older compares start times.
func older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

// pids are the numbers of all processes.
func pids() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// children has the children of every process.
func children() map[int][]int {
	tree := map[int][]int{}
	for _, pid := range pids() {
		if fields := stat(pid); len(fields) > 1 {
			if parent, err := strconv.Atoi(fields[1]); err == nil {
				tree[parent] = append(tree[parent], pid)
			}
		}
	}
	return tree
}

// descendants are the living children of a process, their children, and so on.
func descendants(pid int) []int {
	return below(children(), pid)
}

func below(tree map[int][]int, pid int) []int {
	found := tree[pid]
	for i := 0; i < len(found); i++ {
		found = append(found[:len(found):len(found)], tree[found[i]]...)
	}
	return found
}

// stat are the fields of /proc/PID/stat from the state on, which is field 3 there.
func stat(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')') // the name before may have any character
	if i < 0 {
		return nil
	}
	return strings.Fields(string(b[i+1:]))
}

// startTime tells a process from another that has its number later; "" if there is none.
func startTime(pid int) string {
	if fields := stat(pid); len(fields) > 19 {
		return fields[19]
	}
	return ""
}

// treeMemory is what each process uses with its descendants: anonymous and shared memory, not files.
func treeMemory(roots map[int]*process) map[int]int64 {
	tree := children()
	used := map[int]int64{}
	for pid := range roots {
		used[pid] = memory(pid)
		for _, child := range below(tree, pid) {
			used[pid] += memory(child)
		}
	}
	return used
}

func memory(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return field(b, "RssAnon:")<<10 + field(b, "RssShmem:")<<10
}

// oomKills counts the processes that the kernel killed for want of memory, on the whole machine since it started.
func oomKills() int64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	return field(b, "oom_kill ")
}

func physicalMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 1 << 40
	}
	return field(b, "MemTotal:") << 10
}

// field is the number that follows a name at the start of a line.
func field(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if words := bytes.Fields(rest); len(words) > 0 {
				n, _ := strconv.ParseInt(string(words[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}
