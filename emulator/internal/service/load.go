package service

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// load brings back the state that the database has. Nodes are as after a reboot, and tasks that ran are active again.
func (s *Service) load() error {
	if s.disk == nil {
		return nil
	}
	err := s.disk.db.View(func(tx *bbolt.Tx) error {
		for _, f := range []func(*bbolt.Tx) error{s.loadAccount, s.loadPools, s.loadNodes, s.loadJobs, s.loadTasks,
			s.loadPreps, s.loadSchedules} {
			if err := f(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.resume()
	s.removeOrphans()
	return nil
}

// removeOrphans removes the directories of nodes that the state does not have: they came to be just before an emulator was killed,
// or were going.
func (s *Service) removeOrphans() {
	root := filepath.Join(s.opts.Dir, "nodes")
	pools, _ := os.ReadDir(root) // there may be none
	for _, p := range pools {
		dir := filepath.Join(root, p.Name())
		nodes, err := os.ReadDir(dir)
		if err != nil {
			s.log.Warn("the directories of a pool's nodes cannot be read", "error", err)
			continue
		}
		var orphans []node.Config
		for _, n := range nodes {
			_, err := os.Lstat(filepath.Join(dir, n.Name(), "lock")) // else it is nothing of a node's
			if err == nil && s.nodeOf(p.Name(), n.Name()) == nil {
				orphans = append(orphans, node.Config{ID: n.Name(), Dir: filepath.Join(dir, n.Name()), Log: s.log})
			}
		}
		s.background(func() func() {
			for _, c := range orphans {
				s.remove(c, nil)
			}
			return func() {
				if _, ok := s.pools.get(p.Name()); !ok {
					os.Remove(dir) // if it is empty
				}
			}
		})
	}
}

func (s *Service) loadAccount(tx *bbolt.Tx) error {
	err := each(tx, certBucket, func(key string, r *certificate) error {
		s.certs.add(key, r)
		return nil
	})
	if err != nil {
		return err
	}
	err = each(tx, appBucket, func(key string, r *application) error {
		s.apps.add(key, r)
		return nil
	})
	if err != nil {
		return err
	}
	return each(tx, usageBucket, func(_ string, u *usage) error {
		s.usage = append(s.usage, u)
		return nil
	})
}

func (s *Service) loadPools(tx *bbolt.Tx) error {
	return each(tx, poolBucket, func(_ string, r *poolRecord) error {
		p := s.newPool(*r)
		if *p.Spec.EnableAutoScale {
			formula, err := parseFormula(p.Spec.AutoScaleFormula)
			if err != nil {
				return err
			}
			p.formula = formula
		}
		return nil
	})
}

func (s *Service) loadNodes(tx *bbolt.Tx) error {
	return each(tx, nodeBucket, func(key string, r *computeRecord) error {
		poolKey, _, _ := strings.Cut(key, "\x00")
		p, ok := s.pools.get(poolKey)
		if !ok {
			return nil
		}
		n := s.newNode(p, *r)
		s.number(n)
		if n.State.State == leavingPool {
			p.staying[n.kind()]--
		}
		return nil
	})
}

func (s *Service) loadJobs(tx *bbolt.Tx) error {
	return each(tx, jobBucket, func(_ string, r *jobRecord) error {
		j := s.newJob(*r)
		if p, ok := s.pools.get(j.poolKey()); ok && j.Pool != "" {
			p.attach(j)
		}
		return nil
	})
}

func (s *Service) loadTasks(tx *bbolt.Tx) error {
	specs := tx.Bucket([]byte(specBucket))
	return each(tx, taskBucket, func(key string, r *taskRecord) error {
		jobKey, _, _ := strings.Cut(key, "\x00")
		j, ok := s.jobs.get(jobKey)
		spec := specs.Get([]byte(key))
		if !ok || spec == nil {
			return nil
		}
		t := s.newTask(j, *r, bytes.Clone(spec), nil)
		j.countTask(t, 1)
		return nil
	})
}

func (s *Service) loadPreps(tx *bbolt.Tx) error {
	return each(tx, prepBucket, func(key string, r *prepRecord) error {
		jobKey, _, _ := strings.Cut(key, "\x00")
		if j, ok := s.jobs.get(jobKey); ok {
			for _, a := range []*auxiliary{r.Preparation, r.Release} {
				if a != nil && a.State == running {
					a.State = completed
				}
			}
			s.addPrep(&prep{prepRecord: *r, job: j, gone: true})
		}
		return nil
	})
}

func (s *Service) loadSchedules(tx *bbolt.Tx) error {
	return each(tx, scheduleBucket, func(key string, r *scheduleRecord) error {
		s.schedules.add(key, &schedule{scheduleRecord: *r, key: key})
		return nil
	})
}

// resume makes everything go on.
func (s *Service) resume() {
	now := s.now()
	for j := range s.jobs.all() {
		for t := range j.tasks.all() {
			switch t.State {
			case taskPreparing, taskRunning:
				t.Requeues++
				t.LastRequeue = now
				s.again(t)
				continue
			case taskActive:
			default:
				if n := s.whereRan(t); n != nil && !t.Cleaned && n.pool.sim == nil && t.Begun != 0 {
					s.retain(t, n)
				}
				continue
			}
			if *j.Spec.UsesTaskDependencies {
				s.await(t, t.specify().DependsOn)
			}
			if t.waits == 0 {
				j.enqueue(t)
			}
		}
		s.resumeJob(j)
	}
	for p := range s.pools.all() {
		s.resumePool(p)
	}
	for sch := range s.schedules.all() {
		s.plan(sch)
		if sch.State.State == terminating || sch.State.State == deleting {
			s.later(0, func() { s.finishSchedule(sch) })
		}
	}
}

func (s *Service) resumeJob(j *job) {
	switch j.State.State {
	case enabling:
		j.State.set(active, s.now())
		s.storeJob(j)
	case disabling:
		s.emptied(j)
	case terminating:
		s.later(0, func() { s.emptied(j) })
	case deleting:
		s.later(0, func() {
			if j.Ended != 0 {
				s.forgetJob(j)
			} else {
				s.emptied(j)
			}
		})
	}
	s.limitJob(j)
}

func (s *Service) resumePool(p *pool) {
	for n := range p.nodes.all() {
		switch n.State.State {
		case deallocated, unusable:
		case deallocating:
			n.State.set(deallocated, s.now())
		case leavingPool:
			s.later(0, func() { s.gone(n) })
		case preempted:
			s.reviveLater(n)
		default:
			s.become(n, starting)
			s.boot(n, false)
		}
	}
	if p.State.State == deleting {
		for n := range p.nodes.all() {
			s.leave(n, requeue)
		}
		s.later(0, func() { s.settlePool(p) })
		return
	}
	switch p.Allocation.State {
	case resizing:
		s.resize(p, p.Target, p.Timeout, p.Option)
	case stopping:
		p.Allocation.set(steady, s.now())
	}
	if p.formula != nil {
		s.evaluateLater(p, time.Duration(model.Or(p.Spec.AutoScaleEvaluationInterval, defaultInterval)))
	}
	if p.nodes.len() > 0 {
		s.startUsage(p)
	}
	s.happen(p)
}
