//go:build !linux

package keeper

import (
	"fmt"
	"os"
	"runtime"
)

// A Keeper is the program's side of a keeper process. There is none on this system.
type Keeper struct{}

// Start says that there are no keepers here.
func Start(Options) (*Keeper, error) {
	return nil, fmt.Errorf("keeper: nodes that run commands need Linux, and this is %s: use simulated nodes, or a virtual machine", runtime.GOOS)
}

// Run starts a command.
func (k *Keeper) Run(Command, *os.File, *os.File) error { return ErrLost }

// Ended has the status of the command.
func (k *Keeper) Ended() <-chan Status { return nil }

// Lost is closed when the keeper process is gone.
func (k *Keeper) Lost() <-chan struct{} { return nil }

// Kill kills whatever there is.
func (k *Keeper) Kill() error { return ErrLost }

// Left reports whether any process is there.
func (k *Keeper) Left() (bool, error) { return false, ErrLost }

// Close ends the keeper process.
func (k *Keeper) Close() {}

// Sweep kills processes by their environment.
func Sweep(...string) {}
