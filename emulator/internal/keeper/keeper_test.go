//go:build linux

package keeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

// longEnough is how long a test waits for what must happen.
const longEnough = time.Minute

func TestMain(m *testing.M) {
	if dir := os.Getenv("KEEPER_TEST_PROGRAM"); dir != "" {
		program(dir)
	}
	os.Exit(m.Run())
}

// program runs a command that leaves a process behind, says so, and waits for its end.
func program(dir string) {
	k, err := keeper.Start(keeper.Options{})
	if err == nil {
		err = k.Run(shell(dir, "(setsid sleep 1000 & echo $! >pid.tmp; mv pid.tmp pid); sleep 1000"), os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

func start(t *testing.T, o keeper.Options) *keeper.Keeper {
	t.Helper()
	k, err := keeper.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func shell(dir, script string) keeper.Command {
	return keeper.Command{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: dir}
}

// run runs a command and returns what it wrote and how it ended.
func run(t *testing.T, k *keeper.Keeper, c keeper.Command) (string, keeper.Status) {
	t.Helper()
	out := begin(t, k, c)
	status := end(t, k)
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), status
}

func begin(t *testing.T, k *keeper.Keeper, c keeper.Command) *os.File {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	both, err := os.OpenFile(out.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	if err := k.Run(c, both, both); err != nil {
		t.Fatal(err)
	}
	return out
}

func end(t *testing.T, k *keeper.Keeper) keeper.Status {
	t.Helper()
	select {
	case s := <-k.Ended():
		return s
	case <-k.Lost():
		t.Fatal("the keeper is lost")
	case <-time.After(longEnough):
		t.Fatal("the command does not end")
	}
	panic("not reached")
}

// pidIn waits for a file with the number of a process.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	var pid int
	wait(t, file, func() bool {
		b, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	return pid
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// alive says whether a process runs; one that has ended and is not yet reaped does not.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestHowCommandsEnd(t *testing.T) {
	k := start(t, keeper.Options{})
	for _, c := range []struct {
		name, script string
		want         keeper.Status
	}{
		{"success", "true", keeper.Status{}},
		{"exit code", "exit 7", keeper.Status{Code: 7}},
		{"large exit code", "exit 255", keeper.Status{Code: 255}},
		{"signal", "kill -SEGV $$", keeper.Status{Signal: int(syscall.SIGSEGV)}},
		{"killed", "kill -KILL $$", keeper.Status{Signal: int(syscall.SIGKILL)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := run(t, k, shell("/", c.script)); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if err := k.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestACommandHasItsArgumentsEnvironmentAndDirectoryOnly(t *testing.T) {
	t.Setenv("KEEPER_TEST_OUTER", "seen")
	k := start(t, keeper.Options{})
	dir := t.TempDir()
	got, _ := run(t, k, keeper.Command{
		Args: []string{"/bin/sh", "-c", `pwd; echo "$0|$1"; ls /proc/self/fd | wc -l; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort`, "a b", "$c*"},
		Env:  []string{"PATH=/usr/bin:/bin", "A=b c"}, Dir: dir,
	})
	want := dir + "\na b|$c*\n4\nA=b c\nPATH=/usr/bin:/bin\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	k := start(t, keeper.Options{})
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "text", 0o644)
	write("garbage", "\x7fELF garbage", 0o755)
	write("orphan", "#!/no/such/interpreter\n", 0o755)
	for _, c := range []struct {
		name, program, dir string
		missing            bool
	}{
		{"not in PATH", "no-such-program", dir, true},
		{"no such file", "./no-such-program", dir, true},
		{"no interpreter", "./orphan", dir, true},
		{"not executable", "./plain", dir, false},
		{"no program", "./garbage", dir, false},
		{"directory", "./", dir, false},
		{"empty", "", dir, true},
		{"no directory", "true", filepath.Join(dir, "none"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := k.Run(keeper.Command{Args: []string{c.program}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: c.dir}, os.Stdout, os.Stderr)
			var failed *keeper.StartError
			if !errors.As(err, &failed) || failed.NotFound != c.missing || failed.Reason == "" {
				t.Errorf("got %v (%+v), want a StartError with a reason and NotFound %v", err, failed, c.missing)
			}
		})
	}
	if _, got := run(t, k, shell("/", "exit 3")); got.Code != 3 {
		t.Errorf("after failures: got %+v", got)
	}
}

func TestKillLeavesNothing(t *testing.T) {
	k := start(t, keeper.Options{})
	for name, script := range map[string]string{
		"children":          "sleep 1000 & echo $! >pid; sleep 1000",
		"another session":   "setsid sh -c 'echo $$ >pid; exec sleep 1000' & sleep 1000",
		"orphan":            "(sh -c 'echo $$ >pid; exec sleep 1000' &) ; sleep 1000",
		"deaf":              "trap '' TERM INT HUP; echo $$ >pid; while :; do sleep 1000; done",
		"stopped":           "sh -c 'echo $$ >pid; kill -STOP $$' & wait; sleep 1000",
		"after the command": "setsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 &",
		"forking":           "echo $$ >pid; f() { while :; do (sleep 1000 & sleep 0.01 & wait) & sleep 0.001; done; }; f & f & f",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			begin(t, k, shell(dir, script))
			pid := pidIn(t, filepath.Join(dir, "pid"))
			if err := k.Kill(); err != nil {
				t.Fatal(err)
			}
			end(t, k)
			if alive(pid) {
				t.Errorf("process %d is alive", pid)
			}
			if left := inDirectory(dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// inDirectory lists the processes whose working directory this is.
func inDirectory(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range all {
		if to, err := os.Readlink(link); err == nil && to == dir {
			found = append(found, link)
		}
	}
	return found
}

func TestAKeeperRunsNothingBesideWhatIsLeft(t *testing.T) {
	k := start(t, keeper.Options{})
	if _, got := run(t, k, shell("/", "sleep 1000 >/dev/null 2>&1 &")); got.Code != 0 {
		t.Fatalf("got %+v", got)
	}
	if left, err := k.Left(); err != nil || !left {
		t.Errorf("left: got %v, %v, want true", left, err)
	}
	var failed *keeper.StartError
	if err := k.Run(shell("/", "true"), os.Stdout, os.Stderr); !errors.As(err, &failed) {
		t.Errorf("got %v, want a StartError", err)
	}
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
	if left, err := k.Left(); err != nil || left {
		t.Errorf("left: got %v, %v, want false", left, err)
	}
	if _, got := run(t, k, shell("/", "exit 4")); got.Code != 4 {
		t.Errorf("after Kill: got %+v", got)
	}
}

func TestProcessesEndWithTheirProgram(t *testing.T) {
	dir := t.TempDir()
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), "KEEPER_TEST_PROGRAM="+dir)
	program.Stderr = os.Stderr
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, filepath.Join(dir, "pid"))
	if !alive(pid) {
		t.Fatal("the process does not run")
	}
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = program.Wait()
	wait(t, "the end of the processes", func() bool { return !alive(pid) && len(inDirectory(dir)) == 0 })
}

func TestTheLockIsFreeWhenTheKeeperIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	lock, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	k := start(t, keeper.Options{Lock: lock})
	lock.Close()
	begin(t, k, shell("/", "sleep 1000"))
	again, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		t.Error("the lock is free while the keeper lives")
	}
	k.Close()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock is held by nobody: %v", err)
	}
}

func TestAKeeperThatIsKilledIsLost(t *testing.T) {
	dir := t.TempDir()
	k := start(t, keeper.Options{})
	begin(t, k, shell(dir, "echo $PPID >keeper; echo $$ >pid; sleep 1000"))
	pid := pidIn(t, filepath.Join(dir, "pid"))
	if err := syscall.Kill(pidIn(t, filepath.Join(dir, "keeper")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.Lost():
	case <-time.After(longEnough):
		t.Fatal("nobody noticed")
	}
	wait(t, "the end of the command", func() bool { return !alive(pid) })
	if err := k.Kill(); !errors.Is(err, keeper.ErrLost) {
		t.Errorf("kill: got %v, want ErrLost", err)
	}
	if err := k.Run(shell("/", "true"), os.Stdout, os.Stderr); !errors.Is(err, keeper.ErrLost) {
		t.Errorf("run: got %v, want ErrLost", err)
	}
}

func TestSweepFindsProcessesByTheirEnvironment(t *testing.T) {
	k := start(t, keeper.Options{})
	dir := t.TempDir()
	c := shell(dir, "setsid sh -c 'echo $$ >pid; exec sleep 1000' & sleep 1000")
	c.Env = append(c.Env, "SWEEP_A="+dir, "SWEEP_B=x")
	begin(t, k, c)
	pid := pidIn(t, filepath.Join(dir, "pid"))
	keeper.Sweep("SWEEP_A="+dir, "SWEEP_B=y")
	keeper.Sweep("SWEEP_A=" + filepath.Dir(dir))
	if !alive(pid) {
		t.Fatal("killed though the environment is another")
	}
	keeper.Sweep("SWEEP_A="+dir, "SWEEP_B=x")
	end(t, k)
	wait(t, "the end of the process", func() bool { return !alive(pid) })
}

// TestSweepFindsProcessesThatBecomeOthers sweeps one that is always between two programs, where it has no environment for a moment.
func TestSweepFindsProcessesThatBecomeOthers(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	if err := os.WriteFile(loop, []byte("#!/bin/sh\nexec \"$0\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		c := exec.Command(loop)
		c.Env = []string{"SWEEP_C=" + dir}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			c.Wait()
			close(ended)
		}()
		wait(t, "the first program", func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.Process.Pid))
			return err == nil && bytes.Contains(b, []byte("SWEEP_C"))
		})
		keeper.Sweep("SWEEP_C=" + dir)
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			c.Process.Kill()
			<-ended
			t.Fatalf("round %d: the process was not found", n)
		}
	}
}

func TestUsersAndViews(t *testing.T) {
	if os.Geteuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Log("not root, or not with all rights: users and views are not tested")
		return
	}
	seen, scratch := t.TempDir(), t.TempDir()
	at, err := os.MkdirTemp("", "keeper") // others may pass, as they may not in the directories of t
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(at) })
	for _, dir := range []string{seen, at} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(seen, "file"), []byte("from elsewhere"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := start(t, keeper.Options{View: &keeper.View{Hostname: "node-a", Address: "127.64.0.9", Scratch: scratch, Mounts: map[string]string{at: seen}}})
	c := shell("/", "id -u; id -g; id -G; whoami; hostname; grep node-a /etc/hosts; cat "+at+"/file; cat /etc/shadow || echo; : >/etc/passwd")
	c.User = &keeper.User{UID: 1 << 30, GID: 1<<30 + 1}
	c.Passwd = "_azbatch:x:1073741824:1073741825::/:/bin/sh\n"
	got, _ := run(t, k, c)
	want := "1073741824\n1073741825\n1073741825\n_azbatch\nnode-a\n127.64.0.9\tnode-a\nfrom elsewhere"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := strings.Count(got, "ermission denied"); n != 2 {
		t.Errorf("%d operations were refused, want 2:\n%s", n, got)
	}
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}

	c = shell("/", "id -u; wc -c </etc/shadow >/dev/null && echo reads; whoami 2>/dev/null || echo unknown")
	c.User = &keeper.User{UID: 1 << 30, GID: 1 << 30, Capable: true}
	if got, _ := run(t, k, c); got != "1073741824\nreads\nunknown\n" {
		t.Errorf("with capabilities: got %q", got)
	}
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if here == "node-a" {
		t.Error("the machine has got the node's name")
	}
	if _, err := os.Stat(filepath.Join(at, "file")); err == nil {
		t.Error("the machine sees the node's mount")
	}
}
