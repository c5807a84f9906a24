package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
)

// Team says what it takes to lead a team of processes for the call.
func (c *Call) Team() team.Info {
	i := team.Info{Role: c.role, Store: c.w.store.URL(), Access: c.w.access, Cache: c.w.cache.Dir(), Scratch: c.w.scratch, Dir: c.Dir, Node: c.w.node,
		Job: c.Job, Task: c.Task, Attempt: c.Attempt, Call: c.Call, Shape: c.shape, Cores: max(1, c.cores), Keep: &c.own,
		Hub: c.w.hub}
	if c.keep != nil {
		i.Keep = c.keep
	}
	return i
}

// local are the variables that differ from node to node.
var local = []string{contract.EnvNode, contract.EnvScratch, contract.EnvCache, contract.EnvTeam}

// join is Serve for a process that belongs to a task without being its worker.
func join(cfg Config, role string, env map[string]string) int {
	ctx := context.Background()
	switch role {
	case team.Agent:
		adoptOrphans()
		os.Unsetenv(contract.EnvAccess) // the lead gives it to whom it concerns
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		var here []string
		for _, k := range local {
			here = append(here, k+team.Here+"="+env[k])
		}
		return team.Serve(ctx, team.AgentConfig{Addr: env[contract.EnvTeam], Token: env[contract.EnvToken], Node: env[contract.EnvNode], Here: here,
			Stay: env[contract.EnvNodes] != "", Reap: new(children).reap})
	case team.Shell:
		return team.RunShell(ctx, env[contract.EnvTeam], env[contract.EnvToken], os.Args[1:])
	}
	for _, k := range local {
		if v, ok := os.LookupEnv(k + team.Here); ok {
			env[k] = v
			os.Unsetenv(k + team.Here)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: %s: %v\n", role, err)
		return contract.ExitStart
	}
	m, err := team.Join(ctx, env[contract.EnvTeam], env[contract.EnvToken], role, func() { os.Exit(contract.ExitTask) })
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: %s: %v\n", role, err)
		return contract.ExitStart
	}
	w := &Worker{Config: cfg, scratch: env[contract.EnvScratch], node: env[contract.EnvNode], env: map[string]string{}, jobs: map[string]*job{}}
	openErr := w.open(ctx, env[contract.EnvStore], env[contract.EnvCache])
	if openErr == nil {
		openErr = os.Chdir(dir)
	}
	var keep team.Keep
	for {
		c, inputs := m.Next()
		if c == nil {
			keep.End()
			return 0
		}
		w.setup.Do(func() {
			if w.setErr = openErr; openErr == nil {
				w.setErr = w.runSetup(ctx)
				w.kids.keep()
			}
		})
		err := w.assistAll(ctx, c, inputs, m, func(call int) *Call {
			return &Call{w: w, Job: c.Job, Func: c.Func, Call: call, Task: c.Task, Attempt: c.Attempt, Try: 1, Node: w.node, Dir: dir,
				role: role, keep: &keep}
		})
		if err != nil {
			fmt.Fprintf(os.Stderr, "clusterless: %s: %v\n", role, err)
			return contract.ExitTask
		}
	}
}

// reportTime is how long the results of short calls wait for those of the next.
const reportTime = time.Millisecond

// assistAll makes calls for the lead of the team, and reports them as they are done, short ones together.
func (w *Worker) assistAll(ctx context.Context, c *team.Call, inputs []byte, m *team.Member, newCall func(int) *Call) error {
	var results team.Pack
	first, reported := c.Call, time.Now()
	for i := c.Call; i < c.Call+c.N; i++ {
		var input []byte
		var err error
		if input, inputs, err = team.Unpack(inputs); err != nil {
			return err
		}
		f := w.assist(ctx, newCall(i), c, input, &results)
		if results.N > 0 && (f != nil || i == c.Call+c.N-1 || time.Since(reported) > reportTime) {
			if err := m.Done(first, results.N, nil, results.Bytes()); err != nil {
				return err
			}
			first += results.N
			results.Reset()
			reported = time.Now()
		}
		if f != nil {
			if err := m.Done(i, 1, f, nil); err != nil {
				return err
			}
			first = i + 1
		}
	}
	return nil
}

// assist makes one call, and adds its result to the others.
func (w *Worker) assist(ctx context.Context, call *Call, c *team.Call, input []byte, results *team.Pack) *plan.Failure {
	fail := func(r returned) *plan.Failure {
		e := codec.Portable(r.err)
		f := &plan.Failure{Text: e.Error(), Panic: r.panic, Stack: r.stack, Node: w.node, Task: c.Task, Attempt: c.Attempt}
		var b bytes.Buffer
		if _, err := (&codec.Encoder{}).Encode(&b, &e); err == nil {
			f.Error = b.Bytes()
		}
		return f
	}
	if w.setErr != nil {
		return fail(returned{err: w.setErr})
	}
	fn, ok := w.Func(c.Func)
	if !ok {
		return fail(returned{err: fmt.Errorf("this program does not define the function %q (it defines %q)", c.Func, w.Names())})
	}
	d := &codec.Decoder{}
	in, err := fn.Decode(func(ptr any) error { return d.DecodeBytes(input, ptr) }, false, 1)
	if err != nil {
		return fail(returned{err: fmt.Errorf("input of %s: %w", c.Func, err)})
	}
	if !c.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.Until)
		defer cancel()
	}
	r := invokeApart(w.Attach(ctx, call), fn, in)
	w.kids.reap()
	w.maps.release(ctx.Err() != nil)
	if r.err != nil {
		return fail(r)
	}
	err = results.Add(func(b io.Writer) error {
		if c.Quiet {
			return nil
		}
		return fn.Encode(&codec.Encoder{}, b, []any{r.out}, false)
	})
	if err != nil {
		return fail(returned{err: fmt.Errorf("result of %s: %w", c.Func, err)})
	}
	return nil
}

// invokeApart is invoke on a goroutine of its own, so that runtime.Goexit in the function ends only that.
func invokeApart(ctx context.Context, fn Func, in any) returned {
	ch := make(chan returned, 1)
	go func() {
		r := returned{err: errGoexit}
		defer func() { ch <- r }()
		r = invoke(ctx, fn, in, 0)
	}()
	return <-ch
}
