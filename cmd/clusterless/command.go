package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/progress"
)

// flags are those that all commands have.
type flags struct {
	dir    string
	engine string
}

// command is the tree of commands.
func command() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "clusterless",
		Short: "Look at jobs, and put them away",
		Long: "Clusterless lists, inspects, cancels and removes the jobs that programs have in a store.\n" +
			"It never runs their functions: a job that was interrupted is finished by its program, which attaches to it.\n\n" +
			"Where the jobs are is said as for programs: by flags, the variables CLUSTERLESS_DIR, CLUSTERLESS_ENGINE and CLUSTERLESS_STORE,\n" +
			"or the file clusterless.toml, in this order.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&f.dir, "dir", "", "directory for jobs (default: CLUSTERLESS_DIR, else clusterless.toml, else clusterless in the user's cache directory)")
	root.PersistentFlags().StringVar(&f.engine, "engine", "", `engine: a URL, or a profile of clusterless.toml (default: CLUSTERLESS_ENGINE, else clusterless.toml, else "local:")`)
	if err := root.MarkPersistentFlagDirname("dir"); err != nil {
		panic(err)
	}
	root.AddCommand(f.jobs(), f.status(), f.logs(), f.stats(), f.files(), f.cancel(), f.rm(), f.prune(), f.doctor(), f.azure(), emulatorCommand(), f.prices(), vetCommand(), version())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misused(cmd, err) })
	for _, c := range root.Commands() {
		explain(c)
	}
	return root
}

// misused is the error of a command line that the command does not understand.
func misused(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// explain makes a command, and those below it, say what is wrong with their arguments. By itself a command of commands takes any
// for a wish for help, and succeeds.
func explain(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return misused(cmd, fmt.Errorf("want %s: %w", cmd.UseLine(), err))
			}
			return nil
		}
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.DisableFlagsInUseLine = true
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return misused(cmd, fmt.Errorf("unknown command %q for %q; there are %s", args[0], cmd.CommandPath(), strings.Join(names, ", ")))
		}
	}
	for _, c := range cmd.Commands() {
		explain(c)
	}
}

// open opens the session that a command looks through.
func (f *flags) open(ctx context.Context) (*clusterless.Session, error) {
	opts := []clusterless.Option{clusterless.Logger(progress.Log("", false))}
	if f.dir != "" {
		opts = append(opts, clusterless.Dir(f.dir))
	}
	if f.engine != "" {
		opts = append(opts, clusterless.Engine(f.engine))
	}
	return clusterless.Open(ctx, opts...)
}

// with runs a command on a session.
func (f *flags) with(run func(cmd *cobra.Command, args []string, s *clusterless.Session) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		s, err := f.open(cmd.Context())
		if err != nil {
			return err
		}
		defer func() {
			if e := s.Close(); err == nil {
				err = e
			}
		}()
		return run(cmd, args, s)
	}
}

// onJob runs a command on the job that its argument names.
func (f *flags) onJob(run func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error) func(*cobra.Command, []string) error {
	return f.with(func(cmd *cobra.Command, args []string, s *clusterless.Session) error {
		j, err := s.Look(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return run(cmd, s, j)
	})
}

// complete offers the names of jobs to the shell.
func (f *flags) complete(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	s, err := f.open(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer s.Close()
	jobs, err := s.Jobs(cmd.Context(), prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, j := range jobs {
		names = append(names, fmt.Sprintf("%s\t%s, %s", j.Name, j.Func, ago(j.Created)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			v, rev, dirty := "unknown", "", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				v = info.Main.Version
				for _, s := range info.Settings {
					switch s.Key {
					case "vcs.revision":
						rev = fmt.Sprintf(" %.12s", s.Value)
					case "vcs.modified":
						if s.Value == "true" {
							dirty = " with changes"
						}
					}
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "clusterless %s%s%s, %s, %s/%s\n", strings.Trim(v, "()"), rev, dirty, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
