package clusterless

import (
	"context"
	"fmt"
	"reflect"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// Input returns what a call of a job got, read from the store: to look at what failed, or to make a new job of the calls that
// failed, by a function that was mended since. A job that was found by [Attach] has the inputs too; of a Job j it is
// Input[In](ctx, j.AnyJob, call). In must be the type of the function's input, as it was when the job was made. A Ref in it is
// good for a new job as long as what it refers to is in the store.
func Input[In any](ctx context.Context, j *AnyJob, call int) (in In, err error) {
	m := &j.t.Ledger.Manifest
	if err := checkType("inputs", reflect.TypeFor[In](), m.In, m.InPrint); err != nil {
		return in, fmt.Errorf("clusterless: input of call %d of job %s: %w", call, m.Job, err)
	}
	if in, err = input[In](ctx, j, call); err != nil {
		return in, fmt.Errorf("clusterless: input of call %d of job %s: %w", call, m.Job, err)
	}
	return in, nil
}

func input[In any](ctx context.Context, j *AnyJob, call int) (in In, err error) {
	// Packs of inputs are closed as later ones are read, so only one at a time is.
	j.s.inputs.Lock()
	defer j.s.inputs.Unlock()
	p, e, err := j.t.Ledger.Input(ctx, call)
	if err != nil {
		return in, err
	}
	rd, mem := p.Message(e)
	decode := func(ptr any) error {
		if mem != nil {
			return j.s.decoder().DecodeBytes(mem, ptr)
		}
		return j.s.decoder().Decode(rd, ptr)
	}
	if !j.t.Ledger.Manifest.FlatIn {
		return in, decode(&in)
	}
	var all []In
	if err := decode(&all); err != nil {
		return in, err
	}
	i := call - p.Entries[e].First
	if i >= len(all) {
		return in, fmt.Errorf("message of %d inputs, want %d: %w", len(all), p.Entries[e].N, plan.ErrDamaged)
	}
	return all[i], nil
}
