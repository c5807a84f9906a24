package clusterless

import (
	"context"
	"fmt"
	"reflect"

	"github.com/clusterless-go/clusterless/internal/worker"
)

// Input returns what a call of a job got, read from the store: to look at what failed, or to make a new job of the calls that
// failed, by a function that was mended since. A job that was found by [Attach] has the inputs too; of a Job j it is
// Input[In](ctx, j.AnyJob, call). In must be the type of the function's input, as it was when the job was made. A Ref in it is
// good for a new job as long as what it refers to is in the store.
func Input[In any](ctx context.Context, j *AnyJob, call int) (in In, err error) {
	m := &j.t.Ledger.Manifest
	if err = checkType("inputs", reflect.TypeFor[In](), m.In, m.InPrint); err == nil {
		err = j.input(ctx, call, &in)
	}
	if err != nil {
		err = fmt.Errorf("clusterless: input of call %d of job %s: %w", call, m.Job, err)
	}
	return in, err
}

// input decodes an input. Packs of inputs are closed as later ones are read, so one at a time is.
func (j *AnyJob) input(ctx context.Context, call int, ptr any) error {
	j.s.inputs.Lock()
	defer j.s.inputs.Unlock()
	p, e, err := j.t.Ledger.Input(ctx, call)
	if err != nil {
		return err
	}
	return worker.One(p.Pack, e, call, j.t.Ledger.Manifest.FlatIn, ptr, j.s.decoder())
}
