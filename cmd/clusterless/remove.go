package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
)

func (f *flags) cancel() *cobra.Command {
	return &cobra.Command{
		Use:               "cancel JOB",
		Short:             "End a job; its results stay",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.onJob(func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error {
			if st := j.Status(); st.Total >= 0 && st.Done >= st.Total {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s is done already\n", j.Name())
				return nil
			}
			if err := j.Cancel(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cancelled job %s\n", j.Name())
			return nil
		}),
	}
}

func (f *flags) rm() *cobra.Command {
	var byPrefix bool
	cmd := &cobra.Command{
		Use:   "rm JOB|PREFIX* ...",
		Short: "Cancel jobs and remove all they have stored",
		Long: "Cancel jobs and remove all they have stored. A name that ends in * (in quotes, or the shell takes it), or any\n" +
			"name with --prefix, stands for all jobs whose name begins so.",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: f.complete,
		RunE: f.with(func(cmd *cobra.Command, args []string, s *clusterless.Session) error {
			for _, name := range args {
				prefix, star := strings.CutSuffix(name, "*")
				if star || byPrefix {
					names, err := s.DeletePrefix(cmd.Context(), prefix)
					for _, n := range names {
						fmt.Fprintln(cmd.OutOrStdout(), "removed", n)
					}
					if err != nil {
						return err
					}
					continue
				}
				if _, err := s.Look(cmd.Context(), name); errors.Is(err, clusterless.ErrNoJob) {
					return err // a slip of the keyboard should not pass for success
				}
				if err := s.Delete(cmd.Context(), name); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "removed", name)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&byPrefix, "prefix", false, "names stand for all jobs that begin so")
	return cmd
}

func (f *flags) prune() *cobra.Command {
	var older time.Duration
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what nobody needs any more",
		Long: "Remove what is older than --older and nobody needs any more: jobs without a name whose session is dead, and values\n" +
			"and programs that no job refers to. Named jobs stay; see rm.",
		Args: cobra.NoArgs,
		RunE: f.with(func(cmd *cobra.Command, _ []string, s *clusterless.Session) error {
			p, err := s.Prune(cmd.Context(), older)
			for _, name := range p.Jobs {
				fmt.Fprintln(cmd.OutOrStdout(), "removed", name)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "removed %d jobs, %d values and %d programs (%s)\n", len(p.Jobs), p.Values, p.Programs, size(p.Bytes))
			return err
		}),
	}
	cmd.Flags().DurationVar(&older, "older", 7*24*time.Hour, "how old it must be, as 24h")
	return cmd
}
