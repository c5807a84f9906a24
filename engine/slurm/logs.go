package slurm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Logs implements engine.Logger.
func (e *Engine) Logs(ctx context.Context, jobID string, run engine.Run, follow bool) (io.ReadCloser, error) {
	d, err := e.openJob(jobID)
	if err != nil {
		return nil, err
	}
	l := &logReader{e: e, ctx: ctx, d: d, run: run, follow: follow, closed: make(chan struct{})}
	if _, err := l.cancelled(); err != nil {
		return nil, err
	}
	return l, nil
}

// A logReader reads the file of a run's output, while it grows if need be.
type logReader struct {
	e      *Engine
	ctx    context.Context
	d      *jobDir
	run    engine.Run
	follow bool

	subs  int  // that were read
	found bool // the run in one of them
	gone  bool // cancelled after that

	mu     sync.Mutex
	file   *os.File
	closed chan struct{}
	once   sync.Once
}

// Read implements io.Reader.
func (l *logReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pause := 25 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		select {
		case <-l.closed:
			return 0, fs.ErrClosed
		default:
		}
		over := !l.follow || l.over() // asked before reading, so that nothing is missed
		if l.file == nil {
			f, err := os.Open(filepath.Join(l.d.path, "log", runName(l.run)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, fmt.Errorf("slurm: %w", err)
			}
			if err == nil {
				l.file = f
			}
		}
		if l.file != nil {
			if n, err := l.file.Read(b); n > 0 || err != nil && err != io.EOF || len(b) == 0 {
				return n, err
			}
		}
		if over {
			return 0, io.EOF
		}
		select {
		case <-time.After(pause):
		case <-l.closed:
		case <-l.e.ctx.Done():
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		}
	}
}

// over reports whether the run writes nothing more.
func (l *logReader) over() bool {
	if l.e.isClosed() {
		return true
	}
	if _, ok := l.d.readEnd(l.run); ok {
		return true
	}
	if _, err := os.Stat(filepath.Join(l.d.path, "claim", runName(l.run))); err == nil {
		return false
	}
	gone, err := l.cancelled()
	return gone || err != nil
}

// cancelled reports whether the job was cancelled after the run was submitted; ErrNotExist if it never was.
func (l *logReader) cancelled() (bool, error) {
	for {
		s, err := l.d.readSub(l.subs)
		if errors.Is(err, fs.ErrNotExist) && l.found {
			return l.gone, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = engine.ErrNotExist
		}
		if err != nil {
			return false, fmt.Errorf("slurm: log of %s task %d attempt %d: %w", l.d.ID, l.run.Task, l.run.Attempt, err)
		}
		l.subs++
		l.gone = l.gone || l.found && s.Cancel
		l.found = l.found || slices.Contains(s.runs, l.run)
	}
}

// Close implements io.Closer; a Read that waits ends.
func (l *logReader) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.file != nil {
			l.file.Close()
		}
	})
	return nil
}
