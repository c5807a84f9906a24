// Package contract is what an engine and a worker process agree on: environment variables, exit codes and the
// messages of the control pipe. docs/worker.md specifies it; change both together, with the version.
package contract

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// Version is the version of this contract. A worker that is told another one refuses to work.
const Version = "1"

// EnvProcess names the process to its engine. It is the one variable of the contract that stays in the environment
// of the user's code: whatever a process leaves behind has inherited it, and is found and killed by it.
const EnvProcess = "CLUSTERLESS_PROCESS"

// Environment variables of a worker. The worker removes all of them from its environment before it runs any of
// the user's code, so that processes it starts are no workers.
const (
	EnvWorker  = "CLUSTERLESS_WORKER"      // Version; its presence makes the program a worker
	EnvStore   = "CLUSTERLESS_STORE"       // URL of the store
	EnvAccess  = "CLUSTERLESS_STORE_TOKEN" // with what to open it, where the machine has nothing by itself; for the driver of the store
	EnvJob     = "CLUSTERLESS_JOB"         // set by the engine for each run: the job's ID,
	EnvTask    = "CLUSTERLESS_TASK"        // the task's number, from 0,
	EnvAttempt = "CLUSTERLESS_ATTEMPT"     // the attempt's, from 1
	EnvBegun   = "CLUSTERLESS_BEGUN"       // not empty: an earlier process may have begun the very run, and committed some of it
	EnvControl = "CLUSTERLESS_CONTROL"     // number of the descriptor of the control socket: makes the worker resident
	EnvScratch = "CLUSTERLESS_SCRATCH"     // directory for the worker's temporary files; the engine removes it afterwards
	EnvCache   = "CLUSTERLESS_CACHE"       // directory of the node's cache, shared by all workers of the node
	EnvNode    = "CLUSTERLESS_NODE"        // name of the node, for people
	EnvLog     = "CLUSTERLESS_LOG"         // with RoleLog: path of what the run wrote

	// A process with a role is no worker of a run, but belongs to the task of one; see package team.
	EnvRole  = "CLUSTERLESS_ROLE"  // which: rank, helper, agent, shell
	EnvTeam  = "CLUSTERLESS_TEAM"  // address of the task's worker; in a worker: where it listens for the agents that its engine runs
	EnvToken = "CLUSTERLESS_TOKEN" // that its processes prove to know
	EnvNodes = "CLUSTERLESS_NODES" // number of the task's nodes, if the engine runs an agent on each but the worker's; an agent that has it waits for worker after worker
)

// RoleLog is the role of a process that an engine starts when a run has ended, with the variables of the run: it puts what that
// wrote into the store, and exits.
const RoleLog = "log"

// Exit codes of a worker process. 0 is a task that was worked through, whatever its calls returned.
const (
	// ExitTask: the task could not be worked on (store out of reach, result not committed, one of its nodes lost); its log says why.
	ExitTask = 70
	// ExitAgain: what was finished is committed, and the rest of the task wants a fresh process, because a call
	// overran its time and cannot be stopped otherwise. Not the fault of the rest.
	ExitAgain = 75
	// ExitHung: the first call that is not committed overran its time, did not stop, and may be tried again.
	ExitHung = 76
	// ExitStart: the process cannot be a worker at all (other version, no such program, Open reached without Main).
	ExitStart = 78
)

// A Message goes over the control socket, one JSON object a line. The engine sends Run messages, one at a time; the
// worker sends Ready once, then for each run any number of Beats and one Done. When the engine's end closes, the
// worker ends itself at once with all its children.
type Message struct {
	// Kind is one of the constants below.
	Kind string `json:"kind"`

	Job     string `json:"job,omitempty"`     // Run, Done
	Task    int    `json:"task,omitempty"`    // Run, Done
	Attempt int    `json:"attempt,omitempty"` // Run, Done

	Code   int    `json:"code,omitempty"`   // Done: as the exit code of a process that made only this run
	Reason string `json:"reason,omitempty"` // Done with Code != 0: why, for a person
	Retire bool   `json:"retire,omitempty"` // Done: the process will take no further run and exits
}

// Kinds of messages.
const (
	Ready = "ready"
	RunIt = "run"
	Beat  = "beat"
	Done  = "done"
)

// maxReason is how much of a reason is sent, in bytes.
const maxReason = 64 << 10

// Write sends one message. Callers serialise.
func Write(w io.Writer, m Message) error {
	m.Reason = m.Reason[:min(len(m.Reason), maxReason)]
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// A Reader reads messages.
type Reader struct{ s *bufio.Scanner }

// NewReader reads messages from r, each at most 1 MiB long.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), 1<<20)
	return &Reader{s}
}

// NoMessage is an error about what was read that is no message.
type NoMessage struct{ err error }

func (n *NoMessage) Error() string { return "what came is no message: " + n.err.Error() }

func (n *NoMessage) Unwrap() error { return n.err }

// Read returns the next message; io.EOF after the last, a [*NoMessage] error for what is none.
func (r *Reader) Read() (m Message, err error) {
	if !r.s.Scan() {
		switch err := r.s.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return m, &NoMessage{err}
		case err != nil:
			return m, err
		}
		return m, io.EOF
	}
	if err := json.Unmarshal(r.s.Bytes(), &m); err != nil {
		return m, &NoMessage{err}
	}
	return m, nil
}
