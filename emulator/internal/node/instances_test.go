//go:build linux

package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// cluster is nodes that see their trees at one place, when root.
func cluster(t *testing.T, count int, change func(i int, c *node.Config)) (nodes []*node.Node) {
	t.Helper()
	at := ""
	for i := range count {
		c := config(t)
		if i == 0 {
			at = c.MountPoint
		}
		c.MountPoint, c.Address = at, node.LoopbackAddress(i)
		if change != nil {
			change(i, &c)
		}
		nodes = append(nodes, open(t, c))
	}
	return nodes
}

// subtasks collects reports.
type subtasks struct {
	mu      sync.Mutex
	running map[int]int
	over    map[int]node.Subtask
}

func (s *subtasks) report(r node.Subtask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Running {
		s.running[r.ID]++
	} else {
		s.over[r.ID] = r
	}
}

func newSubtasks() *subtasks {
	return &subtasks{running: map[int]int{}, over: map[int]node.Subtask{}}
}

func TestMultiInstanceTasks(t *testing.T) {
	nodes := cluster(t, 3, nil)
	files := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	task := shell("j", "t", `echo application; cat own; ls $AZ_BATCH_TASK_SHARED_DIR/common >/dev/null && echo yes
		env | grep -e LIST= -e MASTER -e CCP -e TASK_SHARED_DIR | sort; kill -0 $(cat service)`)
	task.ResourceFiles = []node.ResourceFile{{HTTPURL: files + "/own", FilePath: "own"}}
	started := 0
	task.OnRunning = func(time.Time) { started++ }
	m := node.MultiInstance{
		CoordinationCommandLine: `/bin/sh -c 'echo coordination $AZ_BATCH_IS_CURRENT_NODE_MASTER; cat $AZ_BATCH_TASK_SHARED_DIR/common; ls
			setsid sleep 1000 >/dev/null 2>&1 & echo $! >service'`,
		CommonResourceFiles: []node.ResourceFile{{HTTPURL: files + "/common", FilePath: "common"}},
		Cores:               4,
	}
	s := newSubtasks()
	r := node.RunInstances(t.Context(), nodes, task, m, s.report)
	dir := "workitems/j/job-1/t/"
	got, errs := output(t, nodes[0], task)
	if r.Failure != nil || !r.Process || started != 1 {
		t.Fatalf("got %+v, %v, started %d\n%s%s", r, r.Failure, started, got, errs)
	}
	hosts := "127.64.0.1 127.64.0.2 127.64.0.3"
	shared := nodes[0].RootDir() + "/workitems/j/job-1/t"
	want := "coordination true\n/commonown\napplication\n/ownyes\n" +
		"AZ_BATCH_HOST_LIST=" + strings.ReplaceAll(hosts, " ", ",") + "\nAZ_BATCH_IS_CURRENT_NODE_MASTER=true\nAZ_BATCH_MASTER_NODE=127.64.0.1:6000\n" +
		"AZ_BATCH_NODE_LIST=" + strings.ReplaceAll(hosts, " ", ";") + "\nAZ_BATCH_TASK_SHARED_DIR=" + shared + "\nCCP_NODES=3 127.64.0.1 4 127.64.0.2 4 127.64.0.3 4\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	services := []int{pid(t, nodes[0], dir+"wd/service")}
	for i := 1; i < 3; i++ {
		over := s.over[i]
		if s.running[i] != 1 || over.Node != nodes[i].ID() || over.Dir != fmt.Sprintf("workitems/j/job-1/t/%d", i) || over.Result.Failure != nil || !over.Result.Process {
			t.Errorf("subtask %d: %d, %+v, %v", i, s.running[i], over, over.Result.Failure)
		}
		if got := read(t, nodes[i], over.Dir+"/stdout.txt"); got != "coordination false\n/common" {
			t.Errorf("subtask %d: got %q", i, got)
		}
		services = append(services, pid(t, nodes[i], over.Dir+"/wd/service"))
		if asRoot && nodes[i].RootDir() != nodes[0].RootDir() {
			t.Error("the shared directory has another path on another node")
		}
	}
	for i, p := range services {
		if alive(p) {
			t.Errorf("what the coordination command started on node %d lives", i)
		}
	}
}

func TestMultiInstanceTasksThatFail(t *testing.T) {
	nodes := cluster(t, 3, nil)
	const onSecond = `test $AZ_BATCH_NODE_ID != ` // of the node
	for _, c := range []struct {
		name, coordination, application string
		limit                           time.Duration
		code                            string
		exit                            int
		retriable                       bool
		subtask                         string // code of the second
	}{
		{"application", "true", "exit 4", 0, node.FailureExitCode, 4, true, ""},
		{"no application", "true", "NOT-FOUND", 0, node.CommandProgramNotFound, 0, false, ""},
		{"coordination of a subtask", onSecond + nodes[1].ID() + " || { sleep 1; exit 6; }; exec sleep 1000", "true", 0, node.FailureExitCode, 137, true, node.FailureExitCode}, // the primary's has begun by then
		{"coordination of the primary", onSecond + nodes[0].ID() + " || exit 6; exec sleep 1000", "true", 0, node.FailureExitCode, 6, true, node.TaskEnded},
		{"no end of coordination", "exec sleep 1000", "true", time.Second, node.TaskEnded, 137, false, node.TaskEnded},
		{"no end of the application", "true", "exec sleep 1000", time.Second, node.TaskEnded, 137, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := shell("j", "t", c.application)
			if c.application == "NOT-FOUND" {
				task.CommandLine = "no-such-program"
			}
			task.MaxWallClock = c.limit
			s := newSubtasks()
			r := node.RunInstances(t.Context(), nodes, task, node.MultiInstance{CoordinationCommandLine: "/bin/sh -c '" + c.coordination + "'"}, s.report)
			if code(r) != c.code || r.ExitCode != c.exit || r.Retriable != c.retriable || r.Lost {
				t.Errorf("got %+v, %v", r, r.Failure)
			}
			if got := code(s.over[1].Result); got != c.subtask || s.over[1].Result.Lost {
				t.Errorf("subtask 1: got %+v, %v", s.over[1].Result, s.over[1].Result.Failure)
			}
			if c.name == "coordination of a subtask" && !strings.Contains(r.Failure.Error(), nodes[1].ID()) {
				t.Errorf("the failure does not say where: %v", r.Failure)
			}
		})
	}
}

func TestANodeOfAMultiInstanceTaskIsLost(t *testing.T) {
	nodes := cluster(t, 2, nil)
	m := node.MultiInstance{CoordinationCommandLine: "/bin/sh -c 'echo $PPID >keeper'"}
	endless := shell("j", "t", "touch runs; exec sleep 1000")
	for _, c := range []struct {
		name string
		do   func(cancel context.CancelCauseFunc)
		lost bool
		code string
	}{
		{"terminated", func(cancel context.CancelCauseFunc) { cancel(node.ErrTerminated) }, false, node.TaskEnded},
		{"requeued", func(cancel context.CancelCauseFunc) { cancel(errors.New("requeue")) }, true, ""},
		{"a subtask's process killed", func(context.CancelCauseFunc) {
			if err := syscall.Kill(pid(t, nodes[1], "workitems/j/job-1/t/1/wd/keeper"), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}, false, "Unknown"},
		{"a node reboots", func(context.CancelCauseFunc) {
			if err := nodes[1].Reboot(); err != nil {
				t.Error(err)
			}
		}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range nodes {
				removed(t)(n.RemoveJob("j"))
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan node.Result, 1)
			s := newSubtasks()
			go func() { done <- node.RunInstances(ctx, nodes, endless, m, s.report) }()
			wait(t, "the application", func() bool {
				tree, err := nodes[0].TaskFiles("j", "t")
				if err != nil {
					return false
				}
				defer tree.Close()
				_, err = tree.Stat("wd/runs")
				return err == nil
			})
			c.do(cancel)
			select {
			case r := <-done:
				if r.Lost != c.lost || code(r) != c.code || r.Retriable {
					t.Errorf("got %+v, %v", r, r.Failure)
				}
			case <-time.After(longEnough):
				t.Fatal("the task does not end")
			}
		})
	}
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	if r := node.RunInstances(t.Context(), nodes, endless, m, nil); !r.Lost {
		t.Errorf("with a node that is off: got %+v", r)
	}
}
