// Bench measures clusterless beside other systems on the same work, and beside what the machine can do at best, in one
// run: make bench. Every measurement is a process of its own; those that are compared alternate for several rounds, and
// the table has medians over rounds of ratios within a round, since machines are noisy.
//
// With -o it writes the table into a page of the documentation.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/clusterless-go/clusterless"
)

func main() {
	clusterless.Init()
	if len(os.Args) == 3 && os.Args[1] == "-floor" {
		floorChild(os.Args[2])
		return
	}
	peers := flag.String("peers", "", "directory with run.sh, which runs the other systems; without it only the limits are measured")
	rounds := flag.Int("rounds", 3, "rounds")
	run := flag.String("run", "", "only rows whose name matches this regular expression")
	out := flag.String("o", "", "page to write the table to")
	one := flag.String("one", "", "make one measurement in this process and print it (for the bench itself, and for profilers)")
	profile := flag.String("cpuprofile", "", "with -one: write a profile of this process, the client")
	flag.Parse()
	clusterless.Main(func(ctx context.Context) error {
		if *one != "" {
			return measureOne(ctx, *one, *profile)
		}
		match, err := regexp.Compile(*run)
		if err != nil {
			return err
		}
		b := &bench{rounds: *rounds, match: match}
		if *peers != "" {
			b.findPeers(*peers)
		}
		b.rows(ctx)
		text := b.table()
		fmt.Print("\n", text)
		if *out != "" {
			return os.WriteFile(*out, []byte(page(text, *rounds)), 0o666)
		}
		return nil
	})
}

// sample is what one measurement gives: figures by name.
type sample map[string]float64

// measureOne makes one of our measurements and prints it as JSON.
func measureOne(ctx context.Context, name, profile string) error {
	m, ok := measurements[name]
	if !ok {
		return fmt.Errorf("no measurement %q", name)
	}
	dir, err := os.MkdirTemp("", "clusterless-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stop, err := profileTo(profile)
	if err != nil {
		return err
	}
	s, err := m(ctx, filepath.Join(dir, "d"))
	stop()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s["peak_mb"] = peakMemory()
	return json.NewEncoder(os.Stdout).Encode(s)
}
