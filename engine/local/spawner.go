//go:build linux || darwin || freebsd

package local

import (
	"os"
	"runtime"
)

// A spawner starts all processes from one thread that lives as long as the engine: the kernel sends the signal of
// PDEATHSIG when the thread that started a process ends, not when its program does.
type spawner struct {
	requests chan func()
	stopped  chan struct{}
	null     *os.File // what processes read
}

func newSpawner() (*spawner, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	s := &spawner{requests: make(chan func()), stopped: make(chan struct{}), null: null}
	go func() {
		runtime.LockOSThread()
		defer close(s.stopped)
		defer runtime.UnlockOSThread()
		for start := range s.requests {
			start()
		}
	}()
	return s, nil
}

// start is os.StartProcess on the spawner's thread.
func (s *spawner) start(path string, argv []string, attr *os.ProcAttr) (proc *os.Process, err error) {
	done := make(chan struct{})
	s.requests <- func() {
		defer close(done)
		proc, err = os.StartProcess(path, argv, attr)
	}
	<-done
	return proc, err
}

// close ends the thread. No process is left then.
func (s *spawner) close() {
	close(s.requests)
	<-s.stopped
	s.null.Close()
}
