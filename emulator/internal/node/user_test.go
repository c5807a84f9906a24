//go:build linux

package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

func TestUsersOfTasks(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: all tasks run as one user")
		return
	}
	c := config(t)
	c.Users = []node.User{{Name: "plain", UID: 1<<30 + 7, GID: 1<<30 + 8}, {Name: "chief", Admin: true}}
	n := open(t, c)
	as := func(id, script string, who node.Identity) node.Task {
		task := shell("j", id, script)
		task.User = who
		return task
	}
	task, pool := node.Identity{Scope: node.ScopeTask}, node.Identity{Scope: node.ScopePool}
	const who = `whoami; id -gn; echo $AZ_BATCH_TASK_USER $AZ_BATCH_TASK_USER_IDENTITY; test $(id -u) -ge 1073741824 && echo far`
	for _, c := range []struct {
		name string
		user node.Identity
		want string
	}{
		{"default", node.Identity{}, "_azbatch _azbatchgrp _azbatch PoolNonAdmin far"},
		{"pool", pool, "_azbatch _azbatchgrp _azbatch PoolNonAdmin far"},
		{"pool admin", node.Identity{Scope: node.ScopePool, Admin: true}, "root root root PoolAdmin"},
		{"task admin", node.Identity{Scope: node.ScopeTask, Admin: true}, "root root root TaskAdmin"},
		{"named admin", node.Identity{UserName: "chief"}, "chief _azbatchgrp chief NamedUser far"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := n.Run(t.Context(), as("who", who, c.user))
			out, errs := output(t, n, as("who", "", c.user))
			if got := strings.Join(strings.Fields(out), " "); got != c.want {
				t.Errorf("got %q, %v, %s, want %q", got, r.Failure, errs, c.want)
			}
		})
	}
	named := as("a", "id -u; id -g; id -G; whoami; ls -ld . | cut -c1-10", node.Identity{UserName: "plain"})
	if got := run(t, n, named); got != "1073741831\n1073741832\n1073741832\nplain\ndrwx------\n" {
		t.Errorf("named user: got %q", got)
	}
	first := run(t, n, as("first", "echo secret >file; chmod 777 file; id -u", task))
	second := run(t, n, as("second", "id -u", task))
	if first == second {
		t.Errorf("two tasks have the same user %s", first)
	}
	run(t, n, as("shared", "echo of the pool >file", pool))
	elsewhere := config(t)
	other := open(t, elsewhere)
	run(t, other, as("first", "echo secret >file; chmod 777 file", task))
	for _, c := range []struct {
		name, script string
		user         node.Identity
		ok           bool
	}{
		{"another task's file", "cat ../../first/wd/file", task, false},
		{"the pool's user, a task's file", "cat ../../first/wd/file", pool, false},
		{"another task's directory", "ls ../../first", task, false},
		{"another task's output", "cat ../../first/stdout.txt", task, false},
		{"writing in the job's directory", "touch ../../x", task, false},
		{"writing in the tree", "touch $AZ_BATCH_NODE_ROOT_DIR/x", task, false},
		{"killing others", "kill -9 $PPID", task, false},
		{"the machine's secrets", "cat /etc/shadow", task, false},
		{"another node", "cat " + filepath.Join(elsewhere.Dir, "root", "workitems/j/job-1/first/wd/file"), pool, false},
		{"a task of the same user", "cat ../../shared/wd/file", pool, true},
		{"an administrator", "cat ../../first/wd/file /etc/shadow", node.Identity{Admin: true}, true},
		{"a named administrator", "cat ../../first/wd/file /etc/shadow", node.Identity{UserName: "chief"}, true},
		{"the shared directory", "echo x >$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_TASK_ID", task, true},
		{"the start task's directory", "ls $AZ_BATCH_NODE_STARTUP_DIR/wd", task, true},
		{"its own home", "touch $HOME/x ~/y && rm ../stdout.txt", task, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, n, node.Task{Kind: node.KindStart, CommandLine: "true"})
			r := n.Run(t.Context(), as("try", c.script, c.user))
			if r.Process != true || (r.Failure == nil) != c.ok {
				out, errs := output(t, n, as("try", "", c.user))
				t.Errorf("got %v, want success %v\n%s%s", r.Failure, c.ok, out, errs)
			}
		})
	}
	prepare := as("jobpreparation", "echo data >file", node.Identity{})
	prepare.Kind = node.KindPreparation
	run(t, n, prepare)
	reader := as("reader", "cat $AZ_BATCH_JOB_PREP_WORKING_DIR/file", task)
	reader.Preparation = "jobpreparation"
	if got := run(t, n, reader); got != "data\n" {
		t.Errorf("what the job's preparation made: got %q", got)
	}
}

// What the tests above see as root must also be so for anybody else.
func TestAsAnOrdinaryUser(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: the other tests have done this")
		return
	}
	const nobody = 65534
	dir := public(t)
	exe := filepath.Join(dir, "test")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(exe, b, 0o755)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "tmp"), 0o777)
	}
	if err == nil {
		err = os.Chown(filepath.Join(dir, "tmp"), nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run",
		"^Test(WhatATaskSees|HowTasksFail|TheNextAttempt|AnAttemptIsNot|TheWholeTree|Services|AProcess|AnEmulator|TheLife|Files|HostileFiles)")
	cmd.Dir = dir
	cmd.Env = []string{"TMPDIR=" + filepath.Join(dir, "tmp"), "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNodesAreTheSameToTheirTasks(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: every node is seen where it lies")
		return
	}
	a, b := config(t), config(t)
	b.MountPoint = a.MountPoint
	b.Address = node.LoopbackAddress(4712)
	na, nb := open(t, a), open(t, b)
	const script = "echo $AZ_BATCH_TASK_WORKING_DIR; cat $AZ_BATCH_NODE_SHARED_DIR/name 2>/dev/null; echo here >$AZ_BATCH_NODE_SHARED_DIR/name; hostname; getent hosts $(hostname)"
	want := a.MountPoint + "/workitems/j/job-1/t/wd\n"
	for _, n := range []*node.Node{na, nb} {
		got := run(t, n, shell("j", "t", script))
		if !strings.HasPrefix(got, want+n.Hostname()+"\n"+n.Address().String()) {
			t.Errorf("got\n%s\nwant\n%s%s", got, want, n.Hostname())
		}
	}
	if na.Hostname() == nb.Hostname() {
		t.Errorf("both are called %s", na.Hostname())
	}
	if entries, err := os.ReadDir(a.MountPoint); err != nil || len(entries) > 0 {
		t.Errorf("the machine sees %v in the mount point, %v", entries, err)
	}
}

func TestADirectoryThatTasksCannotReach(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: tasks run as the same user")
		return
	}
	c := config(t)
	c.MountPoint, c.Dir = "", filepath.Join(t.TempDir(), "node") // the parent is for root only
	if n, err := node.Open(t.Context(), c); err == nil {
		n.Close()
		t.Error("opened, though no task could run")
	} else if !strings.Contains(err.Error(), "mount point") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
}
