package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

// bench is a run of the whole.
type bench struct {
	rounds  int
	match   *regexp.Regexp
	runPeer string // the script, "" if there is none
	large   bool   // what is measured now needs much memory; see touch
	lines   []line
}

// a contender is measured once a round.
type contender struct {
	name    string
	measure func(ctx context.Context) (sample, error)
}

// ours measures one of our own programs.
func ours(name string) contender {
	return contender{name, func(ctx context.Context) (sample, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, exe, "-one", name)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
		}
		s := sample{}
		return s, json.Unmarshal(out, &s)
	}}
}

// findPeers looks for the script that runs the other systems, and says which of them are missing.
func (b *bench) findPeers(dir string) {
	script, err := filepath.Abs(filepath.Join(dir, "run.sh"))
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		fmt.Printf("other systems are not measured: %v\n", err)
		return
	}
	b.runPeer = script
}

// peer measures another system: a line "NAME SCENARIO SECONDS".
func (b *bench) peer(name, scenario string) contender {
	return contender{name, func(ctx context.Context) (sample, error) {
		if b.runPeer == "" {
			return nil, errNoPeers
		}
		out, err := exec.CommandContext(ctx, "bash", b.runPeer, name, scenario).Output()
		if err != nil {
			return nil, err
		}
		f := strings.Fields(string(out))
		if len(f) < 3 {
			return nil, fmt.Errorf("%s says nothing: is it installed (scripts/setup-bench.sh)?", name)
		}
		seconds, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return nil, errors.New(strings.Join(f, " "))
		}
		return sample{"seconds": seconds}, nil
	}}
}

var errNoPeers = errors.New("the other systems are not here")

// results are the samples of a row, by contender and round.
type results map[string][]sample

// alternate measures all contenders, round by round. One that fails once is left out.
func (b *bench) alternate(ctx context.Context, row string, all ...contender) results {
	res := results{}
	failed := map[string]bool{}
	warm := ours("touch")
	for r := range b.rounds {
		for _, c := range all {
			if failed[c.name] || ctx.Err() != nil {
				continue
			}
			if b.large {
				if _, err := warm.measure(ctx); err != nil {
					fmt.Printf("touch: %v\n", err)
				}
			}
			s, err := c.measure(ctx)
			if err != nil {
				failed[c.name] = true
				if !errors.Is(err, errNoPeers) {
					fmt.Printf("%s: %s: %v\n", row, c.name, err)
				}
				delete(res, c.name)
				continue
			}
			res[c.name] = append(res[c.name], s)
			fmt.Printf("%s: round %d: %s %s\n", row, r+1, c.name, s)
		}
	}
	return res
}

func (s sample) String() string {
	var parts []string
	for k, v := range s {
		parts = append(parts, fmt.Sprintf("%s %.4g", k, v))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// median of a figure of a contender; ok is false if it was not measured.
func (r results) median(who, figure string) (float64, bool) {
	var all []float64
	for _, s := range r[who] {
		if v, ok := s[figure]; ok {
			all = append(all, v)
		}
	}
	return median(all)
}

// ratio is the median over rounds of a figure of one contender over that of another.
func (r results) ratio(a, b, figure string) (float64, bool) {
	var all []float64
	for i := range min(len(r[a]), len(r[b])) {
		if d := r[b][i][figure]; d > 0 {
			all = append(all, r[a][i][figure]/d)
		}
	}
	return median(all)
}

func median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}

// profileTo profiles this process until stop is called.
func profileTo(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
