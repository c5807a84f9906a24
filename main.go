package clusterless

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/program"
	"github.com/clusterless-go/clusterless/internal/team"
	"github.com/clusterless-go/clusterless/internal/worker"
)

// inWorker is set when this process is a worker.
var inWorker bool

// Main is the whole main function of a program that has nothing to do before it: it runs the program's part as a
// worker if an engine started the process as one, and run otherwise. The context ends at an interrupt (Ctrl-C) or
// SIGTERM; a second one ends the process at once. An error of run is printed, and the process exits with code 1.
func Main(run func(ctx context.Context) error) {
	Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// Init is [Main] for programs that write their own main function: call it as its first statement. In a worker it never
// returns. Before it, nothing may be done that a worker should not do: no flags parsed, no files opened.
func Init() {
	table.Lock()
	if table.closed == "" {
		table.closed = "Main or Init"
		table.mainFile = program.MainFile()
	}
	table.Unlock()
	if !worker.Asked() {
		return
	}
	inWorker = true
	os.Exit(worker.Serve(worker.Config{
		Func: func(name string) (worker.Func, bool) {
			table.Lock()
			defer table.Unlock()
			e, ok := table.funcs[name]
			return e, ok
		},
		Names: func() (names []string) {
			for _, d := range Funcs() {
				names = append(names, d.Name)
			}
			return names
		},
		Setup: func(ctx context.Context) error {
			for _, f := range table.setup {
				if err := f(ctx); err != nil {
					return err
				}
			}
			return nil
		},
		Attach: func(ctx context.Context, c *worker.Call) context.Context {
			return context.WithValue(ctx, team.Key{}, c)
		},
	}))
}

// refuseInWorker keeps workers from submitting jobs, which would start workers that submit jobs.
func refuseInWorker() error {
	if worker.Asked() {
		// This process should be a worker and has come past main's first line. Its client must hear of it.
		fmt.Fprintf(os.Stderr, "clusterless: this process was started as a worker, but reached clusterless.Open: make clusterless.Main the whole of func main, or clusterless.Init its first statement\n")
		os.Exit(contract.ExitStart)
	}
	if inWorker {
		return fmt.Errorf("clusterless: Open inside of a task: a task cannot submit jobs; return what is to be done next, and let the client submit it")
	}
	return nil
}

func callOf(ctx context.Context) *worker.Call {
	c, _ := ctx.Value(team.Key{}).(*worker.Call)
	return c
}

// A Task tells a function which call it is.
type Task struct {
	Job     string // name of the job
	Func    string
	Call    int    // number of the call in its job, from 0
	Task    int    // number of the task that makes it
	Attempt int    // at that task, from 1; more than 1 if a process was lost
	Try     int    // of this call in this process, from 1; more than 1 with RetryErrors
	Node    string // where it runs
	// Dir is the working directory: the call's own if the job includes or returns files, else one that the calls of
	// the process share. It is removed afterwards.
	Dir string
}

// Current returns what is known of the call that ctx belongs to; false outside of tasks.
func Current(ctx context.Context) (Task, bool) {
	c := callOf(ctx)
	if c == nil {
		return Task{}, false
	}
	return Task{c.Job, c.Func, c.Call, c.Task, c.Attempt, c.Try, c.Node, c.Dir}, true
}
