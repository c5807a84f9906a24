//go:build linux

package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("NODE_TEST_EMULATOR"); dir != "" {
		emulator(dir)
	}
	if os.Getenv("NODE_TEST_HTTP") != "" {
		if err := talk(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestWhatATaskSees(t *testing.T) {
	c := config(t)
	n := open(t, c)
	task := node.Task{
		Job: "job", ID: "task", CommandLine: "/usr/bin/env", Preparation: "jobpreparation", AuthToken: "token",
		Environment: []node.Variable{{Name: "A", Value: "1"}, {Name: "A", Value: "$HOME *"}, {Name: "AZ_BATCH_NODE_ID", Value: "forged"}},
	}
	root := n.RootDir()
	if asRoot && root != c.MountPoint {
		t.Errorf("root directory: got %s, want %s", root, c.MountPoint)
	}
	dir := root + "/workitems/job/job-1/task"
	common := func(dir string) []string {
		return []string{
			"AZ_BATCH_ACCOUNT_NAME=account", "AZ_BATCH_ACCOUNT_URL=http://127.0.0.1:1/", "AZ_BATCH_POOL_ID=pool",
			"AZ_BATCH_NODE_ID=" + n.ID(), "AZ_BATCH_NODE_IS_DEDICATED=true", "AZ_BATCH_NODE_ROOT_DIR=" + root,
			"AZ_BATCH_NODE_SHARED_DIR=" + root + "/shared", "AZ_BATCH_NODE_STARTUP_DIR=" + root + "/startup",
			"AZ_BATCH_NODE_MOUNTS_DIR=" + root + "/fsmounts", "AZ_BATCH_TASK_DIR=" + dir, "AZ_BATCH_TASK_WORKING_DIR=" + dir + "/wd",
			"AZ_BATCH_CERTIFICATES_DIR=" + dir + "/certs", "HOME=" + dir + "/wd",
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + root + "/shared:" + dir + "/wd",
		}
	}
	compare(t, run(t, n, task), append(common(dir), "A=$HOME *", "USER=_azbatch", "AZ_BATCH_TASK_USER=_azbatch",
		"AZ_BATCH_TASK_USER_IDENTITY=PoolNonAdmin", "AZ_BATCH_JOB_ID=job", "AZ_BATCH_TASK_ID=task",
		"AZ_BATCH_AUTHENTICATION_TOKEN=token", "AZ_BATCH_JOB_PREP_DIR="+root+"/workitems/job/job-1/jobpreparation",
		"AZ_BATCH_JOB_PREP_WORKING_DIR="+root+"/workitems/job/job-1/jobpreparation/wd"))
	compare(t, run(t, n, node.Task{Kind: node.KindStart, CommandLine: "env"}), append(common(root+"/startup"),
		"USER=_azbatchtask_start", "AZ_BATCH_TASK_USER=_azbatchtask_start", "AZ_BATCH_TASK_USER_IDENTITY=TaskNonAdmin"))

	got := run(t, n, shell("job", "look", "pwd; ls ..; ls $AZ_BATCH_NODE_ROOT_DIR"))
	want := root + "/workitems/job/job-1/look/wd\ncerts\nstderr.txt\nstdout.txt\nwd\napplications\nfsmounts\nshared\nstartup\nvolatile\nworkitems\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func compare(t *testing.T, got string, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(got), "\n")
	slices.Sort(lines)
	slices.Sort(want)
	for _, w := range want {
		if !slices.Contains(lines, w) {
			t.Errorf("missing: %s", w)
		}
	}
	for _, l := range lines {
		if !slices.Contains(want, l) {
			t.Errorf("unexpected: %s", l)
		}
	}
}

func TestNoShell(t *testing.T) {
	n := newNode(t)
	got := run(t, n, node.Task{Job: "j", ID: "t", CommandLine: `printf '[%s]' $HOME * "a b" > file | cat`})
	if want := "[$HOME][*][a b][>][file][|][cat]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHowTasksFail(t *testing.T) {
	n := newNode(t)
	run(t, n, shell("j", "t", `echo text >plain; printf "\177ELF" >garbage; chmod +x garbage; printf "#!/no/such\n" >orphan; chmod +x orphan`))
	for _, c := range []struct {
		command, code string
		exit          int
		retriable     bool
	}{
		{"/bin/sh -c 'exit 3'", node.FailureExitCode, 3, true},
		{"/bin/sh -c 'kill -9 $$'", node.FailureExitCode, 128 + 9, true},
		{"/bin/sh -c 'no-such-command'", node.FailureExitCode, 127, true},
		{"no-such-command", node.CommandProgramNotFound, 0, false},
		{"./none", node.CommandProgramNotFound, 0, false},
		{"./orphan", node.CommandProgramNotFound, 0, false},
		{"./plain", node.CommandLaunchFailed, 0, false},
		{"./garbage", node.CommandLaunchFailed, 0, false},
		{"/tmp", node.CommandLaunchFailed, 0, false},
		{"/bin/sh -c 'exit", node.CommandLaunchFailed, 0, false},
		{"", node.CommandLaunchFailed, 0, false},
	} {
		t.Run(c.command, func(t *testing.T) {
			r := n.Run(t.Context(), node.Task{Job: "j", ID: "t", CommandLine: c.command})
			if code(r) != c.code || r.Process != (c.exit > 0) || r.ExitCode != c.exit || r.Retriable != c.retriable || r.Lost {
				t.Errorf("got %+v (%v), want %+v", r, r.Failure, c)
			}
			if r.Failure != nil && (r.Failure.Category != node.UserError || r.Failure.Message == "" || r.Failure.Details[0].Value == "") {
				t.Errorf("the failure does not say enough: %+v", r.Failure)
			}
			if r.Started.IsZero() || r.Ended.Before(r.Started) {
				t.Errorf("from %v to %v", r.Started, r.Ended)
			}
		})
	}
	for _, c := range []node.Task{
		{Job: "..", ID: "t", CommandLine: "true"}, {Job: "j", ID: "../x", CommandLine: "true"}, {Job: "a/b", ID: "t", CommandLine: "true"},
		{Job: "j", ID: "", CommandLine: "true"},
	} {
		if r := n.Run(t.Context(), c); code(r) != node.ResourceDirectoryCreateFailed {
			t.Errorf("%q, %q: got %v", c.Job, c.ID, r.Failure)
		}
	}
	if r := n.Run(t.Context(), node.Task{Job: "j", ID: "t", CommandLine: "true", User: node.Identity{UserName: "nobody-here"}}); code(r) != node.CommandLaunchFailed {
		t.Errorf("unknown user: got %v", r.Failure)
	}
}

func TestTheNextAttemptIsInTheSameDirectory(t *testing.T) {
	n := newNode(t)
	started := 0
	task := shell("j", "t", "echo $((1 + $(cat count 2>/dev/null || echo 0))) >count; cat count; test $(cat count) -ge 2")
	task.OnRunning = func(time.Time) { started++ }
	if r := n.Run(t.Context(), task); r.ExitCode != 1 || !r.Retriable {
		t.Fatalf("got %+v", r)
	}
	if got := run(t, n, task); got != "2\n" {
		t.Errorf("got %q, want the second count and none of the first output", got)
	}
	if started != 2 {
		t.Errorf("OnRunning was called %d times", started)
	}
}

func TestAnAttemptIsNotLedAstrayByTheOneBefore(t *testing.T) {
	n := newNode(t)
	outside := filepath.Join(public(t), "outside")
	if err := os.Mkdir(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"links": "cd ..; rm -rf wd certs stdout.txt stderr.txt; ln -s " + victim + " stdout.txt; ln -s " + outside + " wd; " +
			"ln -s " + outside + " certs; ln -s stdout.txt stderr.txt",
		"pipes":       "cd ..; rm -rf wd stdout.txt stderr.txt; mkfifo wd stdout.txt stderr.txt",
		"directories": "cd ..; rm stdout.txt stderr.txt; mkdir -p stdout.txt/x stderr.txt; touch stdout.txt/x/y; chmod 0 stdout.txt/x",
		"modes":       "cd ..; chmod 0 wd; chmod 0 .",
	} {
		t.Run(name, func(t *testing.T) {
			if r := n.Run(t.Context(), shell("j", name, script)); r.Failure != nil {
				t.Fatal(r.Failure)
			}
			if got := run(t, n, shell("j", name, "pwd; echo more >file")); got != n.RootDir()+"/workitems/j/job-1/"+name+"/wd\n" {
				t.Errorf("got %q", got)
			}
			if read(t, n, "workitems/j/job-1/"+name+"/wd/file") != "more\n" {
				t.Error("the working directory is not where it should be")
			}
		})
	}
	b, err := os.ReadFile(victim)
	if st, _ := os.Stat(victim); err != nil || string(b) != "untouched" || st.Mode().Perm() != 0o600 {
		t.Errorf("outside: %q, %v, %v", b, st.Mode(), err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside: %v", entries)
	}
}

func TestTheWholeTreeOfProcessesEnds(t *testing.T) {
	n := newNode(t)
	const script = `setsid sh -c "echo \$\$ >pid; exec sleep 1000" & trap "" TERM INT; echo started; while :; do sleep 1000; done`
	for _, c := range []struct {
		name  string
		limit time.Duration
		cause error
		code  string
		lost  bool
	}{
		{"terminated", 0, node.ErrTerminated, node.TaskEnded, false},
		{"cancelled", 0, errors.New("requeue"), "", true},
		{"too long", 2 * time.Second, nil, node.TaskEnded, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := strings.ReplaceAll(c.name, " ", "-")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			task := shell("j", id, script)
			task.MaxWallClock = c.limit
			var child int
			result := begin(t, ctx, n, task, func() bool { return read(t, n, "workitems/j/job-1/"+id+"/wd/pid") != "" })
			child = pid(t, n, "workitems/j/job-1/"+id+"/wd/pid")
			if c.cause != nil {
				cancel(c.cause)
			}
			r := result()
			if code(r) != c.code || r.Lost != c.lost || r.Retriable || !r.Process || r.ExitCode != 128+9 {
				t.Errorf("got %+v, %v", r, r.Failure)
			}
			if alive(child) {
				t.Error("a process in another session lives")
			}
		})
	}
	run(t, n, shell("j", "leaves", "setsid sleep 1000 >/dev/null 2>&1 & echo $! >pid"))
	if alive(pid(t, n, "workitems/j/job-1/leaves/wd/pid")) {
		t.Error("what a task leaves lives when the task has ended")
	}
}

func TestServicesOfStartAndPreparationTasksLive(t *testing.T) {
	n := newNode(t)
	const script = "setsid sleep 1000 >/dev/null 2>&1 & echo $! >pid"
	start := shell("", "", script)
	start.Kind = node.KindStart
	run(t, n, start)
	prepare := shell("j", "jobpreparation", script)
	prepare.Kind = node.KindPreparation
	run(t, n, prepare)
	ofNode, ofJob := pid(t, n, "startup/wd/pid"), pid(t, n, "workitems/j/job-1/jobpreparation/wd/pid")
	run(t, n, shell("j", "t", "true"))
	if !alive(ofNode) || !alive(ofJob) {
		t.Fatal("they ended with another task")
	}
	n.EndJob("j")()
	if alive(ofJob) {
		t.Error("what the job's preparation started lives when the job has ended")
	}
	if !alive(ofNode) {
		t.Error("what the start task started ended with a job")
	}
	if err := n.Reboot(); err != nil {
		t.Fatal(err)
	}
	if alive(ofNode) {
		t.Error("what the start task started lives after a reboot")
	}
	prepare.CommandLine = "/bin/sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $! >pid; exit 1'"
	if r := n.Run(t.Context(), prepare); r.ExitCode != 1 {
		t.Fatalf("got %+v", r)
	}
	if alive(pid(t, n, "workitems/j/job-1/jobpreparation/wd/pid")) {
		t.Error("what a failed preparation started lives")
	}
}

func TestManyTasksAtOnce(t *testing.T) {
	n := newNode(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			id := strconv.Itoa(i)
			if r := n.Run(t.Context(), node.Task{Job: "j", ID: id, CommandLine: "/bin/echo " + id}); r.Failure != nil || r.Lost {
				t.Errorf("task %s: %v", id, r.Failure)
			}
			if got := read(t, n, "workitems/j/job-1/"+id+"/stdout.txt"); got != id+"\n" {
				t.Errorf("task %s: got %q", id, got)
			}
		})
	}
	all.Wait()
}

func TestAProcessOfTheNodeIsKilled(t *testing.T) {
	n := newNode(t)
	task := shell("j", "t", "setsid sleep 1000 & echo $! >child; echo $PPID >keeper; sleep 1000")
	dir := "workitems/j/job-1/t/wd/"
	result := begin(t, t.Context(), n, task, func() bool { return read(t, n, dir+"keeper") != "" })
	child := pid(t, n, dir+"child")
	if err := syscall.Kill(pid(t, n, dir+"keeper"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := result()
	if r.Failure == nil || r.Failure.Category != node.ServerError || r.Process || r.Retriable || r.Lost {
		t.Errorf("got %+v, %v", r, r.Failure)
	}
	wait(t, "the end of a process without keeper", func() bool { return !alive(child) })
	if got := run(t, n, shell("j", "t", "echo again")); got != "again\n" {
		t.Errorf("got %q", got)
	}
}

// emulator is a process with a node that runs a task which does not end.
func emulator(dir string) {
	n, err := node.Open(context.Background(), node.Config{ID: "tvmps_killed_d", Dir: filepath.Join(dir, "node"), MountPoint: os.Getenv("NODE_TEST_MOUNT")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r := n.Run(context.Background(), shell("j", "t", "trap : TERM; setsid sleep 1000 & echo $! >>pids; echo $$ >>pids; echo kept >file; sleep 1000"))
	fmt.Fprintln(os.Stderr, "the task ended:", r)
	os.Exit(1)
}

func TestAnEmulatorIsKilled(t *testing.T) {
	c := config(t)
	c.ID = "tvmps_killed_d"
	died := exec.Command(os.Args[0])
	died.Env = append(os.Environ(), "NODE_TEST_EMULATOR="+filepath.Dir(c.Dir), "NODE_TEST_MOUNT="+c.MountPoint)
	died.Stderr = os.Stderr
	if err := died.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.Dir, "root/workitems/j/job-1/t/wd/")
	wait(t, "the task in another emulator", func() bool { _, err := os.Stat(file + "/file"); return err == nil })
	b, err := os.ReadFile(file + "/pids")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := node.Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open while another emulator has the node: got %v", err)
	}
	if err := died.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = died.Wait()
	n := open(t, c)
	for _, p := range strings.Fields(string(b)) {
		if number, _ := strconv.Atoi(p); alive(number) {
			t.Errorf("process %s of the dead emulator lives when the node is open again", p)
		}
	}
	if got := run(t, n, shell("j", "t", "cat file")); got != "kept\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheLifeOfANode(t *testing.T) {
	c := config(t)
	n := open(t, c)
	endless := shell("j", "t", "echo $$ >pid; sleep 1000")
	file := "workitems/j/job-1/t/wd/pid"
	for _, step := range []struct {
		name string
		do   func() error
		file bool // is still there
		on   bool
	}{
		{"reboot", n.Reboot, true, true},
		{"reimage", n.Reimage, false, true},
		{"close", n.Close, true, false},
	} {
		result := begin(t, t.Context(), n, endless, func() bool { return read(t, n, file) != "" })
		process := pid(t, n, file)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if r := result(); !r.Lost || r.Failure != nil {
			t.Errorf("%s: got %+v", step.name, r)
		}
		if alive(process) {
			t.Errorf("%s: a process lives", step.name)
		}
		if _, err := os.Stat(filepath.Join(c.Dir, "root", file)); (err == nil) != step.file {
			t.Errorf("%s: file: %v", step.name, err)
		}
		if r := n.Run(t.Context(), node.Task{Job: "j", ID: "next", CommandLine: "true"}); r.Lost == step.on {
			t.Errorf("%s: the next task: %+v", step.name, r)
		}
		os.RemoveAll(filepath.Join(c.Dir, "root", file))
	}
	n = open(t, c)
	locks := func(script string) {
		t.Helper()
		if r := n.Run(t.Context(), shell("j", "t", script)); r.Failure != nil {
			t.Fatal(r.Failure)
		}
	}
	locks("mkdir -p a/b; chmod 0 a/b a .")
	finish, err := n.RemoveTask("j", "t")
	if err != nil {
		t.Error(err)
	}
	if tree, err := n.TaskFiles("j", "t"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removed task: got %v, %v", tree, err)
	}
	removed(t)(finish, nil)
	locks("chmod 0 ..")
	removed(t)(n.RemoveJob("j"))
	for _, name := range []string{"..", "", "a/../../.."} {
		_, ofJob := n.RemoveJob(name)
		_, ofTask := n.RemoveTask("j", name)
		if ofJob == nil || ofTask == nil {
			t.Errorf("removes %q", name)
		}
	}
	if left, err := os.ReadDir(filepath.Join(c.Dir, "aside")); err != nil || len(left) > 0 {
		t.Errorf("of what was removed there is %v, %v", left, err)
	}
	locks("mkdir a; chmod 0 a")
	if err := n.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("destroyed: %v", err)
	}
}

func TestNamesAndAddresses(t *testing.T) {
	if id := node.NewID(true); len(id) != len("tvmps_")+64+2 || !strings.HasSuffix(id, "_d") || id == node.NewID(true) {
		t.Errorf("got %s", id)
	}
	if id := node.NewID(false); !strings.HasSuffix(id, "_p") {
		t.Errorf("got %s", id)
	}
	seen := map[netip.Addr]bool{}
	for i := range node.LoopbackAddresses {
		a := node.LoopbackAddress(i)
		if !a.IsLoopback() || seen[a] {
			t.Fatalf("address %d: %s", i, a)
		}
		seen[a] = true
	}
}
