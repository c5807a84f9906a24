package plan

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Status says how a call ended.
type Status uint8

// The statuses. All but OK carry a Failure as message.
const (
	OK      Status = iota
	Errored        // returned an error
	Panicked
	TimedOut
	Crashed // ended its process, or was ended with it
	Blocked // a call it depends on failed, or a value it needs is gone
	Unsent  // its result or its input could not travel
	Cancelled
)

// String names the status as it is shown to people.
func (s Status) String() string {
	names := [...]string{"ok", "error", "panic", "timeout", "crash", "dependency", "cannot travel", "cancelled"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// An Outcome is what the index of a commit says of its N calls, besides where their results are.
type Outcome struct {
	Status   Status
	Attempts int           // runs of the call in its process, 1 without RetryErrors
	Start    time.Time     // of the first call
	Elapsed  time.Duration // of all N together
	Files    []File        // returned files; N is 1 then
}

// A File is one that a call returned.
type File struct {
	Name string // below the call's directory, slashes
	Size int64
	Exec bool
	Key  string // of its blob
}

// Meta returns the outcome's bytes for the index.
func (o Outcome) Meta() []byte {
	b := []byte{byte(o.Status)}
	b = binary.AppendUvarint(b, uint64(max(o.Attempts, 0)))
	b = binary.AppendVarint(b, o.Start.UnixNano())
	b = binary.AppendUvarint(b, uint64(max(o.Elapsed, 0)))
	b = binary.AppendUvarint(b, uint64(len(o.Files)))
	for _, f := range o.Files {
		exec := byte(0)
		if f.Exec {
			exec = 1
		}
		b = append(b, exec)
		b = binary.AppendUvarint(b, uint64(f.Size))
		b = binary.AppendUvarint(b, uint64(len(f.Name)))
		b = append(b, f.Name...)
		b = binary.AppendUvarint(b, uint64(len(f.Key)))
		b = append(b, f.Key...)
	}
	return b
}

// ParseOutcome reads the bytes that Meta made.
func ParseOutcome(b []byte) (o Outcome, err error) {
	bad := fmt.Errorf("index of a commit makes no sense: %w", ErrDamaged)
	if len(b) < 1 {
		return o, bad
	}
	o.Status, b = Status(b[0]), b[1:]
	ok := true
	num := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	str := func() string {
		n := num()
		if !ok || n > uint64(len(b)) {
			ok = false
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	o.Attempts = int(num())
	v, n := binary.Varint(b)
	if n <= 0 {
		return o, bad
	}
	b = b[n:]
	o.Start = time.Unix(0, v)
	o.Elapsed = time.Duration(num())
	for range num() {
		if !ok || len(b) < 1 {
			return o, bad
		}
		f := File{Exec: b[0] == 1}
		b = b[1:]
		f.Size, f.Name, f.Key = int64(num()), str(), str()
		o.Files = append(o.Files, f)
	}
	if !ok {
		return o, bad
	}
	return o, nil
}

// A Commit is the head of a commit's pack: which calls of a task it settles, and where it comes from. The commits of
// a task are numbered from 0, created once each, and follow on from one another without a gap, so that any number of
// attempts, also two at once, settle every call exactly once.
type Commit struct {
	Version int `json:"version"`
	Task    int `json:"task"`
	Attempt int `json:"attempt"` // 0: the client settled the calls, since no worker could
	First   int `json:"first"`   // calls [First, End)
	End     int `json:"end"`
	// Last ends the task.
	Last bool `json:"last,omitempty"`
	// Back hands back the calls from there to the end of the task's span, to be planned anew; 0: none.
	Back    int           `json:"back,omitempty"`
	Node    string        `json:"node,omitempty"`
	PID     int           `json:"pid,omitempty"`
	Began   time.Time     `json:"began"`   // when work on these calls began
	Ended   time.Time     `json:"ended"`   // when they were committed
	Elapsed time.Duration `json:"elapsed"` // spent on these calls
}

// A Failure is the message of a call that did not end well, as JSON.
type Failure struct {
	Text   string `json:"text"`            // for people, one line if it can be
	Error  []byte `json:"error,omitempty"` // the error itself, encoded
	Panic  string `json:"panic,omitempty"` // the value of the panic
	Stack  string `json:"stack,omitempty"` // of the panic, or of all goroutines at a time-out
	Cause  string `json:"cause,omitempty"` // engine.Cause of a crash
	Exit   int    `json:"exit,omitempty"`
	Signal string `json:"signal,omitempty"`
	Node   string `json:"node,omitempty"`
	Log    string `json:"log,omitempty"` // the end of what the call wrote to stdout and stderr
	// Task and Attempt are the run in which it failed, whose whole log the engine has.
	Task    int `json:"task"`
	Attempt int `json:"attempt"`
}

// An Attempt is the record of an attempt that failed, under ErrKey, as JSON.
type Attempt struct {
	Call   int       `json:"call"`            // the first call that was not settled
	Blame  int       `json:"blame"`           // deaths of processes that it is blamed for
	Infra  int       `json:"infra,omitempty"` // attempts of the task that failed for other reasons
	Time   time.Time `json:"time"`
	Cause  string    `json:"cause"`
	Exit   int       `json:"exit,omitempty"`
	Signal string    `json:"signal,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Node   string    `json:"node,omitempty"`
}

// A Dep names a call that must have ended well before another can start.
type Dep struct {
	Job  string `json:"job,omitempty"`
	Call int    `json:"call,omitempty"`
}

// AppendDeps writes deps as the Meta of an input.
func AppendDeps(b []byte, deps []Dep) []byte {
	for _, d := range deps {
		b = binary.AppendUvarint(b, uint64(len(d.Job)))
		b = append(b, d.Job...)
		b = binary.AppendUvarint(b, uint64(d.Call))
	}
	return b
}

// ParseDeps reads what AppendDeps wrote.
func ParseDeps(b []byte) (deps []Dep, err error) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, fmt.Errorf("dependencies of an input make no sense: %w", ErrDamaged)
		}
		d := Dep{Job: string(b[k : k+int(n)])}
		b = b[k+int(n):]
		c, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, fmt.Errorf("dependencies of an input make no sense: %w", ErrDamaged)
		}
		d.Call = int(c)
		b = b[k:]
		deps = append(deps, d)
	}
	return deps, nil
}

// A Ref names a value in the store: a broadcast one by its hash, or the result of a call.
type Ref struct {
	SHA  string `json:"sha,omitempty"`
	Size int64  `json:"size,omitempty"`
	Dep
}
