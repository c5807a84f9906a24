//go:build unix

package worker

import (
	"os"
	"os/signal"
	"syscall"
)

// onNoMore calls f when the engine says that no more agents will come, until stop is called. It says so by a signal that
// does nothing to a process which does not listen yet.
func onNoMore(f func()) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	go func() {
		for range c {
			f()
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
	}
}
