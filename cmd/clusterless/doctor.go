package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/config"
)

// Below these a machine is too full for comfort.
const (
	littleDisk   = 2 << 30
	littleMemory = 512 << 20
)

func (f *flags) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check that jobs can run here",
		Long: "Check that jobs can run here: say which configuration files, engine and store count, look at the directory and at\n" +
			"what the engine needs, and run a task. It fails if something is wrong.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{w: cmd.OutOrStdout()}
			d.system()
			d.config()
			s, err := f.open(cmd.Context())
			d.report("session", err, "opens")
			if err == nil {
				d.session(cmd.Context(), s)
				d.report("session", s.Close(), "closes")
			}
			if d.bad > 0 {
				return errors.New("something is wrong, see above")
			}
			return nil
		},
	}
}

// config says which configuration files count.
func (d *doctor) config() {
	f, err := config.Load()
	switch {
	case err != nil:
		d.report("config", err, "")
		return
	case f.Path == "":
		d.note("config", "no file "+config.Name)
	default:
		d.report("config", nil, f.Path)
	}
	if f.Original == nil {
		return
	}
	for _, path := range []string{f.Original.CredentialsPath, f.Original.ParametersPath} {
		if path != "" {
			d.report("config", nil, path)
		}
	}
	for _, note := range f.Original.Notes {
		d.note("", note)
	}
}

func (d *doctor) session(ctx context.Context, s *clusterless.Session) {
	d.note("engine", s.EngineURL())
	d.note("store", s.Store())
	if n := s.Slots(); n > 0 {
		d.note("slots", strconv.Itoa(n))
	}
	if dir := s.Dir(); dir != "" {
		d.directory(dir)
	}
	bad := d.bad
	s.Check(ctx, func(what, found string, err error) { d.report(what, err, found) })
	jobs, err := s.Jobs(ctx, "")
	d.report("jobs", err, fmt.Sprintf("%d in the store", len(jobs)))
	if d.bad == bad {
		d.call(ctx, s)
	}
}

// look is what the doctor has a task do.
var look = clusterless.Define("clusterless.doctor", func(ctx context.Context, _ struct{}) (string, error) {
	task, _ := clusterless.Current(ctx)
	return fmt.Sprintf("%s, %s/%s, %d cores", task.Node, runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), nil
})

// callTime is how long the doctor waits for a task.
const callTime = time.Minute

// call runs a task, which shows that a node finds the program and the store.
func (d *doctor) call(ctx context.Context, s *clusterless.Session) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	start := time.Now()
	job, err := look.On(s).Map(ctx, []struct{}{{}})
	if err != nil {
		d.report("task", err, "")
		return
	}
	node, err := job.Result(ctx, 0)
	if ctx.Err() != nil {
		st := job.Status()
		err = fmt.Errorf("has not ended after %v: %s", callTime, cmp.Or(st.Queue, fmt.Sprintf("%d running", st.Running)))
	}
	d.report("task", err, fmt.Sprintf("ran on %s, in %.1f s", node, time.Since(start).Seconds()))
}

// doctor writes down findings.
type doctor struct {
	w   io.Writer
	bad int
}

func (d *doctor) report(what string, err error, good string) {
	if err != nil {
		d.bad++
		fmt.Fprintf(d.w, "wrong  %-10s %v\n", what, err)
		return
	}
	fmt.Fprintf(d.w, "ok     %-10s %s\n", what, good)
}

// note writes down what is neither good nor bad.
func (d *doctor) note(what, text string) { fmt.Fprintf(d.w, "       %-10s %s\n", what, text) }

func (d *doctor) system() {
	d.note("system", fmt.Sprintf("%s/%s, %s", runtime.GOOS, runtime.GOARCH, runtime.Version()))
	d.note("cores", fmt.Sprintf("%d (a task takes one unless its function asks for more)", runtime.NumCPU()))
	if free, ok := freeMemory(); ok {
		var err error
		if free < littleMemory {
			err = fmt.Errorf("%s free: tasks may be ended by the kernel", size(free))
		}
		d.report("memory", err, size(free)+" free")
	}
}

func (d *doctor) directory(dir string) {
	d.report("directory", writable(dir), dir+" can be written")
	if free, ok := freeDisk(dir); ok {
		var err error
		if free < littleDisk {
			err = fmt.Errorf("%s free on its disk: results may not fit; clusterless prune makes room", size(free))
		}
		d.report("disk", err, size(free)+" free")
	}
}

// writable tries what the store does: a file, and a second name for it.
func writable(dir string) error {
	tmp, err := os.MkdirTemp(dir, "doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	a, b := filepath.Join(tmp, "a"), filepath.Join(tmp, "b")
	if err := os.WriteFile(a, []byte("doctor"), 0o600); err != nil {
		return err
	}
	if err := os.Link(a, b); err != nil {
		return fmt.Errorf("%w: the file system has no hard links; choose another directory with --dir", err)
	}
	return nil
}
