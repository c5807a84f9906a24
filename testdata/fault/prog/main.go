// Prog is a program with the mistakes that the fault tests ask it for.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/clusterless-go/clusterless"
)

// version is set by the linker, so that two builds differ.
var version = "none"

// Which says which build of the program makes a call, after a file is there.
var Which = clusterless.Define("which", func(ctx context.Context, gate string) (string, error) {
	for gate != "" {
		if _, err := os.Stat(gate); err == nil {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return version, nil
})

func double(_ context.Context, x int) (int, error) { return 2 * x, nil }

var mode = os.Getenv("FAULT_MODE")

func init() {
	switch mode {
	case "duplicate":
		clusterless.Define("twice", double)
		clusterless.Define("twice", double)
	case "bad-name":
		clusterless.Define("no spaces", double)
	case "channel":
		clusterless.Define("channel", func(context.Context, chan int) (int, error) { return 0, nil })
	}
}

// ghost is defined by the client only: workers do not have the variable.
var ghost = func() (f clusterless.Func[int, int]) {
	if os.Getenv("FAULT_GHOST") != "" {
		os.Unsetenv("FAULT_GHOST")
		return clusterless.Define("ghost", double)
	}
	return f
}()

func main() {
	job := flag.String("job", "", "name of the job")
	do := flag.String("do", "", "submit or attach")
	n := flag.Int("n", 4, "calls")
	gate := flag.String("gate", "", "file that calls wait for")
	defer func() {
		if p := recover(); p != nil {
			fmt.Println("recovered:", p)
			os.Exit(9)
		}
	}()
	switch mode {
	case "no-main": // forgets it altogether
		report(use(context.Background(), "submit", *job, 1, ""))
		return
	case "open-first": // calls it, but too late
		report(use(context.Background(), "submit", *job, 1, ""))
		clusterless.Init()
		return
	case "flags-first": // does what a worker must not: it has no arguments
		flag.Parse()
		if *do == "" {
			fmt.Println("usage: prog -do submit")
			os.Exit(2)
		}
	case "stuck-first": // a worker never gets there
		if os.Getenv("FAULT_STUCK") == "" {
			os.Setenv("FAULT_STUCK", "yes")
		} else {
			fmt.Println("I wait for something")
			time.Sleep(time.Hour)
		}
	case "busy-first": // odd, but harmless
		fmt.Println("some work first")
		time.Sleep(50 * time.Millisecond)
	case "worker-opens": // a call that opens a session
	}
	clusterless.Main(func(ctx context.Context) error {
		flag.Parse()
		if mode == "late" {
			clusterless.Define("late", double)
			return nil
		}
		report(use(ctx, *do, *job, *n, *gate))
		return nil
	})
}

type result struct {
	Values []string
	Err    string
}

func report(v []string, err error) {
	r := result{Values: v}
	if err != nil {
		r.Err = err.Error()
		var e *clusterless.TaskError
		if errors.As(err, &e) {
			r.Err += "\n" + e.Detail()
		}
	}
	b, _ := json.Marshal(r)
	fmt.Printf("RESULT %s\n", b)
}

func use(ctx context.Context, do, name string, n int, gate string) (v []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := clusterless.Open(ctx, clusterless.Slots(2), clusterless.Backoff(time.Millisecond), clusterless.StartDeadline(2*time.Second))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if ghost != (clusterless.Func[int, int]{}) {
		x, err := ghost.On(s).Call(ctx, 4)
		return []string{fmt.Sprint(x)}, err
	}
	var opts []clusterless.Option
	if name != "" {
		opts = append(opts, clusterless.Name(name))
	}
	var job *clusterless.Job[string]
	if do == "attach" {
		job, err = clusterless.Attach[string](ctx, s, name)
	} else {
		ins := make([]string, n)
		for i := range ins {
			if i > 0 {
				ins[i] = gate
			}
		}
		job, err = Which.On(s, opts...).Map(ctx, ins)
	}
	if err != nil {
		return nil, err
	}
	return job.Results(ctx)
}
