package clusterless

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
	"github.com/clusterless-go/clusterless/store"
)

// Errors to test for with errors.Is.
var (
	// ErrNotReady: the call has not finished; returned by what does not wait.
	ErrNotReady = track.ErrNotReady
	// ErrCancelled: the job was cancelled before the call had finished.
	ErrCancelled = track.ErrCancelled
	// ErrBudget: the job was cancelled because it had cost its [Budget], before the call had finished. It is ErrCancelled too.
	ErrBudget = track.ErrBudget
	// ErrCut: the client of an attached job died while it sent the inputs.
	ErrCut = track.ErrCut
	// ErrJobExists: a job of that name is there already.
	ErrJobExists = errors.New("a job of this name exists")
	// ErrNoJob: there is no job of that name.
	ErrNoJob = errors.New("no job of this name")
	// ErrTaken: the result was taken, and is no longer in the store.
	ErrTaken = errors.New("the result was taken")
	// ErrPanic: the function panicked.
	ErrPanic = errors.New("panic")
	// ErrTimeout: the call ran out of its time.
	ErrTimeout = errors.New("call ran out of time")
	// ErrOutOfMemory: the call's process used more memory than it may, or than there is.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrCrashed: the call's process ended before the call returned.
	ErrCrashed = errors.New("process ended")
	// ErrDependency: the call was not made, because one that it depends on failed.
	ErrDependency = errors.New("dependency failed")
	// ErrCannotTravel: an input or a result holds something that cannot be sent.
	ErrCannotTravel = errors.New("value cannot travel")
	// ErrClosed: the session was closed.
	ErrClosed = errors.New("the session was closed")
	// ErrDamaged: what the store holds is not what was written.
	ErrDamaged = store.ErrDamaged
)

// A TaskError is a call that did not end well. errors.Is and errors.As see through it to the error that the function
// returned, or panicked with, and to one of ErrPanic, ErrTimeout, ErrOutOfMemory, ErrCrashed, ErrDependency and
// ErrCannotTravel.
type TaskError struct {
	Job     string
	Call    int
	Func    string
	Node    string // where it ran
	Task    int
	Attempt int    // the last
	Kind    error  // one of the sentinels above; nil for an error that the function returned
	Message string // what went wrong
	Err     error  // the error of the function; nil if there is none
	Panic   string // the value of the panic
	Stack   string // where it panicked; at a time-out, what all goroutines did
	// ExitCode and Signal are how the process ended, if Kind is ErrCrashed or ErrOutOfMemory.
	ExitCode int
	Signal   string
	Log      string // the end of what the call wrote to stdout and stderr
	alone    bool   // Job is made up, and Call its only one
}

// Error says in one line which call failed, and how; Detail says the rest.
func (e *TaskError) Error() string {
	var b strings.Builder
	b.WriteString(e.Func)
	if !e.alone {
		fmt.Fprintf(&b, ": call %d of job %s", e.Call, e.Job)
	}
	if e.Node != "" {
		fmt.Fprintf(&b, " on %s", e.Node)
	}
	fmt.Fprintf(&b, ": %s", e.Message)
	return b.String()
}

// Detail is the error with its stack and the end of its log, on several lines.
func (e *TaskError) Detail() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  call %d of job %s, task %d, attempt %d", e.Error(), e.Call, e.Job, e.Task, e.Attempt)
	if e.Signal != "" {
		fmt.Fprintf(&b, ", %s", e.Signal)
	} else if e.ExitCode != 0 {
		fmt.Fprintf(&b, ", exit code %d", e.ExitCode)
	}
	b.WriteByte('\n')
	part := func(title, text string) {
		if text = strings.TrimRight(text, "\n"); text != "" {
			fmt.Fprintf(&b, "  %s:\n    %s\n", title, strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
	part("stack", e.Stack)
	part("end of its output (all of it: Job.Log, or clusterless logs --call)", e.Log)
	return b.String()
}

// Unwrap returns the error's kind and the error of the function.
func (e *TaskError) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// taskError makes the error of a failed call.
func taskError(m *plan.Manifest, call int, status plan.Status, f plan.Failure) *TaskError {
	e := &TaskError{Job: m.Job, Call: call, Func: m.Func, Node: f.Node, Task: f.Task, Attempt: f.Attempt, Message: f.Text,
		Panic: f.Panic, Stack: f.Stack, ExitCode: f.Exit, Signal: f.Signal, Log: f.Log}
	if len(f.Error) > 0 {
		var err error
		if d := (&codec.Decoder{}); d.DecodeBytes(f.Error, &err) == nil {
			e.Err = err
		} else {
			e.Err = errors.New(f.Text)
		}
	}
	switch status {
	case plan.Panicked:
		e.Kind = ErrPanic
	case plan.TimedOut:
		e.Kind = ErrTimeout
	case plan.Crashed:
		e.Kind = ErrCrashed
		if f.Cause == string(engine.CauseMemory) {
			e.Kind = ErrOutOfMemory
		}
	case plan.Blocked:
		e.Kind = ErrDependency
	case plan.Unsent:
		e.Kind = ErrCannotTravel
	case plan.Cancelled:
		e.Kind = ErrCancelled
	}
	return e
}

type callError struct {
	call int
	err  error
}

// joinCalls joins errors in the order of calls; many of them with a headline, since nobody reads thousands.
func joinCalls(errs []callError, more error) error {
	if len(errs) == 0 {
		return more
	}
	slices.SortFunc(errs, func(a, b callError) int { return a.call - b.call })
	out := make([]error, 0, len(errs)+1)
	for _, e := range errs {
		out = append(out, e.err)
	}
	if errors.Is(more, ErrCut) { // what else ends a job is the error of each of its calls
		out = append(out, more)
	}
	return &JobError{out}
}

// A JobError joins the errors of the failed calls of a job, in the order of calls.
type JobError struct{ Errs []error }

// Error names the first few.
func (e *JobError) Error() string {
	const show = 5
	var b strings.Builder
	if len(e.Errs) > 1 {
		fmt.Fprintf(&b, "%d calls failed:", len(e.Errs))
		for i, err := range e.Errs {
			if i == show {
				fmt.Fprintf(&b, "\n  and %d more", len(e.Errs)-show)
				break
			}
			fmt.Fprintf(&b, "\n  %v", err)
		}
		return b.String()
	}
	return e.Errs[0].Error()
}

// Unwrap returns them all.
func (e *JobError) Unwrap() []error { return e.Errs }
