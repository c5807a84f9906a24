package clusterless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// Slots is how many cores of tasks the session's engine can run at once; 0 if the engine does not know.
func (s *Session) Slots() int {
	n, _ := engine.Slots(s.engine, engine.Resources{Cores: 1})
	return n
}

// Store is the URL of the session's store.
func (s *Session) Store() string { return s.store.URL() }

// Dir is the directory of the session's engine and store; "" if the caller brought both.
func (s *Session) Dir() string { return s.dir }

// EngineURL is the URL of the session's engine, with the settings of the configuration file; "" if the caller brought it.
func (s *Session) EngineURL() string { return s.engineURL }

// Check looks whether the session's engine is set up as jobs need it, and reports each thing that it looked at: what it is in
// a word or two, what was found, and what is wrong and what to do about it, if something is. An engine that has nothing to look
// at, as the local one, reports nothing.
func (s *Session) Check(ctx context.Context, report func(what, found string, err error)) {
	if c, ok := s.engine.(engine.Checker); ok {
		c.Check(ctx, report)
	}
}

// Pruned says what [Session.Prune] removed.
type Pruned struct {
	Jobs     []string // names
	Values   int      // broadcast values and included files
	Programs int
	Bytes    int64 // of values and programs
}

// Prune removes what nobody will ask for any more and what is older than that: jobs without a name whose session died
// before it could remove them, programs that no job was made by, and broadcast values and included files that no job can
// need that is unfinished or has failed calls. Named jobs stay.
func (s *Session) Prune(ctx context.Context, older time.Duration) (p Pruned, err error) {
	if p, err = s.prune(ctx, time.Now().Add(-older)); err != nil {
		err = fmt.Errorf("clusterless: prune: %w", err)
	}
	return p, err
}

func (s *Session) prune(ctx context.Context, before time.Time) (p Pruned, err error) {
	jobs, err := s.Jobs(ctx, "")
	if err != nil {
		return p, err
	}
	programs, included := map[string]bool{}, map[string]bool{}
	var open []time.Time // when jobs were made that may still make calls
	for _, info := range jobs {
		job, err := s.Look(ctx, info.Name)
		if errors.Is(err, ErrNoJob) {
			continue
		}
		if err != nil {
			return p, err
		}
		m := &job.t.Ledger.Manifest
		if m.Temporary && m.Created.Before(before) {
			if !engine.Alive(s.engine, m.Client) {
				if err := s.Delete(ctx, m.Job); err != nil {
					return p, err
				}
				p.Jobs = append(p.Jobs, m.Job)
				continue
			}
		}
		programs[m.Program] = true
		if st := job.Status(); !st.Over || st.Failed > 0 { // failed calls may be made again
			open = append(open, m.Created)
			for _, f := range m.Includes {
				included[f.SHA] = true
			}
		}
	}
	del := func(key string, size int64, n *int) error {
		if err := s.store.Delete(ctx, key); err != nil {
			return err
		}
		*n++
		p.Bytes += size
		return nil
	}
	for info, err := range s.store.List(ctx, plan.ProgramsPrefix) {
		if err != nil {
			return p, err
		}
		if info.Created.Before(before) && !programs[strings.TrimPrefix(info.Key, plan.ProgramsPrefix)] {
			if err := del(info.Key, info.Size, &p.Programs); err != nil {
				return p, err
			}
		}
	}
	for info, err := range s.store.List(ctx, plan.ValuesPrefix) {
		if err != nil {
			return p, err
		}
		needed := included[strings.TrimPrefix(info.Key, plan.ValuesPrefix)]
		for _, made := range open { // inputs of a job made later may refer to it
			needed = needed || made.After(info.Created)
		}
		if info.Created.Before(before) && !needed {
			if err := del(info.Key, info.Size, &p.Values); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}
