package azbatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// Logs implements engine.Logger. The service keeps output on the node that wrote it, and it goes with the node.
func (e *Engine) Logs(ctx context.Context, jobID string, run engine.Run, follow bool) (io.ReadCloser, error) {
	l := &logReader{e: e, job: jobID, run: run, follow: follow}
	if !engine.ValidID(jobID) {
		return nil, fmt.Errorf("azbatch: log of %s: %w", jobID, engine.ErrNotExist)
	}
	first, end, err := e.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("azbatch: log of %s: %w", jobID, err)
	}
	defer end()
	look, err := l.look(first)
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if err == nil && look.over {
		err = l.open(look)
	}
	if err != nil {
		l.cancel(nil)
		return nil, fmt.Errorf("azbatch: log of %s task %d attempt %d: %w", jobID, run.Task, run.Attempt, ended(first, err))
	}
	l.stop = context.AfterFunc(e.ctx, func() { l.cancel(engine.ErrClosed) })
	return l, nil
}

// A logReader reads the file of a task's output in pieces, while it grows if need be.
type logReader struct {
	e      *Engine
	job    string
	run    engine.Run
	follow bool
	ctx    context.Context // ends with Close, or the engine's
	cancel context.CancelCauseFunc
	stop   func() bool

	mu      sync.Mutex
	s       split
	from    *place // where it began; nil: nowhere yet
	at      int64
	body    io.ReadCloser
	trouble time.Time // since when the service cannot be asked
}

// taskLook is what a reader needs to know of a task.
type taskLook struct {
	over    bool // it writes nothing more
	started bool
}

// look asks for the task, at all places as long as it has not begun at one: it may be handed over.
func (l *logReader) look(ctx context.Context) (look taskLook, err error) {
	if l.s.places == nil {
		if l.s, err = l.e.find(ctx, l.job); err != nil {
			return look, explain(err)
		}
	}
	if l.from != nil {
		look, err = l.lookAt(ctx, *l.from)
		return look, explain(err)
	}
	err = engine.ErrNotExist
	look.over = true
	for i := range l.s.places {
		one, e := l.lookAt(ctx, l.s.places[i])
		switch {
		case errors.Is(e, engine.ErrNotExist):
			continue
		case e != nil:
			return taskLook{}, explain(e)
		case one.started:
			l.from = &l.s.places[i]
			return one, nil
		}
		err, look.over = nil, look.over && one.over
	}
	return look, err
}

func (l *logReader) lookAt(ctx context.Context, p place) (taskLook, error) {
	t, err := p.client.GetTask(ctx, p.id, taskID(l.run), &azbatch.GetTaskOptions{SelectParam: []string{"id", "state", "executionInfo", "nodeInfo"}})
	if status(err) == http.StatusNotFound {
		return taskLook{}, engine.ErrNotExist
	}
	if err != nil {
		return taskLook{}, err
	}
	look := taskLook{over: word(t.State) == azbatch.TaskStateCompleted, // one that was ended while its node was prepared has a node, and wrote nothing
		started: t.NodeInfo != nil && t.NodeInfo.NodeID != nil && t.ExecutionInfo != nil && t.ExecutionInfo.StartTime != nil}
	if !look.over { // the end of a job leaves tasks that wait as they are
		j, err := p.client.GetJob(ctx, p.id, &azbatch.GetJobOptions{SelectParam: jobFields})
		look.over = err == nil && word(j.State) == azbatch.JobStateCompleted
	}
	return look, nil
}

// Read implements io.Reader.
func (l *logReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.ctx.Err() != nil {
			return 0, context.Cause(l.ctx)
		}
		if l.body != nil {
			n, err := l.body.Read(b)
			l.at += int64(n)
			if err != nil {
				l.body.Close()
				l.body = nil
				if err != io.EOF && l.ctx.Err() == nil && !l.bears(err) {
					return n, fmt.Errorf("azbatch: read a log: %w", err)
				}
			}
			if n > 0 {
				return n, nil
			}
		}
		look, err := l.look(l.ctx) // before the file, so that nothing is missed
		if err == nil {
			err = l.open(look)
		}
		switch {
		case l.ctx.Err() != nil:
			continue
		case err != nil && !l.bears(err):
			return 0, fmt.Errorf("azbatch: read a log: %w", err)
		case err == nil:
			l.trouble = time.Time{}
			if l.body != nil {
				continue
			}
			if look.over || !l.follow {
				return 0, io.EOF
			}
		}
		select {
		case <-time.After(l.e.c.Poll):
		case <-l.ctx.Done():
		}
	}
}

// patience is how long a follower waits for a service that cannot be asked.
const patience = 5 * time.Minute

// bears reports whether an error may pass, and is waited for.
func (l *logReader) bears(err error) bool {
	if s := status(err); !l.follow || s >= 400 && s < 500 || errors.Is(err, fs.ErrNotExist) || errors.Is(err, engine.ErrNotExist) || errors.Is(err, engine.ErrCannotRun) {
		return false
	}
	if l.trouble.IsZero() {
		l.trouble = time.Now()
		l.e.log.Warn("azbatch: read a log: it is tried again", "job", l.job, "err", err)
	}
	return time.Since(l.trouble) < patience
}

// open opens what the file has beyond what was read, if there is any.
func (l *logReader) open(look taskLook) error {
	if l.from == nil {
		return nil // not yet
	}
	p, task := l.from, taskID(l.run)
	h, err := p.client.GetTaskFileProperties(l.ctx, p.id, task, "stdout.txt", nil)
	if s := status(err); s == http.StatusNotFound || s == http.StatusConflict {
		if look.over && look.started {
			return fmt.Errorf("its output was on a node that has left the pool, and if it was not stored, there was none or the node was lost with it: %w", fs.ErrNotExist)
		}
		return nil // not yet
	}
	if err != nil {
		return explain(err)
	}
	size := int64(0)
	if h.ContentLength != nil {
		size = *h.ContentLength
	}
	if size <= l.at {
		return nil
	}
	r, err := p.client.GetTaskFile(l.ctx, p.id, task, "stdout.txt", &azbatch.GetTaskFileOptions{OCPRange: to.Ptr(fmt.Sprintf("bytes=%d-%d", l.at, size-1))})
	if err != nil {
		return explain(err)
	}
	l.body = r.Body
	if n := r.ContentLength; n != nil && *n > size-l.at { // whether the service heeds the range is not known for sure
		if _, err := io.CopyN(io.Discard, l.body, l.at); err != nil {
			return err
		}
	}
	return nil
}

// Close implements io.Closer; a Read that waits ends.
func (l *logReader) Close() error {
	l.stop()
	l.cancel(fs.ErrClosed)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body != nil {
		l.body.Close()
		l.body = nil
	}
	return nil
}
