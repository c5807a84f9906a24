package mpi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
)

// Times of a run of ranks.
const (
	startTime = 2 * time.Minute // until all ranks are there
	endTime   = 3 * time.Second // from the end of the function on all ranks to that of mpiexec: MPICH over TCP may hang in MPI_Finalize
	quitTime  = time.Second     // from the end of all ranks to that of mpiexec, before it is told,
	stopTime  = 2 * time.Second // and after that; less than half of it if the worker has little time left itself
	blameTime = 3 * time.Second // from the loss of a rank to the end of mpiexec, which says why
)

// runRanks makes one call with all ranks of a task, and returns the encoded result of rank 0.
func runRanks(ctx context.Context, name string, info team.Info, input []byte) (result []byte, err error) {
	l, err := findLauncher(ctx)
	if err != nil {
		return nil, err
	}
	p, err := l.start(ctx, info, team.Rank, "", nil)
	if err != nil {
		return nil, err
	}
	defer p.close()
	n := max(1, info.Shape.Ranks)
	r := &run{n: n, peers: make([]*team.Peer, n), done: make([]bool, n)}
	call := func(rank int) *team.Call {
		c := &team.Call{N: 1, Func: name, Job: info.Job, Task: info.Task, Attempt: info.Attempt, Call: info.Call, Quiet: rank != 0}
		c.Until, _ = ctx.Deadline()
		return c
	}
	start := time.After(startTime)
	for left := n; left > 0; {
		select {
		case <-start:
			if slices.Contains(r.peers, nil) {
				return nil, p.explain(fmt.Errorf("mpi: ranks do not start: after %v%s", startTime, strings.TrimPrefix(r.unfinished(), ";")))
			}
		case e := <-p.lead.Events():
			m := e.Member
			switch {
			case m == nil && e.Gone:
				return nil, fmt.Errorf("mpi: %w%s", &team.LostNode{Node: e.Node}, r.unfinished())
			case m == nil || m.Role != team.Rank || m.Rank < 0 || m.Rank >= n:
			case e.Joined:
				if r.peers[m.Rank] != nil {
					return nil, p.explain(fmt.Errorf("mpi: two processes are rank %d: %w", m.Rank, ErrLonely))
				}
				r.peers[m.Rank] = m
				p.lead.Tell(m, call(m.Rank), input)
			case e.Fail != nil:
				return nil, failure(m.Rank, e.Fail)
			case e.Done:
				r.done[m.Rank] = true
				left--
				if m.Rank == 0 {
					result = e.Result
				}
			case e.Gone && r.peers[m.Rank] == m && !r.done[m.Rank]:
				return nil, p.explain(fmt.Errorf("mpi: rank %d (process %d on %s) ended before the function returned", m.Rank, m.PID, m.Host))
			}
		case err := <-p.ended:
			p.ended <- err
			return nil, p.explain(fmt.Errorf("mpi: mpiexec ended%s", r.unfinished()))
		case <-ctx.Done():
			p.hurry = true
			return nil, fmt.Errorf("mpi: %w%s", context.Cause(ctx), r.unfinished())
		}
	}
	// A rank that fails from here on does not matter: the result is there.
	for _, m := range r.peers {
		m.Bye()
	}
	p.wait(endTime)
	return result, nil
}

// run is how far the ranks are.
type run struct {
	n     int
	peers []*team.Peer
	done  []bool
}

// unfinished says which ranks are not done, for an error.
func (r *run) unfinished() string {
	var absent, busy []string
	for i, p := range r.peers {
		switch {
		case p == nil:
			absent = append(absent, fmt.Sprint(i))
		case !r.done[i]:
			busy = append(busy, fmt.Sprint(i))
		}
	}
	var parts []string
	if len(busy) > 0 {
		parts = append(parts, "the function had not returned on "+ranksText(busy))
	}
	if len(absent) > 0 {
		parts = append(parts, ranksText(absent)+" had not started")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

func ranksText(r []string) string {
	const most = 8
	if len(r) == 1 {
		return "rank " + r[0]
	}
	if len(r) > most {
		return fmt.Sprintf("ranks %s and %d more", strings.Join(r[:most], ", "), len(r)-most)
	}
	return "ranks " + strings.Join(r, ", ")
}

// failure is the error of a rank.
func failure(rank int, f *plan.Failure) error {
	e := &team.Failure{Failure: *f, Who: fmt.Sprintf("rank %d", rank)}
	if len(f.Error) > 0 {
		(&codec.Decoder{}).DecodeBytes(f.Error, &e.Err)
	}
	if e.Panic != "" {
		e.Panic = e.Who + ": " + e.Panic
	}
	return e
}

// explain adds to the loss of a rank that its node was lost, or else what mpiexec says of it, and waits for that a little.
func (p *program) explain(err error) error {
	if node := p.lead.Lost(); node != "" {
		return fmt.Errorf("%w: %w", err, &team.LostNode{Node: node})
	}
	p.wait(blameTime)
	if said := p.out.own(); said != "" {
		err = fmt.Errorf("%w; mpiexec says:\n%s", err, said)
	}
	return err
}

// Run runs an MPI program that exists already, of whatever language, with the ranks, nodes and threads that the task has by
// its options, and waits for its end. exe is looked up in PATH, or relative to the call's directory if it has a slash;
// it must be there on all nodes. What its ranks print is in the log, each line with its rank. Run is for plain functions
// (of [clusterless.Define]) in a task; several runs may follow one another. When ctx ends, so does the program.
func Run(ctx context.Context, exe string, args ...string) error {
	return runExisting(ctx, exe, args, "")
}

// toFile is a shell command that runs its arguments, on rank 0 with standard output in a file: mpiexec would put marks into
// it, and Open MPI's drops lines that come fast.
const toFile = `[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" != 0 ] || exec >"$0"; exec "$@"`

// Output is Run, and returns what rank 0 wrote to its standard output instead of logging it, byte by byte.
func Output(ctx context.Context, exe string, args ...string) (string, error) {
	info, _ := team.From(ctx) // Run says what is wrong
	f, err := os.CreateTemp(info.Scratch, "output-*")
	if err != nil {
		return "", fmt.Errorf("mpi: run %s: file for its output: %w", exe, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	err = runExisting(ctx, exe, args, f.Name())
	out, e := io.ReadAll(f)
	return string(out), errors.Join(err, e)
}

// runExisting runs a program, with the standard output of rank 0 in a file if it names one.
func runExisting(ctx context.Context, exe string, args []string, file string) error {
	info, ok := team.From(ctx)
	if !ok || info.Role != "" {
		return errors.New("mpi: Run: want the context of a task's function, which is not a rank or in a map of a task")
	}
	path := exe
	if strings.Contains(exe, "/") && !filepath.IsAbs(exe) {
		path = filepath.Join(info.Dir, exe)
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return fmt.Errorf("mpi: run %s: on %s: %w", exe, info.Node, err)
	}
	l, err := findLauncher(ctx)
	if err != nil {
		return err
	}
	if err := l.fits(found); err != nil {
		return fmt.Errorf("mpi: run %s: %w", exe, err)
	}
	program := exe
	if file != "" {
		args = slices.Concat([]string{"-c", toFile, file, exe}, args)
		program = "/bin/sh"
	}
	p, err := l.start(ctx, info, "", program, args)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		select {
		case e := <-p.lead.Events():
			if e.Gone && e.Node != "" {
				return fmt.Errorf("mpi: run %s: %w", exe, &team.LostNode{Node: e.Node})
			}
		case err := <-p.ended:
			p.ended <- err
			if err != nil {
				err = p.explain(fmt.Errorf("mpi: run %s: mpiexec: %w", exe, err))
			}
			return err
		case <-ctx.Done():
			p.hurry = true
			return fmt.Errorf("mpi: run %s: %w", exe, context.Cause(ctx))
		}
	}
}

// A program is an mpiexec with its ranks.
type program struct {
	lead  *team.Lead
	stop  func(time.Duration)
	hurry bool       // its end may take a second, and not three
	ended chan error // has one value when mpiexec has ended
	out   *output
}

// start starts mpiexec with the ranks of a task: with a role they are processes of this program, else of exe.
func (l launcher) start(ctx context.Context, info team.Info, role, exe string, args []string) (_ *program, err error) {
	lead, err := team.New(ctx, info)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	defer func() {
		if err != nil {
			lead.Close()
		}
	}()
	nodes, err := lead.Nodes()
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	env := l.shared(info)
	if role != "" {
		env = slices.Concat(env, lead.Env(role), memory())
		exe = lead.Program()
	}
	var shell string
	if len(nodes) > 1 {
		if shell, err = shellScript(info, lead.Program()); err != nil {
			return nil, fmt.Errorf("mpi: %w", err)
		}
		var names map[string]string
		nodes, names = hosts(nodes, lead.Host)
		lead.SetRemote(slices.Concat(forwarded(), env), names)
		if role == "" {
			env = append(env, lead.Access()...) // for the shell; ranks of other programs have no use for it
		}
	}
	cmd := l.command(info, nodes, shell, lead.Interface(), exe, args)
	cmd.Env = slices.Concat(here(), env)
	p := &program{lead: lead, ended: make(chan error, 1), out: newOutput(l.abi)}
	cmd.Stdout, cmd.Stderr = p.out.stream(os.Stdout), p.out.stream(os.Stderr)
	cmd.WaitDelay = time.Second // ranks that outlive mpiexec hold its pipes
	if p.stop, err = team.StartGroup(cmd); err != nil {
		return nil, fmt.Errorf("mpi: %s: %w", l.path, err)
	}
	go func() {
		err := cmd.Wait()
		p.out.flush()
		p.ended <- err
	}()
	return p, nil
}

// wait waits for the end of mpiexec, but not for ever.
func (p *program) wait(limit time.Duration) {
	t := time.After(limit)
	for {
		select {
		case err := <-p.ended:
			p.ended <- err
			return
		case <-p.lead.Events():
		case <-t:
			return
		}
	}
}

// close ends what is left: first the ranks, whose end mpiexec sees, then mpiexec, which cleans up after itself.
func (p *program) close() {
	p.out.mute()
	quit, stop := quitTime, stopTime
	if p.hurry {
		quit, stop = quit/2, stop/4
	}
	if p.lead.Dismiss() > 0 {
		p.wait(quit)
	}
	select {
	case err := <-p.ended:
		p.ended <- err
	default:
		p.stop(stop)
	}
	p.lead.Close()
	<-p.ended
}
