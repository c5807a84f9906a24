package keeper

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// killBelow kills the descendants of a process. They are stopped first, until no new ones turn up, so that none slips
// away by forking.
func killBelow(pid int) {
	stopped := map[int]bool{}
	for range 100 {
		grown := false
		for _, p := range descendants(pid) {
			if !stopped[p] {
				stopped[p], grown = true, true
				_ = syscall.Kill(p, syscall.SIGSTOP)
			}
		}
		if !grown {
			break
		}
	}
	// A stopped process does not end by itself, and parents that are stopped reap nobody, so the numbers are theirs.
	for p := range stopped {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
}

// descendants are the children of a process, their children, and so on.
func descendants(pid int) []int {
	children := map[int][]int{}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		child, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if parent, ok := parentOf(name); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var found []int
	for next := children[pid]; len(next) > 0; {
		p := next[0]
		found = append(found, p)
		next = append(next[1:], children[p]...)
	}
	return found
}

// parentOf reads field 4 of /proc/PID/stat. The name, field 2, may have any character in its parentheses.
func parentOf(pid string) (int, bool) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// Sweep kills all processes that have all of these entries, NAME=VALUE, in the environment that they were started with.
// It is for what a keeper leaves behind that was killed itself. They may fork meanwhile, so it looks until there are none.
func Sweep(entries ...string) {
	for range 100 {
		found := false
		names, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, name := range names {
			if pid, err := strconv.Atoi(name.Name()); err == nil && pid != os.Getpid() && sweep(pid, entries) {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

// sweep kills a process through a descriptor, looked at again, so that no other one that got the number is hit.
func sweep(pid int, entries []string) bool {
	if !hasEnv(pid, entries) {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return hasEnv(pid, entries) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

func hasEnv(pid int, entries []string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(b) == 0 { // as of one that has ended
		return false
	}
	b = append([]byte{0}, b...)
	for _, e := range entries {
		if !bytes.Contains(b, append(append([]byte{0}, e...), 0)) {
			return false
		}
	}
	return true
}
