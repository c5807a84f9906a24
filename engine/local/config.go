// Package local is the engine of this machine: runs are processes of their own process group, on slots that are
// cores. It is the embedded default.
//
// # What a process gets
//
// Its environment is that of the client without the variables of the worker's contract, then those of the
// contract, then Job.Env, the later wins. Its input is /dev/null; its output goes straight to a file, so that
// nothing it prints can block it. A resident process has the control socket as descriptor 3. Its working
// directory is the client's.
//
// # Order
//
// Of the queued runs the next to start is of the job with the highest priority; among equals, of the job that has
// the fewest cores busy; among those, of the one that has waited longest since it last started a run (or since
// its first run was queued); within a job, in the order of submission. If that run does not fit yet, the cores and
// memory it lacks are kept for it: another run may pass only if it takes none of what the first one waits for, so
// big runs do not starve behind small ones.
//
// # Ends
//
// Cancel, Delete, Close and the memory limit kill with SIGKILL at once. A timeout first asks: a resident process
// by SIGQUIT, upon which a Go program prints its goroutines to its log, any other by SIGTERM to its group; one
// second later it is killed. Killed is the process, its process group, and on Linux all descendants, also those
// that left the group: found by their parents while the process lives, and by the marker in their environment
// (contract.EnvProcess) afterwards. What escapes is a descendant that outlives its parent, has left the group and
// has cleared its environment. This process is not made a subreaper: that would change how the user's own
// children behave.
//
// On Linux the kernel kills the processes when the client dies (PDEATHSIG); everywhere, resident workers end when
// their control socket closes, and whoever opens the same directory next kills what is left.
//
// # State
//
// Everything is below Config.Dir and shared by all clients that use it:
//
//	jobs/<id>.journal   what was submitted, started and ended; JSON lines; see journal.go
//	jobs/<id>.logs/     links to the logs of the processes that made runs of the job and printed something
//	logs/               the log of each living process
//	owners/<id>.lock    locked while the client lives that owns jobs; names its processes and unfinished jobs
//	owners/<id>.mail    what other clients ask of it: cancel, delete, run
//	scratch/            a directory for each process, removed when it ends
//	cache/              left to the workers
package local

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/spelling"
)

// DefaultLogLimit is how much of a run's output is kept, unless Config.LogLimit says otherwise.
const DefaultLogLimit = 64 << 20

// Config says how to make an engine. Only Dir is needed.
type Config struct {
	Dir    string // holds all state; made if missing; on a local file system
	Slots  int    // cores to hand out; 0: all of the machine
	Memory int64  // bytes to hand out to runs that ask for memory; 0: all of the machine
	// LogLimit is how many bytes of output of one run are kept: its beginning and its newest part, with a line
	// between them that says how much was cut. 0: DefaultLogLimit.
	LogLimit int64
	Logger   *slog.Logger // nil is silence
}

func init() {
	engine.Register("local", func(_ context.Context, u *url.URL, c engine.Config) (engine.Engine, error) {
		config, err := parse(u)
		if err != nil {
			return nil, err
		}
		config.Dir, config.Logger = c.Dir, c.Logger
		return New(config)
	})
}

// parse reads local:?slots=4&memory=8G&loglimit=64M.
func parse(u *url.URL) (Config, error) {
	var c Config
	if u.Opaque != "" || u.Host != "" || u.Path != "" {
		return c, fmt.Errorf("local: %s: want local: or local:?slots=N&memory=SIZE&loglimit=SIZE", u)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("local: %s: %w", u, err)
	}
	for name, values := range q {
		value := values[len(values)-1]
		var err error
		switch name {
		case "slots":
			if c.Slots, err = strconv.Atoi(value); err != nil || c.Slots < 1 {
				err = fmt.Errorf("want a whole number of at least 1")
			}
		case "memory":
			c.Memory, err = size(value)
		case "loglimit":
			c.LogLimit, err = size(value)
		default:
			err = fmt.Errorf("no such setting%s; there are slots, memory, loglimit", spelling.Hint(name, []string{"slots", "memory", "loglimit"}))
		}
		if err != nil {
			return c, fmt.Errorf("local: %s: %s=%s: %w", u, name, value, err)
		}
	}
	return c, nil
}

// size reads a number of bytes, with K, M, G or T for powers of 1024.
func size(s string) (int64, error) {
	number, shift := s, 0
	if i := strings.IndexAny(s, "KMGT"); i >= 0 && i == len(s)-1 {
		number, shift = s[:i], 10*(1+strings.IndexByte("KMGT", s[i]))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("want a size such as 512M or 8G")
	}
	return n << shift, nil
}

// inBytes writes an amount of memory or disk for people.
func inBytes(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
