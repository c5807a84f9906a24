package team

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Here ends the names of variables that hold on an agent's node, whatever mpiexec passes on from the lead's.
const Here = "_HERE"

// An AgentConfig says how an agent is to work.
type AgentConfig struct {
	Addr, Token string // of the lead
	Node        string // its own name
	Here        []string
	// Stay is set for an agent that the engine runs: when its lead is gone it waits for the next, until ctx ends.
	Stay bool
	// Reap, if set, ends what is left of commands. It is called when none runs.
	Reap func()
}

// Serve is the whole of an agent: it dials the lead, runs the commands that it is told to, and ends, with all of them,
// when the lead is gone, or when ctx ends. It returns the process's exit code.
//
// What it starts gets the variables Here, with names that end in [Here].
func Serve(ctx context.Context, cfg AgentConfig) int {
	setHostname(cfg.Node)
	a := &server{AgentConfig: cfg}
	defer a.cleanUp()
	for {
		c, err := a.dial(ctx)
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "clusterless: agent of node %s: %v\n", cfg.Node, err)
			return 1
		}
		a.serve(ctx, c)
		if !cfg.Stay || ctx.Err() != nil {
			return 0
		}
	}
}

// A server is an agent.
type server struct {
	AgentConfig
	mu      sync.Mutex
	made    []made
	running int // commands
}

// made is a directory that was made, and the first of those above it that were made for it.
type made struct{ path, first string }

// dial waits for the lead. One with another token never will be the right one, though for an agent that stays the right one may
// come after it.
func (a *server) dial(ctx context.Context) (*conn, error) {
	if !a.Stay {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTime)
		defer cancel()
	}
	said := false
	for {
		c, err := dial(ctx, a.Addr, a.Token)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		if errors.Is(err, ErrToken) {
			if !a.Stay {
				return nil, err
			}
			if !said {
				said = true
				fmt.Fprintf(os.Stderr, "clusterless: agent of node %s: %v\n", a.Node, err)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// serve runs commands for one lead, until it is gone.
func (a *server) serve(ctx context.Context, c *conn) {
	defer c.Close()
	ctx, stop := context.WithCancel(ctx)
	var commands sync.WaitGroup
	defer commands.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	host, _ := os.Hostname()
	if err := c.send(message{Kind: hello, Role: Agent, Node: a.Node, PID: os.Getpid(), Host: host}, nil); err != nil {
		return
	}
	for {
		m, _, err := c.receive()
		if err != nil {
			return
		}
		switch m.Kind {
		case run:
			a.mu.Lock()
			a.running++
			a.mu.Unlock()
			commands.Go(func() {
				defer a.over()
				a.command(ctx, m)
			})
		case ping:
			c.send(message{Kind: pong}, nil)
		}
	}
}

// over is the end of a command.
func (a *server) over() {
	a.mu.Lock()
	defer a.mu.Unlock() // none begins while the rest of others is ended
	if a.running--; a.running == 0 && a.Reap != nil {
		a.Reap()
	}
}

// directory makes the working directory of a command, which is named as on the lead's node, if it is not there.
func (a *server) directory(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := ""
	for dir := path; ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil {
			if !st.IsDir() || dir == path {
				return st.IsDir()
			}
			break
		}
		first = dir
	}
	if os.MkdirAll(path, 0o700) != nil {
		return false
	}
	a.made = append(a.made, made{path, first})
	return true
}

// cleanUp removes the directories that were made. Of those above a working directory only the empty ones go: others may have put
// something there since.
func (a *server) cleanUp() {
	for _, d := range a.made {
		os.RemoveAll(d.path)
		for dir := d.path; dir != d.first; {
			dir = filepath.Dir(dir)
			os.Remove(dir)
		}
	}
}

// command runs one command, with its output on a connection of its own. The end of the connection is its end.
func (a *server) command(ctx context.Context, m message) {
	c, err := dial(ctx, a.Addr, a.Token)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: agent: %v\n", err)
		return
	}
	defer c.Close()
	if c.send(message{Kind: hello, Role: stream, ID: m.ID}, nil) != nil {
		return
	}
	if m.Argv[0] == "" { // this program, wherever it is here
		m.Argv[0], _ = os.Executable()
	}
	cmd := exec.Command(m.Argv[0], m.Argv[1:]...)
	cmd.Env = slices.Concat(os.Environ(), m.Env, a.Here)
	if m.Dir != "" && a.directory(m.Dir) { // where mpiexec's own process on this node wants to be
		cmd.Dir = m.Dir
	}
	cmd.Stdout, cmd.Stderr = &frames{c, outs}, &frames{c, errs}
	cmd.WaitDelay = time.Second // what it left behind may hold its pipes
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		c.send(message{Kind: errs}, fmt.Appendf(nil, "%v\n", err))
		c.send(message{Kind: exits, Code: 127}, nil)
		return
	}
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		gone := make(chan struct{})
		go func() { // ends with the connection
			io.Copy(io.Discard, c.r)
			close(gone)
		}()
		select {
		case <-gone:
		case <-ctx.Done():
		case <-over:
			return
		}
		killGroup(cmd)
	})
	cmd.Wait()
	close(over)
	watch.Wait()
	code := cmd.ProcessState.ExitCode()
	if code < 0 {
		code = 255
	}
	killGroup(cmd) // what it left
	c.send(message{Kind: exits, Code: code}, nil)
}

// frames makes messages of what is written.
type frames struct {
	c    *conn
	kind string
}

func (f *frames) Write(b []byte) (int, error) {
	if err := f.c.send(message{Kind: f.kind}, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// RunShell is the whole of a process that mpiexec started in place of ssh, with args [options] HOST COMMAND…: it has the
// agent of that node run the command in a shell, as ssh would, and returns its exit code.
func RunShell(ctx context.Context, addr, token string, args []string) int {
	for len(args) > 0 && len(args[0]) > 0 && args[0][0] == '-' { // ssh's -x and the like have no argument
		args = args[1:]
	}
	if len(args) < 2 {
		fmt.Fprintf(os.Stderr, "clusterless: shell: want HOST COMMAND…, got %q\n", args)
		return 255
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	c, err := dial(ctx, addr, token)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: shell: %v\n", err)
		return 255
	}
	line := args[1]
	for _, a := range args[2:] {
		line += " " + a
	}
	err = c.send(message{Kind: hello, Role: Shell, Node: args[0], Argv: []string{"/bin/sh", "-c", line}}, nil)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: shell: %v\n", err)
		return 255
	}
	code, err := follow(c, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: node %s: %v\n", args[0], err)
	}
	return code
}
