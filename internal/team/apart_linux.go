package team

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// startApart starts an agent that plays another node of this machine, with a host name of its own if the system lets
// us: MPI libraries take processes of one host name for neighbours.
func startApart(cmd *exec.Cmd) error {
	plain := *cmd.SysProcAttr
	attr := plain
	attr.Cloneflags = syscall.CLONE_NEWUTS
	cmd.SysProcAttr = &attr
	if err := cmd.Start(); err == nil {
		return nil
	}
	again := exec.Command(cmd.Path)
	again.Env, again.Dir, again.Stdout, again.Stderr = cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr
	again.SysProcAttr = &plain
	*cmd = *again
	return cmd.Start()
}

// setHostname gives this process's own namespace a name; without one of its own it fails for want of rights or, as
// root, would rename the machine, so it is done only where startApart made one.
func setHostname(name string) {
	if own() {
		unix.Sethostname([]byte(name))
	}
}

// own reports whether this process's host name is not that of its parent.
func own() bool {
	mine, err1 := os.Readlink("/proc/self/ns/uts")
	theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/uts", os.Getppid()))
	return err1 == nil && err2 == nil && mine != theirs
}
