package task_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/internal/sites"
	"github.com/clusterless-go/clusterless/task"
)

// Outlast has calls on two nodes, until the test has taken away the one that the function does not run on.
var Outlast = clusterless.Define("outlast", func(ctx context.Context, path string) ([]int, error) {
	return task.Map(ctx, Slow, slices.Repeat([]string{path}, 4))
})

func TestSites(t *testing.T) {
	sites.Each(t, func(t *testing.T, site *sites.Site) {
		t.Run("nodes and cores", func(t *testing.T) {
			dir := filepath.Join(site.Dir, "meeting")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o777); err != nil { // calls run as several users
				t.Fatal(err)
			}
			seats, err := Places.On(site.Open(t), clusterless.Nodes(3), clusterless.Cores(2)).Call(t.Context(), Meeting{dir, 6})
			if err != nil {
				t.Fatal(err)
			}
			used := map[string]map[int]bool{}
			for _, s := range seats {
				if used[s.Node] == nil {
					used[s.Node] = map[int]bool{}
				}
				used[s.Node][s.PID] = true
			}
			for node, pids := range used {
				if len(used) != 3 || len(pids) != 2 {
					t.Errorf("%d nodes, and %d processes on %s, want 3 with 2 each", len(used), len(pids), node)
				}
			}
		})
		t.Run("refs", func(t *testing.T) {
			s := site.Open(t)
			values := make([]float64, 100_000)
			for i := range values {
				values[i] = float64(i) / 2
			}
			ref, err := clusterless.Broadcast(t.Context(), s, values)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Lookups.On(s, clusterless.Nodes(2), clusterless.Cores(1)).Call(t.Context(), Table{ref, 100})
			if err != nil || !slices.Equal(got, values[:100]) {
				t.Errorf("%v, %v", got, err)
			}
		})
		t.Run("several calls", func(t *testing.T) { // of one worker, whose agents stay
			job, err := Squares.On(site.Open(t), clusterless.Nodes(2), clusterless.Cores(1), clusterless.Span(3)).Map(t.Context(), []int{3, 2, 1})
			if err != nil {
				t.Fatal(err)
			}
			got, err := job.Results(t.Context())
			if err != nil || !slices.EqualFunc(got, [][]int{{0, 1, 4}, {0, 1}, {0}}, slices.Equal) {
				t.Errorf("%v, %v", got, err)
			}
		})
		t.Run("node lost", func(t *testing.T) {
			path := filepath.Join(site.Dir, "go-on")
			if err := os.WriteFile(path+".begun", nil, 0o666); err != nil { // for calls that run as several users
				t.Fatal(err)
			}
			if err := os.Chmod(path+".begun", 0o666); err != nil {
				t.Fatal(err)
			}
			job, err := Outlast.On(site.Open(t), clusterless.Nodes(2), clusterless.Cores(1)).Map(t.Context(), []string{path})
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				b, _ := os.ReadFile(path + ".begun")
				nodes := strings.Fields(string(b))
				slices.Sort(nodes)
				if nodes = slices.Compact(nodes); len(nodes) == 2 {
					site.Lose(t, nodes[1])
					break
				}
				if time.Now().After(end) {
					t.Fatalf("calls have begun on %q, want two nodes", nodes)
				}
			}
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			got, err := job.Results(t.Context())
			if err != nil || len(got) != 1 || len(got[0]) != 4 {
				t.Errorf("%v, %v: want the calls of the lost node made elsewhere", got, err)
			}
			site.Empty(t)
		})
	})
}
