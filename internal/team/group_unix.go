//go:build unix

package team

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup makes the command the leader of a process group, so that it can be killed with what it starts.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func killGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// StartGroup starts a command in a process group of its own. stop, to be called while nothing has waited for the end of
// the command, asks it to end, and kills its group if it does not in time.
func StartGroup(cmd *exec.Cmd) (stop func(time.Duration), err error) {
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func(limit time.Duration) {
		cmd.Process.Signal(syscall.SIGTERM)
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if cmd.Process.Signal(syscall.Signal(0)) != nil { // it was waited for
				break
			}
		}
		killGroup(cmd)
	}, nil
}
