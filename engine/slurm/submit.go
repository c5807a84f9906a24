package slurm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	d, err := e.createJob(&job)
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
type limits struct{ maxArray int }

func (e *Engine) readLimits() limits {
	l := limits{maxArray: 1001} // Slurm's default
	out, err := command(e.ctx, "", "scontrol", "show", "config")
	if err != nil {
		e.log.Warn("slurm: the size of arrays is taken to be Slurm's default", "err", err)
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) == "MaxArraySize" {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 {
				l.maxArray = n
			}
		}
	}
	return l
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
	p, err := e.c.placement(d.Settings)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", err, engine.ErrCannotRun)
	}
	end := len(s.runs)
	if e.c.MaxJobs > 0 {
		end = min(end, first+e.c.MaxJobs)
	}
	size := end - first
	if size > 1 { // the smallest array needs no question
		size = min(size, e.limits().maxArray)
	}
	at := first
	for at < end {
		size = min(size, end-at)
		args := e.flags(d, p, size)
		out, err := command(ctx, d.script(&e.c, p, s.n, at), "sbatch", args...)
		if limited(err) {
			if size /= 2; size > 0 {
				continue
			}
			break
		}
		if err != nil && !passing(err) && ctx.Err() == nil {
			return at - first, refused(err, args)
		}
		if err != nil {
			return at - first, err
		}
		number, _, _ := strings.Cut(strings.TrimSpace(out), ";")
		id, err := strconv.Atoi(number)
		if err != nil {
			return at - first, fmt.Errorf("sbatch printed %q, want the number of a job", out)
		}
		a := array{id: id, sub: s.n, first: at, count: size}
		if err := os.WriteFile(filepath.Join(d.path, a.name()), nil, 0o600); err != nil {
			err = errors.Join(err, scancel(context.WithoutCancel(ctx), []string{number}))
			return at - first, fmt.Errorf("slurm: job %s: %w", d.ID, err)
		}
		at += size
		if gone, err := e.cancelledAfter(d, s); gone || err != nil { // meanwhile, by somebody who did not see this array
			return at - first, errors.Join(err, scancel(context.WithoutCancel(ctx), []string{number}))
		}
	}
	if at < len(s.runs) {
		err := os.WriteFile(filepath.Join(d.path, "full."+strconv.Itoa(s.n)), nil, 0o600)
		return at - first, err
	}
	return at - first, nil
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
func (e *Engine) flags(d *jobDir, p Placement, n int) []string {
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
	e.mu.Lock()
	exclude := slices.Sorted(maps.Keys(e.blind))
	e.mu.Unlock()
	if p.Exclude != "" {
		exclude = append([]string{p.Exclude}, exclude...)
	}
	add("--exclude", strings.Join(exclude, ","))
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
