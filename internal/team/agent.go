package team

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// Here ends the names of variables that hold on an agent's node, whatever mpiexec passes on from the lead's.
const Here = "_HERE"

// Serve is the whole of an agent: it dials the lead, runs the commands that it is told to, and ends, with all of them,
// when the lead is gone. It returns the process's exit code.
//
// What it starts gets the variables in here, with names that end in [Here].
func Serve(ctx context.Context, addr, token, node string, here []string) int {
	setHostname(node)
	dialCtx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var c *conn
	for {
		var err error
		if c, err = dial(dialCtx, addr, token); err == nil {
			break
		}
		// The lead may not be there yet; but one with another token never will be.
		if errors.Is(err, ErrToken) || dialCtx.Err() != nil {
			fmt.Fprintf(os.Stderr, "clusterless: agent of node %s: %v\n", node, err)
			return 1
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-dialCtx.Done():
		}
	}
	ctx, stop := context.WithCancel(ctx)
	var commands sync.WaitGroup
	defer commands.Wait()
	defer stop()
	if err := c.send(message{Kind: hello, Role: Agent, Node: node, PID: os.Getpid()}, nil); err != nil {
		return 1
	}
	for {
		m, _, err := c.receive()
		if err != nil {
			return 0
		}
		if m.Kind == run {
			commands.Go(func() { serveCommand(ctx, addr, token, here, m) })
		}
	}
}

// serveCommand runs one command, with its output on a connection of its own. The end of the connection is its end.
func serveCommand(ctx context.Context, addr, token string, here []string, m message) {
	c, err := dial(ctx, addr, token)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: agent: %v\n", err)
		return
	}
	defer c.Conn.Close()
	if c.send(message{Kind: hello, Role: stream, ID: m.ID}, nil) != nil {
		return
	}
	if m.Argv[0] == "" { // this program, wherever it is here
		m.Argv[0], _ = os.Executable()
	}
	cmd := exec.Command(m.Argv[0], m.Argv[1:]...)
	cmd.Env = slices.Concat(os.Environ(), m.Env, here)
	if st, err := os.Stat(m.Dir); err == nil && st.IsDir() {
		cmd.Dir = m.Dir
	}
	cmd.Stdout, cmd.Stderr = &frames{c, outs}, &frames{c, errs}
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
