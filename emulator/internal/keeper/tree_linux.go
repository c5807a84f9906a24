package keeper

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

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

// parentOf reads field 4 of /proc/PID/stat.
func parentOf(pid string) (int, bool) {
	fields := statOf(pid)
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// statOf are the fields of /proc/PID/stat from the third on: state, parent and so on. The name, field 2, may have any character in
// its parentheses.
func statOf(pid string) [][]byte {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil
	}
	return bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
}

// Sweep kills all processes that have all of these entries, NAME=VALUE, in the environment that they were started with.
// It is for what a keeper leaves behind that was killed itself. They may fork meanwhile, so it looks until there are none. A process
// that is about to become another program shows no environment for a moment, and is looked at again.
func Sweep(entries ...string) {
	doubts := 0
	for range 100 {
		found, doubt := false, false
		names, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, name := range names {
			if pid, err := strconv.Atoi(name.Name()); err == nil && pid != os.Getpid() {
				switch sweep(pid, entries) {
				case has:
					found = true
				case hidden:
					doubt = true
				}
			}
		}
		if found {
			continue
		}
		if doubts++; !doubt || doubts > maxDoubts {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// maxDoubts is how often processes without an environment are looked at: there are some that never have one.
const maxDoubts = 20

// An environment is what is known of that of a process, as to some entries.
type environment int

const (
	lacks environment = iota
	has
	hidden // it shows none, though it may have one
)

// sweep kills a process through a descriptor, looked at again, so that no other one that got the number is hit.
func sweep(pid int, entries []string) environment {
	if e := environmentOf(pid, entries); e != has {
		return e
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return lacks
	}
	defer unix.Close(fd)
	e := environmentOf(pid, entries)
	if e == has && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return lacks
	}
	return e
}

func environmentOf(pid int, entries []string) environment {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return lacks
	}
	if len(b) == 0 {
		if program(strconv.Itoa(pid)) {
			return hidden
		}
		return lacks
	}
	b = append([]byte{0}, b...)
	for _, e := range entries {
		if !bytes.Contains(b, append(append([]byte{0}, e...), 0)) {
			return lacks
		}
	}
	return has
}

// program says whether a process runs one: it has not ended, and is no thread of the kernel.
func program(pid string) bool {
	fields := statOf(pid)
	if len(fields) < 7 || string(fields[0]) == "Z" || string(fields[0]) == "X" {
		return false
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 32)
	return err == nil && flags&kernelThread == 0
}

// kernelThread is PF_KTHREAD of the kernel's sched.h.
const kernelThread = 0x00200000
