//go:build !linux

package team

import "os/exec"

func startApart(cmd *exec.Cmd) error { return cmd.Start() }

func setHostname(string) {}
