package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
)

// ago writes how long ago something was.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "never"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// state is one word, or a few, for what a job is at.
func state(st clusterless.JobStatus) string {
	switch {
	case errors.Is(st.Err, clusterless.ErrBudget):
		return "stopped at its budget"
	case errors.Is(st.Err, clusterless.ErrCancelled):
		return "cancelled"
	case errors.Is(st.Err, clusterless.ErrCut):
		return "cut off"
	case st.Err != nil:
		return "broken"
	case st.Total >= 0 && st.Done >= st.Total && st.Failed > 0:
		return "done, with failures"
	case st.Total >= 0 && st.Done >= st.Total:
		return "done"
	}
	return notDone
}

// notDone is the state of a job that still has calls to make.
const notDone = "not done"

// activity is what the engine does with a job that is not done, as far as it can tell.
func activity(ctx context.Context, j *clusterless.AnyJob) string {
	text, err := j.Activity(ctx)
	if err != nil {
		return "not known: " + err.Error()
	}
	return text
}

// calls is how many calls are done, of how many.
func calls(st clusterless.JobStatus) string {
	if st.Total < 0 {
		return fmt.Sprintf("%d/%d+", st.Done, st.Sent)
	}
	return fmt.Sprintf("%d/%d", st.Done, st.Total)
}

func (f *flags) jobs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "jobs [PREFIX]",
		Short:             "List jobs",
		Long:              "List the jobs whose name begins with PREFIX, or all.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.with(func(cmd *cobra.Command, args []string, s *clusterless.Session) error {
			prefix := ""
			if len(args) > 0 {
				prefix = args[0]
			}
			all, err := s.Jobs(cmd.Context(), prefix)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "no jobs in %s\n", s.Store())
				return nil
			}
			slices.SortStableFunc(all, func(a, b clusterless.JobInfo) int { return a.Created.Compare(b.Created) })
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			if len(all) > 0 && !asJSON {
				fmt.Fprintln(w, "JOB\tFUNCTION\tCALLS\tFAILED\tSTATE\tCREATED\tBY")
			}
			for _, info := range all {
				j, err := s.Look(cmd.Context(), info.Name)
				if errors.Is(err, clusterless.ErrNoJob) {
					continue // deleted meanwhile
				}
				if asJSON {
					if err := jobJSON(cmd.Context(), cmd.OutOrStdout(), info, j, err); err != nil {
						return err
					}
					continue
				}
				if err != nil {
					fmt.Fprintf(w, "%s\t%s\t\t\t%v\t%s\t%s\n", info.Name, info.Func, err, ago(info.Created), info.By)
					continue
				}
				st := j.Status()
				is := state(st)
				if text := activity(cmd.Context(), j); text != "" {
					is += ": " + text[:strings.IndexAny(text+":", ":;")] // without its explanation
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", info.Name, info.Func, calls(st), st.Failed, is, ago(info.Created), info.By)
			}
			return w.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func (f *flags) status() *cobra.Command {
	var asJSON, full bool
	cmd := &cobra.Command{
		Use:               "status JOB",
		Short:             "Say how far a job is, and what failed",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.onJob(func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error {
			if asJSON {
				return jobJSON(cmd.Context(), cmd.OutOrStdout(), j.Info(), j, nil)
			}
			info, st := j.Info(), j.Status()
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "job       %s\nfunction  %s\nstate     %s\ncalls     %s done, %d failed, %d retries\n", j.Name(), info.Func, state(st), calls(st), st.Failed, st.Retries)
			fmt.Fprintf(w, "created   %s (%s) by %s\n", info.Created.Local().Format(time.DateTime), ago(info.Created), info.By)
			if text := activity(cmd.Context(), j); text != "" {
				fmt.Fprintf(w, "engine    %s\n", text)
			}
			if !st.Last.IsZero() && st.Done > 0 {
				fmt.Fprintf(w, "last      %s (%s)\n", st.Last.Local().Format(time.DateTime), ago(st.Last))
			}
			switch cost, err := j.Cost(cmd.Context()); {
			case err != nil:
				fmt.Fprintf(w, "cost      not known: %v\n", err)
			case cost.Unknown != "":
				fmt.Fprintf(w, "cost      %v: %s\n", cost, cost.Unknown)
			case cost != clusterless.Cost{}:
				fmt.Fprintf(w, "cost      %v\n", cost)
			}
			if info.Temporary {
				fmt.Fprintln(w, "goes with its session")
			}
			if st.Err != nil {
				fmt.Fprintf(w, "error     %v\n", st.Err)
			}
			failed, err := j.Failed(cmd.Context())
			if err != nil {
				return err
			}
			const show = 10
			for i, call := range slices.Sorted(maps.Keys(failed)) {
				if i == show && !full {
					fmt.Fprintf(w, "and %d more failed calls (--full shows all)\n", len(failed)-show)
					break
				}
				var te *clusterless.TaskError
				if errors.As(failed[call], &te) && full {
					fmt.Fprint(w, te.Detail())
				} else {
					fmt.Fprintln(w, failed[call])
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	cmd.Flags().BoolVar(&full, "full", false, "all failed calls, with stacks and the end of their output")
	return cmd
}

func (f *flags) stats() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "stats JOB",
		Short:             "Show times of calls, use of nodes and costs",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.onJob(func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error {
			st, err := j.Stats(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return statsJSON(cmd.OutOrStdout(), st)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), st.String())
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object; times in seconds, costs in USD")
	return cmd
}

func (f *flags) files() *cobra.Command {
	var out string
	var list, asJSON bool
	cmd := &cobra.Command{
		Use:   "files JOB (--out DIR | --list)",
		Short: "Fetch the files that calls returned",
		Long: "Fetch the files that calls returned: into DIR, in a directory for each call, named by its number.\n" +
			"With --list write a line for each file: the number of the call, the name and the size in bytes, with tabs between them.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.onJob(func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error {
			if (out == "") == !list {
				return errors.New("files: want --out DIR, or --list")
			}
			if asJSON && !list {
				return errors.New("files: --json is for --list")
			}
			return f.fetch(cmd.Context(), cmd.OutOrStdout(), j, out, list, asJSON)
		}),
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "directory to write to")
	cmd.Flags().BoolVarP(&list, "list", "l", false, "only list them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --list: one JSON object a line")
	return cmd
}

func (f *flags) fetch(ctx context.Context, w io.Writer, j *clusterless.AnyJob, out string, list, asJSON bool) error {
	st := j.Status()
	var n, waiting int
	var bytes int64
	for call := range max(st.Total, st.Sent) {
		files, err := j.Files(ctx, call)
		if errors.Is(err, clusterless.ErrNotReady) {
			waiting++
			continue
		}
		if err != nil && ctx.Err() == nil {
			continue // the call has none: cancelled or lost
		}
		if err != nil {
			return err
		}
		for _, file := range files {
			n++
			bytes += file.Size
			if asJSON {
				if err := fileJSON(w, call, file.Name, file.Size); err != nil {
					return err
				}
				continue
			}
			if list {
				fmt.Fprintf(w, "%d\t%s\t%d\n", call, file.Name, file.Size)
				continue
			}
			if _, err := file.Save(ctx, fmt.Sprintf("%s/%d", out, call)); err != nil {
				return err
			}
		}
	}
	if !list {
		fmt.Fprintf(w, "%d files, %s", n, size(bytes))
		if waiting > 0 {
			fmt.Fprintf(w, "; %d calls have not ended", waiting)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// size writes a number of bytes for people.
func size(n int64) string {
	f := float64(n)
	for _, unit := range []string{"bytes", "KiB", "MiB", "GiB"} {
		if f < 1024 {
			if unit == "bytes" {
				return fmt.Sprintf("%d bytes", n)
			}
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		f /= 1024
	}
	return fmt.Sprintf("%.1f TiB", f)
}
