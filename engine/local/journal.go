//go:build linux || darwin || freebsd

package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// A journal is a file of JSON lines, only ever appended to. Its first line is a job record; the others are what
// happened, in order. A line that is no record (the end of one that a killed client was writing) is skipped.
// Journals are a matter of this package on this machine, not a format for others; journalVersion changes when an
// older engine would misread it.
const journalVersion = 1

// A record is one line of a journal. Op says which of the fields count.
type record struct {
	Op string `json:"op"`

	// job, the first line
	Version int        `json:"v,omitempty"`
	Job     *jobRecord `json:"job,omitempty"`

	// job and owner: who starts the runs from here on. An owner record without Owner: nobody, until the next.
	Owner string `json:"owner,omitempty"`
	PID   int    `json:"pid,omitempty"`
	Node  string `json:"node,omitempty"`

	// runs: submitted, each [first task, number of tasks, attempt]
	Runs [][3]int `json:"runs,omitempty"`

	// start, beat, end
	Run  [2]int `json:"run"` // task, attempt
	Time int64  `json:"t,omitempty"`
	Log  string `json:"log,omitempty"` // start: name of the log file of the process
	Off  int64  `json:"off,omitempty"` // start, end: where the output of the run starts, ends in it

	// end
	State  engine.State `json:"state,omitempty"`
	Cause  engine.Cause `json:"cause,omitempty"`
	Code   int          `json:"code,omitempty"`
	Signal string       `json:"signal,omitempty"`
	Reason string       `json:"reason,omitempty"`
}

// jobRecord is what a journal keeps of an engine.Job.
type jobRecord struct {
	ID           string           `json:"id"`
	Command      []string         `json:"command"`
	Env          []string         `json:"env,omitempty"`
	Resources    engine.Resources `json:"resources"`
	Priority     int              `json:"priority,omitempty"`
	Timeout      time.Duration    `json:"timeout,omitempty"`
	StartTimeout time.Duration    `json:"startTimeout,omitempty"`
	Resident     bool             `json:"resident,omitempty"`
	Isolated     bool             `json:"isolated,omitempty"`
	LogLimit     int64            `json:"logLimit"`
}

const (
	opJob   = "job"
	opOwner = "owner"
	opRuns  = "runs"
	opStart = "start"
	opBeat  = "beat"
	opEnd   = "end"
)

// appendRecord writes any record.
func appendRecord(b []byte, r record) []byte {
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // a record is plain data
	}
	return append(append(b, line...), '\n')
}

// appendRuns writes a runs record, with neighbours of one attempt as a span.
func appendRuns(b []byte, runs []engine.Run) []byte {
	if len(runs) == 0 {
		return b
	}
	b = append(b, `{"op":"runs","runs":[`...)
	for i := 0; i < len(runs); {
		n := 1
		for i+n < len(runs) && runs[i+n] == (engine.Run{Task: runs[i].Task + n, Attempt: runs[i].Attempt}) {
			n++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(runs[i].Task), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(runs[i].Attempt), 10)
		b = append(b, ']')
		i += n
	}
	return append(b, "]}\n"...)
}

// appendRun writes a start, beat or end record; by hand, since this is done for every run.
func appendRun(b []byte, op string, r *run) []byte {
	b = append(b, `{"op":"`...)
	b = append(b, op...)
	b = append(b, `","run":[`...)
	b = strconv.AppendInt(b, int64(r.Task), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(r.Attempt), 10)
	b = append(b, `],"t":`...)
	b = strconv.AppendInt(b, r.event.Time.UnixNano(), 10)
	switch op {
	case opStart:
		b = append(b, `,"log":"`...)
		b = append(b, r.log...)
		b = append(b, `","off":`...)
		b = strconv.AppendInt(b, r.off, 10)
	case opEnd:
		b = append(b, `,"off":`...)
		b = strconv.AppendInt(b, r.end, 10)
		b = append(b, `,"state":`...)
		b = strconv.AppendInt(b, int64(r.event.State), 10)
		if r.event.Cause != "" {
			rest, _ := json.Marshal(struct {
				Cause  engine.Cause `json:"cause"`
				Code   int          `json:"code,omitempty"`
				Signal string       `json:"signal,omitempty"`
				Reason string       `json:"reason,omitempty"`
			}{r.event.Cause, r.event.ExitCode, r.event.Signal, r.event.Reason})
			b = append(b, ',')
			b = append(b, rest[1:len(rest)-1]...)
		}
	}
	return append(b, "}\n"...)
}

func (e *Engine) journalPath(id string) string {
	return filepath.Join(e.dir, "jobs", id+".journal")
}

// createJournal starts the journal of a job with its first lines; fs.ErrExist if there is one.
func (e *Engine) createJournal(id string, lines []byte) error {
	f, err := os.OpenFile(e.journalPath(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		os.Remove(e.journalPath(id)) // better none than one without its first line
	}
	return err
}

// appendJournal adds lines to a journal that exists. It returns how much was written, since a disk may fill half
// way through a line.
func (e *Engine) appendJournal(id string, lines []byte) (int, error) {
	f, err := os.OpenFile(e.journalPath(id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(lines)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	return n, err
}

// A tail reads the records of a journal as they are added.
type tail struct {
	path string
	off  int64 // of the first byte not yet consumed
}

// read calls f for every whole record that is new.
func (t *tail) read(f func(record)) error {
	file, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == t.off {
		return err
	}
	if info.Size() < t.off { // another job with the ID of a deleted one
		return fs.ErrNotExist
	}
	lines := make([]byte, info.Size()-t.off)
	n, err := file.ReadAt(lines, t.off)
	if err != nil && err != io.EOF {
		return err
	}
	lines = lines[:n]
	for {
		i := bytes.IndexByte(lines, '\n')
		if i < 0 {
			return nil
		}
		var r record
		if json.Unmarshal(lines[:i], &r) == nil {
			f(r)
		}
		lines = lines[i+1:]
		t.off += int64(i + 1)
	}
}

// mend ends a torn last line, so that what is appended stands on lines of its own. Only for a journal without a
// living owner.
func (t *tail) mend(e *Engine, id string) error {
	info, err := os.Stat(t.path)
	if err != nil || info.Size() == t.off {
		return err
	}
	_, err = e.appendJournal(id, []byte{'\n'})
	return err
}

// readJournal builds a job from its journal. A journal whose first line is missing belongs to a client that is
// about to write it, or was killed before it could; the latter is no job.
func (e *Engine) readJournal(id string) (*job, error) {
	seen, _ := os.Stat(e.journalPath(id))
	deadline := time.Now().Add(time.Second)
	for {
		var j *job
		var bad error
		t := &tail{path: e.journalPath(id)}
		err := t.read(func(r record) {
			switch {
			case j == nil && r.Op == opJob && r.Version > journalVersion:
				bad = fmt.Errorf("local: %s was written by a newer version of clusterless (format %d, this one knows %d)", t.path, r.Version, journalVersion)
			case j == nil && r.Op == opJob && r.Job != nil:
				j = newJob(*r.Job)
				j.tail = t
				j.own(r)
			case j != nil:
				e.apply(j, r)
			}
		})
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, engine.ErrNotExist
		case err != nil:
			return nil, fmt.Errorf("local: read journal: %w", err)
		case bad != nil:
			return nil, bad
		case j != nil:
			return j, nil
		case time.Now().After(deadline):
			return nil, e.discardJournal(id, seen)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// discardJournal removes a journal that holds no job, unless a living client was stopped before it could write it.
func (e *Engine) discardJournal(id string, seen os.FileInfo) error {
	path := e.journalPath(id)
	if pid := e.creator(id); pid != "" {
		return fmt.Errorf("local: the client (pid %s) that creates the job does not react", pid)
	}
	if now, err := os.Stat(path); err == nil && (seen == nil || !os.SameFile(seen, now)) {
		return errors.New("local: the job is being created")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("local: journal without a first line: %w", err)
	}
	e.logger.Warn("local: removed a journal that its writer never began", "path", path)
	return engine.ErrNotExist
}
