package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/engine"
)

func (f *flags) logs() *cobra.Command {
	var call int
	var follow bool
	var grep string
	cmd := &cobra.Command{
		Use:   "logs JOB [CALL]",
		Short: "Print what calls wrote to stdout and stderr",
		Long: "Print what calls wrote to stdout and stderr: all tasks of the job, each line with the number of its task in front\n" +
			"(and after a slash the attempt, from the second on); or only that of the task that made one call, by the number\n" +
			"of the call as errors name it, from 0. Calls of one task share its output.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: f.complete,
		RunE: f.onJob(func(cmd *cobra.Command, s *clusterless.Session, j *clusterless.AnyJob) error {
			var match *regexp.Regexp
			if grep != "" {
				var err error
				if match, err = regexp.Compile(grep); err != nil {
					return fmt.Errorf("logs: --grep: %w", err)
				}
			}
			args := cmd.Flags().Args()
			if len(args) == 2 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 0 {
					return fmt.Errorf("logs: CALL is the number of a call, from 0: %q is none", args[1])
				}
				call = n
			}
			if len(args) == 2 || cmd.Flags().Changed("call") {
				r, err := j.Log(cmd.Context(), call, follow)
				if err != nil {
					return err
				}
				return copyLines(cmd.OutOrStdout(), r, "", match)
			}
			if follow {
				return followAll(cmd.Context(), cmd.OutOrStdout(), j, match)
			}
			runs, err := j.Runs(cmd.Context())
			if err != nil {
				return err
			}
			for _, r := range runs {
				log, err := openRun(cmd.Context(), j, r, false)
				if err == nil && log != nil {
					err = copyLines(cmd.OutOrStdout(), log, number(r), match)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().IntVar(&call, "call", 0, "the same as CALL")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more until the tasks have ended")
	cmd.Flags().StringVar(&grep, "grep", "", "only lines that match this regular expression")
	return cmd
}

// lookEvery is the time between two looks at a job whose logs are followed.
const lookEvery = 300 * time.Millisecond

// followAll copies the logs of all runs as they are written, line by line, until the job is over.
func followAll(ctx context.Context, w io.Writer, j *clusterless.AnyJob, match *regexp.Regexp) error {
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
		seen = map[clusterless.Run]bool{}
	)
	defer wg.Wait()
	for {
		runs, err := j.Runs(ctx)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if seen[r] {
				continue
			}
			log, err := openRun(ctx, j, r, true)
			if err != nil {
				return err
			}
			if log == nil {
				continue
			}
			seen[r] = true
			wg.Go(func() {
				if err := copyLines(&oneAtATime{&mu, w}, log, number(r), match); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
		if s := state(j.Status()); s != notDone {
			break
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil
		}
		if err := j.Refresh(ctx); err != nil {
			return err
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// oneAtATime is a writer for several goroutines.
type oneAtATime struct {
	mu *sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// openRun opens the log of a run; nil if no engine here has begun it, or nothing is left of it.
func openRun(ctx context.Context, j *clusterless.AnyJob, r clusterless.Run, follow bool) (io.ReadCloser, error) {
	log, err := j.RunLog(ctx, r, follow)
	if errors.Is(err, engine.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return log, err
}

// number stands before the lines of a run.
func number(r clusterless.Run) string {
	if r.Attempt > 1 {
		return fmt.Sprintf("%d/%d: ", r.Task, r.Attempt)
	}
	return fmt.Sprintf("%d: ", r.Task)
}

// copyLines copies the lines that match, with a text before each, and closes r.
func copyLines(w io.Writer, r io.ReadCloser, before string, match *regexp.Regexp) error {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && (match == nil || match.MatchString(line)) {
			if line[len(line)-1] != '\n' {
				line += "\n"
			}
			if _, err := io.WriteString(w, before+line); err != nil {
				return err
			}
		}
		if err == io.EOF || errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
