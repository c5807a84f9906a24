package filestore

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
)

// writerName begins the names of this process's temporary files: host, process, and when that was started, so that it
// is not taken for a later process of the same number. It is empty where the system does not tell.
var writerName = sync.OnceValue(func() string {
	pid := os.Getpid()
	at := startedAt(pid)
	if at == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d-%s-", hostName(), pid, at)
})

// hostName tells machines, and containers, apart in the name of a file.
var hostName = sync.OnceValue(func() string {
	name, _ := os.Hostname()
	h := fnv.New64a()
	h.Write([]byte(name))
	if b, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		h.Write([]byte(b))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.Write(b)
	}
	return strconv.FormatUint(h.Sum64(), 36)
})

// abandoned says whether the process of this machine that writes a temporary file of that name is gone.
func abandoned(name string) bool {
	f := strings.Split(name, "-")
	if len(f) != 4 || f[0] != hostName() {
		return false
	}
	pid, err := strconv.Atoi(f[1])
	return err == nil && startedAt(pid) != f[2]
}

// startedAt is when a process was started, as Linux counts it; "" if there is none, or it is a zombie.
func startedAt(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// pid (name) state parent …; the name may hold anything
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return ""
	}
	return string(f[19])
}
