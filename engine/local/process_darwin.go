package local

import "golang.org/x/sys/unix"

const maxrssUnit = 1

func physicalMemory() int64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 1 << 40
	}
	return int64(n)
}
