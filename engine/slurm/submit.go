package slurm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// submitPatience is how long Submit waits for a slurmctld that does not answer. After that the runs are accepted all the
// same: whoever watches the job submits them later.
const submitPatience = 20 * time.Second

// Submit implements engine.Engine.
func (e *Engine) Submit(ctx context.Context, job engine.Job) error {
	if err := e.check(&job); err != nil {
		return err
	}
	d, err := e.createJob(ctx, &job)
	if err == nil {
		err = e.here(ctx, d)
	}
	if err != nil {
		return err
	}
	s, err := e.addSub(d, job.Runs, false)
	if err != nil || s == nil {
		return err
	}
	deadline := time.Now().Add(submitPatience)
	for {
		_, err = e.place(ctx, d, s, 0)
		if !passing(err) || time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	switch {
	case errors.Is(err, engine.ErrCannotRun):
		if s.n == 0 { // or it would be a job that never ends
			return errors.Join(fmt.Errorf("slurm: submit %s: %w", job.ID, err), e.Delete(context.WithoutCancel(ctx), job.ID))
		}
		return fmt.Errorf("slurm: submit %s: %w", job.ID, err)
	case err != nil && !errors.Is(err, errBusy):
		e.log.Warn("slurm: not submitted yet; will be tried again while somebody watches", "job", job.ID, "err", err)
	}
	return nil
}

// limits are what slurmctld says of itself.
type limits struct {
	cluster  string // its name; "" if it did not answer
	maxArray int
}

// limits asks slurmctld, now and then, until it has answered once.
func (e *Engine) limits(ctx context.Context) limits {
	e.asking.Lock()
	defer e.asking.Unlock()
	if e.answer.cluster != "" || time.Since(e.asked) < submitPatience {
		return e.answer
	}
	l := limits{maxArray: 1001} // Slurm's default
	out, err := command(ctx, "", "scontrol", "show", "config")
	if err != nil {
		e.log.Warn("slurm: the size of arrays is taken to be Slurm's default", "err", err)
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "ClusterName":
			l.cluster = value
		case "MaxArraySize":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				l.maxArray = n
			}
		}
	}
	e.answer, e.asked = l, time.Now()
	return l
}

// errElsewhere says that a job is in the queue of another cluster: numbers of Slurm's jobs mean others here.
var errElsewhere = errors.New("go to a login node of that cluster, or give each cluster a directory of its own")

// here is errElsewhere, with the names of the clusters, or nil.
func (e *Engine) here(ctx context.Context, d *jobDir) error {
	if d.Cluster == "" {
		return nil
	}
	if here := e.limits(ctx).cluster; here != "" && here != d.Cluster {
		return fmt.Errorf("slurm: job %s runs on the cluster %s, and this is %s: %w", d.ID, d.Cluster, here, errElsewhere)
	}
	return nil
}

// errBusy says that another goroutine of this process places the same arrays.
var errBusy = errors.New("it is being submitted")

// place submits arrays with an element for each run of a Submit from the given one on, and returns how many elements there
// are now. Where limits allow fewer, there are fewer, and those go on until all runs are made.
func (e *Engine) place(ctx context.Context, d *jobDir, s *sub, first int) (int, error) {
	key := placing{d.path, s.n}
	e.mu.Lock()
	if e.placing[key] {
		e.mu.Unlock()
		return 0, errBusy
	}
	e.placing[key] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.placing, key)
		e.mu.Unlock()
	}()
	if err := e.here(ctx, d); err != nil {
		return 0, err
	}
	if s.n == 0 {
		if err := e.fits(ctx, d); err != nil {
			return 0, err
		}
	}
	end := len(s.runs)
	if e.c.MaxJobs > 0 {
		end = min(end, first+e.c.MaxJobs)
	}
	size := min(end-first, e.limits(ctx).maxArray)
	at := first
	for at < end {
		size = min(size, end-at)
		args := e.flags(d, size)
		out, err := command(ctx, d.script(&e.c, s.n, at, size), "sbatch", args...)
		if limited(err) {
			if size /= 2; size > 0 {
				continue
			}
			if says(err, noArrays) {
				return at - first, refused(err, args)
			}
			break
		}
		if err != nil && !passing(err) && ctx.Err() == nil {
			if e.forgive() { // perhaps too few nodes were left
				continue
			}
			return at - first, refused(err, args)
		}
		if err != nil {
			return at - first, err
		}
		id, err := arrayID(out)
		if err != nil {
			return at - first, err
		}
		a := array{id: id, sub: s.n, first: at, count: size}
		undo := func() error { return scancel(context.WithoutCancel(ctx), []string{strconv.Itoa(id)}) }
		if err := os.WriteFile(filepath.Join(d.path, a.name()), nil, 0o600); err != nil {
			return at - first, fmt.Errorf("slurm: job %s: %w", d.ID, errors.Join(err, undo()))
		}
		at += size
		if gone, err := e.cancelledAfter(d, s); gone || err != nil { // meanwhile, by somebody who did not see this array
			return at - first, errors.Join(err, undo())
		}
	}
	if at < len(s.runs) {
		err := os.WriteFile(filepath.Join(d.path, "full."+strconv.Itoa(s.n)), nil, 0o600)
		return at - first, err
	}
	return at - first, nil
}

// arrayID reads what sbatch prints, number or number;cluster, below what others may have it print.
func arrayID(out string) (id int, err error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	number, _, _ := strings.Cut(lines[len(lines)-1], ";")
	if id, err = strconv.Atoi(number); err != nil {
		return 0, fmt.Errorf("sbatch printed %q, want the number of a job: is it Slurm's own?: %w", out, engine.ErrCannotRun)
	}
	return id, nil
}

// cancelledAfter reports whether the job was deleted, or cancelled after a Submit.
func (e *Engine) cancelledAfter(d *jobDir, s *sub) (bool, error) {
	for n := s.n + 1; ; n++ {
		later, err := d.readSub(n)
		if errors.Is(err, fs.ErrNotExist) {
			return !e.current(d), nil
		}
		if err != nil || later.Cancel {
			return err == nil, err
		}
	}
}

// flags are those of sbatch for an array of n elements.
func (e *Engine) flags(d *jobDir, n int) []string {
	p := &d.Placement
	args := []string{"--parsable", "--job-name=" + d.ID, "--array=0-" + strconv.Itoa(n-1), "--output=/dev/null", "--error=/dev/null", "--chdir=/",
		"--nodes=" + strconv.Itoa(max(1, d.Resources.Nodes)), "--ntasks-per-node=1", "--cpus-per-task=" + strconv.Itoa(max(1, d.Resources.Cores))}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}
	if d.Resources.Memory > 0 {
		add("--mem", strconv.FormatInt((d.Resources.Memory+1<<20-1)>>20, 10)+"M")
	}
	if d.Resources.GPUs > 0 {
		gres := p.GRES
		if gres == "" {
			gres = "gpu"
		}
		add("--gres", gres+":"+strconv.Itoa(d.Resources.GPUs))
	}
	add("--partition", p.Partition)
	add("--account", p.Account)
	add("--qos", p.QOS)
	add("--constraint", p.Constraint)
	if p.Time > 0 {
		add("--time", minutes(p.Time))
	}
	exclude, _ := e.exclude(p)
	add("--exclude", exclude)
	if d.Priority < 0 { // users may only step back
		add("--nice", strconv.Itoa(min(-d.Priority, 1000)*100))
	}
	if p.NoRequeue {
		args = append(args, "--no-requeue")
	} else {
		args = append(args, "--requeue")
	}
	return append(args, p.Flags...)
}
