package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// Log opens what a run wrote: from the engine, and if that has it no longer, because its node has gone, as the store keeps it.
func (j *Job) Log(ctx context.Context, e engine.Engine, run engine.Run, follow bool) (io.ReadCloser, error) {
	r, err := engine.Logs(ctx, e, j.Manifest.Job, run, follow)
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, engine.ErrNotExist) {
		return r, err
	}
	l := &log{ctx: ctx, s: j.Store}
	for info, listing := range j.Store.List(ctx, plan.LogPrefix(j.Manifest.Job, run.Task, run.Attempt)) {
		if listing != nil {
			return nil, fmt.Errorf("%w; and in the store: %w", err, listing)
		}
		l.keys = append(l.keys, info.Key)
	}
	if len(l.keys) == 0 {
		return nil, err
	}
	return l, nil
}

// A log is what the processes of a run wrote, one after the other.
type log struct {
	ctx  context.Context // of who opened it
	s    store.Store
	keys []string // that are left
	r    io.ReadCloser
}

func (l *log) Read(b []byte) (int, error) {
	for {
		if l.r == nil {
			if len(l.keys) == 0 {
				return 0, io.EOF
			}
			r, err := l.s.Get(l.ctx, l.keys[0])
			if err != nil {
				return 0, err
			}
			l.r, l.keys = r, l.keys[1:]
		}
		n, err := l.r.Read(b)
		if err == io.EOF {
			l.r.Close()
			l.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (l *log) Close() error {
	if l.r == nil {
		return nil
	}
	return l.r.Close()
}
