// Package engine is the seam between clusterless and what runs its tasks: this machine, a batch service, a
// queueing system. An engine starts processes, says what became of them, and stops them; it never reads a
// program, an input or a result, and its word that a process ended well is not taken as proof of a result
// (the store's is).
//
// Drivers register themselves with [Register] under the scheme of their URL, as drivers of database/sql do.
// Package enginetest holds the suite that every driver passes.
package engine

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors that callers branch on. Drivers wrap them.
var (
	// ErrNotExist: the engine knows no such job or run.
	ErrNotExist = errors.New("no such job")
	// ErrCannotRun: a run asks for more than the engine could ever give (cores, memory), or for what it does not
	// support. Permanent: trying again does not help.
	ErrCannotRun = errors.New("the engine cannot run this")
	// ErrClosed: the engine was closed by this process, before or during the call.
	ErrClosed = errors.New("the engine is closed")
)

// A Run is one attempt at one task of a job. Tasks count from 0, attempts from 1.
type Run struct {
	Task    int
	Attempt int
}

// Resources are what one run needs for itself.
type Resources struct {
	Nodes  int   // machines at once, 0 means 1; the rest is of each. The command runs on the first
	Cores  int   // 0 means 1
	Memory int64 // bytes; 0 means no limit and no reservation
	GPUs   int   // 0 means none. An engine that does not hand them out (local) lets runs find what the machine has
}

// A Job is a command and the runs of it that are wanted. The runs are told apart by the environment variables
// CLUSTERLESS_JOB, CLUSTERLESS_TASK and CLUSTERLESS_ATTEMPT, which the engine sets.
type Job struct {
	ID      string   // letters, digits and ".-_", at most 128 bytes; unique in the engine
	Command []string // program (an absolute path, or a name looked up in PATH) and its arguments
	Env     []string // NAME=value, added to the environment that the engine gives its processes
	Program *Program // where machines that see nothing of this one get Command[0]; nil: it is there. See Fetcher
	Runs    []Run    // to start; see Engine.Submit

	Resources    Resources
	Priority     int           // higher runs first; jobs of equal priority share the slots evenly
	Timeout      time.Duration // wall time of one run, after which its process group is killed; 0: none
	StartTimeout time.Duration // longest time from start of the process to its greeting (Resident only); 0: the driver's default

	// Resident says that Command speaks the control protocol of internal/contract: an engine that can will keep
	// the process and let it make one run after another, also of other jobs with the same Command, Env and
	// Resources. An engine that cannot starts a process for each run.
	Resident bool
	// KeepLogs says that Command, started once more with the variables of a run, CLUSTERLESS_ROLE=log and in CLUSTERLESS_LOG the
	// path of what the run wrote, puts that into the store. An engine whose nodes take the output of runs with them does so when
	// a run that wrote something has ended.
	KeepLogs bool
	// Settings are NAME=value, with names that only this engine knows: where and how its service is to run the job, in
	// place of what the engine's URL says. One that the engine does not know is ErrCannotRun.
	Settings []string
	// Isolated gives every run a process of its own all the same.
	Isolated bool
}

// A Program is an executable as a machine can fetch it.
type Program struct {
	URL    string // of the executable, compressed by gzip; it may hold a secret, and must be good for as long as the job goes on
	SHA256 string // of the executable itself, in hex
}

// State is where a run is.
type State uint8

// The states of a run. Exited and Lost are final.
const (
	Queued  State = iota + 1 // accepted, waits for a slot
	Running                  // its process was started
	Exited                   // its process ended, by itself or killed for a reason that Cause names
	Lost                     // the engine does not know how it ended: node gone, client gone, queue entry vanished
)

// Cause says in one word why a run ended other than well.
type Cause string

// The causes. An empty Cause with State Exited is exit code 0.
const (
	CauseExit       Cause = "exit"          // ended by itself with ExitCode
	CauseDied       Cause = "died"          // a resident process ended by itself with ExitCode in the middle of the run
	CauseSignal     Cause = "signal"        // killed by Signal, not by the engine
	CauseMemory     Cause = "out of memory" // used more than Resources.Memory, or the kernel ran out
	CauseTimeout    Cause = "timeout"       // ran longer than Job.Timeout
	CauseNotStarted Cause = "not started"   // no process, or one that ended or hung before its greeting
	CauseCancelled  Cause = "cancelled"     // by Cancel or Delete
	CauseWithdrawn  Cause = "withdrawn"     // this run alone was cancelled, by a person with the service's own tools: not to be tried again
	CauseWalltime   Cause = "walltime"      // the service ended the process at its own time limit, whatever the process was at
	CausePreempted  Cause = "preempted"     // by the service, to give the node to another
	CauseLost       Cause = "lost"          // see Lost
	CauseClient     Cause = "client gone"   // lost with the client that ran it: nothing is said of the run itself
)

// An Event is the state of one run at one time.
type Event struct {
	Run
	State    State
	Time     time.Time
	Node     string // where it runs or ran; "" before
	ExitCode int    // CauseExit and CauseDied only
	Signal   string // "SIGKILL"; CauseSignal, and CauseDied if the engine killed the process for what it did
	Cause    Cause
	// Reason is a sentence for a person: what the engine saw and what to do. It may be "".
	Reason string
	// Beat marks a Running event that a resident process asked for: it committed something; look in the store.
	Beat bool
}

// An Engine runs jobs. All methods may be called at once.
type Engine interface {
	// Submit starts one run of job.Command for each of job.Runs. It may be called again with the same ID to add
	// runs; a (task, attempt) that the job already has is not started twice, whoever asks. Of a repeated call
	// only Runs counts: the rest is as at the first, except that the Command and Env of whoever takes over the job of a
	// client that died replace that one's. Runs of a job start in the order in which they were given.
	// When Submit returns nil the runs are accepted; it does not wait for slots.
	Submit(ctx context.Context, job Job) error

	// Watch yields the present state of every run of the job, then every change, until ctx ends or the consumer
	// stops; it does not end by itself, since runs may be added. Intermediate states may be skipped, final ones
	// never. Any process that opened the same engine may watch, not only the one that submitted. An error
	// (ErrNotExist for an unknown job) ends it; a passing trouble is retried inside.
	Watch(ctx context.Context, jobID string) iter.Seq2[Event, error]

	// Cancel ends all runs of the job: queued ones do not start, running ones are killed with all their
	// processes. They become Exited with CauseCancelled. A finished job: no error. Unknown: ErrNotExist.
	Cancel(ctx context.Context, jobID string) error

	// Delete cancels the job and forgets it with its logs. Unknown: no error.
	Delete(ctx context.Context, jobID string) error

	// Close lets go of what this process holds. Jobs of a service go on; an engine whose processes belong to
	// this one (local) ends them.
	Close() error
}

// A Logger has the output of runs.
type Logger interface {
	// Logs opens what the run wrote to stdout and stderr, as it came. With follow the reader waits for more
	// until the run has ended. A run that was never started has an empty log; an unknown one is ErrNotExist.
	Logs(ctx context.Context, jobID string, run Run, follow bool) (io.ReadCloser, error)
}

// A Sizer knows how many runs it can make at once, and starts a run within milliseconds, so that work is best
// handed to it in small pieces as it goes. An engine without it gets all runs of a job at the start.
type Sizer interface {
	// Slots is how many runs with these resources fit at once; at least 1, or 0 if none ever fits.
	Slots(Resources) int
}

// Logs returns the log of a run, from an engine that has logs; otherwise the error wraps errors.ErrUnsupported.
func Logs(ctx context.Context, e Engine, jobID string, run Run, follow bool) (io.ReadCloser, error) {
	if l, ok := e.(Logger); ok {
		return l.Logs(ctx, jobID, run, follow)
	}
	return nil, errors.ErrUnsupported
}

// A Scoper tells jobs apart that have one name and are in different stores, as a service must that several people use.
type Scoper interface {
	// Scope says which store the jobs are in, by its URL, before the engine is asked for any. One that was told another refuses.
	Scope(store string) error
}

// Scope tells an engine, if it wants to know, which store its jobs are in.
func Scope(e Engine, store string) error {
	if s, ok := e.(Scoper); ok {
		return s.Scope(store)
	}
	return nil
}

// A Sharer starts processes on other machines, which see a directory that this one sees too. A program that its runs are
// to start is put below that directory first.
type Sharer interface{ Shared() string }

// Shared returns the directory that an engine's other machines see; ok is false for an engine that is no [Sharer].
func Shared(e Engine) (dir string, ok bool) {
	if s, is := e.(Sharer); is {
		return s.Shared(), true
	}
	return "", false
}

// A Fetcher starts processes on machines that see nothing of this one, but reach the store: a job needs a Program, and an
// environment with which they can open the store.
type Fetcher interface {
	// Lifetime is how long a job goes on at most, and what gives it access to the store has to be good for.
	Lifetime() time.Duration
}

// Lifetime returns how long a job of an engine goes on; ok is false for an engine that is no [Fetcher].
func Lifetime(e Engine) (life time.Duration, ok bool) {
	f, ok := e.(Fetcher)
	if !ok {
		return 0, false
	}
	return f.Lifetime(), true
}

// A Platformer starts processes on machines that need not be of the kind of this one.
type Platformer interface {
	// Platform is what programs are to be built for, as GOOS/GOARCH, or with a level of the architecture, linux/amd64/v3.
	Platform() string
}

// Platform returns what programs are to be built for; ok is false for an engine that is no [Platformer]: it runs what runs here.
func Platform(e Engine) (p string, ok bool) {
	if x, is := e.(Platformer); is {
		return x.Platform(), true
	}
	return "", false
}

// A Checker can look whether its service answers and is set up as jobs need it.
type Checker interface {
	// Check reports each thing that it looked at: what it is in a word or two, what was found, and what is wrong and what
	// to do about it, if something is. It runs nothing.
	Check(ctx context.Context, report func(what, found string, err error))
}

// An Attender can tell whether other clients live.
type Attender interface {
	// Client names this client to others.
	Client() string
	// Alive reports whether a client lives, by the name that its Client gave it.
	Alive(client string) bool
}

// A Teller can say what it does with a job, for people who do not follow it.
type Teller interface {
	// Tell says in a few words what becomes of a job now, and after a colon or a semicolon what to know or to do about that; "" if it does
	// not know the job. It changes nothing.
	Tell(ctx context.Context, job string) (string, error)
}

// Client names this client, so that others can ask whether it lives; "" if the engine has no names for clients.
func Client(e Engine) string {
	if a, ok := e.(Attender); ok {
		return a.Client()
	}
	return ""
}

// Alive reports whether a client lives. An engine that does not know says no.
func Alive(e Engine, client string) bool {
	a, ok := e.(Attender)
	return ok && client != "" && a.Alive(client)
}
