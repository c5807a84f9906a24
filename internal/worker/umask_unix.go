//go:build unix

package worker

import "syscall"

// readUmask returns the umask of the process, at a time when nothing else makes files.
func readUmask() int {
	m := syscall.Umask(0o077)
	syscall.Umask(m)
	return m
}

func setUmask(m int) { syscall.Umask(m) }
