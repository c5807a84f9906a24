package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clusterless-go/clusterless"
)

// programs is what scripts may run.
var programs = map[string]func(){
	"clusterless": func() { os.Exit(run()) },
	"program":     program,
}

// The test binary is the command line, a user's program named "program", and the worker of both.
func TestMain(m *testing.M) {
	clusterless.Init()
	testscript.Main(m, programs)
}

func TestScripts(t *testing.T) {
	goEnv := func(name string) string { // before HOME is another
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	cache, modcache, module := goEnv("GOCACHE"), goEnv("GOMODCACHE"), filepath.Dir(goEnv("GOMOD"))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"waitjob": waitJob, "waitlog": waitLog},
		Setup: func(e *testscript.Env) error {
			e.Setenv("CLUSTERLESS_DIR", e.Getenv("WORK")+"/dir")
			e.Setenv("HOME", e.Getenv("WORK")+"/home")
			e.Setenv("REALCACHE", cache)
			e.Setenv("REALMODCACHE", modcache)
			e.Setenv("MODULE", module)
			return nil
		},
	})
}

// waitJob waits until there is a job whose name begins so: waitjob PREFIX.
func waitJob(ts *testscript.TestScript, _ bool, args []string) {
	wait(ts, func(ctx context.Context, s *clusterless.Session) (bool, error) {
		jobs, err := s.Jobs(ctx, args[0])
		return len(jobs) > 0, err
	})
}

// waitLog waits until call 0 of a job has written something: waitlog JOB TEXT.
func waitLog(ts *testscript.TestScript, _ bool, args []string) {
	wait(ts, func(ctx context.Context, s *clusterless.Session) (bool, error) {
		j, err := s.Look(ctx, args[0])
		if err != nil {
			return false, err
		}
		r, err := j.Log(ctx, 0, false)
		if err != nil {
			return false, nil // not begun
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return strings.Contains(string(b), args[1]), err
	})
}

func wait(ts *testscript.TestScript, done func(context.Context, *clusterless.Session) (bool, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := &flags{dir: ts.Getenv("CLUSTERLESS_DIR"), engine: ts.Getenv("WAIT_ENGINE")}
	s, err := f.open(ctx)
	ts.Check(err)
	defer s.Close()
	for {
		ok, err := done(ctx, s)
		ts.Check(err)
		if ok {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			ts.Fatalf("waited too long")
		}
	}
}

// work prints, fails where asked, and returns a file.
var work = clusterless.Define("work", func(_ context.Context, i int) (int, error) {
	fmt.Println("working on", i)
	if i < 0 {
		return 0, errors.New("no work for negative numbers")
	}
	return i, os.WriteFile("out.txt", []byte(strconv.Itoa(i)), 0o666)
})

var nap = clusterless.Define("nap", func(ctx context.Context, d time.Duration) (int, error) {
	fmt.Println("going to sleep")
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return 0, nil
})

// program is what a user would write: program JOB INPUT..., or program nap JOB. It makes calls that failed once more, and
// writes what it counts of the job to the file stats.
func program() {
	clusterless.Main(func(ctx context.Context) error {
		opts := []clusterless.Option{clusterless.Slots(2)}
		if file := os.Getenv("TASK_CERTIFICATES"); file != "" {
			opts = append(opts, clusterless.Env("SSL_CERT_FILE", file))
		}
		s, err := clusterless.Open(ctx, opts...)
		if err != nil {
			return err
		}
		defer s.Close()
		switch os.Args[1] {
		case "leave":
			_, err := nap.On(s, clusterless.Name(os.Args[2])).Map(ctx, []time.Duration{2 * time.Second, 3 * time.Second})
			return err
		case "attach":
			j, err := clusterless.Attach[int](ctx, s, os.Args[2])
			if err != nil {
				return err
			}
			all, err := j.Results(ctx)
			fmt.Println(all)
			return err
		case "nap":
			var opts []clusterless.Option
			if len(os.Args) > 2 {
				opts = append(opts, clusterless.Name(os.Args[2]))
			}
			j, err := nap.On(s, opts...).Map(ctx, []time.Duration{time.Hour, time.Hour, time.Hour})
			if err != nil {
				return err
			}
			fmt.Println("napping in", j.Name())
			_, err = j.Results(ctx)
			return err
		}
		var ins []int
		for _, a := range os.Args[2:] {
			i, err := strconv.Atoi(a)
			if err != nil {
				return err
			}
			ins = append(ins, i)
		}
		j, err := work.On(s, clusterless.Name(os.Args[1]), clusterless.Return("*.txt")).Map(ctx, ins)
		if err != nil {
			return err
		}
		_, err = j.Results(ctx)
		fmt.Println("ended:", err)
		if _, err := j.Retry(ctx); err != nil {
			return err
		}
		if _, err := j.Wait(ctx); err != nil {
			return err
		}
		st, err := j.Stats(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile("stats", []byte(st.String()), 0o666)
	})
}
