//go:build linux || darwin || freebsd

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterless-go/clusterless/engine"
)

// A process writes its output to a file of its own, which the engine never touches on the way of a run: the log of
// a run is the part of the file between its sizes at the start and at the end. The file has its name in logs/
// while the process lives; each job that printed to it has a hard link, so that a file goes with the last job that
// needs it.

// logPoll is how often a followed log is looked at.
const logPoll = 50 * time.Millisecond

// cutTail is how much of the newest output a cut leaves.
const cutTail = 64 << 10

func (e *Engine) logPath(process string) string {
	return filepath.Join(e.dir, "logs", process+".log")
}

func (e *Engine) jobLogs(id string) string {
	return filepath.Join(e.dir, "jobs", id+".logs")
}

func (p *process) logSize() int64 {
	if p.logFile == nil {
		return 0
	}
	var st unix.Stat_t // twice for every run, so without the detours of os.File.Stat
	if unix.Fstat(p.logFD, &st) != nil {
		return 0
	}
	return st.Size
}

// A logLink is a hard link to make.
type logLink struct {
	job     *job
	process string
}

// linkLater gives a job its link to the log of a process.
func (e *Engine) linkLater(j *job, p *process) {
	if p.linked[j.ID] {
		return
	}
	if p.linked == nil {
		p.linked = map[string]bool{}
	}
	p.linked[j.ID] = true
	e.unlinked = append(e.unlinked, logLink{j, p.name})
	e.wakeKeeper()
}

// linkNow makes the links that are due. When it returns they are made, whoever made them.
func (e *Engine) linkNow() {
	e.linking.Lock()
	defer e.linking.Unlock()
	e.mu.Lock()
	links := e.unlinked
	e.unlinked = nil
	e.mu.Unlock()
	for _, l := range links {
		e.mu.Lock()
		deleted := l.job.deleted
		e.mu.Unlock()
		if deleted {
			continue
		}
		if err := e.link(l.job.ID, l.process); err != nil {
			e.logger.Warn("local: keep log", "job", l.job.ID, "err", err)
		}
		e.mu.Lock()
		deleted = l.job.deleted
		e.mu.Unlock()
		if deleted {
			os.Remove(filepath.Join(e.jobLogs(l.job.ID), l.process+".log"))
			os.Remove(e.jobLogs(l.job.ID)) // if it is empty
		}
	}
}

func (e *Engine) link(id, process string) error {
	to := filepath.Join(e.jobLogs(id), process+".log")
	err := os.Link(e.logPath(process), to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(e.jobLogs(id), 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			err = os.Link(e.logPath(process), to)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// openLog opens the log file of a process for one of its jobs.
func (e *Engine) openLog(id, process string) (*os.File, error) {
	linked := filepath.Join(e.jobLogs(id), process+".log")
	f, err := os.Open(linked)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(e.logPath(process))
	}
	if errors.Is(err, fs.ErrNotExist) { // the process ended between the two
		f, err = os.Open(linked)
	}
	return f, err
}

// trim keeps the log of a process within its limit: the first half of the limit stays, then comes a line that says
// how much was cut, then the newest output. What the process writes at the very moment is lost uncounted.
// The caller holds the engine's lock.
func (p *process) trim() {
	size := p.logSize()
	limit := p.e.logLimit
	if p.run == nil || p.run.log == "" {
		if p.state == resting && size > 2*limit {
			p.e.logger.Warn("local: ended an idle worker that floods its log", "process", p.name)
			p.kill("", "")
		}
		return
	}
	if size-p.run.off <= limit {
		return
	}
	head := p.run.off + limit/2
	tail := make([]byte, min(cutTail, limit/4))
	n, err := p.logFile.ReadAt(tail, size-int64(len(tail)))
	if err != nil && err != io.EOF {
		n = 0
	}
	tail = tail[:n]
	if i := bytes.IndexByte(tail, '\n'); i >= 0 {
		tail = tail[i+1:]
	}
	if err := p.logFile.Truncate(head); err != nil {
		p.e.logger.Warn("local: cut log", "process", p.name, "err", err)
		return
	}
	p.logCut += size - head - int64(len(tail))
	line := fmt.Sprintf("\n[clusterless: about %s of output were cut here, the limit is %s a run]\n", inBytes(p.logCut), inBytes(limit))
	if _, err := p.logFile.Write(append([]byte(line), tail...)); err != nil {
		p.e.logger.Warn("local: cut log", "process", p.name, "err", err)
	}
}

// Logs implements engine.Logger.
func (e *Engine) Logs(ctx context.Context, jobID string, id engine.Run, follow bool) (io.ReadCloser, error) {
	j, err := e.lookup(ctx, jobID)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	r := j.runs[id]
	if r == nil {
		e.letGo(j)
		return nil, fmt.Errorf("local: log of %s task %d attempt %d: %w", jobID, id.Task, id.Attempt, engine.ErrNotExist)
	}
	l := &logReader{e: e, ctx: ctx, run: r, follow: follow, pos: -1,
		watcher: &watcher{wake: make(chan struct{}, 1)}, closed: make(chan struct{})}
	j.watchers[l.watcher] = struct{}{}
	e.follow(j)
	return l, nil
}

// A logReader reads the part of a run in the log of a process, while it grows if need be.
type logReader struct {
	e       *Engine
	ctx     context.Context
	run     *run
	follow  bool
	watcher *watcher

	mu     sync.Mutex
	file   *os.File
	pos    int64 // -1: nothing read yet
	closed chan struct{}
	once   sync.Once
}

// Read implements io.Reader.
func (l *logReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		select {
		case <-l.closed:
			return 0, fs.ErrClosed
		default:
		}
		l.e.mu.Lock()
		log, off, end := l.run.log, l.run.off, l.run.end
		over := l.run.final() || l.e.closed || l.run.job.deleted
		l.e.mu.Unlock()
		if log != "" && !(over && end == off) {
			n, err := l.read(b, log, off, end)
			if n > 0 || err != nil {
				return n, err
			}
		}
		if over || !l.follow {
			return 0, io.EOF
		}
		select {
		case <-time.After(logPoll):
		case <-l.watcher.wake:
		case <-l.closed:
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		}
	}
}

// read reads what there is now.
func (l *logReader) read(b []byte, log string, off, end int64) (int, error) {
	if l.file == nil {
		f, err := l.e.openLog(l.run.job.ID, log)
		if err != nil {
			return 0, fmt.Errorf("local: log of %s task %d: %w", l.run.job.ID, l.run.Task, err)
		}
		l.file, l.pos = f, off
	}
	if end < 0 {
		info, err := l.file.Stat()
		if err != nil {
			return 0, fmt.Errorf("local: %w", err)
		}
		end = info.Size()
	}
	if l.pos > end { // the log was cut: go on where the cut is
		l.pos = min(off+l.run.job.LogLimit/2, end)
	}
	b = b[:min(int64(len(b)), end-l.pos)]
	if len(b) == 0 {
		return 0, nil
	}
	n, err := l.file.ReadAt(b, l.pos)
	l.pos += int64(n)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Close implements io.Closer; a Read that waits ends.
func (l *logReader) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.e.mu.Lock()
		delete(l.run.job.watchers, l.watcher)
		l.e.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.file != nil {
			l.file.Close()
		}
	})
	return nil
}
