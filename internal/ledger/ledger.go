// Package ledger reads what the store holds of a job: its manifest, its plan, its commits. Workers and trackers both
// see a job through it.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// small is the size up to which a blob is read whole.
const small = 1 << 20

// A Job is one job as the store has it. Its methods may be called at once.
type Job struct {
	Manifest plan.Manifest
	Store    store.Store

	mu    sync.Mutex
	plan  *plan.Plan
	part0 []byte // inline
	parts map[int]*Pack
	outs  map[[2]int]*Commit // small recently read commits
	order [][2]int
}

// Open reads the job's manifest. A job that is not there is fs.ErrNotExist.
func Open(ctx context.Context, s store.Store, job string) (*Job, error) {
	b, err := store.ReadAll(ctx, s, plan.ManifestKey(job))
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", job, err)
	}
	sheet, err := plan.ParseSheet(b)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", job, err)
	}
	if name := sheet.Manifest.Job; name != job {
		return nil, fmt.Errorf("job %s: its manifest is that of a job %q: %w", job, name, plan.ErrDamaged)
	}
	return New(s, sheet)
}

// New is the job of a manifest that was just made or read.
func New(s store.Store, sheet *plan.Sheet) (*Job, error) {
	j := &Job{Manifest: sheet.Manifest, Store: s, plan: plan.New(), parts: map[int]*Pack{}, outs: map[[2]int]*Commit{}}
	if err := j.plan.Add(sheet.Plan); err != nil {
		return nil, fmt.Errorf("job %s: %w", sheet.Manifest.Job, err)
	}
	if sheet.Inline {
		j.part0 = sheet.Part0
	}
	return j, nil
}

// Plan calls f with the plan as read so far, which f must not keep or change.
func (j *Job) Plan(f func(*plan.Plan)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j.plan)
}

// Add takes in record n, which the caller has just stored, unless Next has read it already.
func (j *Job) Add(n int, r plan.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.plan.Records > n {
		return nil
	}
	if j.plan.Records < n {
		return fmt.Errorf("job %s: record %d of the plan comes before record %d", j.Manifest.Job, n, j.plan.Records)
	}
	return j.plan.Add(r)
}

// Next reads the next record of the plan, and says whether there was one.
func (j *Job) Next(ctx context.Context) (bool, error) {
	j.mu.Lock()
	n := j.plan.Records
	j.mu.Unlock()
	b, err := store.ReadAll(ctx, j.Store, plan.RecordKey(j.Manifest.Job, n))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("job %s: %w", j.Manifest.Job, err)
	}
	r, err := plan.ParseRecord(b)
	if err != nil {
		return false, fmt.Errorf("job %s: %s: %w", j.Manifest.Job, plan.RecordKey(j.Manifest.Job, n), err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.plan.Records != n {
		return true, nil
	}
	if err := j.plan.Add(r); err != nil {
		return false, fmt.Errorf("job %s: %w", j.Manifest.Job, err)
	}
	return true, nil
}

// Span returns the calls of a task, reading on in the plan if it must.
func (j *Job) Span(ctx context.Context, task int) (plan.Span, error) {
	for {
		j.mu.Lock()
		if task >= 0 && task < len(j.plan.Spans) {
			s := j.plan.Spans[task]
			j.mu.Unlock()
			return s, nil
		}
		j.mu.Unlock()
		more, err := j.Next(ctx)
		if err != nil {
			return plan.Span{}, err
		}
		if !more {
			return plan.Span{}, fmt.Errorf("job %s: its plan has no task %d", j.Manifest.Job, task)
		}
	}
}

// A Pack is an open pack of the store; it may be in memory.
type Pack struct {
	*plan.Pack
	Size int64
	at   store.At
}

// Close lets go of the blob.
func (p *Pack) Close() error {
	if p.at != nil {
		return p.at.Close()
	}
	return nil
}

func (j *Job) open(ctx context.Context, key string) (*Pack, error) {
	at, err := store.OpenAt(ctx, j.Store, key)
	if err != nil {
		return nil, err
	}
	size := at.Size()
	if size <= small {
		b := make([]byte, size)
		_, err := at.ReadAt(b, 0)
		at.Close()
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		p, err := plan.OpenPack(plan.NewBytes(b), size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return &Pack{Pack: p, Size: size}, nil
	}
	p, err := plan.OpenPack(at, size)
	if err != nil {
		at.Close()
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &Pack{Pack: p, Size: size, at: at}, nil
}

// Input returns the pack that holds the call's input, and the number of its entry. The pack stays open until CloseParts.
func (j *Job) Input(ctx context.Context, call int) (*Pack, int, error) {
	j.mu.Lock()
	n, ok := j.plan.Part(call)
	p := j.parts[n]
	inline := n == 0 && j.part0 != nil
	j.mu.Unlock()
	if !ok {
		return nil, 0, fmt.Errorf("job %s: no input for call %d", j.Manifest.Job, call)
	}
	if p == nil {
		var err error
		if inline {
			var q *plan.Pack
			q, err = plan.OpenPack(plan.NewBytes(j.part0), int64(len(j.part0)))
			p = &Pack{Pack: q, Size: int64(len(j.part0))}
		} else {
			p, err = j.open(ctx, plan.PartKey(j.Manifest.Job, n))
		}
		if err != nil {
			return nil, 0, fmt.Errorf("job %s: inputs: %w", j.Manifest.Job, err)
		}
		j.mu.Lock()
		if q := j.parts[n]; q != nil {
			p.Close()
			p = q
		} else {
			for k, q := range j.parts { // inputs are read in order: keep the last few
				if k < n-2 {
					q.Close()
					delete(j.parts, k)
				}
			}
			j.parts[n] = p
		}
		j.mu.Unlock()
	}
	e := p.Find(call)
	if e < 0 {
		return nil, 0, fmt.Errorf("job %s: inputs: part %d has no call %d: %w", j.Manifest.Job, n, call, plan.ErrDamaged)
	}
	return p, e, nil
}

// Close closes the packs that are open.
func (j *Job) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for k, p := range j.parts {
		p.Close()
		delete(j.parts, k)
	}
	clear(j.outs)
	j.order = nil
}

// A Commit is one commit of a task.
type Commit struct {
	plan.Commit
	Seq  int
	Pack *Pack // its messages; nil once they were taken
}

// Outcome returns the outcome of an entry.
func (c *Commit) Outcome(entry int) (plan.Outcome, error) {
	return plan.ParseOutcome(c.Pack.Entries[entry].Meta)
}

// keep is how many small commits stay in memory.
const keep = 16

// Commit reads the seq-th commit of a task; fs.ErrNotExist if it is not there yet. Small ones are kept for a while, so
// that whoever asks next need not read again. The caller calls Release.
func (j *Job) Commit(ctx context.Context, task, seq int) (*Commit, error) {
	k := [2]int{task, seq}
	j.mu.Lock()
	c := j.outs[k]
	j.mu.Unlock()
	if c != nil {
		return c, nil
	}
	p, err := j.open(ctx, plan.OutKey(j.Manifest.Job, task, seq))
	if errors.Is(err, fs.ErrNotExist) {
		p, err = j.open(ctx, plan.TakenKey(j.Manifest.Job, task, seq))
	}
	if err != nil {
		return nil, fmt.Errorf("job %s: result: %w", j.Manifest.Job, err)
	}
	c = &Commit{Seq: seq, Pack: p}
	if err := p.Head(&c.Commit); err != nil {
		p.Close()
		return nil, fmt.Errorf("job %s: result of task %d: %w: %w", j.Manifest.Job, task, plan.ErrDamaged, err)
	}
	if c.Version != plan.Version || c.Task != task || c.End < c.First {
		p.Close()
		return nil, fmt.Errorf("job %s: result of task %d: head makes no sense: %w", j.Manifest.Job, task, plan.ErrDamaged)
	}
	if p.at == nil {
		j.mu.Lock()
		if len(j.order) >= keep {
			delete(j.outs, j.order[0])
			j.order = j.order[1:]
		}
		j.outs[k] = c
		j.order = append(j.order, k)
		j.mu.Unlock()
	}
	return c, nil
}

// Forget drops a commit from memory.
func (j *Job) Forget(task, seq int) {
	k := [2]int{task, seq}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.outs, k)
	j.order = slices.DeleteFunc(j.order, func(o [2]int) bool { return o == k })
}

// Release closes a commit that is not kept in memory.
func (c *Commit) Release() {
	if c.Pack != nil {
		c.Pack.Close()
	}
}

// Find returns the commit that settled the call, and its entry; fs.ErrNotExist if none did yet. Where several tasks
// had the call, the last that settled it counts. It reads the plan and commits anew: use it where no tracker runs.
func (j *Job) Find(ctx context.Context, call int) (*Commit, int, error) {
	for {
		more, err := j.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		if !more {
			break
		}
	}
	j.mu.Lock()
	spans := j.plan.Spans
	j.mu.Unlock()
	for t := len(spans) - 1; t >= 0; t-- {
		if call < spans[t].First || call >= spans[t].End {
			continue
		}
		for seq := 0; ; seq++ {
			c, err := j.Commit(ctx, t, seq)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return nil, 0, err
			}
			if call >= c.First && call < c.End {
				e := c.Pack.Find(call)
				if e < 0 {
					c.Release()
					return nil, 0, fmt.Errorf("job %s: task %d: commit %d has no call %d: %w", j.Manifest.Job, t, seq, call, plan.ErrDamaged)
				}
				return c, e, nil
			}
			last := c.Last
			c.Release()
			if last {
				break
			}
		}
	}
	return nil, 0, fmt.Errorf("job %s: call %d has no result yet: %w", j.Manifest.Job, call, fs.ErrNotExist)
}

// Failure reads the message of a call that did not end well.
func (c *Commit) Failure(entry int) (f plan.Failure, err error) {
	r, mem := c.Pack.Message(entry)
	if mem == nil {
		if mem, err = io.ReadAll(r); err != nil {
			return f, err
		}
	}
	return f, json.Unmarshal(mem, &f)
}
