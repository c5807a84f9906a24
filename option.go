package clusterless

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/config"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/spelling"
	"github.com/clusterless-go/clusterless/store"
)

// An Option changes how jobs run. The same options can be given to [Open], to [Define] and to [Func.On]; where several
// set the same thing, On wins over Define, and Define over Open. Options that only a session has are an error elsewhere.
// All are checked before anything is sent.
type Option func(*options)

// options is what the options set. Zero means what the comment says.
type options struct {
	// of a session
	engineURL string
	storeURL  string
	dir       string
	program   string
	slots     int
	logger    *slog.Logger
	observe   []func(JobStatus)
	engine    engine.Engine
	store     store.Store

	// of a job
	name         string
	orAttach     bool
	shape        plan.Shape
	cores        int
	memory       int64
	gpus         int
	settings     []string
	priority     int
	isolated     bool
	timeout      time.Duration
	startTimeout time.Duration
	retries      int
	retryErrors  int
	backoff      time.Duration
	span         int
	env          []string
	returns      []string
	returnFailed bool
	ordered      bool
	skipFailed   bool
	budget       float64

	forSession []string // options that only a session has
	errs       []error
}

func defaults() options { return options{retries: 2, backoff: 500 * time.Millisecond} }

func (o *options) apply(opts []Option) {
	for _, f := range opts {
		if f != nil {
			f(o)
		}
	}
}

func (o *options) errorf(format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf(format, args...))
}

// check says what is wrong with the options, for a job or for a session.
func (o *options) check(session bool) error {
	if session && o.name != "" {
		o.errorf("option Name: not for a session: give it to On")
	}
	if !session && len(o.forSession) > 0 {
		o.errorf("option %s: only for Open", strings.Join(o.forSession, ", "))
	}
	return errors.Join(o.errs...)
}

// checkSettings refuses settings that no engine has, of other engines than the session's own, whose driver judges its own.
func (o *options) checkSettings(own string) {
	for _, set := range o.settings {
		name, _, _ := strings.Cut(set, "=")
		scheme, _, _ := strings.Cut(name, ".")
		if scheme == own {
			continue
		}
		known, err := config.CheckSetting(name)
		if all := append(config.Engines(), engine.Schemes()...); !known && !slices.Contains(all, scheme) {
			slices.Sort(all)
			err = fmt.Errorf("no engine %s%s; there are %s", scheme, spelling.Hint(scheme, all), strings.Join(slices.Compact(all), ", "))
		}
		if err != nil {
			o.errorf("option Setting(%q, …): %w", name, err)
		}
	}
}

// sessionOption marks an option as one that only a session has.
func sessionOption(name string, set Option) Option {
	return func(o *options) {
		o.forSession = append(o.forSession, name)
		set(o)
	}
}

// Engine chooses what runs the tasks, by URL, "local:" (the default) being this machine, or by the name of a profile in the
// configuration file. It overrides the variable CLUSTERLESS_ENGINE and the file. For sessions.
func Engine(url string) Option {
	return sessionOption("Engine", func(o *options) { o.engineURL = url })
}

// Dir is the directory in which the engine and the file store keep jobs, results and logs; with an engine of other machines
// it must be one that they see too. The default is the path in the engine's URL, if it has one (slurm:///shared/me), else
// the variable CLUSTERLESS_DIR, else what the configuration file says, else "clusterless" in the user's cache directory.
// For sessions.
func Dir(path string) Option { return sessionOption("Dir", func(o *options) { o.dir = path }) }

// Store chooses where inputs and results are kept, by URL: "azblob://ACCOUNT/CONTAINER" with the driver store/blobstore. The
// default is the variable CLUSTERLESS_STORE, else what the configuration file says, else files in the directory [Dir]. An
// engine whose machines share no directory with this one needs a store that they reach. For sessions.
func Store(url string) Option {
	return sessionOption("Store", func(o *options) { o.storeURL = url })
}

// Program is a file with this program for the platform of the engine's machines, which the user has built. Without it, an engine whose
// machines are of another platform than this one has the program built by the Go toolchain, from the source that is here. It
// overrides the variable CLUSTERLESS_PROGRAM and the configuration file. For sessions.
func Program(path string) Option {
	return sessionOption("Program", func(o *options) { o.program = path })
}

// Slots is how many cores of this machine the local engine uses; all of them by default. For sessions.
func Slots(n int) Option {
	return sessionOption("Slots", func(o *options) {
		if o.slots = n; n < 1 {
			o.errorf("option Slots(%d): want at least 1", n)
		}
	})
}

// Logger gets what the session has to say; by default it is silent. For sessions.
func Logger(l *slog.Logger) Option { return sessionOption("Logger", func(o *options) { o.logger = l }) }

// Observe calls f with the state of a job whenever it has changed, at most 20 times a second for each job, and once
// when it is over. Calls for one job come one after another. Package progress makes displays of it. For sessions.
func Observe(f func(JobStatus)) Option {
	return sessionOption("Observe", func(o *options) { o.observe = append(o.observe[:len(o.observe):len(o.observe)], f) })
}

// WithEngine uses an engine that the caller made and will close. For sessions.
func WithEngine(e engine.Engine) Option {
	return sessionOption("WithEngine", func(o *options) { o.engine = e })
}

// WithStore uses a store that the caller made. For sessions.
func WithStore(s store.Store) Option {
	return sessionOption("WithStore", func(o *options) { o.store = s })
}

// Name names the job, so that [Attach] finds it from any process, and keeps it when the session closes; it goes with
// [Delete]. A name can be used once: a second job of the same name is [ErrJobExists]. Without it a job gets a name of
// its own and goes with its session. 1 to 96 letters, digits and ".-_".
func Name(job string) Option {
	return func(o *options) {
		if err := plan.CheckJob(job); err != nil {
			o.errorf("option Name: %w", err)
		}
		o.name = job
	}
}

// Cores is how many cores a call has for itself. The variables GOMAXPROCS and OMP_NUM_THREADS of its process are set to it;
// the Go runtime of the worker itself has one P more, for the goroutine that watches the call. Default 1.
func Cores(n int) Option {
	return func(o *options) {
		if o.cores = n; n < 1 {
			o.errorf("option Cores(%d): want at least 1", n)
		}
	}
}

// Memory is how many bytes a task may use. It is reserved for the task, and a task that uses more is ended and fails
// with [ErrOutOfMemory] after its retries. Default: no limit.
func Memory(bytes int64) Option {
	return func(o *options) {
		if o.memory = bytes; bytes < 1<<20 {
			o.errorf("option Memory(%d): want bytes, at least 1 MiB", bytes)
		}
	}
}

// GPUs is how many GPUs a task has for itself, on an engine that hands them out, as Slurm does. Which they are the process finds
// in its environment, as CUDA_VISIBLE_DEVICES and the like. The local engine hands out none: there, tasks that run at once
// share what the machine has. Default 0.
func GPUs(n int) Option {
	return func(o *options) {
		if o.gpus = n; n < 0 {
			o.errorf("option GPUs(%d): want at least 0", n)
		}
	}
}

// Setting says to one kind of engine where and how to run a job: Setting("slurm.partition", "long"). Its name is the scheme of
// the engine's URL, a dot, and a name that the engine's documentation lists; for all jobs of a session the URL itself, or the
// configuration file, can say the same. Settings for other engines than the session's are left aside, so a program can carry
// some for each; a name that no engine has is an error.
func Setting(name, value string) Option {
	return func(o *options) {
		if scheme, rest, ok := strings.Cut(name, "."); !ok || scheme == "" || rest == "" || strings.ContainsAny(name, "=\x00") {
			o.errorf("option Setting(%q, …): want a name such as slurm.partition", name)
			return
		}
		o.settings = append(o.settings[:len(o.settings):len(o.settings)], name+"="+value)
	}
}

// Priority puts a job before those with a lower one; jobs of the same priority share the slots evenly. Calls of less than
// a millisecond can let a job of lower priority in between, while their client hands out more. Default 0.
func Priority(n int) Option { return func(o *options) { o.priority = n } }

// Isolated gives every task a process of its own, which costs milliseconds, instead of a resident one that makes one
// task after another. Default: resident.
func Isolated(on bool) Option { return func(o *options) { o.isolated = on } }

// Timeout ends a call that takes longer: its context is cancelled, and if it does not return within two seconds, its
// process is ended. The call fails with [ErrTimeout]. Default: none.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if o.timeout = d; d <= 0 {
			o.errorf("option Timeout(%v): want more than 0", d)
		}
	}
}

// StartDeadline is how long a worker process may take until it is ready. Default 30 s.
func StartDeadline(d time.Duration) Option {
	return func(o *options) {
		if o.startTimeout = d; d <= 0 {
			o.errorf("option StartDeadline(%v): want more than 0", d)
		}
	}
}

// Retries is how often a task is tried again whose process was lost: killed by a signal, out of memory, gone with its
// node. Calls of it that were finished are not made again. With 0 no call is ever begun twice, and each is stored by
// itself, which makes many small calls slow. Default 2.
func Retries(n int) Option {
	return func(o *options) {
		if o.retries = n; n < 0 {
			o.errorf("option Retries(%d): want at least 0", n)
		}
	}
}

// RetryErrors is how often a call is made again that returned an error, panicked, overran its time or ended its
// process. Default 0: such a call would most likely fail again.
func RetryErrors(n int) Option {
	return func(o *options) {
		if o.retryErrors = n; n < 0 {
			o.errorf("option RetryErrors(%d): want at least 0", n)
		}
	}
}

// Backoff is the pause before the first retry; it doubles with each. Default 500 ms.
func Backoff(d time.Duration) Option {
	return func(o *options) {
		if o.backoff = d; d < 0 {
			o.errorf("option Backoff(%v): want at least 0", d)
		}
	}
}

// Span fixes how many calls in a row make a task. Default: as many as take about 50 ms on this machine; few enough to
// make at most 1,000 tasks of a job elsewhere.
func Span(calls int) Option {
	return func(o *options) {
		if o.span = calls; calls < 1 {
			o.errorf("option Span(%d): want at least 1", calls)
		}
	}
}

// Env sets a variable in the environment of the job's processes. It is stored in the job's manifest: no place for
// secrets.
func Env(name, value string) Option {
	return func(o *options) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00"):
			o.errorf("option Env(%q, …): not a name and value for an environment", name)
		case strings.HasPrefix(name, "CLUSTERLESS_"):
			o.errorf("option Env(%q, …): names with CLUSTERLESS_ are taken", name)
		}
		o.env = append(o.env[:len(o.env):len(o.env)], name+"="+value)
	}
}

// Return names files that each call writes into its directory, which is its working directory, and that come back with
// its result: by name ("shot.bin"; a call that ends without writing it fails) or by pattern ("*.csv", "out/**"; may
// match none). See [Job.Files].
func Return(patterns ...string) Option {
	return func(o *options) {
		for _, p := range patterns {
			if !doublestar.ValidatePattern(p) || p == "" || strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
				o.errorf("option Return(%q): not a pattern for files below the call's directory", p)
			}
		}
		o.returns = append(o.returns[:len(o.returns):len(o.returns)], patterns...)
	}
}

// ReturnFailed returns the files also of calls that end with an error or a panic.
func ReturnFailed(on bool) Option { return func(o *options) { o.returnFailed = on } }

// Ordered makes [Job.Reduce] combine results in the order of the inputs, always in the same tree, so that floating-point
// sums come out the same every time. Default: as they finish, which is sooner done.
func Ordered(on bool) Option { return func(o *options) { o.ordered = on } }

// SkipFailed makes [Job.Reduce] combine the results that there are, and leave out those of calls that failed: [AnyJob.Wait] says
// which. If all failed it returns their errors. With [Ordered] it begins when all calls have ended.
func SkipFailed(on bool) Option { return func(o *options) { o.skipFailed = on } }

// optionsFor gathers the options of a job: session, Define, On.
func (s *Session) optionsFor(def, on []Option) (options, error) {
	o := s.opts
	o.errs, o.forSession = nil, nil
	o.apply(def)
	o.apply(on)
	o.settleShape()
	o.checkSettings(s.scheme)
	return o, o.check(false)
}

func cause(ctx context.Context) error { return context.Cause(ctx) }
