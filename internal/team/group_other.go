//go:build !unix

package team

import (
	"os/exec"
	"time"
)

func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) { cmd.Process.Kill() }

// StartGroup starts a command; stop kills it.
func StartGroup(cmd *exec.Cmd) (stop func(time.Duration), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func(time.Duration) { killGroup(cmd) }, nil
}
