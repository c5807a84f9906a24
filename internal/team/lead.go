package team

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// A Lead is the worker's side of a team. One goroutine uses it.
type Lead struct {
	info    Info
	hub     *Hub
	own     bool // hub is of this lead
	token   string
	program string
	events  chan Event
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu      sync.Mutex
	remote  []string
	hosts   map[string]string // names of nodes by what mpiexec calls them
	streams map[*conn]bool    // of commands on other nodes
	members map[*conn]bool
}

// An Event is something that happened in the team.
type Event struct {
	Member *Peer  // who it is about; nil for a node
	Joined bool   // it said hello
	Done   bool   // it made N calls from the one numbered Call
	Gone   bool   // its connection broke
	Node   string // the node that was lost
	Call   int
	N      int
	Fail   *plan.Failure // why the one call failed
	Result []byte        // a pack of N results
}

// A Peer is a member as the lead sees it.
type Peer struct {
	Role string
	Rank int
	PID  int
	Host string
	c    *conn
}

// New begins a team. Close ends it with all its processes.
func New(ctx context.Context, info Info) (*Lead, error) {
	if info.Keep != nil {
		if err := info.Keep.Err(); err != nil {
			return nil, err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &Lead{info: info, hub: info.Hub, own: info.Hub == nil, token: NewToken(), program: program, events: make(chan Event),
		streams: map[*conn]bool{}, members: map[*conn]bool{}}
	if l.own {
		if l.hub, err = Listen("127.0.0.1:0", NewToken()); err != nil {
			return nil, err
		}
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.hub.mu.Lock()
	l.hub.leads[l.token] = l
	l.hub.mu.Unlock()
	return l, nil
}

// Program is the path of the executable.
func (l *Lead) Program() string { return l.program }

// Events has all that happens. It must be read until Close.
func (l *Lead) Events() <-chan Event { return l.events }

// Env is what makes a process of the program one of the team, with a role.
func (l *Lead) Env(role string) []string {
	env := append(l.Access(),
		contract.EnvWorker+"="+contract.Version,
		contract.EnvRole+"="+role,
		contract.EnvStore+"="+l.info.Store,
		contract.EnvCache+"="+l.info.Cache,
		contract.EnvScratch+"="+l.info.Scratch,
		contract.EnvNode+"="+l.info.Node)
	if l.info.Access != "" {
		env = append(env, contract.EnvAccess+"="+l.info.Access)
	}
	return env
}

// Access is what a process needs to reach the lead: the environment of an mpiexec whose ranks are not of this program.
func (l *Lead) Access() []string {
	return []string{contract.EnvTeam + "=" + l.hub.addr(), contract.EnvToken + "=" + l.token}
}

// SetRemote is the environment for what is started on other nodes through [Shell], which may know them under other names.
func (l *Lead) SetRemote(env []string, hosts map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remote, l.hosts = env, hosts
}

// Dismiss ends the members, and says how many there were: a member that loses its lead exits at once.
func (l *Lead) Dismiss() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.members {
		c.NetConn().Close() // without TLS's farewell, which waits for one that does not read
	}
	return len(l.members)
}

// Close ends the team: who is left loses its connection, and what was started is killed.
func (l *Lead) Close() {
	l.cancel()
	l.hub.mu.Lock()
	delete(l.hub.leads, l.token)
	l.hub.mu.Unlock()
	if l.own {
		l.hub.Close()
	}
	l.Dismiss()
	l.mu.Lock()
	for c := range l.streams {
		c.Conn.Close()
	}
	l.mu.Unlock()
	l.tasks.Wait()
}

func (l *Lead) post(e Event) {
	select {
	case l.events <- e:
	case <-l.ctx.Done():
	}
}

func (l *Lead) member(c *conn, m message) {
	p := &Peer{Role: m.Role, Rank: m.Rank, PID: m.PID, Host: m.Host, c: c}
	l.mu.Lock()
	over := l.ctx.Err() != nil
	l.members[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.members, c)
		l.mu.Unlock()
	}()
	if over {
		return
	}
	l.post(Event{Member: p, Joined: true})
	for {
		m, body, err := c.receive()
		if err != nil || m.Kind != done {
			l.post(Event{Member: p, Gone: true})
			return
		}
		l.post(Event{Member: p, Done: true, Call: m.ID, N: m.N, Fail: m.Failure, Result: body})
	}
}

// Tell is [Peer.Call] for a member's only call, without waiting for one that does not read: that it did not get there shows as
// the member's end.
func (l *Lead) Tell(p *Peer, c *Call, inputs []byte) {
	l.tasks.Go(func() { p.Call(c, inputs) })
}

// Call has a member make calls, whose inputs are a pack.
func (p *Peer) Call(c *Call, inputs []byte) error {
	return p.c.send(message{Kind: call, Call: c}, inputs)
}

// Bye lets a member end well.
func (p *Peer) Bye() error { return p.c.send(message{Kind: bye}, nil) }

// Lost asks the agents whether their nodes are there, and returns the name of one that is not; "" if all are. An answer takes
// no time, the want of one some seconds.
func (l *Lead) Lost() string { return l.hub.silent() }

// Nodes returns the names of the task's nodes, this one first, when there is an agent on each of the others. If the engine runs
// no agents, the nodes are all this machine, and the agents are started here.
func (l *Lead) Nodes() ([]string, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	want := max(1, l.info.Shape.Nodes) - 1
	if l.own {
		for i := range want {
			n := "node" + strconv.Itoa(i+1)
			if err := l.startAgent(n); err != nil {
				return nil, fmt.Errorf("agent of node %s: %w", n, err)
			}
		}
	}
	deadline := time.After(startTime)
	for {
		names, there, final, news := l.hub.others()
		if len(names) >= want {
			for _, n := range names {
				if !there[n] {
					return nil, &LostNode{n}
				}
			}
			return append([]string{host}, names...), nil
		}
		if final {
			return nil, &LostNode{}
		}
		select {
		case <-news:
		case e := <-l.events:
			if e.Gone && e.Node != "" {
				return nil, &LostNode{e.Node}
			}
		case <-deadline:
			return nil, fmt.Errorf("after %v the task has the agents of %d of its %d other nodes (%s): can they reach port %d of %s, and did the engine start them?",
				startTime, len(names), want, strings.Join(names, ", "), l.hub.ln.Addr().(*net.TCPAddr).Port, host)
		case <-l.ctx.Done():
			return nil, context.Cause(l.ctx)
		}
	}
}

// Host is what a node that has an agent calls itself.
func (l *Lead) Host(node string) string {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if a := l.hub.agents[node]; a != nil {
		return a.host
	}
	return ""
}

// Interface is the network interface at which agents have reached this node; "" if it cannot be told.
func (l *Lead) Interface() string {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	for _, a := range l.hub.agents {
		if a.c == nil {
			continue
		}
		here, ok := a.c.LocalAddr().(*net.TCPAddr)
		all, err := net.Interfaces()
		if !ok || err != nil {
			return ""
		}
		for _, i := range all {
			addrs, _ := i.Addrs()
			for _, addr := range addrs {
				if n, ok := addr.(*net.IPNet); ok && (n.IP.Equal(here.IP) || i.Flags&net.FlagLoopback != 0 && n.Contains(here.IP)) {
					return i.Name
				}
			}
		}
	}
	return ""
}

// startAgent makes a node of this machine.
func (l *Lead) startAgent(node string) error {
	dir := filepath.Join(l.info.Scratch, node)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cmd := exec.Command(l.program)
	cmd.Env = append(os.Environ(), l.Env(Agent)...)
	cmd.Env = append(cmd.Env, contract.EnvNode+"="+node, contract.EnvScratch+"="+dir, contract.EnvToken+"="+l.hub.token)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	ownGroup(cmd)
	if err := startApart(cmd); err != nil {
		return err
	}
	h := l.hub
	h.mu.Lock()
	a := h.agents[node]
	if a == nil {
		a = &agent{node: node}
		h.agents[node] = a
	}
	a.cmd = cmd
	h.mu.Unlock()
	l.tasks.Go(func() {
		err := cmd.Wait()
		h.mu.Lock()
		never := a.gone == nil
		a.cmd = nil // its number may soon be another's
		h.mu.Unlock()
		if never { // else its connection tells
			fmt.Fprintf(os.Stderr, "clusterless: agent of node %s ended: %v\n", node, err)
			l.post(Event{Node: node, Gone: true})
		}
	})
	return nil
}

// StartHelper starts a helper on a node. Its output goes to this process's. An event tells when it has joined; until then
// died is called if it ends.
func (l *Lead) StartHelper(node string, here bool, env []string, died func(error)) error {
	env = append(l.Env(Helper), env...)
	if !here {
		s, err := l.stream(node, message{Kind: run, Argv: []string{""}, Env: env})
		if err != nil {
			return err
		}
		l.tasks.Go(func() {
			code, err := follow(s, os.Stdout, os.Stderr)
			l.end(s)
			if err == nil {
				err = fmt.Errorf("exit code %d", code)
			}
			died(err)
		})
		return nil
	}
	cmd := exec.Command(l.program)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.info.Dir, os.Stdout, os.Stderr
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	l.tasks.Go(func() {
		over := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			select {
			case <-l.ctx.Done():
				killGroup(cmd)
			case <-over:
			}
		})
		err := cmd.Wait()
		close(over)
		watch.Wait()
		if err == nil {
			err = errors.New("exit code 0")
		}
		died(err)
	})
	return nil
}

// stream has the agent of a node run a command, and returns the connection that it makes for it, which ends with the lead. Who
// gets it closes it.
func (l *Lead) stream(node string, m message) (*conn, error) {
	s, err := l.hub.stream(l.ctx, node, m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		s.Conn.Close()
		return nil, context.Cause(l.ctx)
	}
	l.streams[s] = true
	return s, nil
}

// end closes a stream.
func (l *Lead) end(s *conn) {
	s.Close()
	l.mu.Lock()
	delete(l.streams, s)
	l.mu.Unlock()
}

// shell serves mpiexec's remote shell: it ties its connection to that of the agent.
func (l *Lead) shell(c *conn, m message) {
	l.mu.Lock()
	env := l.remote
	node := cmp.Or(l.hosts[m.Node], m.Node)
	l.mu.Unlock()
	s, err := l.stream(node, message{Kind: run, Argv: m.Argv, Env: env, Dir: l.info.Dir})
	if err != nil {
		c.send(message{Kind: errs}, []byte(err.Error()+"\n"))
		c.send(message{Kind: exits, Code: 255}, nil)
		return
	}
	var watch sync.WaitGroup
	defer watch.Wait()
	defer c.Close()
	defer l.end(s)
	watch.Go(func() { // the shell's end, or that of its connection, ends the command
		io.Copy(io.Discard, c.r)
		s.Conn.Close()
	})
	for {
		m, body, err := s.receive()
		if err != nil {
			m, body = message{Kind: exits, Code: 255}, nil
		}
		if c.send(m, body) != nil || m.Kind == exits {
			return
		}
	}
}

// follow copies the output of a command until its end.
func follow(c *conn, stdout, stderr io.Writer) (int, error) {
	for {
		m, body, err := c.receive()
		switch {
		case err != nil:
			return 255, fmt.Errorf("connection to the node: %w", err)
		case m.Kind == outs:
			stdout.Write(body)
		case m.Kind == errs:
			stderr.Write(body)
		case m.Kind == exits:
			return m.Code, nil
		}
	}
}
