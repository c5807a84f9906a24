package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
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
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{w: cmd.OutOrStdout()}
			d.system()
			s, err := f.open(cmd.Context())
			d.report("session", err, "opens")
			if err == nil {
				fmt.Fprintf(d.w, "       %-10s %s\n", "store", s.Store())
				if n := s.Slots(); n > 0 {
					fmt.Fprintf(d.w, "       %-10s %d\n", "slots", n)
				}
				d.directory(f.directory())
				jobs, err := s.Jobs(cmd.Context(), "")
				d.report("jobs", err, fmt.Sprintf("%d in the store", len(jobs)))
				d.report("session", s.Close(), "closes")
			}
			if d.bad > 0 {
				return errors.New("something is wrong, see above")
			}
			return nil
		},
	}
}

// directory is where sessions keep their files: as clusterless.Dir says.
func (f *flags) directory() string {
	if f.dir != "" {
		return f.dir
	}
	if dir := os.Getenv("CLUSTERLESS_DIR"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "clusterless")
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

func (d *doctor) system() {
	fmt.Fprintf(d.w, "       %-10s %s/%s, %s\n", "system", runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintf(d.w, "       %-10s %d (a task takes one unless its function asks for more)\n", "cores", runtime.NumCPU())
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
