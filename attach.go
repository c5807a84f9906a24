package clusterless

import (
	"context"
	"encoding/hex"
	"fmt"
	"reflect"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// Attach returns the job of that name, whoever made it: this process, another that still runs, or one that is gone.
// What was finished is there; what is missing is made, by this session's engine if nobody else is at it. Out must be the
// result type of the job's function, as it was when the job was made. See [OrAttach] for a program that makes the job
// or attaches to it.
//
// Calls that are missing, and those of Retry, are made by the build of the program that made the job, which is in the
// store, not by this one if it is another: a job has one program, and observers are told. To use a mended function, make a
// new job of the inputs of the calls that failed, which [Input] reads. Errors of a package's own keep their identity (errors.Is) only within one build.
func Attach[Out any](ctx context.Context, s *Session, job string) (*Job[Out], error) {
	t, err := s.tracker(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("clusterless: attach: %w", err)
	}
	if err := checkOut[Out](t); err != nil {
		return nil, fmt.Errorf("clusterless: attach: %w", err)
	}
	return &Job[Out]{&AnyJob{s: s, t: t}}, nil
}

// OrAttach lets a program be run again and again: where the job that the option [Name] names is there already, Map,
// MapSeq, Go and Call attach to it, as [Attach] does, and make it only where it is not. Default: a name that is taken is
// [ErrJobExists].
//
// A job that is there keeps its inputs: those that are given now are not looked at. It must be of the same function, the
// same types and, where both are known, as many inputs; otherwise the error is ErrJobExists. Its calls that failed stay
// failed (see [AnyJob.Retry]), and if it was cancelled it stays cancelled. To begin anew, delete it or choose another
// name.
func OrAttach(on bool) Option { return func(o *options) { o.orAttach = on } }

// join attaches to the job that is there in the place of one that was to be made.
func (s *Session) join(ctx context.Context, sp spec, job string) (*track.Tracker, error) {
	t, err := s.tracker(ctx, job)
	if err != nil {
		return nil, err
	}
	m := &t.Ledger.Manifest
	var total int
	var cut bool
	t.Ledger.Plan(func(p *plan.Plan) { total, cut = p.Total, p.Cut })
	switch {
	case m.Func != sp.fn:
		err = fmt.Errorf("it is a job of function %q", m.Func)
	case total >= 0 && sp.n >= 0 && total != sp.n && !cut: // what is wrong with one that was cut off, its Wait says
		err = fmt.Errorf("it has %d calls, not %d", total, sp.n)
	default:
		if err = checkType("inputs", sp.in, m.In, m.InPrint); err == nil {
			err = checkType("results", sp.out, m.Out, m.OutPrint)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("job %s: %w, and cannot be attached to in place of this one: %w: delete it (Session.Delete, or clusterless rm), or choose another name", job, ErrJobExists, err)
	}
	return t, nil
}

// checkOut says whether results of a job can be of type Out.
func checkOut[Out any](t *track.Tracker) error {
	m := &t.Ledger.Manifest
	if err := checkType("results", reflect.TypeFor[Out](), m.Out, m.OutPrint); err != nil {
		return fmt.Errorf("job %s: %w", m.Job, err)
	}
	return nil
}

// checkType says how a type of this program is another one than that of a job, of which the manifest has the name and
// the fingerprint. Manifests that are older than fingerprints have none.
func checkType(what string, t reflect.Type, name, print string) error {
	if t.String() != name {
		return fmt.Errorf("its %s are of type %s, not %s", what, name, t)
	}
	if mine := fingerprint(t); print != "" && print != mine {
		return fmt.Errorf("its %s are of a type %s (fingerprint %.8s) that is not the %s of this program (%.8s): the type, or one in it, has changed since the job was made: use that build, or give the type its old form",
			what, name, print, t, mine)
	}
	return nil
}

// fingerprint is how a manifest identifies a type.
func fingerprint(t reflect.Type) string {
	fp := codec.Fingerprint(t)
	return hex.EncodeToString(fp[:])
}

// later adds to an error that ended the waiting for a job how to find the job again, if it stays and is not over.
func (j *AnyJob) later(err error) error {
	m := &j.t.Ledger.Manifest
	switch {
	case err == nil || m.Temporary || j.t.Over():
		return err
	case m.Adaptive: // nobody plans the rest of it without a client
		return fmt.Errorf("%w; what is done of job %s is kept: attach to it to make the rest (Attach, or the option OrAttach)", err, m.Job)
	}
	return fmt.Errorf("%w; job %s goes on: attach to it to have its results (Attach, or the option OrAttach)", err, m.Job)
}
