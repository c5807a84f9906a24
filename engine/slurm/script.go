package slurm

import (
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

//go:embed agent.sh
var agent string

// script is what sbatch is given for the elements of an array: those of the runs first to first+count-1 of a sub.
func (d *jobDir) script(c *Config, sub, first, count int) string {
	p := &d.Placement
	pack := c.Pack
	switch {
	case d.Isolated || pack < 0:
		pack = 0
	case pack == 0:
		pack = DefaultPack
	}
	if p.Time > 0 { // a run that begins has most of the time limit before it
		pack = min(pack, p.Time/4)
	}
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, quote(value)) }
	b.WriteString("#!/bin/bash\n# clusterless, job " + d.ID + "\n")
	line("root", c.Dir)
	line("dir", d.path)
	line("sub", strconv.Itoa(sub))
	line("base", strconv.Itoa(first))
	line("count", strconv.Itoa(count))
	line("pack", strconv.Itoa(int(pack/time.Second)))
	line("most", strconv.Itoa(int(p.Time/2/time.Second)))
	limit := ""
	if d.Timeout > 0 {
		limit = strconv.FormatFloat(d.Timeout.Seconds(), 'f', 3, 64)
	}
	line("limit", limit)
	line("wd", d.WorkDir)
	line("nodes", strconv.Itoa(max(1, d.Resources.Nodes)))
	if c.Scratch != "" {
		line("tmp", c.Scratch)
	} else {
		b.WriteString("tmp=${TMPDIR:-/tmp}\n[ -d \"$tmp\" ] || tmp=/tmp\n")
	}
	b.WriteString("cmd=(")
	for i, arg := range d.Command {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(arg))
	}
	b.WriteString(")\nenviron() {\n")
	b.WriteString("  export CLUSTERLESS_JOB=" + quote(d.ID) + "\n")
	export := func(name, value string) { b.WriteString("  export " + name + "=" + quote(value) + "\n") }
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == "" && name != "" {
			export(name, value) // or the run would see what the agent has under that name
		}
	}
	for _, v := range d.Env {
		name, value, _ := strings.Cut(v, "=")
		export(name, value)
	}
	b.WriteString("}\n")
	b.WriteString(agent)
	return b.String()
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
