package slurm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// version is that of the files; see the package's documentation.
const version = 2

// A jobDir is a job as the shared directory has it.
type jobDir struct {
	record
	path string // its directory below runs/
}

// record is the file of a job.
type record struct {
	Version   int              `json:"version"`
	ID        string           `json:"id"`
	Dir       string           `json:"dir"` // its directory's name
	Created   time.Time        `json:"created"`
	By        string           `json:"by"`                // client
	Cluster   string           `json:"cluster,omitempty"` // "" if Slurm did not answer
	WorkDir   string           `json:"workDir"`
	Command   []string         `json:"command"`
	Env       []string         `json:"env,omitempty"`
	Resources engine.Resources `json:"resources"`
	Placement Placement        `json:"placement"`
	Priority  int              `json:"priority,omitempty"`
	Timeout   time.Duration    `json:"timeout,omitempty"`
	Isolated  bool             `json:"isolated,omitempty"`
}

// A sub is the n-th Submit of a job, or a Cancel.
type sub struct {
	subHead
	n    int
	runs []engine.Run
}

type subHead struct {
	By     string    `json:"by"`
	Time   time.Time `json:"time"`
	Cancel bool      `json:"cancel,omitempty"`
}

func (e *Engine) jobPath(id string) string { return filepath.Join(e.c.Dir, "jobs", id) }

// openJob reads the record of a job.
func (e *Engine) openJob(id string) (*jobDir, error) {
	if !engine.ValidID(id) {
		return nil, fmt.Errorf("slurm: job %q: %w", id, engine.ErrNotExist)
	}
	if e.isClosed() {
		return nil, fmt.Errorf("slurm: job %s: %w", id, engine.ErrClosed)
	}
	b, err := os.ReadFile(e.jobPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("slurm: job %s: %w", id, engine.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("slurm: job %s: %w", id, err)
	}
	d := &jobDir{}
	if err := json.Unmarshal(b, &d.record); err != nil || d.Dir == "" || strings.ContainsRune(d.Dir, '/') {
		return nil, fmt.Errorf("slurm: job %s: its record is damaged: remove the file %s: %w", id, e.jobPath(id), err)
	}
	if d.Version != version {
		return nil, fmt.Errorf("slurm: job %s was made by another version of clusterless (its format is %d, this is %d)", id, d.Version, version)
	}
	d.path = filepath.Join(e.c.Dir, "runs", d.Dir)
	return d, nil
}

// createJob makes a job, or opens the one that is there.
func (e *Engine) createJob(ctx context.Context, job *engine.Job) (*jobDir, error) {
	d, err := e.openJob(job.ID)
	if !errors.Is(err, engine.ErrNotExist) {
		return d, err
	}
	p, err := e.c.placement(job.Settings)
	if err != nil {
		return nil, err
	}
	wd, _ := os.Getwd()
	d = &jobDir{record: record{Version: version, ID: job.ID, Dir: job.ID + "-" + random(), Created: time.Now().UTC(), By: e.client,
		Cluster: e.limits(ctx).cluster, WorkDir: wd, Command: job.Command, Env: job.Env, Resources: job.Resources, Placement: p,
		Priority: job.Priority, Timeout: job.Timeout, Isolated: job.Isolated}}
	d.path = filepath.Join(e.c.Dir, "runs", d.Dir)
	for _, name := range []string{"", "claim", "end", "log"} {
		if err := os.Mkdir(filepath.Join(d.path, name), 0o700); err != nil {
			return nil, fmt.Errorf("slurm: job %s: %w", job.ID, err)
		}
	}
	b, err := json.Marshal(d.record)
	if err == nil {
		err = create(e.jobPath(job.ID), b)
	}
	if err != nil {
		os.RemoveAll(d.path)
		if errors.Is(err, fs.ErrExist) {
			return e.openJob(job.ID)
		}
		return nil, fmt.Errorf("slurm: job %s: %w", job.ID, err)
	}
	return d, nil
}

// current reports whether the job is still the one of that name.
func (e *Engine) current(d *jobDir) bool {
	now, err := e.openJob(d.ID)
	return !errors.Is(err, engine.ErrNotExist) && (err != nil || now.Dir == d.Dir)
}

// create makes a file with these contents, whole or not at all; fs.ErrExist if it is there.
func create(path string, b []byte) error { return put(path, b, os.Link) }

// replace is create for a file that may be there.
func replace(path string, b []byte) error { return put(path, b, os.Rename) }

func put(path string, b []byte, name func(from, to string) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return name(tmp.Name(), path)
}

// readSub reads the n-th Submit; fs.ErrNotExist if there was none yet.
func (d *jobDir) readSub(n int) (*sub, error) {
	b, err := os.ReadFile(filepath.Join(d.path, "sub."+strconv.Itoa(n)))
	if err != nil {
		return nil, err
	}
	s := &sub{n: n}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	if err := json.Unmarshal(head, &s.subHead); err != nil {
		return nil, fmt.Errorf("slurm: job %s: sub.%d is damaged: %w", d.ID, n, err)
	}
	for line := range strings.Lines(string(rest)) {
		r, ok := parseRun(strings.TrimSuffix(line, "\n"))
		if !ok {
			return nil, fmt.Errorf("slurm: job %s: sub.%d is damaged at %q", d.ID, n, line)
		}
		s.runs = append(s.runs, r)
	}
	return s, nil
}

// addSub writes down the next Submit, of those of the runs that the job does not have, or the next Cancel. It returns nil
// if there is nothing to write.
func (e *Engine) addSub(d *jobDir, runs []engine.Run, cancel bool) (*sub, error) {
	has := map[engine.Run]bool{}
	for n := 0; ; {
		s, err := d.readSub(n)
		if err == nil {
			for _, r := range s.runs {
				has[r] = true
			}
			n++
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s = &sub{n: n, subHead: subHead{By: e.client, Time: time.Now().UTC(), Cancel: cancel}}
		head, err := json.Marshal(s.subHead)
		if err != nil {
			return nil, err
		}
		b := append(head, '\n')
		in := map[engine.Run]bool{}
		for _, r := range runs {
			if !has[r] && !in[r] {
				in[r] = true
				s.runs = append(s.runs, r)
				b = append(append(b, runName(r)...), '\n')
			}
		}
		if len(s.runs) == 0 && !cancel {
			return nil, nil
		}
		err = create(filepath.Join(d.path, "sub."+strconv.Itoa(n)), b)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			if !e.current(d) {
				err = engine.ErrNotExist
			}
			return nil, fmt.Errorf("slurm: job %s: %w", d.ID, err)
		}
	}
}

// An array is a job array of Slurm: its elements are those of the runs first to first+count-1 of a sub.
type array struct {
	id, sub, first, count int
}

func (a array) name() string { return fmt.Sprintf("arr.%d.%d.%d.%d", a.sub, a.first, a.count, a.id) }

func parseArray(name string) (a array, ok bool) {
	n, err := fmt.Sscanf(name, "arr.%d.%d.%d.%d", &a.sub, &a.first, &a.count, &a.id)
	return a, n == 4 && err == nil
}

// arrays lists the arrays of a job.
func (d *jobDir) arrays() (all []array, err error) {
	names, err := readNames(d.path)
	for _, name := range names {
		if a, ok := parseArray(name); ok {
			all = append(all, a)
		}
	}
	return all, err
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, ".") }), err
}

func runName(r engine.Run) string { return strconv.Itoa(r.Task) + "." + strconv.Itoa(r.Attempt) }

func parseRun(name string) (r engine.Run, ok bool) {
	task, attempt, found := strings.Cut(name, ".")
	var err1, err2 error
	r.Task, err1 = strconv.Atoi(task)
	r.Attempt, err2 = strconv.Atoi(attempt)
	return r, found && err1 == nil && err2 == nil
}

// An element is one of an array.
type element struct{ array, index int }

func (el element) String() string { return fmt.Sprintf("%d_%d", el.array, el.index) }

// A claim is who makes a run.
type claim struct {
	element
	restart int
	node    string
	time    time.Time
}

// readClaim reads a claim; ok is false if it is not wholly written yet.
func (d *jobDir) readClaim(name string) (c claim, ok bool) {
	b, err := os.ReadFile(filepath.Join(d.path, "claim", name))
	if err != nil || !bytes.HasSuffix(b, []byte("\n")) {
		return c, false
	}
	f := strings.Fields(string(b))
	if len(f) != 4 {
		return c, false
	}
	n, err := fmt.Sscanf(f[0], "%d_%d", &c.array, &c.index)
	if n != 2 || err != nil {
		return c, false
	}
	c.restart, _ = strconv.Atoi(f[1])
	c.node, c.time = strings.TrimPrefix(f[2], "-"), parseTime(f[3])
	return c, true
}

// withhold claims a run that nobody is to make any more; false if somebody has it.
func (d *jobDir) withhold(r engine.Run, el element) bool {
	err := create(filepath.Join(d.path, "claim", runName(r)), fmt.Appendf(nil, "%v 0 - %s\n", el, writeTime()))
	return !errors.Is(err, fs.ErrExist)
}

// readEnd reads how a run ended; ok is false if that is not wholly written yet.
func (d *jobDir) readEnd(r engine.Run) (ev engine.Event, ok bool) {
	b, err := os.ReadFile(filepath.Join(d.path, "end", runName(r)))
	if err != nil {
		return ev, false
	}
	return parseEnd(r, b)
}

func parseEnd(r engine.Run, b []byte) (ev engine.Event, ok bool) {
	if !bytes.HasSuffix(b, []byte("\n")) {
		return ev, false
	}
	w := strings.SplitN(strings.TrimSuffix(string(b), "\n"), " ", 5)
	if len(w) < 4 {
		return ev, false
	}
	ev = engine.Event{Run: r, State: engine.Exited, Time: parseTime(w[2]), Node: strings.TrimPrefix(w[3], "-")}
	if len(w) == 5 {
		ev.Reason = w[4]
	}
	ev.Cause = causes[w[0]]
	switch w[0] {
	case "exit":
		if ev.ExitCode, _ = strconv.Atoi(w[1]); ev.ExitCode == 0 {
			ev.Cause = ""
		}
	case "signal":
		ev.Signal = w[1]
	case "lost":
		ev.State = engine.Lost
	}
	return ev, true
}

// lostNode is the node that a run of several lost; "" if it ended otherwise, or that is not known.
func (d *jobDir) lostNode(r engine.Run) string {
	b, err := os.ReadFile(filepath.Join(d.path, "end", runName(r)))
	w := strings.Fields(string(b))
	if err != nil || len(w) < 2 || w[0] != "lost" || w[1] == "-" {
		return ""
	}
	return w[1]
}

// causes are what the first word of the file of an end stands for.
var causes = map[string]engine.Cause{
	"exit": engine.CauseExit, "signal": engine.CauseSignal, "timeout": engine.CauseTimeout, "notstarted": engine.CauseNotStarted,
	"lost": engine.CauseLost, "cancelled": engine.CauseCancelled, "withdrawn": engine.CauseWithdrawn, "preempted": engine.CausePreempted,
	"walltime": engine.CauseWalltime, "memory": engine.CauseMemory,
}

// writeEnd settles a run for everybody, unless that was done already, and returns how it ended. An error says that only this client
// knows.
func (d *jobDir) writeEnd(r engine.Run, how, node, reason string) (engine.Event, error) {
	text := fmt.Appendf(nil, "%s - %s %s %s\n", how, writeTime(), cmp.Or(node, "-"), strings.ReplaceAll(reason, "\n", " "))
	err := create(filepath.Join(d.path, "end", runName(r)), text)
	if errors.Is(err, fs.ErrExist) {
		if ev, ok := d.readEnd(r); ok {
			return ev, nil
		}
	}
	ev, _ := parseEnd(r, text)
	return ev, err
}

func writeTime() string { return strconv.FormatFloat(float64(time.Now().UnixMicro())/1e6, 'f', 6, 64) }

func parseTime(s string) time.Time {
	sec, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(int64(sec * 1e6))
}
