// Package slurm is the engine of a Slurm cluster: runs are made by the elements of job arrays, on nodes that see a directory
// which the client sees too. It is driven through Slurm's own commands (sbatch, squeue, scontrol, scancel, and sacct where
// there is accounting), and registers itself under the scheme "slurm" when it is imported.
//
// # How runs are made
//
// The runs of one Submit are one or more job arrays with an element for each run. An element is a bash script, the agent: it
// claims the run of its own number by creating a file, starts the job's command for it, and writes down how it ended. If that
// took little time it claims the next run that nobody has, and goes on so for half a minute ([Config.Pack]). So a thousand
// short runs cost the start of a dozen elements, and a thousand long ones are a thousand elements. Elements that find
// nothing left end at once, and are cancelled before that by a client that watches.
//
// Claims are files created once, so however many elements there are, also after an element was requeued or a client has
// submitted a second array by mistake, a run is made by one of them.
//
// A run on several nodes is an element with as many. The agent, on the first, has srun start the job's command on the others with
// CLUSTERLESS_ROLE=agent, once for all runs of the element; see docs/worker.md, "The processes of a task".
//
// # What is true
//
// The shared directory says what was claimed and what has ended; Slurm's queue says which elements live, and why others wait.
// The queue is asked once for all jobs of the engine, every [Config.Poll], and only while something is watched. A run whose
// element has left the queue without writing down its end is settled by the element's final state, and that is written
// down for everybody. While Slurm does not answer nothing is decided.
//
// # Files
//
// Everything is below [Config.Dir]:
//
//	jobs/<id>                     what was submitted first (JSON), and the name of the directory below runs/
//	runs/<id>-<random>/sub.<n>    the n-th Submit or Cancel: a line of JSON, then a run (task.attempt) a line; created once
//	                  /arr.<n>.<first>.<count>.<array>   Slurm's number of an array, and the runs that are its elements' own;
//	                                                     if its client was killed before, an element writes it
//	                  /cancelled  n of the last Cancel: elements of earlier Submits take no further run
//	                  /full.<n>   there are fewer elements than runs: elements go on until all runs are claimed
//	                  /claim/<run>  element, number of restarts, node, time; without a node nobody is to make it
//	                  /end/<run>    one line: how it ended, value, time, node, and why, for a person
//	                  /log/<run>    its output
//	                  /agent.log    complaints of the agents themselves
//	clients/<name>                touched by a client while it lives
//	cache/programs/               executables, put there by the session
package slurm

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/spelling"
)

// Config says how to make an engine. Only Dir is needed; what is empty is left to Slurm's own defaults.
type Config struct {
	Dir     string        // seen under the same path by the client and by all nodes
	Poll    time.Duration // how often the queue is asked at most; 0: DefaultPoll
	Pack    time.Duration // an element that has worked for less takes a further run; 0: DefaultPack; negative: never
	MaxJobs int           // array elements of one Submit at most; 0: as many as runs
	Scratch string        // directory of a node for temporary files and the cache of values; default TMPDIR, else /tmp

	Placement
	Logger *slog.Logger // nil is silence
}

// Placement is where and how Slurm is to run what it is given. A job may override it; see [engine.Job.Settings].
type Placement struct {
	Partition  string
	Account    string
	QOS        string
	Constraint string        // features of nodes, as sbatch --constraint has them
	Time       time.Duration // time limit of an array element, rounded up to minutes; 0: the partition's default
	Exclude    string        // nodes to keep off
	GRES       string        // the generic resource that GPUs are; default "gpu", for example "gpu:a100"
	NoRequeue  bool          // elements that lose their node are not started again by Slurm
	Flags      []string      // further flags of sbatch, one each: --exclusive, --reservation=NAME
}

// Defaults of Config.
const (
	DefaultPoll = 10 * time.Second
	DefaultPack = 30 * time.Second
)

func init() {
	engine.Register("slurm", func(_ context.Context, u *url.URL, c engine.Config) (engine.Engine, error) {
		config, err := parse(u)
		if err != nil {
			return nil, err
		}
		config.Dir, config.Logger = cmp.Or(c.Dir, config.Dir), c.Logger
		return New(config)
	})
}

// parse reads slurm:///shared/directory?partition=cpu&time=2h.
func parse(u *url.URL) (Config, error) {
	c := Config{Dir: u.Path}
	if u.Opaque != "" || u.Host != "" {
		return c, fmt.Errorf("slurm: %s: want slurm: or slurm:///shared/directory, and settings such as ?partition=NAME&time=2h behind it", u)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("slurm: %s: %w", u, err)
	}
	for name, values := range q {
		for _, value := range values {
			if err := c.set(name, value); err != nil {
				return c, fmt.Errorf("slurm: %s: %s=%s: %w", u, name, value, err)
			}
		}
	}
	return c, nil
}

func (c *Config) set(name, value string) (err error) {
	switch name {
	case "poll":
		c.Poll, err = engine.ParseDuration(value)
	case "pack":
		if c.Pack, err = time.ParseDuration(value); err != nil {
			err = fmt.Errorf("want a time such as 30s, or 0")
		} else if c.Pack <= 0 {
			c.Pack = -1
		}
	case "maxjobs":
		if c.MaxJobs, err = strconv.Atoi(value); err != nil || c.MaxJobs < 1 {
			err = fmt.Errorf("want a whole number of at least 1")
		}
	case "scratch":
		c.Scratch = value
	default:
		var known bool
		if known, err = c.Placement.set(name, value); !known {
			names := placementNames + ", poll, pack, maxjobs, scratch"
			err = fmt.Errorf("no such setting%s; there are %s", spelling.Hint(name, strings.Split(names, ", ")), names)
		}
	}
	return err
}

const placementNames = "partition, account, qos, constraint, time, exclude, gres, requeue, flag"

func (p *Placement) set(name, value string) (known bool, err error) {
	switch name {
	case "partition":
		p.Partition = value
	case "account":
		p.Account = value
	case "qos":
		p.QOS = value
	case "constraint":
		p.Constraint = value
	case "exclude":
		p.Exclude = value
	case "gres":
		p.GRES = value
	case "time":
		p.Time, err = engine.ParseDuration(value)
	case "requeue":
		var on bool
		if on, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("want true or false")
		}
		p.NoRequeue = !on
	case "flag":
		switch {
		case !strings.HasPrefix(value, "-"):
			return true, fmt.Errorf("want a flag of sbatch, as in --exclusive or --reservation=NAME")
		case own(value):
			return true, fmt.Errorf("this flag of sbatch is the engine's own")
		}
		p.Flags = append(p.Flags[:len(p.Flags):len(p.Flags)], value)
	default:
		return false, nil
	}
	return true, err
}

// own reports whether a flag of sbatch would break what the engine does with it. For sbatch, -n4 and --ntas=4 are --ntasks=4.
func own(flag string) bool {
	if !strings.HasPrefix(flag, "--") {
		return len(flag) > 1 && strings.IndexByte("aWoeiDJNnkMx", flag[1]) >= 0
	}
	flag, _, _ = strings.Cut(flag, "=")
	return slices.ContainsFunc(ours, func(o string) bool { return strings.HasPrefix(o, flag) })
}

var ours = []string{"--array", "--parsable", "--wrap", "--wait", "--test-only", "--output", "--error", "--input", "--chdir", "--job-name", "--requeue",
	"--no-requeue", "--export", "--nodes", "--ntasks", "--no-kill", "--clusters", "--exclude"}

// placement is where the runs of a job go.
func (c *Config) placement(settings []string) (Placement, error) {
	p := c.Placement
	err := engine.ParseSettings("slurm", settings, placementNames, p.set)
	return p, err
}

// minutes is a time limit for sbatch.
func minutes(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Minute-1)/time.Minute), 10)
}
