package service

import (
	"context"
	"errors"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

const (
	defaultInterval = model.Duration(15 * time.Minute)
	sampleInterval  = autoscale.SampleInterval
	enableInterval  = 30 * time.Second // between two times that autoscaling is enabled
)

func checkInterval(d model.Duration) error {
	if t := time.Duration(d); t < 5*time.Minute || t > 168*time.Hour {
		return apierror.Property("autoScaleEvaluationInterval", d.String(), "It must be at least PT5M and at most PT168H.")
	}
	return nil
}

// parseFormula reads a formula; what is wrong with it is an error of a request.
func parseFormula(text string) (*autoscale.Formula, error) {
	f, err := autoscale.Parse(text)
	var wrong *autoscale.Error
	if !errors.As(err, &wrong) {
		return f, err
	}
	e := apierror.New(wrong.Code)
	for _, v := range wrong.Values {
		e = e.With(v.Name, v.Value)
	}
	return nil, e
}

// EnableAutoScale gives a pool a formula, or another interval, and evaluates it at once.
func (s *Service) EnableAutoScale(ctx context.Context, id string, r *model.PoolEnableAutoScaleParameter,
	c odata.Conditions) (Tag, error) {
	return s.changePool(ctx, id, c, func(p *pool) error {
		now := s.now()
		if p.Allocation.State != steady {
			return apierror.New(apierror.PoolBeingResized)
		}
		if p.Enabled != 0 && now.time().Sub(p.Enabled.time()) < enableInterval {
			return apierror.New(apierror.TooManyEnableAutoScaleRequests)
		}
		was := *p.Spec.EnableAutoScale
		if !was && r.AutoScaleFormula == "" {
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", "autoScaleFormula")
		}
		if r.AutoScaleFormula == "" && r.AutoScaleEvaluationInterval == nil {
			return apierror.New(apierror.InvalidAutoScalingSettings)
		}
		interval := model.Or(r.AutoScaleEvaluationInterval, defaultInterval)
		if r.AutoScaleEvaluationInterval == nil && was {
			interval = *p.Spec.AutoScaleEvaluationInterval
		}
		if err := checkInterval(interval); err != nil {
			return err
		}
		if r.AutoScaleFormula != "" {
			formula, err := parseFormula(r.AutoScaleFormula)
			if err != nil {
				return err
			}
			p.formula, p.Spec.AutoScaleFormula = formula, r.AutoScaleFormula
		}
		on := true
		p.Spec.EnableAutoScale, p.Spec.AutoScaleEvaluationInterval = &on, &interval
		p.Spec.TargetDedicatedNodes, p.Spec.TargetLowPriorityNodes = nil, nil
		p.Enabled = now
		s.evaluateLater(p, 0)
		return nil
	})
}

// DisableAutoScale leaves a pool as it is from now on.
func (s *Service) DisableAutoScale(ctx context.Context, id string) (Tag, error) {
	return s.changePool(ctx, id, odata.Conditions{}, func(p *pool) error {
		if !*p.Spec.EnableAutoScale {
			return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason",
				"Autoscaling is not enabled on the pool.")
		}
		off := false
		p.Spec.EnableAutoScale = &off
		p.Spec.AutoScaleFormula, p.Spec.AutoScaleEvaluationInterval = "", nil
		p.formula, p.Run, p.Enabled = nil, nil, 0
		p.evaluate.Stop()
		p.evaluate = nil
		return nil
	})
}

// EvaluateAutoScale says what a formula gives, and changes nothing.
func (s *Service) EvaluateAutoScale(id, formula string) (*model.AutoScaleRun, Tag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.alive(id)
	if err != nil {
		return nil, Tag{}, err
	}
	if !*p.Spec.EnableAutoScale {
		return nil, Tag{}, apierror.New(apierror.OperationInvalidForCurrentState).With("Reason",
			"Autoscaling is not enabled on the pool.")
	}
	f, err := parseFormula(formula)
	if err != nil {
		return nil, Tag{}, err
	}
	run, _ := s.evaluate(p, f)
	return run, p.tag(), nil
}

func (s *Service) evaluateLater(p *pool, after time.Duration) {
	p.evaluate.Stop()
	p.evaluate = s.later(after, func() {
		if p.formula == nil || p.State.State == deleting {
			return
		}
		run, result := s.evaluate(p, p.formula)
		p.Run = run
		target := [kinds]int{result.TargetDedicatedNodes, result.TargetLowPriorityNodes}
		if run.Error == nil && target != p.Target && p.Allocation.State != stopping {
			if err := s.checkTarget(&p.Spec, target); err != nil {
				run.Error = &model.AutoScaleRunError{Code: apierror.InvalidAutoScalingSettings, Message: err.Error()}
			} else {
				s.resize(p, target, time.Duration(*p.Spec.ResizeTimeout), result.NodeDeallocationOption)
			}
		}
		s.storePool(p)
		s.evaluateLater(p, time.Duration(*p.Spec.AutoScaleEvaluationInterval))
	})
}

func (s *Service) evaluate(p *pool, f *autoscale.Formula) (*model.AutoScaleRun, *autoscale.Result) {
	now := s.clock.Now()
	result, err := f.Evaluate(autoscale.Env{Now: now, Samples: p.history, Current: s.measure(p),
		TargetDedicatedNodes: p.Target[dedicated], TargetLowPriorityNodes: p.Target[lowPriority]})
	run := &model.AutoScaleRun{Timestamp: now, Results: result.Text}
	var wrong *autoscale.Error
	if errors.As(err, &wrong) {
		run.Error = &model.AutoScaleRunError{Code: wrong.Code, Message: wrong.Message}
		for _, v := range wrong.Values {
			run.Error.Values = append(run.Error.Values, model.NameValuePair{Name: v.Name, Value: v.Value})
		}
	}
	return run, result
}

// sample takes a sample of every pool's numbers.
func (s *Service) sample() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	now := s.clock.Now()
	for p := range s.pools.all() {
		p.history.Record(now, s.measure(p))
	}
	s.clock.After(sampleInterval, s.sample)
}

// measure are the numbers of a pool that formulas know, as they are now.
func (s *Service) measure(p *pool) map[string]float64 {
	var active, running, succeeded, failed float64
	for _, j := range p.jobs {
		active += float64(j.counts[taskActive].tasks)
		running += float64(j.running())
		failed += float64(j.failed.tasks)
		succeeded += float64(j.counts[taskCompleted].tasks - j.failed.tasks)
	}
	usable, gone := 0, 0
	for n := range p.nodes.all() {
		if n.usable() && !n.Disabled {
			usable++
		}
		if n.State.State == preempted {
			gone++
		}
	}
	return map[string]float64{
		"$ActiveTasks": active, "$RunningTasks": running, "$PendingTasks": active + running,
		"$SucceededTasks": succeeded, "$FailedTasks": failed,
		"$TaskSlotsPerNode": float64(p.slots), "$CurrentDedicatedNodes": float64(p.count[dedicated]),
		"$CurrentLowPriorityNodes": float64(p.count[lowPriority]),
		"$UsableNodeCount":         float64(usable), "$PreemptedNodeCount": float64(gone), "$SampleNodeCount": float64(usable),
	}
}
