package local

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"

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
	killMarked(name)
}

// killMarked kills the processes that have the marker of a process in their environment; with a name that ends in
// a dash those of all processes of an owner. They may fork while we look, so we look until there are none.
func killMarked(name string) {
	marker := []byte(contract.EnvProcess + "=" + name)
	if !strings.HasSuffix(name, "-") {
		marker = append(marker, 0)
	}
	for range 16 {
		found := false
		for _, pid := range pids() {
			if pid != os.Getpid() && marked(pid, marker) && killIfMarked(pid, marker) {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

// marked reports whether the environment of a process has the marker. Of a zombie it has not.
func marked(pid int, marker []byte) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	return bytes.HasPrefix(env, marker) || bytes.Contains(env, append([]byte{0}, marker...))
}

// killIfMarked kills through a descriptor of the process, looked at again, so that no other process which got the
// number in the meantime is hit.
func killIfMarked(pid int, marker []byte) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err != unix.ESRCH && marked(pid, marker) && syscall.Kill(pid, syscall.SIGKILL) == nil
	}
	defer unix.Close(fd)
	return marked(pid, marker) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

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
