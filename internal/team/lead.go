package team

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
)

// startTime is how long an agent or a member may take until it has said hello.
const startTime = 2 * time.Minute

// A Lead is the worker's side of a team. One goroutine uses it.
type Lead struct {
	info    Info
	ln      net.Listener
	token   string
	program string
	events  chan Event
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu      sync.Mutex
	agents  map[string]*agent
	streams map[int]chan *conn // commands whose agent has yet to dial back
	serial  int
	remote  []string
	open    map[*conn]bool
	members map[*conn]bool
	news    chan struct{} // closed and made anew when an agent comes or goes
}

// agent is a process on another node.
type agent struct {
	c    *conn         // nil if it is not there
	gone chan struct{} // closed with c
	node string
	cmd  *exec.Cmd // if we started it
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
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, token := info.Addr, info.Token
	if addr == "" {
		addr, token = "127.0.0.1:0", NewToken()
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address for the task's processes: %w", err)
	}
	l := &Lead{info: info, ln: ln, token: token, program: program, events: make(chan Event), agents: map[string]*agent{},
		streams: map[int]chan *conn{}, open: map[*conn]bool{}, members: map[*conn]bool{}, news: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.tasks.Go(l.accept)
	return l, nil
}

// Program is the path of the executable.
func (l *Lead) Program() string { return l.program }

// Events has all that happens. It must be read until Close.
func (l *Lead) Events() <-chan Event { return l.events }

// Env is what makes a process of the program one of the team, with a role.
func (l *Lead) Env(role string) []string {
	return append(l.Access(),
		contract.EnvWorker+"="+contract.Version,
		contract.EnvRole+"="+role,
		contract.EnvCache+"="+l.info.Cache,
		contract.EnvScratch+"="+l.info.Scratch,
		contract.EnvNode+"="+l.info.Node)
}

// Access is what a process needs to reach the lead without having a role: the environment of an mpiexec whose ranks are
// not of this program.
func (l *Lead) Access() []string {
	env := []string{contract.EnvTeam + "=" + l.ln.Addr().String(), contract.EnvToken + "=" + l.token, contract.EnvStore + "=" + l.info.Store}
	if l.info.Access != "" {
		env = append(env, contract.EnvAccess+"="+l.info.Access)
	}
	return env
}

// SetRemote is the environment for what is started on other nodes through [Shell].
func (l *Lead) SetRemote(env []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remote = env
}

// Dismiss ends the members, and says how many there were: a member that loses its lead exits at once.
func (l *Lead) Dismiss() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.members {
		c.Conn.Close()
	}
	return len(l.members)
}

// Close ends the team: who is left loses its connection, and what was started is killed.
func (l *Lead) Close() {
	l.cancel()
	l.ln.Close()
	l.mu.Lock()
	for c := range l.open {
		c.Conn.Close()
	}
	for _, a := range l.agents {
		if a.cmd != nil {
			killGroup(a.cmd)
		}
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

func (l *Lead) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.tasks.Go(func() { l.serve(c) })
	}
}

// serve speaks to one process for as long as it is there.
func (l *Lead) serve(nc net.Conn) {
	c, err := secure(l.ctx, nc, l.token, true)
	if err != nil {
		nc.Close()
		if errors.Is(err, ErrToken) {
			fmt.Fprintf(os.Stderr, "clusterless: %s was turned away: %v\n", nc.RemoteAddr(), err)
		}
		return
	}
	defer c.Conn.Close()
	l.mu.Lock()
	if l.ctx.Err() != nil {
		l.mu.Unlock()
		return
	}
	l.open[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, c)
		l.mu.Unlock()
	}()
	m, _, err := c.receive()
	if err != nil || m.Kind != hello {
		return
	}
	switch m.Role {
	case Rank, Helper:
		l.member(c, m)
	case Agent:
		l.agent(c, m)
	case Shell:
		l.shell(c, m)
	case stream:
		l.mu.Lock()
		ch := l.streams[m.ID]
		delete(l.streams, m.ID)
		l.mu.Unlock()
		if ch != nil {
			ch <- c
			<-l.ctx.Done() // who took it closes it; here it only stays in l.open
		}
	}
}

func (l *Lead) member(c *conn, m message) {
	p := &Peer{Role: m.Role, Rank: m.Rank, PID: m.PID, Host: m.Host, c: c}
	l.mu.Lock()
	l.members[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.members, c)
		l.mu.Unlock()
	}()
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

// Call has a member make calls, whose inputs are a pack.
func (p *Peer) Call(c *Call, inputs []byte) error {
	return p.c.send(message{Kind: call, Call: c}, inputs)
}

// Bye lets a member end well.
func (p *Peer) Bye() error { return p.c.send(message{Kind: bye}, nil) }

func (l *Lead) agent(c *conn, m message) {
	l.mu.Lock()
	a := l.agents[m.Node]
	if a == nil {
		a = &agent{node: m.Node}
		l.agents[m.Node] = a
	}
	a.c, a.gone = c, make(chan struct{})
	l.tell()
	l.mu.Unlock()
	c.receive() // an agent says nothing more here; its end is an end
	l.mu.Lock()
	a.c = nil
	close(a.gone)
	l.tell()
	l.mu.Unlock()
	l.post(Event{Node: m.Node, Gone: true})
}

// tell wakes those that wait for agents. l.mu is held.
func (l *Lead) tell() {
	close(l.news)
	l.news = make(chan struct{})
}

// Nodes returns the names of the task's nodes, this one first, when there is an agent on each of the others. If the engine runs
// no agents, the nodes are all this machine, and the agents are started here.
func (l *Lead) Nodes() ([]string, error) {
	nodes := l.info.Nodes
	if len(nodes) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		nodes = []string{host}
		for i := 1; i < max(1, l.info.Shape.Nodes); i++ {
			nodes = append(nodes, "node"+strconv.Itoa(i))
		}
		for _, n := range nodes[1:] {
			if err := l.startAgent(n); err != nil {
				return nil, fmt.Errorf("agent of node %s: %w", n, err)
			}
		}
	}
	deadline := time.After(startTime)
	for {
		l.mu.Lock()
		var missing []string
		for _, n := range nodes[1:] {
			if a := l.agents[n]; a == nil || a.c == nil {
				missing = append(missing, n)
			}
		}
		news := l.news
		l.mu.Unlock()
		if len(missing) == 0 {
			return nodes, nil
		}
		select {
		case <-news:
		case e := <-l.events:
			if e.Gone && e.Node != "" {
				return nil, fmt.Errorf("node %s was lost before the task began: its agent ended", e.Node)
			}
		case <-deadline:
			return nil, fmt.Errorf("no agent on node %s after %v: is %s reachable from there?", missing[0], startTime, l.ln.Addr())
		case <-l.ctx.Done():
			return nil, context.Cause(l.ctx)
		}
	}
}

// startAgent makes a node of this machine.
func (l *Lead) startAgent(node string) error {
	dir := filepath.Join(l.info.Scratch, node)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cmd := exec.Command(l.program)
	cmd.Env = append(os.Environ(), l.Env(Agent)...)
	cmd.Env = append(cmd.Env, contract.EnvNode+"="+node, contract.EnvScratch+"="+dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	ownGroup(cmd)
	if err := startApart(cmd); err != nil {
		return err
	}
	l.mu.Lock()
	l.agents[node] = &agent{node: node, cmd: cmd}
	l.mu.Unlock()
	l.tasks.Go(func() {
		err := cmd.Wait()
		l.mu.Lock()
		lost := l.agents[node].c == nil
		l.mu.Unlock()
		if lost { // else its connection tells
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

// stream has the agent of a node run a command, and returns the connection that it makes for it.
func (l *Lead) stream(node string, m message) (*conn, error) {
	l.mu.Lock()
	a := l.agents[node]
	if a == nil || a.c == nil {
		l.mu.Unlock()
		return nil, fmt.Errorf("there is no agent on node %q", node)
	}
	l.serial++
	m.ID = l.serial
	ch := make(chan *conn, 1)
	l.streams[m.ID] = ch
	c, gone := a.c, a.gone
	l.mu.Unlock()
	if err := c.send(m, nil); err != nil {
		return nil, fmt.Errorf("agent of node %s: %w", node, err)
	}
	select {
	case s := <-ch:
		return s, nil
	case <-gone:
		return nil, fmt.Errorf("node %s was lost: its agent ended", node)
	case <-time.After(startTime):
		return nil, fmt.Errorf("agent of node %s has not begun the command after %v", node, startTime)
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// shell serves mpiexec's remote shell: it ties its connection to that of the agent.
func (l *Lead) shell(c *conn, m message) {
	l.mu.Lock()
	env := l.remote
	l.mu.Unlock()
	s, err := l.stream(m.Node, message{Kind: run, Argv: m.Argv, Env: env, Dir: l.info.Dir})
	if err != nil {
		c.send(message{Kind: errs}, []byte(err.Error()+"\n"))
		c.send(message{Kind: exits, Code: 255}, nil)
		return
	}
	l.tasks.Go(func() { // the shell's end, or that of its connection, ends the command
		io.Copy(io.Discard, c.r)
		s.Conn.Close()
	})
	for {
		m, body, err := s.receive()
		if err != nil {
			m, body = message{Kind: exits, Code: 255}, nil
		}
		if c.send(m, body) != nil || m.Kind == exits {
			s.Conn.Close()
			return
		}
	}
}

// follow copies the output of a command until its end.
func follow(c *conn, stdout, stderr io.Writer) (int, error) {
	defer c.Conn.Close()
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
