// Package service is the Batch service itself without its HTTP: pools and their nodes, jobs and their tasks, what is
// scheduled where and what becomes of it.
//
// All state is behind one mutex. Exported methods take it; functions that begin with a lower case letter expect it held,
// unless they say otherwise. What takes time (starting a machine, running a process) happens in goroutines that take the
// mutex for what they have to say when they are done. Errors are *apierror.Error.
package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/clock"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// Options are what a service is made with.
type Options struct {
	Account string
	URL     string // of the account, as tasks see it
	Dir     string // for the trees of nodes
	File    string // the database; "" keeps state in memory only
	Speed   float64

	AllocationTime time.Duration // from the start of a resize until nodes come
	BootTime       time.Duration // from creating a node until its start task
	PreemptedTime  time.Duration // how long a preempted node stays so

	Quota    Quota
	Simulate *Simulation // of pools that do not say themselves; nil: nodes are real
	Isolate  bool        // nodes have their own network namespaces
	Forward  []string    // addresses of the loopback device that are the machine's there too
	Mount    string      // where tasks see their node's tree; "" where it is

	TaskToken    func(job string) (string, error) // for tasks that may call the service
	ManagedToken func(ctx context.Context, identity string) (string, error)
	Identity     []string // variables by which tasks of a pool with an identity ask for its tokens
	AutoStorage  func(ctx context.Context, container string) (string, error)
	Log          *slog.Logger
}

// A Quota is what an account may have. Zero is no limit.
type Quota struct {
	Pools            int
	Jobs             int // active jobs and job schedules
	Nodes            int // in a pool
	InterNodeNodes   int // in a pool with inter-node communication
	DedicatedCores   int
	LowPriorityCores int
}

// A Service is one Batch account.
type Service struct {
	opts  Options
	clock *clock.Clock
	log   *slog.Logger
	disk  *disk
	nets  *networks

	ctx    context.Context // of everything that runs; done when the service is closing
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	pools     ordered[*pool]
	jobs      ordered[*job]
	schedules ordered[*schedule]
	certs     ordered[*certificate]
	apps      ordered[*application]
	usage     []*usage
	indexes   map[int]bool // loopback numbers of nodes
}

// Open makes a service, with the state that its database has.
func Open(o Options) (*Service, error) {
	s := &Service{opts: o, log: o.Log, indexes: map[int]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	base := time.Now()
	if o.Isolate {
		if s.nets, err = newNetworks(s.ctx, o.Forward); err != nil {
			return nil, err
		}
	}
	if o.File != "" {
		if s.disk, err = openDisk(o.File, o.Log); err != nil {
			return nil, err
		}
		if saved := s.disk.time(); saved.After(base) {
			base = saved
		}
	}
	s.clock = clock.New(base, o.Speed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		s.disk.close()
		return nil, err
	}
	s.work.Go(func() { s.clock.Run(s.ctx) })
	if s.disk != nil {
		s.work.Go(s.save)
	}
	s.clock.After(sampleInterval, s.sample)
	return s, nil
}

// Close ends everything that runs on nodes, and keeps the state. Tasks that ran are active again when it is opened next.
func (s *Service) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var machines []*node.Node
	for p := range s.pools.all() {
		for n := range p.nodes.all() {
			if n.machine != nil {
				machines = append(machines, n.machine)
			}
		}
	}
	s.cancel()
	s.mu.Unlock()
	var ends sync.WaitGroup
	for _, m := range machines {
		ends.Go(func() {
			if err := m.Close(); err != nil {
				s.log.Warn("a node did not close", "node", m.ID(), "error", err)
			}
		})
	}
	ends.Wait()
	s.work.Wait()
	return errors.Join(s.nets.close(), s.disk.close())
}

// Clock is the service's time.
func (s *Service) Clock() *clock.Clock { return s.clock }

func (s *Service) now() moment { return at(s.clock.Now()) }

// change makes a change that a request asks for, and returns when it is on disk.
func (s *Service) change(ctx context.Context, f func() error) error {
	batch, err := s.locked(f)
	if err != nil {
		return err
	}
	return batch.wait(ctx)
}

// locked calls a function under the mutex, which is free again also when that panics, and returns the transaction to wait for.
func (s *Service) locked(f func() error) (*batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk.batch(), f()
}

// later does something under the mutex at a time, unless the service is closed by then.
func (s *Service) later(after time.Duration, f func()) *clock.Timer {
	return s.clock.After(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			f()
		}
	})
}

// background does something that takes time in a goroutine. What it returns is done under the mutex afterwards; that may
// be nil.
func (s *Service) background(slow func() (after func())) {
	if s.closed {
		return
	}
	s.work.Go(func() {
		after := slow()
		if after == nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		after()
	})
}

// A Tag is what a request's answer says of the entity it changed.
type Tag struct {
	ETag     string
	Modified time.Time
}

func (s *stamp) tag() Tag {
	t := s.Modified.time()
	return Tag{ETag: odata.ETag(t), Modified: t}
}

// met checks the conditions of a request that changes an entity.
func (s *stamp) met(c odata.Conditions) error {
	t := s.tag()
	return c.Check("POST", t.ETag, t.Modified)
}
