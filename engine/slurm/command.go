package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// commandTime is how long a command of Slurm may take. They wait for slurmctld for about half a minute themselves.
const commandTime = time.Minute

// A commandError is a command of Slurm that failed.
type commandError struct {
	name string
	said string // on stderr, without the command's own prefix
	err  error
}

func (c *commandError) Error() string {
	if c.said != "" {
		return c.name + ": " + c.said
	}
	return c.name + ": " + c.err.Error()
}

func (c *commandError) Unwrap() error { return c.err }

// command runs a command of Slurm and returns what it printed.
func command(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = environment(os.Environ())
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%w: run this on a login node of the cluster, or load the module that has Slurm's commands", err)
	}
	var lines []string
	for line := range strings.Lines(said.String()) {
		line = strings.TrimSpace(line)
		for _, p := range []string{name + ": ", "error: ", "fatal: "} {
			line = strings.TrimPrefix(line, p)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return out.String(), &commandError{name, strings.Join(lines, "; "), err}
}

// environment is what Slurm's commands get, and sbatch hands on to the elements: that of this process, without the worker's
// contract, and without what an allocation has set that this process itself runs in, which sbatch would take for options.
func environment(environ []string) []string {
	env := []string{"SLURM_BITSTR_LEN=0"} // squeue writes all indices of an array
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "CLUSTERLESS_"):
		case name == "SBATCH_WAIT", name == "SBATCH_CLUSTERS", strings.HasPrefix(name, "SQUEUE_"), strings.HasPrefix(name, "SINFO_"),
			strings.HasPrefix(name, "SCANCEL_"), strings.HasPrefix(name, "SACCT_"): // options too
		case strings.HasPrefix(name, "SLURM_") && name != "SLURM_CONF" && name != "SLURM_CLUSTERS" && name != "SLURM_CONF_SERVER" && name != "SLURM_JWT":
		case strings.HasPrefix(name, "BASH_FUNC_"): // module systems define functions; the agent has no use for them
		default:
			env = append(env, v)
		}
	}
	return env
}

// says reports whether a command failed with one of these texts.
func says(err error, texts ...string) bool {
	var c *commandError
	if !errors.As(err, &c) {
		return false
	}
	for _, t := range texts {
		if strings.Contains(strings.ToLower(c.said), strings.ToLower(t)) {
			return true
		}
	}
	return false
}

// limited reports that sbatch was refused since the user, or the cluster, has too many jobs in the queue: those of
// slurm_errno.c that pass when jobs end.
func limited(err error) bool {
	return says(err, "job submit limit", "MaxSubmitJob", "Slurm temporarily unable to accept job", "Resource temporarily unavailable", "MaxJobCount", noArrays)
}

// noArrays is said to an array that is too large, and to any where there are none.
const noArrays = "Invalid job array specification"

// passing reports that Slurm did not answer, and may do so later.
func passing(err error) bool {
	var c *commandError
	return errors.As(err, &c) && (c.said == "" && !errors.Is(err, exec.ErrNotFound) || errors.Is(err, context.DeadlineExceeded) ||
		says(err, "Unable to contact slurm controller", "socket", "connect", "communication", "timed out", "Zero Bytes were transmitted",
			"standby mode", "Unexpected message received", "munge", "Protocol authentication error"))
}

// refused makes the error of an sbatch that no waiting will mend.
func refused(err error, args []string) error {
	hint := ""
	switch {
	case says(err, noArrays):
		hint = ": the cluster takes no job arrays (MaxArraySize in slurm.conf): ask its administrators"
	case says(err, "partition"):
		hint = ": choose one of `sinfo -s` with the setting partition"
	case says(err, "account"):
		hint = ": choose one of `sacctmgr show assoc user=$USER` with the setting account"
	case says(err, "qos"):
		hint = ": choose one with the setting qos"
	case says(err, "Node count"):
		hint = ": the partition does not have, or not allow, that many nodes: see `sinfo -s`"
	case says(err, "node configuration", "Memory", "More processors"):
		hint = ": no node of the partition has that much: see `sinfo -N -o '%N %c %m %G %f'`"
	case says(err, "Invalid generic resource", "gres"):
		hint = ": the cluster has no such GPUs: see `sinfo -o '%N %G'`, and the setting gres"
	case says(err, "time limit"):
		hint = ": ask for less with the setting time"
	}
	return fmt.Errorf("%w%s (sbatch %s): %w", err, hint, strings.Join(args, " "), engine.ErrCannotRun)
}
