//go:build linux || darwin || freebsd

package local

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// An owner is a client that starts runs. Its file is locked as long as it lives, so that others can tell, and has
// lines that say what must be put in order if it dies:
//
//	client <pid> <node>
//	process <pid> <start time>     a process was started
//	gone <pid>                     it ended
//	job <id>                       a job has unfinished runs
//	rest <id>                      it has none
type owner struct {
	id   string
	file *os.File
	mail *os.File

	mu sync.Mutex
}

func (e *Engine) ownerPath(id string) string { return filepath.Join(e.dir, "owners", id+".lock") }
func (e *Engine) mailPath(id string) string  { return filepath.Join(e.dir, "owners", id+".mail") }

// newOwner enters this engine as an owner.
func (e *Engine) newOwner() (*owner, error) {
	for {
		var random [6]byte
		rand.Read(random[:])
		o := &owner{id: hex.EncodeToString(random[:])}
		path := e.ownerPath(o.id)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("local: %w", err)
		}
		if err := flock(f, unix.LOCK_EX); err != nil {
			f.Close()
			os.Remove(path)
			return nil, fmt.Errorf("local: lock %s: %w", path, err)
		}
		if !same(f, path) { // somebody took it for a dead one before we had the lock
			f.Close()
			continue
		}
		o.file = f
		o.note("client", strconv.Itoa(os.Getpid()), e.node)
		if err := unix.Mkfifo(e.mailPath(o.id), 0o600); err == nil {
			o.mail, err = os.OpenFile(e.mailPath(o.id), os.O_RDWR|syscall.O_NONBLOCK, 0)
			if err != nil {
				o.mail = nil
			}
		}
		if o.mail == nil {
			e.logger.Warn("local: other clients cannot reach this one to cancel its jobs", "dir", e.dir)
		}
		return o, nil
	}
}

// note adds a line.
func (o *owner) note(words ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.file.WriteString(strings.Join(words, " ") + "\n")
}

// leave removes the owner after all its processes have ended.
func (o *owner) leave(e *Engine) {
	os.Remove(e.mailPath(o.id))
	os.Remove(e.ownerPath(o.id))
	o.file.Close()
}

// alive reports whether an owner still lives.
func (e *Engine) alive(id string) bool {
	if id == "" {
		return false
	}
	f, err := os.Open(e.ownerPath(id))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return flock(f, unix.LOCK_SH|unix.LOCK_NB) != nil
}

// takeover runs f while no other client puts the affairs of a dead one in order.
func (e *Engine) takeover(f func() error) error {
	lock, err := os.OpenFile(filepath.Join(e.dir, "owners", "takeover"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	defer lock.Close()
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return fmt.Errorf("local: lock %s: %w", lock.Name(), err)
	}
	return f()
}

// reapAll puts in order what all dead owners left.
func (e *Engine) reapAll() {
	paths, _ := filepath.Glob(filepath.Join(e.dir, "owners", "*.lock"))
	for _, path := range paths {
		id := strings.TrimSuffix(filepath.Base(path), ".lock")
		if e.alive(id) {
			continue
		}
		if err := e.takeover(func() error { return e.reap(id) }); err != nil {
			e.logger.Warn("local: after a client that died", "client", id, "err", err)
		}
	}
}

// reap puts in order what a dead owner left: kills its processes, ends its runs in their journals, and removes its
// files. The caller is in takeover.
func (e *Engine) reap(id string) error {
	f, err := os.Open(e.ownerPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // was done by somebody else, or it left in peace
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	a := readAffairs(f)
	if a.node == e.node {
		for word, started := range a.processes {
			pid, err := strconv.Atoi(word)
			if err == nil && pid > 1 && started != "" && startTime(pid) == started {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
		killMarked(id+"-", "")
	}
	for job := range a.jobs {
		if err := e.settleFile(job, id); err != nil {
			e.logger.Warn("local: settle job of a client that died", "job", job, "err", err)
		}
	}
	for _, pattern := range []string{e.logPath(id + "-*"), filepath.Join(e.dir, "scratch", id+"-*")} {
		left, _ := filepath.Glob(pattern)
		for _, path := range left {
			os.RemoveAll(path)
		}
	}
	os.Remove(e.mailPath(id))
	return os.Remove(e.ownerPath(id))
}

// affairs are what the file of an owner says.
type affairs struct {
	pid, node string
	processes map[string]string // start time by pid
	jobs      map[string]bool
}

func readAffairs(r io.Reader) affairs {
	a := affairs{processes: map[string]string{}, jobs: map[string]bool{}}
	for s := bufio.NewScanner(r); s.Scan(); {
		words := append(strings.Fields(s.Text()), "", "", "")
		switch word := words[1]; words[0] {
		case "client":
			a.pid, a.node = word, words[2]
		case "process":
			a.processes[word] = words[2]
		case "gone":
			delete(a.processes, word)
		case "job":
			a.jobs[word] = true
		case "rest":
			delete(a.jobs, word)
		}
	}
	return a
}

// creator is the pid of the other living owner that says it has a job; "" if there is none.
func (e *Engine) creator(job string) string {
	paths, _ := filepath.Glob(filepath.Join(e.dir, "owners", "*.lock"))
	for _, path := range paths {
		if path == e.ownerPath(e.owner.id) {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		a := readAffairs(f)
		f.Close()
		if a.jobs[job] && e.alive(strings.TrimSuffix(filepath.Base(path), ".lock")) {
			return a.pid
		}
	}
	return ""
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}

// same reports whether a path still names an open file.
func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
