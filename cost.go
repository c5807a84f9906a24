package clusterless

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/track"
)

// A Cost is what machines cost that work for a job, in USD: an estimate from list prices (docs/azure.md), not a bill. It is zero
// where machines cost nothing.
type Cost = engine.Cost

// Budget stops each job when it has cost that much, in USD: it is cancelled, and calls that were not finished fail with
// [ErrBudget]. Results that are there stay. The cost is asked for every few seconds by the clients that follow the job; while
// there is none, nobody stops it. Machines that a pool keeps cost money also when the job has ended. A job whose cost cannot be
// counted, because prices are not known, is refused. Where machines cost nothing it has no effect. Default: no limit.
func Budget(usd float64) Option {
	return func(o *options) {
		if o.budget = usd; !(usd > 0) {
			o.errorf("option Budget(%v): want USD, more than 0", usd)
		}
	}
}

// Estimate is what so many machines would cost for d, dedicated and spot ones, of the kind that the session's jobs run on: Spent is
// the cost for d, Hour that of an hour. With none of either it is as many as there may be at most.
func (s *Session) Estimate(ctx context.Context, dedicated, spot int, d time.Duration) (Cost, error) {
	if err := s.use(); err != nil {
		return Cost{}, fmt.Errorf("clusterless: %w", err)
	}
	defer s.busy.Done()
	c, _, err := engine.Estimate(ctx, s.engine, s.settings(plan.Manifest{Settings: s.opts.settings}), dedicated, spot, d)
	if err != nil {
		return c, fmt.Errorf("clusterless: %w", err)
	}
	return c, nil
}

// Cost asks the engine what the job has cost so far. A job that the engine does not know, because nothing of it was ever started,
// has cost nothing.
func (j *AnyJob) Cost(ctx context.Context) (Cost, error) {
	c, _, err := engine.CostOf(ctx, j.s.engine, j.Name())
	if err != nil && !errors.Is(err, engine.ErrNotExist) {
		return c, fmt.Errorf("clusterless: %w", err)
	}
	return c, nil
}

// affordable refuses a job with a budget that nobody could keep to.
func (s *Session) affordable(ctx context.Context, m *plan.Manifest) error {
	if m.Budget == 0 {
		return nil
	}
	c, _, err := engine.Estimate(ctx, s.engine, s.settings(*m), 0, 0, time.Hour)
	if err == nil && c.Unknown != "" {
		err = fmt.Errorf("%s: %w", c.Unknown, engine.ErrCannotRun)
	}
	if err != nil {
		return fmt.Errorf("a budget can be kept where prices are known: %w", err)
	}
	return nil
}

// How often it is asked what a job has cost: soon after its start, later less often, and often when its budget is nearly spent.
const (
	firstCost = time.Second
	lastCost  = 15 * time.Second
)

// meterJob follows the cost of a job until it is over, for those who observe it, and for its budget.
func (s *Session) meterJob(t *track.Tracker) {
	budget := t.Ledger.Manifest.Budget
	if _, costs := s.engine.(engine.Coster); !costs || len(s.opts.observe) == 0 && budget == 0 || s.use() != nil {
		return
	}
	go func() {
		defer s.busy.Done()
		var c Cost
		for pause := firstCost; s.sleep(t, until(budget, c, pause)); pause = min(2*pause, lastCost) {
			c = s.askCost(t)
			if budget > 0 && c.Spent >= budget {
				s.stopAt(t, budget, c)
			}
		}
	}()
}

// sleep waits; it returns false at once when the job is over, or the session.
func (s *Session) sleep(t *track.Tracker, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		ch := t.Changed()
		if t.Over() {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-ch:
		case <-s.ctx.Done():
			return false
		}
	}
}

// askCost asks what a job has cost so far, and notes it.
func (s *Session) askCost(t *track.Tracker) Cost {
	c, costs, err := engine.CostOf(s.ctx, s.engine, t.Job.ID)
	if !costs {
		return c
	}
	if err != nil {
		if s.ctx.Err() == nil && !errors.Is(err, engine.ErrNotExist) {
			s.log.Warn("what the job costs is not known", "job", t.Job.ID, "err", err)
		}
		return t.Status().Cost
	}
	t.SetCost(c)
	return c
}

// until is when to ask again: halfway to the end of the budget, if that is sooner.
func until(budget float64, c Cost, pause time.Duration) time.Duration {
	if budget == 0 || c.Hour == 0 {
		return pause
	}
	left := (budget - c.Spent) / c.Hour * float64(time.Hour) / 2
	return max(firstCost, time.Duration(min(float64(pause), left)))
}

// stopAt ends a job whose budget is spent.
func (s *Session) stopAt(t *track.Tracker, budget float64, c Cost) {
	why := fmt.Sprintf("%s of %s", engine.Dollars(c.Spent), engine.Dollars(budget))
	if c.Hour > 0 {
		why += fmt.Sprintf("; its machines go on costing %s an hour until they leave their pool", engine.Dollars(c.Hour))
	}
	s.log.Warn("the job's budget is spent: it is cancelled", "job", t.Job.ID, "spent", c.Spent, "budget", budget)
	err := t.StopAtBudget(s.ctx, why)
	for pause := time.Second; err != nil && s.ctx.Err() == nil; pause = min(2*pause, lastCost) { // every minute costs
		s.log.Error("the job's budget is spent, but it could not be cancelled: it is tried again", "job", t.Job.ID, "err", err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
		}
		if err = t.StopAtBudget(s.ctx, why); err == nil { // which may only know that the job is over
			err = s.engine.Cancel(s.ctx, t.Job.ID)
		}
		if errors.Is(err, engine.ErrNotExist) {
			return
		}
	}
}
