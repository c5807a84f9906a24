package worker

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// canReset says that what a call wrote to a mapped value can be dropped.
const canReset = true

const stderrPath = "/proc/self/fd/2"

// adoptOrphans makes this process the parent of processes that its children leave behind, so that it can end them.
func adoptOrphans() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

// die ends this process and all it started, if it leads its process group, as engines see to.
func die() {
	for _, pid := range childPIDs() {
		unix.Kill(pid, unix.SIGKILL)
	}
	if unix.Getpgrp() == os.Getpid() {
		unix.Kill(0, unix.SIGKILL)
	}
	os.Exit(1)
}

// children are processes started by calls. A call is over when it returns: what it leaves running is ended, since
// nobody would later. What the set-up hook started stays.
type children struct{ kept map[int]bool }

func (c *children) keep() {
	if !haveChildren() {
		return
	}
	c.kept = map[int]bool{}
	for _, pid := range childPIDs() {
		c.kept[pid] = true
	}
}

// reap ends the child processes that are left.
func (c *children) reap() {
	if !haveChildren() {
		return
	}
	for range 10 { // the death of one may hand us its own children
		n := 0
		for _, pid := range childPIDs() {
			if c.kept[pid] {
				continue
			}
			n++
			unix.Kill(pid, unix.SIGKILL)
			var ws syscall.WaitStatus
			syscall.Wait4(pid, &ws, 0, nil)
		}
		if n == 0 {
			return
		}
	}
}

// haveChildren costs one system call and waits for none of them.
func haveChildren() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD
}

// childPIDs finds the processes whose parent this one is. The kernel's own lists (/proc/self/task/*/children) are a
// matter of its configuration, so all processes are looked at; it is done only when there is a child.
func childPIDs() (pids []int) {
	me := []byte(strconv.Itoa(os.Getpid()))
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// pid (name) state parent …; the name may hold anything
		_, rest, _ := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte(" "))
		if f := bytes.Fields(rest); len(f) > 1 && bytes.Equal(f[1], me) {
			pids = append(pids, pid)
		}
	}
	return pids
}
