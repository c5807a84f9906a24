// Package keeper runs commands so that nothing of them outlives the program that asked for them.
//
// A keeper is a process between that program and a command: the program's own executable again, which an init of this
// package turns into a keeper before anything else of the program runs. All descendants of the command, also those that
// left its process group or session, become children of the keeper when their own parents end, so the keeper can find and
// kill them all. It does so when it is told to, and when its connection to the program breaks, which it does whatever the
// program dies of. If the keeper itself is killed, the kernel kills the command, though not what the command had started.
//
// A keeper runs one command at a time, and can be used again when nothing is left of the one before.
package keeper

import (
	"errors"
	"fmt"
	"os"
)

// ErrLost says that the keeper died, killed by somebody: what became of its command is not known.
var ErrLost = errors.New("keeper: the process that keeps the command was killed")

// ErrStuck says that processes did not end although they were killed, such as one that waits for a dead file server.
var ErrStuck = errors.New("keeper: processes do not end although they were killed")

// Options are where a keeper and its commands run.
type Options struct {
	// Lock is held open by the keeper as long as it lives: whoever gets a lock on this file knows that it is gone.
	Lock *os.File
	// Net is a network namespace to run in, nil that of the program.
	Net *os.File
	// View changes what the commands see of the machine; nil: nothing. It needs CAP_SYS_ADMIN.
	View *View
}

// A View is what commands see instead of the machine's own.
type View struct {
	Hostname string
	Address  string            // of the host name in /etc/hosts
	Scratch  string            // an empty directory, where the view's own files in /etc are kept, in memory
	Mounts   map[string]string // directories that are seen in the place of others, by where they are seen
}

// A Command is a program to be run.
type Command struct {
	Args []string // the first is searched in PATH of Env if it has no slash, and is relative to Dir if it has one
	Env  []string
	Dir  string
	User *User // nil: the keeper's own
	// Passwd and Group are lines for /etc/passwd and /etc/group, when there is a View.
	Passwd, Group string
}

// A User is who a command is run as.
type User struct {
	UID, GID int
	Capable  bool // with all capabilities, as root has them
}

// A Status is how a command ended: Signal is 0 when it exited by itself.
type Status struct {
	Code, Signal int
}

// A StartError says why a command could not be started.
type StartError struct {
	Program  string
	NotFound bool // there is no such program
	Reason   string
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %s", e.Program, e.Reason) }
