//go:build linux

package node_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// A runtime is one to test with: its image, and options that its containers need on this machine.
type runtime struct {
	name, image, options string
	containers           func() string // those there are
}

// fakeRuntime is a docker that is a script.
func fakeRuntime(t *testing.T) runtime {
	bin, state := public(t), t.TempDir()
	script, err := os.ReadFile("testdata/docker")
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "docker"), script, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_DOCKER", state)
	return runtime{"a script", "here", "", func() string {
		entries, err := os.ReadDir(state)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries)
	}}
}

// podman is the real thing, with an image of nothing but busybox; false if it does not work here.
func podman(t *testing.T) (runtime, bool) {
	image := "localhost/clusterless-node-test:1"
	for _, needed := range []string{"podman", "runc", "/bin/busybox"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Logf("not tested with podman: %v", err)
			return runtime{}, false
		}
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	t.Setenv("CONTAINERS_CONF", file("containers.conf", "[engine]\nruntime = \"runc\"\n"))
	t.Setenv("CONTAINERS_STORAGE_CONF", file("storage.conf", fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", dir+"/graph", dir+"/run")))
	bin := public(t)
	at, _ := exec.LookPath("podman")
	if err := os.Symlink(at, filepath.Join(bin, "podman")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/sbin:/usr/bin:/sbin:/bin")
	options := "--ulimit nofile=1000:1000 --ulimit nproc=1000:1000"
	script := "cd " + dir + " && mkdir -p image/bin && cp /bin/busybox image/bin && for c in sh cat echo ls sleep id env pwd touch true; do ln -s busybox image/bin/$c; done && " +
		"tar -C image -cf image.tar . && podman import -q image.tar " + image + " && podman run --rm --network host " + options + " " + image + " /bin/true"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Logf("not tested with podman: %v: %s", err, out)
		return runtime{}, false
	}
	return runtime{"podman", image, options, func() string {
		out, err := exec.Command("podman", "ps", "--all", "--quiet").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}}, true
}

func TestContainers(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: containers are not tested")
		return
	}
	t.Run("script", func(t *testing.T) { testContainers(t, fakeRuntime(t)) })
	t.Run("podman", func(t *testing.T) {
		if r, ok := podman(t); ok {
			testContainers(t, r)
		}
	})
}

func testContainers(t *testing.T, r runtime) {
	c := config(t)
	n := open(t, c)
	none := r.containers()
	task := func(command string) node.Task {
		return node.Task{Job: "j", ID: "t", CommandLine: command, Container: &node.Container{Image: r.image, RunOptions: "--rm " + r.options},
			Environment: []node.Variable{{Name: "SAID", Value: "it's $HOME *\nand more"}, {Name: "DOCKER_HOST", Value: "tcp://nowhere"}}}
	}
	dir := n.RootDir() + "/workitems/j/job-1/t/wd"
	got := run(t, n, task(`/bin/sh -c 'pwd; id -u; echo "$SAID"; echo $AZ_BATCH_TASK_ID $AZ_BATCH_TASK_WORKING_DIR $PATH; echo text >file; ls $AZ_BATCH_NODE_ROOT_DIR'`))
	lines := strings.Split(got, "\n")
	if len(lines) < 12 || lines[0] != dir || len(lines[1]) != 10 || lines[2] != "it's $HOME *" || lines[3] != "and more" ||
		!strings.HasPrefix(lines[4], "t "+dir+" ") || strings.Contains(lines[4], "shared") || !strings.Contains(got, "workitems") {
		t.Errorf("got\n%s", got)
	}
	if got := read(t, n, "workitems/j/job-1/t/wd/file"); got != "text\n" {
		t.Errorf("file: got %q", got)
	}
	if got := r.containers(); got != none {
		t.Errorf("left: %s", got)
	}
	unwanted := task("/bin/true")
	unwanted.Container.RunOptions += " --bad x"
	noImage := task("/bin/true")
	noImage.Container.Image = "No:Such:Image" // one that no registry has to be asked for
	for _, c := range []struct {
		name    string
		task    node.Task
		code    string
		process bool
		exit    int
	}{
		{"success", task("/bin/true"), "", true, 0},
		{"exit code", task("/bin/sh -c 'exit 3'"), node.FailureExitCode, true, 3},
		{"no program", task("no-such-program"), node.CommandProgramNotFound, false, 0},
		{"no image", noImage, node.ContainerInvalidImage, false, 0},
		{"bad option", unwanted, node.CommandLaunchFailed, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			result := n.Run(t.Context(), c.task)
			if code(result) != c.code || result.Process != c.process || c.process && result.ExitCode != c.exit || result.Lost {
				out, errs := output(t, n, c.task)
				t.Errorf("got %+v, %v\n%s%s", result, result.Failure, out, errs)
			}
			if c.process && (result.Container == nil || result.Container.ID == "" || result.Container.State != "exited") {
				t.Errorf("container: %+v", result.Container)
			}
			if got := r.containers(); got != none {
				t.Errorf("left: %s", got)
			}
		})
	}

	parts := task("/bin/sh -c 'touch $AZ_BATCH_NODE_SHARED_DIR/x $AZ_BATCH_TASK_DIR/y'")
	parts.Container.MountsSelected = true
	parts.Container.Mounts = []node.Mount{{Source: "Shared"}, {Source: "Task", ReadOnly: true}}
	if result := n.Run(t.Context(), parts); r.name == "podman" && code(result) != node.FailureExitCode {
		t.Errorf("writes in a mount to be read only: got %v", result.Failure)
	}
	if names := strings.Join(everything(t, n), " "); !strings.Contains(names, "shared/x") || r.name == "podman" && strings.Contains(names, "job-1/t/y") {
		t.Errorf("got %s", names)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	endless := task("/bin/sh -c 'touch runs; sleep 1000'")
	result := begin(t, ctx, n, endless, func() bool { return strings.Contains(strings.Join(everything(t, n), " "), "wd/runs") })
	cancel(node.ErrTerminated)
	if got := result(); code(got) != node.TaskEnded {
		t.Errorf("terminated: got %+v, %v", got, got.Failure)
	}
	if got := r.containers(); got != none {
		t.Errorf("left: %s", got)
	}

	// Containers that an emulator left which died go when the node is opened again, others stay.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	command := map[string]string{"podman": "podman", "a script": "docker"}[r.name]
	left := func(label string) {
		t.Helper()
		if out, err := exec.Command(command, "create", "--label", label, r.image, "/bin/true").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	left("azure-batch-node=another")
	others := r.containers()
	left("azure-batch-node=" + c.ID)
	open(t, c)
	if got := r.containers(); got != others {
		t.Errorf("got %s, want %s", got, others)
	}
}

func TestNoContainerRuntime(t *testing.T) {
	n := newNode(t)
	t.Setenv("PATH", t.TempDir())
	task := node.Task{Job: "j", ID: "t", CommandLine: "true", Container: &node.Container{Image: "x"}, MaxWallClock: time.Hour}
	if r := n.Run(t.Context(), task); code(r) != node.ContainerPoolNotSupported || r.Process || r.Failure.Category != node.UserError {
		t.Errorf("got %+v, %v", r, r.Failure)
	}
}
