package service

import (
	"slices"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// A prepRecord is what is stored of a job's preparation and release on a node.
type prepRecord struct {
	Pool, Node  string
	Preparation *auxiliary `json:",omitempty"`
	Release     *auxiliary `json:",omitempty"`
}

// An auxiliary is a run of a preparation or release task.
type auxiliary struct {
	State string // running, completed
	Begun moment
	outcome
	Retries   int32
	LastRetry moment
}

// A prep is a job on a node, as far as its preparation and release go.
type prep struct {
	prepRecord
	job     *job
	node    *compute // nil: gone
	waiting []*run
	gone    bool // nothing that comes of it counts any more
}

func (p *prep) busy() bool {
	return p.Preparation != nil && p.Preparation.State == running || p.Release != nil && p.Release.State == running
}

// prepared says whether the job's tasks can run on the node.
func (p *prep) prepared() bool {
	return p.Preparation.State == completed && (p.Preparation.Failure == nil || !*p.job.Spec.JobPreparationTask.WaitForSuccess)
}

// prepare has the preparation task run on the nodes of a run where it has not yet, and then starts the run.
func (s *Service) prepare(r *run) {
	for _, n := range r.nodes {
		pr := n.preps[r.t.job]
		if pr == nil {
			pr = s.beginPrep(r.t.job, n)
		}
		if !pr.prepared() {
			pr.waiting = append(pr.waiting, r)
		}
	}
	s.proceed(r)
}

// proceed starts a run whose nodes are all prepared.
func (s *Service) proceed(r *run) {
	if r.started || r.t.run != r {
		return
	}
	for _, n := range r.nodes {
		if pr := n.preps[r.t.job]; pr == nil || !pr.prepared() {
			return
		}
	}
	s.start(r)
}

func (s *Service) beginPrep(j *job, n *compute) *prep {
	pr := &prep{prepRecord: prepRecord{Pool: n.pool.Spec.ID, Node: n.ID}, job: j, node: n}
	s.addPrep(pr)
	pr.Preparation = &auxiliary{State: running, Begun: s.now()}
	s.storePrep(pr)
	s.tryPrep(pr)
	return pr
}

func (s *Service) addPrep(pr *prep) {
	j, n := pr.job, pr.node
	key := prepKey(pr)
	if _, ok := j.preps.get(key); ok {
		j.preps.items[key] = pr
	} else {
		j.preps.add(key, pr)
	}
	if n != nil {
		if n.preps == nil {
			n.preps = map[*job]*prep{}
		}
		n.preps[j] = pr
	}
}

func prepKey(pr *prep) string { return model.Key(pr.Pool) + "\x00" + model.Key(pr.Node) }

func (s *Service) storePrep(pr *prep) {
	s.disk.put(prepBucket, pr.job.key+"\x00"+prepKey(pr), &pr.prepRecord)
}

func (s *Service) tryPrep(pr *prep) {
	task := pr.job.Spec.JobPreparationTask
	s.attempt(pr.node, s.identified(pr.node.pool, s.prepSpec(pr.job, task)), func(o outcome) {
		if pr.gone {
			return
		}
		a := pr.Preparation
		if most := model.Or(task.Constraints.MaxTaskRetryCount, 0); o.Retriable && (most < 0 || a.Retries < most) {
			a.Retries++
			a.LastRetry = s.now()
			s.tryPrep(pr)
			return
		}
		a.State, a.outcome = completed, o
		s.storePrep(pr)
		s.prepEnded(pr)
	})
}

// prepEnded starts the runs that waited for a preparation, or puts them elsewhere when it failed: then the node runs none of
// the job's tasks until it is reimaged.
func (s *Service) prepEnded(pr *prep) {
	j, n := pr.job, pr.node
	waiting := pr.waiting
	pr.waiting = nil
	if !pr.prepared() {
		if j.refused == nil {
			j.refused = map[*compute]bool{}
		}
		j.refused[n] = true
		for _, r := range waiting {
			if r.t.run == r {
				s.giveBack(r)
			}
		}
	} else {
		for _, r := range waiting {
			s.proceed(r)
		}
	}
	s.rest(n)
	s.emptied(j)
	s.schedule(n.pool)
}

// giveBack makes a task active again whose node turned out not to take it.
func (s *Service) giveBack(r *run) {
	s.vacate(r)
	for _, n := range r.nodes {
		n.Total--
	}
	r.t.Node, r.t.Pool = "", ""
	s.again(r.t)
	close(r.done)
	for _, n := range r.nodes {
		s.rest(n)
	}
}

// dropPrep forgets the preparation of a node that restarts or goes. What is known of it stays with the job.
func (s *Service) dropPrep(j *job, n *compute, pr *prep) {
	delete(n.preps, j)
	if j.refused[n] {
		delete(j.refused, n)
	}
	pr.gone = true
	for _, a := range []*auxiliary{pr.Preparation, pr.Release} {
		if a != nil && a.State == running {
			a.State = completed
			a.outcome = outcome{Ended: s.now(), Failure: &model.TaskFailureInformation{Category: "servererror",
				Code: "TaskEnded", Message: "The node was taken away."}}
		}
	}
	pr.node = nil
	s.storePrep(pr)
	for _, r := range slices.Clone(pr.waiting) {
		if r.t.run == r && r.stop == "" {
			s.stop(r, requeue)
		}
	}
	s.released(j)
}

// release runs the release task wherever the preparation task ran, and then does what is to follow.
func (s *Service) release(j *job) {
	task := j.Spec.JobReleaseTask
	for pr := range j.preps.all() {
		if pr.node == nil || pr.Release != nil || pr.Preparation.State == running || task == nil {
			continue
		}
		pr.Release = &auxiliary{State: running, Begun: s.now()}
		s.storePrep(pr)
		s.attempt(pr.node, s.identified(pr.node.pool, s.releaseSpec(j, task)), func(o outcome) {
			if pr.gone {
				return
			}
			pr.Release.State, pr.Release.outcome = completed, o
			s.storePrep(pr)
			s.rest(pr.node)
			s.released(j)
		})
	}
	s.released(j)
}

// released goes on with the end of a job when no release task runs any more.
func (s *Service) released(j *job) {
	if j.then == nil {
		return
	}
	for pr := range j.preps.all() {
		if pr.busy() {
			return
		}
	}
	then := j.then
	j.then = nil
	for pr := range j.preps.all() {
		if pr.node != nil && pr.node.machine != nil {
			finish := pr.node.machine.EndJob(j.Spec.ID)
			s.background(func() func() { finish(); return nil })
		}
		if pr.node != nil {
			delete(pr.node.preps, j)
			pr.node = nil
		}
	}
	then()
}

const defaultReleaseTime = model.Duration(15 * time.Minute)
