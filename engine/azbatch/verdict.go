package azbatch

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/azerror"
)

// verdict says how the run of a completed task ended.
func (p *part) verdict(ctx context.Context, t *azbatch.Task, ev engine.Event) engine.Event {
	ev.State = engine.Exited
	x := t.ExecutionInfo
	if x == nil {
		x = &azbatch.TaskExecutionInfo{}
	}
	if x.EndTime != nil {
		ev.Time = *x.EndTime
	}
	if x.FailureInfo == nil && x.ExitCode != nil && *x.ExitCode == 0 {
		return ev
	}
	name, said := failure(x.FailureInfo)
	switch {
	case p.limit > 0 && x.StartTime != nil && x.EndTime != nil && x.EndTime.Sub(latest(x)) >= p.limit: // whatever exit code that left
		ev.Cause, ev.Reason = engine.CauseWalltime, fmt.Sprintf("ran longer than the setting time allows, %v: ask for more, or put fewer calls into a task with the option Span", p.limit)
	case x.ExitCode != nil && *x.ExitCode != 0 && (name == "" || name == "FailureExitCode"):
		return p.exit(ctx, t, ev, int(*x.ExitCode))
	case p.end != nil && p.end.handed(): // it had only begun, and is made elsewhere
		ev.State = engine.Queued
	case p.end != nil:
		ev.Cause, ev.Reason = p.end.cause, p.end.text
		if ev.Cause == engine.CauseCancelled && x.StartTime != nil && ev.Reason == "cancelled" {
			ev.Reason = "cancelled while it ran"
		}
	case strings.Contains(strings.ToLower(name), "preempt"):
		ev.Cause, ev.Reason = engine.CausePreempted, said
	case name == "TaskEnded" && word(x.FailureInfo.Category) == azbatch.ErrorCategoryUserError:
		ev.Cause, ev.Reason = engine.CauseWithdrawn, "somebody ended the Batch task "+*t.ID
	case x.ExitCode == nil && x.StartTime == nil, commandFailed[name], strings.HasPrefix(name, "Blob"), strings.HasPrefix(name, "Resource"), strings.HasPrefix(name, "Container"):
		ev.Cause, ev.Reason = engine.CauseNotStarted, said
	default:
		ev.State, ev.Cause, ev.Reason = engine.Lost, engine.CauseLost, "the service says "+said
	}
	return ev
}

// commandFailed are codes of a process that could not be started.
var commandFailed = map[string]bool{"CommandLaunchFailed": true, "CommandProgramNotFound": true, "DiskFull": true}

// latest is when a task's process was started last.
func latest(x *azbatch.TaskExecutionInfo) (at time.Time) {
	at = *x.StartTime
	if x.LastRetryTime != nil && x.LastRetryTime.After(at) {
		at = *x.LastRetryTime
	}
	return at
}

// signals are those of Linux, which nodes have, whatever the client has. A shell adds 128 to their number.
var signals = map[int]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
	10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS"}

// exit says what an exit code of the agent means.
func (p *part) exit(ctx context.Context, t *azbatch.Task, ev engine.Event, code int) engine.Event {
	ev.Cause, ev.ExitCode = engine.CauseExit, code
	if code == agentCode {
		how, why, err := p.agentSaid(ctx, *t.ID)
		switch {
		case err != nil:
			ev.State, ev.Cause, ev.ExitCode = engine.Lost, engine.CauseLost, 0
			ev.Reason = "what the agent said of its end is not to be had from its node: " + explain(err).Error()
		case how == "timeout":
			ev.Cause, ev.ExitCode, ev.Reason = engine.CauseTimeout, 0, why
		case how != "":
			ev.Cause, ev.ExitCode, ev.Reason = engine.CauseNotStarted, 0, why
		}
		return ev
	}
	if sig := signals[code-128]; sig != "" {
		ev.Cause, ev.ExitCode, ev.Signal, ev.Reason = engine.CauseSignal, 0, sig, "killed by "+sig
	}
	return ev
}

// agentSaid reads what the agent wrote beside its exit code.
func (p place) agentSaid(ctx context.Context, task string) (how, why string, err error) {
	r, err := p.client.GetTaskFile(ctx, p.id, task, "stderr.txt", nil)
	if err != nil {
		return "", "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	for line := range strings.Lines(string(b)) {
		if rest, is := strings.CutPrefix(line, "clusterless: "); is {
			how, why, _ = strings.Cut(strings.TrimSpace(rest), " ")
		}
	}
	return how, why, err
}

// failure is the service's code and what it says.
func failure(f *azbatch.TaskFailureInfo) (code, text string) {
	if f == nil {
		return "", "that it failed"
	}
	if f.Code != nil {
		code = *f.Code
	}
	text = code
	if f.Message != nil {
		text += ": " + *f.Message
	}
	for _, d := range f.Details {
		if d.Name != nil && d.Value != nil {
			text += fmt.Sprintf(" (%s: %s)", *d.Name, *d.Value)
		}
	}
	return code, azerror.Redact(text)
}
