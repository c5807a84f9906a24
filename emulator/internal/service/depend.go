package service

import (
	"strconv"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// A waiting is a task that waits for many others, by the numbers that are their IDs.
type waiting struct {
	t          *task
	start, end int32
	met        map[int32]bool // those that it no longer waits for
}

// over says whether there is nothing left to wait for.
func (w *waiting) over() bool { return int64(len(w.met)) == int64(w.end)-int64(w.start)+1 }

// note takes notice of a task that is satisfied, if it is one of those.
func (w *waiting) note(t *task) {
	if n, ok := w.covers(t.ID); ok {
		w.met[n] = true
	}
}

// spread is how long a range may be for its tasks to be waited for one by one.
const spread = 64

// Limits of what a task can depend on. The service says that the lists may have 64,000 characters together.
const dependencyBytes = 64000

func checkDependencies(d *model.TaskDependencies) error {
	if d == nil {
		return nil
	}
	bytes := 0
	for _, id := range d.TaskIDs {
		bytes += len(id)
	}
	if bytes > dependencyBytes {
		return apierror.New(apierror.TaskDependencyListTooLong)
	}
	bytes = 0
	for _, r := range d.TaskIDRanges {
		if *r.Start < 0 || *r.End < *r.Start {
			return apierror.Property("dependsOn/taskIdRanges",
				strconv.Itoa(int(*r.Start))+"-"+strconv.Itoa(int(*r.End)),
				"A range must begin at 0 or more and not end before it begins.")
		}
		bytes += len(strconv.Itoa(int(*r.Start))) + len(strconv.Itoa(int(*r.End)))
	}
	if bytes > dependencyBytes {
		return apierror.New(apierror.TaskDependencyRangesTooLong)
	}
	return nil
}

// await makes a task wait for those that it depends on.
func (s *Service) await(t *task, d *model.TaskDependencies) {
	if d == nil {
		return
	}
	for _, id := range d.TaskIDs {
		t.job.await(t, model.Key(id))
	}
	for _, r := range d.TaskIDRanges {
		if *r.End-*r.Start < spread {
			for n := int64(*r.Start); n <= int64(*r.End); n++ {
				t.job.await(t, strconv.FormatInt(n, 10))
			}
			continue
		}
		w := &waiting{t: t, start: *r.Start, end: *r.End, met: map[int32]bool{}}
		for other := range t.job.tasks.all() {
			if _, ok := w.covers(other.ID); ok && other.satisfied() {
				w.note(other)
			}
		}
		if !w.over() {
			t.waits++
			t.job.ranges = append(t.job.ranges, w)
		}
	}
}

// covers says whether a task is one of those that are waited for, and its number.
func (w *waiting) covers(id string) (int32, bool) {
	n, err := strconv.ParseInt(id, 10, 32)
	return int32(n), err == nil && strconv.FormatInt(n, 10) == id && int32(n) >= w.start && int32(n) <= w.end
}

func (j *job) await(t *task, key string) {
	if on, ok := j.tasks.get(key); ok && on.satisfied() {
		return
	}
	if j.waiters == nil {
		j.waiters = map[string][]*task{}
	}
	j.waiters[key] = append(j.waiters[key], t)
	t.waits++
}

// satisfied says whether a task is one that others no longer wait for.
func (t *task) satisfied() bool {
	return t.State == taskCompleted && t.job.service.satisfies(t)
}

// satisfies says whether the outcome of a completed task is good enough for those that depend on it.
func (s *Service) satisfies(t *task) bool {
	if !*t.job.Spec.UsesTaskDependencies {
		return t.Failure == nil
	}
	if o := exitOptions(t.specify().ExitConditions, &t.outcome); o != nil && o.DependencyAction != "" {
		return o.DependencyAction == "satisfy"
	}
	return t.Failure == nil
}

// satisfied releases what waits for a task.
func (s *Service) satisfied(t *task) {
	j := t.job
	key := model.Key(t.ID)
	for _, w := range j.waiters[key] {
		j.release(w)
	}
	delete(j.waiters, key)
	kept := j.ranges[:0]
	for _, w := range j.ranges {
		if w.note(t); w.over() {
			j.release(w.t)
			continue
		}
		kept = append(kept, w)
	}
	clear(j.ranges[len(kept):])
	j.ranges = kept
}

// release takes one of a task's dependencies away.
func (j *job) release(t *task) {
	if t.waits--; t.waits == 0 && t.State == taskActive {
		if known, _ := j.tasks.get(model.Key(t.ID)); known == t {
			j.enqueue(t)
		}
	}
}

func (j *job) enqueue(t *task) { j.queue.add(t) }

// exitOptions are those that the exit conditions of a task have for its outcome; nil when they have none.
func exitOptions(e *model.ExitConditions, o *outcome) *model.ExitOptions {
	if e == nil {
		return nil
	}
	switch {
	case o.Failure != nil && isUpload(o.Failure) && e.FileUploadError != nil && (o.ExitCode == nil || !listed(e, *o.ExitCode)):
		return e.FileUploadError
	case o.ExitCode == nil:
		if o.Failure != nil && e.PreProcessingError != nil {
			return e.PreProcessingError
		}
		return e.Default
	}
	for _, m := range e.ExitCodes {
		if *m.Code == *o.ExitCode {
			return m.ExitOptions
		}
	}
	for _, m := range e.ExitCodeRanges {
		if *m.Start <= *o.ExitCode && *o.ExitCode <= *m.End {
			return m.ExitOptions
		}
	}
	if o.Failure == nil {
		return nil
	}
	return e.Default
}

// listed says whether exit conditions name an exit code. One that they name goes before an error of upload.
func listed(e *model.ExitConditions, code int32) bool {
	for _, m := range e.ExitCodes {
		if *m.Code == code {
			return true
		}
	}
	for _, m := range e.ExitCodeRanges {
		if *m.Start <= code && code <= *m.End {
			return true
		}
	}
	return false
}

func allExitOptions(e *model.ExitConditions) []*model.ExitOptions {
	all := []*model.ExitOptions{e.PreProcessingError, e.FileUploadError, e.Default}
	for _, m := range e.ExitCodes {
		all = append(all, m.ExitOptions)
	}
	for _, m := range e.ExitCodeRanges {
		all = append(all, m.ExitOptions)
	}
	return all
}
