package clusterless

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	_ "github.com/clusterless-go/clusterless/engine/local" // the embedded default
	"github.com/clusterless-go/clusterless/internal/config"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/program"
	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/internal/waiting"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// A Session is an engine and a store, with default options. Its methods may be called at once.
type Session struct {
	opts      options
	store     store.Store
	engine    engine.Engine
	log       *slog.Logger
	by        string
	dir       string          // for jobs, results and logs; "" if store and engine are the caller's
	scheme    string          // of engineURL
	engineURL string          // "" if the engine is the caller's
	owned     bool            // the engine is ours to close
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	busy      sync.WaitGroup // submits and observers
	self      *program.Self
	file      string // a program for the engine's machines that the user has built; "" if there is none
	keep      sync.Once

	building sync.Mutex
	exe      *program.Self // for the engine's machines; nil before it is needed

	mu         sync.Mutex
	closed     bool
	trackers   map[string]*track.Tracker
	inputs     sync.Mutex // held while an input is read
	includes   []plan.Include
	broadcasts []plan.Ref
}

// Open opens a session. Without options and configuration it runs tasks on all cores of this machine and keeps its
// files in the user's cache directory. The caller closes it.
//
// The configuration file clusterless.toml may say otherwise (docs/configuration.md), the environment overrides the file
// (CLUSTERLESS_ENGINE is the URL of an engine or the name of a profile of the file, CLUSTERLESS_DIR a directory for jobs,
// results and logs), and options override both.
func Open(ctx context.Context, opts ...Option) (*Session, error) {
	if err := refuseInWorker(); err != nil {
		return nil, err
	}
	table.Lock()
	mained := table.closed != ""
	table.Unlock()
	if !mained {
		return nil, errors.New("clusterless: Open before Main or Init: workers of this program would run it from the start instead of taking tasks: make clusterless.Main the whole of func main, or clusterless.Init its first statement")
	}
	o := defaults()
	o.apply(opts)
	if err := o.check(true); err != nil {
		return nil, fmt.Errorf("clusterless: open: %w", err)
	}
	s := &Session{opts: o, store: o.store, engine: o.engine, log: o.logger, by: whoami(), trackers: map[string]*track.Tracker{}, self: program.Find()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if s.store == nil || s.engine == nil {
		if err := s.configure(ctx); err != nil {
			return nil, fmt.Errorf("clusterless: open: %w", err)
		}
	}
	if err := engine.Scope(s.engine, s.store.URL()); err != nil {
		return nil, fmt.Errorf("clusterless: open: %w", err)
	}
	return s, nil
}

// configure opens the store and the engine that options, environment and the configuration file ask for.
func (s *Session) configure(ctx context.Context) error {
	file, err := config.Load()
	if err != nil {
		return err
	}
	env := config.Choice{Engine: os.Getenv("CLUSTERLESS_ENGINE"), Dir: os.Getenv("CLUSTERLESS_DIR"), Store: os.Getenv(contract.EnvStore), Program: os.Getenv("CLUSTERLESS_PROGRAM")}
	set, err := file.Resolve(env, config.Choice{Engine: s.opts.engineURL, Dir: s.opts.dir, Store: s.opts.storeURL, Program: s.opts.program})
	if err != nil {
		return err
	}
	for _, note := range set.Notes {
		s.log.Info(note)
	}
	s.opts.byDefault(set.Task)
	s.file = set.Program
	if s.dir, err = directory(set.Dir); err != nil {
		return err
	}
	if s.store == nil {
		if set.Store != "" {
			if s.store, err = store.Open(ctx, set.Store); err != nil {
				err = fmt.Errorf("%s: %w", set.StoreFrom, err)
			}
		} else {
			s.store, err = filestore.Open(filepath.Join(s.dir, "store"))
		}
		if err != nil {
			return err
		}
		if set.MakeStore {
			if err := store.Create(ctx, s.store); err != nil {
				return err
			}
		}
	}
	if s.engine != nil {
		return nil
	}
	if s.scheme = set.Engine.Scheme; s.scheme == "local" && s.opts.slots > 0 {
		q := set.Engine.Query()
		q.Set("slots", strconv.Itoa(s.opts.slots))
		set.Engine.RawQuery = q.Encode()
	}
	s.opts.checkSettings(s.scheme)
	if err := errors.Join(s.opts.errs...); err != nil {
		return err
	}
	s.owned, s.engineURL = true, set.Engine.String()
	s.engine, err = engine.Open(ctx, s.engineURL, engine.Config{Dir: filepath.Join(s.dir, "engine"), Logger: s.log})
	if err != nil && set.EngineFrom != "" {
		err = fmt.Errorf("%s: %w", set.EngineFrom, err)
	}
	return err
}

func directory(dir string) (string, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no directory for jobs: set dir in clusterless.toml, CLUSTERLESS_DIR or the option Dir: %w", err)
		}
		dir = filepath.Join(cache, "clusterless")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("directory for jobs %s: %w: make it, or choose another with CLUSTERLESS_DIR or the option Dir", dir, err)
	}
	return dir, nil
}

// use begins an operation that Close waits for, with s.busy.Done at its end.
func (s *Session) use() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.busy.Add(1)
	return nil
}

// within returns ctx ended also by Close.
func (s *Session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// Close ends the session. Jobs with a made-up name are cancelled if they run, and removed. Named jobs stay; on the local
// engine, whose tasks end with the session, what is missing of them is made by whoever attaches.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.busy.Wait() // also for submits, of which each makes a tracker
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.trackers))
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx, _ = waiting.New(ctx, func(text string) {
		if text != "" {
			s.log.Warn("closing waits for " + text + "; trying again")
		}
	})
	var errs []error
	for _, t := range all {
		t.Halt(ErrClosed)
	}
	for _, t := range all {
		t.Stop(ErrClosed)
	}
	for _, t := range all {
		if t.Ledger.Manifest.Temporary {
			errs = append(errs, s.engine.Delete(ctx, t.Job.ID))
		}
	}
	if s.owned {
		errs = append(errs, s.engine.Close())
	}
	for _, t := range all {
		if t.Ledger.Manifest.Temporary {
			errs = append(errs, s.removeBlobs(ctx, t.Job.ID))
		}
	}
	if f, ok := s.store.(*filestore.Store); ok && s.owned {
		f.Sweep() // after workers that were killed while they wrote
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clusterless: close: %w", err)
	}
	return nil
}

// executable is what the engine's machines run: this program, or one for their platform, which is made when it is first needed.
func (s *Session) executable(ctx context.Context) (*program.Self, error) {
	s.building.Lock()
	defer s.building.Unlock()
	if s.exe != nil {
		return s.exe, nil
	}
	text, ok := engine.Platform(s.engine)
	if !ok {
		if s.file != "" {
			return nil, fmt.Errorf("the engine runs this very program: leave away the ready-made one (%s): %w", s.file, engine.ErrCannotRun)
		}
		s.exe = s.self
		return s.exe, nil
	}
	p, err := program.ParsePlatform(text)
	if err != nil {
		return nil, err
	}
	table.Lock()
	mainFile := table.mainFile
	table.Unlock()
	exe, err := s.self.For(ctx, p, s.file, mainFile, s.programs(), func(text string) { s.log.Warn(text) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, engine.ErrCannotRun)
	}
	s.exe = exe
	return exe, nil
}

// program is the hash of what the engine's machines run; the first to ask for it waits until that is read, or built.
func (s *Session) program(ctx context.Context) (string, error) {
	exe, err := s.executable(ctx)
	if err != nil {
		return "", err
	}
	return exe.Hash()
}

// known is what the engine's machines run, if that is known already and has this hash; else nil.
func (s *Session) known(hash string) *program.Self {
	s.building.Lock()
	defer s.building.Unlock()
	if s.exe == nil {
		return nil
	}
	if h, err := s.exe.Hash(); err != nil || h != hash {
		return nil
	}
	return s.exe
}

// command is what the engine starts for a job.
func (s *Session) command(m plan.Manifest) []string { return []string{s.self.Path()} }

func (s *Session) newTracker(l *ledger.Job, job engine.Job) *track.Tracker {
	t := track.New(track.Config{Store: s.store, Engine: s.engine, Logger: s.log, Job: job, Tracker: s.tracker}, l)
	if life, ok := engine.Lifetime(s.engine); ok {
		t.Prepare = func(ctx context.Context) error { return s.ship(ctx, t, life) }
	} else if _, ok := engine.Shared(s.engine); ok {
		t.Prepare = func(ctx context.Context) error {
			path, err := s.self.Install(s.programs())
			if err != nil {
				return err
			}
			t.Job.Command = []string{path}
			return nil
		}
	}
	return t
}

// bring sees that the program of a job is in the store. It may be another build than ours.
func (s *Session) bring(ctx context.Context, job, sha string) error {
	exe := s.known(sha)
	if exe == nil {
		r, err := s.store.Get(ctx, plan.ProgramKey(sha))
		if err == nil {
			r.Close()
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if mine, err := s.program(ctx); err != nil {
			return err
		} else if mine != sha {
			return fmt.Errorf("job %s has calls left to make, and was made by another build of this program (%.12s), which is not to be had: %w", job, sha, fs.ErrNotExist)
		}
		exe = s.known(sha)
	}
	return exe.Store(ctx, s.store)
}

// ship makes the program of a job and access to the store available to machines that have nothing of this one.
func (s *Session) ship(ctx context.Context, t *track.Tracker, life time.Duration) error {
	sha := t.Ledger.Manifest.Program
	if err := s.bring(ctx, t.Job.ID, sha); err != nil {
		return err
	}
	access, err := store.Delegate(ctx, s.store, life)
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("the engine's machines do not reach the store %s: choose one in the cloud, with the option Store, CLUSTERLESS_STORE or store in clusterless.toml: %w", s.store.URL(), engine.ErrCannotRun)
	}
	if err != nil {
		return err
	}
	url, err := store.SignedURL(ctx, s.store, plan.ProgramKey(sha), life)
	if err != nil {
		return err
	}
	t.Job.Program = &engine.Program{URL: url, SHA256: sha}
	t.Job.Env = append(t.Job.Env[:len(t.Job.Env):len(t.Job.Env)], access...)
	return nil
}

func (s *Session) add(t *track.Tracker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trackers[t.Job.ID] = t
}

// drop ends the tracking of a job.
func (s *Session) drop(t *track.Tracker) {
	s.mu.Lock()
	if s.trackers[t.Job.ID] == t {
		delete(s.trackers, t.Job.ID)
	}
	s.mu.Unlock()
	t.Stop(errors.New("the job was given up"))
}

// tracker returns the tracker of a job, and attaches to it if this session has none yet.
func (s *Session) tracker(ctx context.Context, job string) (*track.Tracker, error) {
	s.mu.Lock()
	t := s.trackers[job]
	s.mu.Unlock()
	if t != nil {
		r, err := s.store.Get(ctx, plan.ManifestKey(job))
		if err == nil {
			r.Close()
			return t, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s.drop(t) // deleted by another process, and maybe made anew
	}
	return s.attach(ctx, job)
}

// attach takes over a job that another process, or another session, began.
func (s *Session) attach(ctx context.Context, job string) (*track.Tracker, error) {
	ctx, o := s.open(ctx, JobStatus{Job: job, Named: true, Total: -1})
	t, err := s.attachJob(ctx, job, o)
	return t, o.end(ctx, err)
}

func (s *Session) attachJob(ctx context.Context, job string, o *opening) (*track.Tracker, error) {
	t, err := s.read(ctx, job)
	if err != nil {
		return nil, err
	}
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.busy.Done()
	l := t.Ledger
	mine, ships := "", false
	if _, ships = engine.Lifetime(s.engine); !ships {
		if mine, err = s.program(ctx); err != nil {
			return nil, err
		}
	}
	t.Note = fmt.Sprintf("attached; made by %s at %s", l.Manifest.By, l.Manifest.Created.Local().Format(time.DateTime))
	if l.Manifest.Program != mine && !ships {
		t.Note += fmt.Sprintf(", with another build of the program (%.12s): what is left to make is made by that build, not by this one", l.Manifest.Program)
		t.Prepare = func(ctx context.Context) error {
			path, err := program.Fetch(ctx, s.store, l.Manifest.Program, s.programs())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("job %s has calls left to make, but was made by another build of this program (%.12s, this is %.12s), which is not in the store: attach with that build, or delete the job", job, l.Manifest.Program, mine)
			}
			if err != nil {
				return err
			}
			t.Job.Command = []string{path}
			s.log.Warn("the job was made by another build of this program: its calls are made by that one", "job", job, "build", l.Manifest.Program[:12])
			return nil
		}
	}
	s.mu.Lock()
	if old := s.trackers[job]; old != nil {
		s.mu.Unlock()
		return old, nil
	}
	s.trackers[job] = t
	s.mu.Unlock()
	if err := t.Resume(ctx); err != nil {
		s.drop(t)
		return nil, err
	}
	o.follow(t)
	return t, nil
}

// read returns a tracker of a job as the store has it.
func (s *Session) read(ctx context.Context, job string) (*track.Tracker, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.busy.Done()
	if err := plan.CheckJob(job); err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, s.store, job)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("job %s: %w in %s", job, ErrNoJob, s.store.URL())
	}
	if err != nil {
		return nil, err
	}
	return s.newTracker(l, s.engineJob(l.Manifest)), nil
}

// keepProgram puts this program into the store, beside: whoever attaches to a named job with another build needs it.
func (s *Session) keepProgram() {
	s.keep.Do(func() {
		if s.use() != nil {
			return
		}
		go func() {
			defer s.busy.Done()
			exe, err := s.executable(s.ctx)
			if err == nil {
				err = exe.Store(context.WithoutCancel(s.ctx), s.store)
			}
			if err != nil {
				s.log.Warn("jobs can be finished by this build of the program only", "err", err)
			}
		}()
	})
}

// programs is the directory for programs of other builds.
func (s *Session) programs() string {
	if dir, ok := engine.Shared(s.engine); ok {
		return filepath.Join(dir, "cache", "programs")
	}
	dir, err := s.dir, error(nil)
	if dir == "" {
		if dir, err = directory(s.opts.dir); err != nil {
			dir = os.TempDir()
		}
	}
	return filepath.Join(dir, "engine", "cache", "programs")
}

// remove removes all of a job.
func (s *Session) remove(ctx context.Context, job string) error {
	s.mu.Lock()
	t := s.trackers[job]
	delete(s.trackers, job)
	s.mu.Unlock()
	if t != nil {
		t.Discard(fmt.Errorf("the job was deleted: %w", ErrNoJob))
	}
	if err := s.engine.Delete(ctx, job); err != nil {
		return err
	}
	return s.removeBlobs(ctx, job)
}

// removeBlobs removes the blobs of a job, its manifest last, so that its name is free only when nothing is left.
func (s *Session) removeBlobs(ctx context.Context, job string) error {
	var keys []string
	for info, err := range s.store.List(ctx, plan.JobPrefix(job)) {
		if err != nil {
			return err
		}
		if info.Key != plan.ManifestKey(job) {
			keys = append(keys, info.Key)
		}
	}
	for _, k := range append(keys, plan.ManifestKey(job)) {
		if err := s.store.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// A JobInfo is a job in a list.
type JobInfo struct {
	Name      string
	Func      string
	Created   time.Time
	By        string // who made it, for people
	Temporary bool   // has a made-up name and goes with its session
}

// Jobs lists the jobs in the store whose name begins with prefix, by name, whoever made them.
func (s *Session) Jobs(ctx context.Context, prefix string) ([]JobInfo, error) {
	names, err := s.jobNames(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("clusterless: list jobs: %w", err)
	}
	var all []JobInfo
	for _, name := range names {
		l, err := ledger.Open(ctx, s.store, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("clusterless: list jobs: %w", err)
		}
		m := l.Manifest
		all = append(all, info(&m))
	}
	return all, nil
}

func info(m *plan.Manifest) JobInfo {
	return JobInfo{m.Job, m.Func, m.Created, m.By, m.Temporary}
}

func (s *Session) jobNames(ctx context.Context, prefix string) (names []string, err error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.busy.Done()
	for info, err := range s.store.List(ctx, plan.JobsPrefix+prefix) {
		if err != nil {
			return nil, err
		}
		name, rest, _ := strings.Cut(strings.TrimPrefix(info.Key, plan.JobsPrefix), "/")
		if rest == "manifest" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Delete cancels a job and removes all of it: inputs, results, returned files, logs. A job that is not there is no error.
func (s *Session) Delete(ctx context.Context, job string) error {
	if err := plan.CheckJob(job); err != nil {
		return fmt.Errorf("clusterless: delete: %w", err)
	}
	if err := s.use(); err != nil {
		return fmt.Errorf("clusterless: delete job %s: %w", job, err)
	}
	defer s.busy.Done()
	if err := s.remove(ctx, job); err != nil {
		return fmt.Errorf("clusterless: delete job %s: %w", job, err)
	}
	return nil
}

// DeletePrefix deletes every job whose name begins with prefix, which must not be empty, and returns their names.
func (s *Session) DeletePrefix(ctx context.Context, prefix string) ([]string, error) {
	if prefix == "" {
		return nil, errors.New("clusterless: delete jobs by prefix: the prefix is empty, which would mean all of them")
	}
	names, err := s.jobNames(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("clusterless: delete jobs: %w", err)
	}
	for i, name := range names {
		if err := s.Delete(ctx, name); err != nil {
			return names[:i], err
		}
	}
	return names, nil
}

// Broadcasts lists the values that the session has broadcast, oldest first.
func (s *Session) Broadcasts() []Ref[any] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Ref[any]
	for _, r := range s.broadcasts {
		all = append(all, Ref[any]{r, s})
	}
	return all
}

// Clear forgets what the session holds: included files and broadcast values. The values are removed from the store,
// so that Refs to them no longer work, in this or any other session that broadcast the same; jobs that still need
// them fail.
func (s *Session) Clear(ctx context.Context) error {
	s.mu.Lock()
	refs := s.broadcasts
	s.includes, s.broadcasts = nil, nil
	s.mu.Unlock()
	for _, r := range refs {
		if err := s.store.Delete(ctx, plan.ValueKey(r.SHA)); err != nil {
			return fmt.Errorf("clusterless: clear: %w", err)
		}
	}
	return nil
}

// Included lists the files that every job of the session includes, by their path in a call's directory.
func (s *Session) Included() (paths []string) {
	for _, f := range s.included() {
		paths = append(paths, f.Path)
	}
	return paths
}

func (s *Session) included() []plan.Include {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.includes)
}

// release removes a finished job that nobody can ask for any more, beside.
func (s *Session) release(t *track.Tracker) {
	if s.use() != nil {
		return
	}
	go func() {
		defer s.busy.Done()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.remove(ctx, t.Job.ID); err != nil {
			s.log.Warn("remove", "job", t.Job.ID, "err", err)
		}
	}()
}
