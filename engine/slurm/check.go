package slurm

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Check implements engine.Checker.
func (e *Engine) Check(ctx context.Context, report func(what, found string, err error)) {
	version, err := command(ctx, "", "sbatch", "--version")
	report("commands", strings.TrimSpace(version), err)
	if err != nil {
		return
	}
	ping, err := command(ctx, "", "scontrol", "ping")
	if err == nil && !strings.Contains(ping, "is UP") {
		err = fmt.Errorf("%s: ask the cluster's administrators", strings.TrimSpace(ping))
	}
	report("slurmctld", strings.TrimSpace(ping), err)
	if err != nil {
		return
	}
	e.checkPartition(ctx, report)
	report("arrays", fmt.Sprintf("of %d elements at most", e.limits(ctx).maxArray), nil)
	if _, err := command(ctx, "", "sacct", "--noheader", "--jobs=1"); err != nil {
		report("accounting", "none: how a job ended that nobody watched is known for some minutes only", nil)
	} else {
		report("accounting", "there", nil)
	}
}

func (e *Engine) checkPartition(ctx context.Context, report func(what, found string, err error)) {
	args := []string{"--noheader", "--format=%P|%a|%l|%F|%c|%m|%G"}
	if e.c.Partition != "" {
		args = append(args, "--partition="+e.c.Partition)
	}
	out, err := command(ctx, "", "sinfo", args...)
	if err == nil && strings.TrimSpace(out) == "" {
		err = fmt.Errorf("there is none of the name %q: choose one of `sinfo -s` with the setting partition", e.c.Partition)
	}
	if err != nil {
		report("partition", "", err)
		return
	}
	found := false
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 7 || e.c.Partition == "" && !strings.HasSuffix(f[0], "*") { // the default has a star
			continue
		}
		found = true
		name, nodes := strings.TrimSuffix(f[0], "*"), strings.Split(f[3], "/") // allocated, idle, other, all
		text := fmt.Sprintf("%s: %s nodes with %s cores and %s MB", name, nodes[len(nodes)-1], f[4], f[5])
		if f[6] != "(null)" {
			text += ", " + f[6]
		}
		var err error
		switch {
		case f[1] != "up":
			err = fmt.Errorf("%s is %s: jobs will wait; choose another with the setting partition", name, f[1])
		case len(nodes) == 4 && nodes[2] == nodes[3]:
			err = fmt.Errorf("none of the %s nodes of %s is up: see `sinfo -R`", nodes[3], name)
		}
		report("partition", text, err)
		e.checkTime(name, f[2], report)
	}
	if !found {
		report("partition", "", fmt.Errorf("the cluster has no default: choose one of `sinfo -s` with the setting partition"))
	}
}

// fits refuses what no node of the partition can ever give, and Slurm would let wait without end.
func (e *Engine) fits(ctx context.Context, d *jobDir) error {
	nodes, cores := max(1, d.Resources.Nodes), max(1, d.Resources.Cores)
	if nodes == 1 && cores == 1 {
		return nil
	}
	if os.Getenv("SBATCH_PARTITION") != "" || slices.ContainsFunc(d.Placement.Flags, func(f string) bool { return strings.HasPrefix(f, "-p") || strings.HasPrefix(f, "--p") }) {
		return nil // who knows which it is
	}
	args := []string{"--noheader", "--exact", "--format=%P|%D|%c"}
	if d.Placement.Partition != "" {
		args = append(args, "--partition="+d.Placement.Partition)
	}
	out, err := command(ctx, "", "sinfo", args...)
	if err != nil {
		return nil // sbatch will say what is wrong
	}
	has := map[string]int{} // nodes with that many cores, by partition
	most := ""
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 3 || d.Placement.Partition == "" && !strings.HasSuffix(f[0], "*") {
			continue
		}
		n, err1 := strconv.Atoi(f[1])
		c, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil {
			return nil
		}
		name := strings.TrimSuffix(f[0], "*")
		if c >= cores {
			has[name] += n
		}
		if most == "" || has[name] > has[most] {
			most = name
		}
	}
	if most == "" || has[most] >= nodes {
		return nil
	}
	return fmt.Errorf("the partition %s has only %d nodes with %d cores or more, and %d are asked for: see `sinfo -N -o '%%N %%P %%c'`, and the setting partition: %w",
		most, has[most], cores, nodes, engine.ErrCannotRun)
}

// checkTime compares the time limit that is asked for with the partition's.
func (e *Engine) checkTime(partition, limit string, report func(what, found string, err error)) {
	most, bounded := parseLimit(limit)
	asked := e.c.Time
	switch {
	case asked == 0:
		report("time", fmt.Sprintf("%s allows %s; none is asked for, so tasks get its default", partition, limit), nil)
	case bounded && asked > most:
		report("time", "", fmt.Errorf("%v is asked for, and %s allows %s: jobs would wait for ever; change the setting time", asked, partition, limit))
	default:
		report("time", fmt.Sprintf("%v for each task; %s allows %s", asked, partition, limit), nil)
	}
}

// parseLimit reads days-hours:minutes:seconds, of which the first may be missing.
func parseLimit(s string) (time.Duration, bool) {
	days, rest, hasDays := strings.Cut(s, "-")
	if !hasDays {
		days, rest = "0", s
	}
	var d time.Duration
	for part := range strings.SplitSeq(rest, ":") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return 0, false
		}
		d = d*60 + time.Duration(n)*time.Second
	}
	n, err := strconv.Atoi(days)
	return d + time.Duration(n)*24*time.Hour, err == nil
}
