package clusterless

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/ledger"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/store"
)

// Sizes of what is sent.
const (
	probeSize  = 256 << 10 // an input that encodes to less is gathered with others, a larger one goes straight to the store
	partSize   = 8 << 20   // bytes of gathered inputs that make a part
	partCalls  = 1 << 16   // calls that make one
	inlineSize = 64 << 10  // a first part up to this size goes into the manifest
	aheadBytes = 256 << 20 // of inputs of an iterator that are stored ahead of the calls
	aheadCalls = 1 << 18
)

// part is a part of the inputs, ready to be stored.
type part struct {
	first, calls int
	bytes        int
	items        []plan.Item
	deps         map[int][]plan.Dep
	end          bool // no input follows
}

// parts cuts the messages of a job into parts. At least one is yielded, and an error last.
func parts(name string, messages iter.Seq[message]) iter.Seq2[*part, error] {
	return func(yield func(*part, error) bool) {
		p := &part{}
		cut := func(end bool) bool {
			p.end = end
			next := &part{first: p.first + p.calls}
			ok := yield(p, nil)
			p = next
			return ok
		}
		var scratch bytes.Buffer
		for m := range messages {
			if p.calls > 0 && (m.n == 0 || m.err != nil || p.bytes >= partSize || p.calls >= partCalls) {
				if !cut(false) {
					return
				}
			}
			if m.err != nil {
				yield(nil, m.err)
				return
			}
			if m.n == 0 {
				continue
			}
			call := p.first + p.calls
			item := plan.Item{First: call, N: m.n}
			deps := m.deps
			enc := &codec.Encoder{Checksum: true, OnMarshal: func(ptr any) error {
				r, ok := ptr.(referrer)
				if !ok {
					return nil
				}
				ref := r.reference()
				if ref == (plan.Ref{}) || ref.SHA != "" || slices.Contains(deps, ref.Dep) {
					return nil
				}
				deps = append(deps, ref.Dep)
				return nil
			}}
			scratch.Reset()
			err := m.encode(enc, &plan.Limited{To: &scratch, Max: probeSize})
			large := errors.Is(err, plan.ErrLarge)
			if large {
				// Nothing is wrong with what was seen so far; see the rest, for its Refs and for what cannot travel.
				enc.Checksum = false
				err = m.encode(enc, io.Discard)
			}
			if err != nil {
				if m.n > 1 || name == "" {
					yield(nil, fmt.Errorf("inputs from %d: %w: %w", call, ErrCannotTravel, err))
				} else {
					yield(nil, fmt.Errorf("input %d: %w: %w", call, ErrCannotTravel, err))
				}
				return
			}
			if large {
				encode := m.encode
				item.Write = func(w io.Writer) error { return encode(&codec.Encoder{Checksum: true}, w) }
				p.bytes += partSize
			} else {
				item.Data = bytes.Clone(scratch.Bytes())
				p.bytes += len(item.Data)
			}
			if len(deps) > 0 {
				item.Meta = plan.AppendDeps(nil, deps)
				if p.deps == nil {
					p.deps = map[int][]plan.Dep{}
				}
				p.deps[call] = deps
			}
			p.items = append(p.items, item)
			p.calls += m.n
		}
		cut(true)
	}
}

// submit makes a job: its manifest, its inputs, its tasks.
func (s *Session) submit(ctx context.Context, sp spec) (*track.Tracker, error) {
	t, err := s.submitJob(ctx, sp)
	if err != nil {
		return nil, fmt.Errorf("clusterless: %s: %w", sp.fn, err)
	}
	return t, nil
}

func (s *Session) submitJob(ctx context.Context, sp spec) (*track.Tracker, error) {
	ctx, o := s.open(ctx, JobStatus{Func: sp.fn, Total: sp.n, Created: time.Now()})
	t, err := s.makeJob(ctx, sp, o)
	if err != nil && ctx.Err() != nil { // whatever the store made of it
		err = cause(ctx)
	}
	return t, o.end(ctx, err)
}

func (s *Session) makeJob(ctx context.Context, sp spec, opening *opening) (*track.Tracker, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.busy.Done()
	if err := checkN(sp.n); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, cause(ctx)
	}
	o, err := s.optionsFor(sp.def, sp.on)
	if err != nil {
		return nil, err
	}
	if o.orAttach && sp.job == "" {
		if o.name != "" {
			opening.is(o.name, true)
			if t, err := s.join(ctx, sp, o.name); !errors.Is(err, ErrNoJob) {
				return t, err
			}
		} else if !s.opts.orAttach { // for a session it means those jobs that have a name
			return nil, errors.New("option OrAttach: the job has no name: give it the option Name")
		}
	}
	m, err := s.manifest(ctx, sp, o)
	if err != nil {
		return nil, err
	}
	opening.is(m.Job, !m.Temporary)
	if err := s.affordable(ctx, &m); err != nil {
		return nil, err
	}
	feed, endFeed := s.within(ctx)
	next, stop := iter.Pull2(parts(sp.fn, sp.messages(feed)))
	detached := false
	defer func() {
		if !detached {
			endFeed()
			stop()
		}
	}()
	first, err, _ := next()
	if ctx.Err() != nil {
		return nil, cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	job := s.engineJob(m)
	slots := 0
	if sz, ok := s.engine.(engine.Sizer); ok {
		if slots = sz.Slots(job.Resources); slots == 0 {
			need := fmt.Sprintf("%d cores", max(1, m.Cores))
			if m.Shape.Nodes > 1 {
				need = fmt.Sprintf("%d nodes with %s each", m.Shape.Nodes, need)
			}
			if m.Memory > 0 {
				need += " and " + bytesText(m.Memory) + " of memory"
			}
			return nil, fmt.Errorf("a task that needs %s never fits here, where there are %d cores: %w", need, s.Slots(), engine.ErrCannotRun)
		}
	}
	m.Adaptive = slots > 0
	sheet := &plan.Sheet{Manifest: m}
	var size int64
	if first.bytes <= inlineSize && first.calls > 0 {
		var b bytes.Buffer
		if size, err = plan.WritePack(&b, first.items, struct{}{}); err != nil {
			return nil, err
		}
		sheet.Inline, sheet.Part0 = true, b.Bytes()
		sheet.Plan.Parts = []plan.Part{{First: 0, Calls: first.calls, Size: size, Deps: len(first.deps) > 0}}
		if len(first.deps) == 0 {
			sheet.Plan.Tasks = track.FirstTasks(first.calls, m.Span, slots)
		}
	}
	if first.end && (sheet.Inline || first.calls == 0) {
		n := first.calls
		sheet.Plan.Total = &n
	}
	b, err := sheet.Bytes()
	if err != nil {
		return nil, err
	}
	if err := s.store.Put(ctx, plan.ManifestKey(m.Job), bytes.NewReader(b)); err != nil {
		if errors.Is(err, fs.ErrExist) && o.orAttach {
			return s.join(ctx, sp, m.Job)
		}
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("job %s: %w: attach to it (Attach, or the option OrAttach), delete it (Session.Delete, or clusterless rm), or choose another name", m.Job, ErrJobExists)
		}
		return nil, err
	}
	l, err := ledger.New(s.store, sheet)
	if err != nil {
		return nil, err
	}
	if !m.Temporary {
		s.keepProgram()
	}
	t := s.newTracker(l, job)
	s.add(t)
	if sp.tracker != nil {
		sp.tracker(t)
	}
	abandon := func(err error) (*track.Tracker, error) {
		s.drop(t)
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning(ctx))
		defer cancel()
		s.remove(clean, m.Job)
		return nil, err
	}
	deps := first.deps
	if !sheet.Inline {
		deps = nil
	}
	if err := t.Start(ctx, deps); err != nil {
		return abandon(err)
	}
	if !sheet.Inline && first.calls > 0 {
		if err := s.sendPart(ctx, t, 0, first); err != nil {
			return abandon(err)
		}
	}
	opening.follow(t)
	if first.end {
		return t, nil
	}
	rest := func(ctx context.Context) error {
		n := 1
		if first.calls == 0 {
			n = 0
		}
		for {
			p, err, ok := next()
			if !ok {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.sendPart(ctx, t, n, p); err != nil {
				return err
			}
			n++
			if sp.n < 0 {
				if err := ahead(ctx, t); err != nil {
					return err
				}
			}
		}
	}
	if sp.n >= 0 {
		if err := rest(ctx); err != nil {
			return abandon(err)
		}
		return t, nil
	}
	detached = true
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		defer stop()
		defer endFeed()
		if err := rest(feed); feed.Err() != nil {
			t.Cut(cause(feed))
		} else if err != nil {
			t.Cut(err)
		}
	}()
	return t, nil
}

// sendPart stores a part and makes it known.
func (s *Session) sendPart(ctx context.Context, t *track.Tracker, n int, p *part) error {
	total := -1
	if p.end {
		total = p.first + p.calls
	}
	if p.calls == 0 {
		return t.AddPart(ctx, nil, total, nil)
	}
	var size int64
	src := store.Source(func(w io.Writer) (err error) {
		size, err = plan.WritePack(w, p.items, struct{}{})
		return err
	})
	if err := t.Write(func() error { return s.store.Put(ctx, plan.PartKey(t.Job.ID, n), src) }); err != nil {
		return fmt.Errorf("inputs %d to %d: %w", p.first, p.first+p.calls-1, err)
	}
	return t.AddPart(ctx, &plan.Part{First: p.first, Calls: p.calls, Size: size, Deps: len(p.deps) > 0}, total, p.deps)
}

// ahead waits while more inputs are stored than the calls will soon need.
func ahead(ctx context.Context, t *track.Tracker) error {
	for {
		ch := t.Changed()
		calls, size := t.Ahead()
		if calls < aheadCalls && size < aheadBytes || t.Over() {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return cause(ctx)
		}
	}
}

// manifest fills in what a job is.
func (s *Session) manifest(ctx context.Context, sp spec, o options) (plan.Manifest, error) {
	exe, err := s.executable(ctx)
	if err != nil {
		return plan.Manifest{}, err
	}
	program, err := exe.Hash()
	if err != nil {
		return plan.Manifest{}, err
	}
	m := plan.Manifest{Version: plan.Version, Job: o.name, Func: sp.fn, In: sp.in.String(), Out: sp.out.String(), InPrint: fingerprint(sp.in), OutPrint: fingerprint(sp.out), Created: time.Now().UTC(),
		By: s.by, Client: engine.Client(s.engine), Program: program, GOOS: exe.Platform.OS, GOARCH: exe.Platform.Arch, Temporary: o.name == "", Reduce: sp.reduce,
		FlatIn: sp.flatIn, FlatOut: sp.flatOut, Shape: o.shape, Cores: o.cores, Memory: o.memory, GPUs: o.gpus, Settings: o.settings, Priority: o.priority, Isolated: o.isolated,
		Timeout: o.timeout, StartTimeout: o.startTimeout, Retries: o.retries, RetryErrors: o.retryErrors, Backoff: o.backoff, Span: o.span,
		Env: o.env, Budget: o.budget, Return: o.returns, ReturnFailed: o.returnFailed, Includes: s.included()}
	m.Priority += sp.priority
	if sp.job != "" {
		m.Job, m.Temporary = sp.job, true
	}
	if m.Job == "" {
		m.Job = jobName(sp.fn)
	}
	return m, nil
}

// jobName makes up a name: the function's, the time, and something random.
func jobName(fn string) string {
	var b [5]byte
	rand.Read(b[:])
	return fmt.Sprintf("%s-%s-%x", fn, time.Now().UTC().Format("20060102-150405"), b)
}

// engineJob is what the engine is to run for a job.
func (s *Session) engineJob(m plan.Manifest) engine.Job {
	cores := max(1, m.Cores)
	env := append([]string{
		contract.EnvWorker + "=" + contract.Version,
		contract.EnvStore + "=" + s.store.URL(),
		"GOMAXPROCS=" + strconv.Itoa(cores),
		"OMP_NUM_THREADS=" + strconv.Itoa(cores),
	}, m.Env...)
	return engine.Job{ID: m.Job, Command: s.command(m), Env: env, Resources: engine.Resources{Nodes: m.Shape.Nodes, Cores: cores, Memory: m.Memory, GPUs: m.GPUs}, Settings: s.settings(m),
		Priority: m.Priority, StartTimeout: m.StartTimeout, Resident: true, KeepLogs: true, Isolated: m.Isolated}
}

// settings are those of a job that this session's engine is to read.
func (s *Session) settings(m plan.Manifest) (all []string) {
	for _, set := range m.Settings {
		if own, ok := strings.CutPrefix(set, s.scheme+"."); ok && s.scheme != "" {
			all = append(all, own)
		}
	}
	return all
}

// whoami names this process for people.
func whoami() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("%s@%s pid %d (%s)", name, host, os.Getpid(), filepath.Base(os.Args[0]))
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
