package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

// runtimes are the commands that run containers, all with the arguments of docker; the first that works is used.
var runtimes = []string{"docker", "podman", "nerdctl"}

// removeTimeout is how long a runtime may take to remove a container.
const removeTimeout = time.Minute

// containerLabel marks the containers of a node, for the node to find them after a crash.
const containerLabel = "azure-batch-node"

// A container is one that a task runs in.
type container struct {
	a       *attempt
	command string   // of the runtime
	env     []string // of its processes
	id      string
}

// runContainer runs a command line in a container of its own, which is removed in the end.
func (a *attempt) runContainer(ctx context.Context, k *keeper.Keeper, line string) error {
	args, err := splitCommand(line)
	if err != nil {
		return fail(CommandLaunchFailed, "the command line cannot be split: "+err.Error())
	}
	options, err := splitCommand(a.t.Container.RunOptions)
	if err != nil {
		return fail(CommandLaunchFailed, "the options of the container cannot be split: "+err.Error())
	}
	c := &container{a: a}
	if c.command, err = findRuntime(ctx); err != nil {
		return fail(ContainerPoolNotSupported, err.Error())
	}
	login, err := c.login()
	if err != nil {
		return failFile(CommandLaunchFailed, err)
	}
	defer os.RemoveAll(login)
	image := Variable{"ContainerImage", a.t.Container.Image}
	if _, err := c.tell(ctx, "image", "inspect", a.t.Container.Image); err != nil {
		if _, err := c.tell(ctx, "pull", "-q", a.t.Container.Image); err != nil {
			return fail(ContainerInvalidImage, err.Error(), image)
		}
	}
	if err := a.n.markContainers(); err != nil {
		return failFile(CommandLaunchFailed, err)
	}
	create := append(c.create(options), append([]string{a.t.Container.Image}, args...)...)
	out, err := c.tell(ctx, create...)
	if err != nil {
		return fail(CommandLaunchFailed, err.Error(), image)
	}
	c.id = strings.TrimSpace(out)
	defer c.remove()
	a.result.Container = &ContainerInfo{ID: c.id}
	return a.process(ctx, k, keeper.Command{
		Args: []string{c.command, "start", "--attach", c.id}, Env: c.env, Dir: "/",
	}, c.exited)
}

func findRuntime(ctx context.Context) (string, error) {
	errs := []error{errors.New("no container runtime works here")}
	for _, name := range runtimes {
		file, err := exec.LookPath(name)
		if err == nil {
			c := &container{command: file, env: os.Environ()}
			_, err = c.tell(ctx, "version")
		}
		if err == nil {
			return file, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// tell runs a command of the runtime to its end.
func (c *container) tell(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.command, args...)
	cmd.Env = c.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(errs.String())
		return "", errors.New(filepath.Base(c.command) + " " + args[0] + ": " + err.Error() + ": " + said)
	}
	return out.String(), nil
}

// login makes the environment of the runtime's processes. Who asks for images is told in a file, which is removed with the
// directory: it is no business of other processes.
func (c *container) login() (dir string, err error) {
	c.env = append(os.Environ(), c.variables()...)
	r := c.a.t.Container.Registry
	if r == nil || r.User == "" {
		return "", nil
	}
	server := r.Server
	if server == "" || server == "docker.io" {
		server = "https://index.docker.io/v1/"
	}
	type auth struct {
		Auth string `json:"auth"`
	}
	b, err := json.Marshal(map[string]any{"auths": map[string]auth{
		server: {base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))},
	}})
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(c.a.n.scratch(), "registry"); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "config.json")
	c.env = append(c.env, "DOCKER_CONFIG="+dir, "REGISTRY_AUTH_FILE="+file)
	return dir, os.WriteFile(file, b, 0o600)
}

// variables are those of the task that its container gets from the runtime's process, so that their values are in no
// list of arguments. PATH, HOME and USER are the image's, unless the task sets them.
func (c *container) variables() (env []string) {
	own := map[string]bool{"PATH": true, "HOME": true, "USER": true}
	for _, v := range c.a.t.Environment {
		delete(own, v.Name)
	}
	for _, v := range c.a.env {
		name, _, _ := strings.Cut(v, "=")
		if !own[name] && !strings.HasPrefix(name, "DOCKER_") && !strings.HasPrefix(name, "CONTAINER") {
			env = append(env, v)
		}
	}
	return env
}

// create are the arguments for a container. Options of the task come last.
func (c *container) create(options []string) []string {
	a := c.a
	args := []string{"create", "--label", containerLabel + "=" + a.n.c.ID}
	if !a.t.Container.InImage {
		args = append(args, "--workdir", path.Join(a.seen(), "wd"))
	}
	if a.n.root {
		args = append(args, "--user", strconv.Itoa(a.user.uid)+":"+strconv.Itoa(a.user.gid))
	}
	for _, v := range c.variables() {
		name, _, _ := strings.Cut(v, "=")
		args = append(args, "--env", name)
	}
	args = append(args, c.mounts()...)
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "--net") }) {
		args = append(args, "--network", "host") // what the task talks to is on this machine's loopback
	}
	for _, o := range options {
		if o != "--rm" { // it is removed anyway, when it was looked at
			args = append(args, o)
		}
	}
	return args
}

// mounts are those of the whole tree, or of the parts that the task wants.
func (c *container) mounts() (args []string) {
	n := c.a.n
	mount := func(rel string, readOnly bool) {
		v := filepath.Join(n.c.Dir, "root", rel) + ":" + path.Join(n.RootDir(), rel)
		if readOnly {
			v += ":ro"
		}
		args = append(args, "--volume", v)
	}
	if !c.a.t.Container.MountsSelected {
		mount("", false)
		return args
	}
	parts := map[string]string{"Shared": "shared", "Startup": "startup", "VfsMounts": "fsmounts", "Task": c.a.rel, "Applications": "applications"}
	if c.a.t.Preparation != "" {
		parts["JobPrep"] = path.Join(jobDir(c.a.t.Job), c.a.t.Preparation)
	}
	for _, m := range c.a.t.Container.Mounts {
		if rel, ok := parts[m.Source]; ok {
			mount(rel, m.ReadOnly)
		}
	}
	return args
}

// exited notes how the container ended, or why it did not start.
func (c *container) exited(s keeper.Status) error {
	a := c.a
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	out, err := c.tell(ctx, "inspect", "--format", "{{.State.Status}}\n{{.State.ExitCode}}\n{{.State.Error}}", c.id)
	if err != nil {
		return a.exited(s)
	}
	fields := append(strings.SplitN(strings.TrimSpace(out), "\n", 3), "", "")
	info := a.result.Container
	info.State, info.Error = fields[0], strings.TrimSpace(fields[2])
	code, err := strconv.Atoi(fields[1])
	if info.State == "created" || err == nil && code != s.Code && s.Signal == 0 { // it never ran
		a.result.Process = false
		what, said := CommandLaunchFailed, cmp.Or(info.Error, a.complaint())
		if code == 127 || strings.Contains(said, "executable file not found") {
			what = CommandProgramNotFound
		}
		return fail(what, "the container did not start: "+said)
	}
	return a.exited(s)
}

// complaint is what the runtime said on the task's stderr, or the beginning of it.
func (a *attempt) complaint() string {
	f, err := a.dir.root.Open("stderr.txt")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 4096))
	return strings.TrimSpace(string(b))
}

func (c *container) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if _, err := c.tell(ctx, "rm", "--force", c.id); err != nil {
		c.a.n.c.Log.Warn("node: remove a container", "container", c.id, "err", err)
	}
}

// markContainers notes that the node has had containers.
func (n *Node) markContainers() error {
	return os.WriteFile(filepath.Join(n.c.Dir, "containers"), nil, 0o600)
}

// removeContainers removes those that an emulator left which died.
func (n *Node) removeContainers(ctx context.Context) {
	if _, err := os.Stat(filepath.Join(n.c.Dir, "containers")); err != nil {
		return
	}
	runtime, err := findRuntime(ctx)
	if err != nil {
		return
	}
	c := &container{command: runtime, env: os.Environ()}
	ids, err := c.tell(ctx, "ps", "--all", "--quiet", "--filter", "label="+containerLabel+"="+n.c.ID)
	if err == nil && strings.TrimSpace(ids) != "" {
		_, err = c.tell(ctx, append([]string{"rm", "--force"}, strings.Fields(ids)...)...)
	}
	if err != nil {
		n.c.Log.Warn("node: remove the containers of an emulator that died", "err", err)
	}
}
