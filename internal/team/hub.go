package team

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Hub is where the processes of tasks dial in, and what reaches the agents on other nodes. Each Lead has a token of its own
// there, so that a process which is left over from one call cannot take part in the next.
type Hub struct {
	ln     net.Listener
	token  string          // of agents
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	told   atomic.Int32 // strangers that were turned away

	mu        sync.Mutex
	strangers []*stranger      // in the order in which they came
	leads     map[string]*Lead // by their tokens
	agents    map[string]*agent
	streams   map[int]chan *conn // commands whose agent has yet to dial back
	serial    int
	open      map[*conn]bool
	final     bool          // no more agents will come
	news      chan struct{} // closed and made anew when an agent comes or goes
}

// agent is a process on another node.
type agent struct {
	node string
	host string        // as the node calls itself
	c    *conn         // nil if it is not there
	gone chan struct{} // closed with c; nil if it never was there
	pong chan struct{} // has a value when it has answered
	cmd  *exec.Cmd     // if we started it
}

// Times of connections.
const (
	startTime = 2 * time.Minute // in which an agent or a member has to say hello
	pingTime  = 5 * time.Second // in which an agent has to answer, or its node is lost
)

// keepAlive ends connections to machines that have lost their power after half a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// Listen makes a hub for agents that the engine runs: they dial this address, and know the token. It serves all calls of the
// process. Close ends it.
func Listen(addr, token string) (*Hub, error) {
	ln, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address for the task's processes: %w", err)
	}
	h := &Hub{ln: ln, token: token, leads: map[string]*Lead{}, agents: map[string]*agent{}, streams: map[int]chan *conn{}, open: map[*conn]bool{},
		news: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.tasks.Go(h.accept)
	return h, nil
}

// NoMore tells those who wait for agents that the engine cannot start any more.
func (h *Hub) NoMore() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.final {
		h.final = true
		h.tell()
	}
}

// Close ends all connections and the agents that were started here.
func (h *Hub) Close() {
	h.cancel()
	h.ln.Close()
	h.mu.Lock()
	for c := range h.open {
		c.NetConn().Close()
	}
	for _, s := range h.strangers {
		s.Close()
	}
	for _, a := range h.agents {
		if a.cmd != nil {
			killGroup(a.cmd)
		}
	}
	h.mu.Unlock()
	h.tasks.Wait()
}

// addr is where processes of this machine dial. Those of other nodes are told another address by their agents, which
// know one that works there.
func (h *Hub) addr() string {
	a := h.ln.Addr().(*net.TCPAddr)
	if a.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", a.Port)
	}
	return a.String()
}

// A stranger is a connection that has yet to prove itself.
type stranger struct {
	net.Conn
	since time.Time
}

// Anybody can connect, so what strangers may take is bounded.
const (
	maxStrangers = 512             // more wait, or take the place of the oldest,
	patience     = 2 * time.Second // if that has had this long
	maxTold      = 20              // of those that were turned away
)

// accept lets in who connects. Only the end of the hub ends it: when descriptors are short, say, it tries again.
func (h *Hub) accept() {
	for {
		c, err := h.ln.Accept()
		if err == nil {
			h.mu.Lock()
			for len(h.strangers) >= maxStrangers {
				if oldest := h.strangers[0]; time.Since(oldest.since) > patience {
					oldest.Close()
					h.strangers = h.strangers[1:]
					continue
				}
				h.mu.Unlock()
				h.pause()
				h.mu.Lock()
			}
			s := &stranger{c, time.Now()}
			h.strangers = append(h.strangers, s)
			if h.ctx.Err() != nil { // Close has not seen it
				c.Close()
			}
			h.mu.Unlock()
			h.tasks.Go(func() { h.serve(s) })
			continue
		}
		if h.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		h.pause()
	}
}

// pause waits a little, unless the hub ends.
func (h *Hub) pause() {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-h.ctx.Done():
	}
}

// known is called when it has shown whether a stranger knows a token.
func (h *Hub) known(s *stranger) {
	h.mu.Lock()
	h.strangers = slices.DeleteFunc(h.strangers, func(o *stranger) bool { return o == s })
	h.mu.Unlock()
}

// tokens are those that a process may know.
func (h *Hub) tokens() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []string{h.token}
	for t := range h.leads {
		all = append(all, t)
	}
	return all
}

// serve speaks to one process for as long as it is there.
func (h *Hub) serve(s *stranger) {
	c, err := secure(h.ctx, s.Conn, true, h.tokens()...)
	h.known(s)
	if err != nil {
		s.Close()
		if errors.Is(err, ErrToken) {
			switch n := h.told.Add(1); {
			case n < maxTold:
				fmt.Fprintf(os.Stderr, "clusterless: %s was turned away: %v\n", s.RemoteAddr(), err)
			case n == maxTold:
				fmt.Fprintf(os.Stderr, "clusterless: %s was turned away: %v; of others nothing will be said\n", s.RemoteAddr(), err)
			}
		}
		return
	}
	taken := false
	defer func() {
		if !taken {
			c.Close()
		}
	}()
	h.mu.Lock()
	if h.ctx.Err() != nil {
		h.mu.Unlock()
		return
	}
	h.open[c] = true
	c.closed = func() {
		h.mu.Lock()
		delete(h.open, c)
		h.mu.Unlock()
	}
	h.mu.Unlock()
	m, _, err := c.receive()
	if err != nil || m.Kind != hello {
		return
	}
	h.mu.Lock()
	lead := h.leads[c.token]
	h.mu.Unlock()
	switch {
	case lead != nil && (m.Role == Rank || m.Role == Helper):
		lead.member(c, m)
	case lead != nil && m.Role == Shell:
		lead.shell(c, m)
	case c.token == h.token && m.Role == Agent:
		h.agent(c, m)
	case c.token == h.token && m.Role == stream:
		h.mu.Lock()
		if ch := h.streams[m.ID]; ch != nil {
			delete(h.streams, m.ID)
			ch <- c
			taken = true
		}
		h.mu.Unlock()
	}
}

// agent looks after the connection to an agent.
func (h *Hub) agent(c *conn, m message) {
	h.mu.Lock()
	a := h.agents[m.Node]
	if a == nil {
		a = &agent{node: m.Node}
		h.agents[m.Node] = a
	}
	if a.c != nil { // it has dialled anew, and the end of its former connection has not come through
		a.c.Conn.Close()
		close(a.gone)
		h.lost(m.Node)
	}
	gone, pong := make(chan struct{}), make(chan struct{}, 1)
	a.host, a.c, a.gone, a.pong = m.Host, c, gone, pong
	h.tell()
	h.mu.Unlock()
	for {
		if _, _, err := c.receive(); err != nil {
			break
		}
		select { // it says nothing else than that it is there
		case pong <- struct{}{}:
		default:
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.c != c {
		return
	}
	a.c = nil
	close(gone)
	h.lost(m.Node)
}

// lost tells all who wait. h.mu is held.
func (h *Hub) lost(node string) {
	h.tell()
	for _, l := range h.leads {
		h.tasks.Go(func() { l.post(Event{Node: node, Gone: true}) })
	}
}

// tell wakes those that wait for agents. h.mu is held.
func (h *Hub) tell() {
	close(h.news)
	h.news = make(chan struct{})
}

// others are the names of the nodes that have, or had, an agent, in order, and whether each is there now; final says that there
// will be no more.
func (h *Hub) others() (names []string, there map[string]bool, final bool, news <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	there = map[string]bool{}
	for n, a := range h.agents {
		if a.gone != nil {
			names = append(names, n)
			there[n] = a.c != nil
		}
	}
	slices.SortFunc(names, func(a, b string) int { // n2 before n10
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, there, h.final, h.news
}

// silent asks all agents whether they are there, and returns the name of one that does not answer; "" if all do.
func (h *Hub) silent() string {
	type asked struct {
		node       string
		gone, pong <-chan struct{}
	}
	var all []asked
	var connections []*conn
	h.mu.Lock()
	for n, a := range h.agents {
		if a.c == nil {
			h.mu.Unlock()
			return n
		}
		select { // an answer to an earlier question
		case <-a.pong:
		default:
		}
		all, connections = append(all, asked{n, a.gone, a.pong}), append(connections, a.c)
	}
	h.mu.Unlock()
	for _, c := range connections {
		go c.send(message{Kind: ping}, nil) // ends with the connection; what becomes of it shows below
	}
	deadline := time.After(pingTime)
	for _, a := range all {
		select {
		case <-a.pong:
		case <-a.gone:
			return a.node
		case <-deadline:
			return a.node
		}
	}
	return ""
}

// stream has the agent of a node run a command, and returns the connection that it makes for it.
func (h *Hub) stream(ctx context.Context, node string, m message) (*conn, error) {
	h.mu.Lock()
	a := h.agents[node]
	if a == nil || a.c == nil {
		h.mu.Unlock()
		return nil, fmt.Errorf("there is no agent on node %q", node)
	}
	h.serial++
	m.ID = h.serial
	ch := make(chan *conn, 1)
	h.streams[m.ID] = ch
	c, gone := a.c, a.gone
	h.mu.Unlock()
	forget := func(err error) (*conn, error) {
		h.mu.Lock()
		delete(h.streams, m.ID)
		h.mu.Unlock()
		select {
		case s := <-ch: // it has come all the same: its end ends the command
			s.Close()
		default:
		}
		return nil, err
	}
	if err := c.send(m, nil); err != nil {
		return forget(fmt.Errorf("agent of node %s: %w", node, err))
	}
	select {
	case s := <-ch:
		return s, nil
	case <-gone:
		return forget(&LostNode{node})
	case <-time.After(startTime):
		return forget(fmt.Errorf("agent of node %s has not begun the command after %v", node, startTime))
	case <-ctx.Done():
		return forget(context.Cause(ctx))
	}
}

// A LostNode is the error of what needed a node of its task that is gone. Whatever the function makes of it, the task is
// then tried again as one whose process was lost.
type LostNode struct{ Node string } // "" if it is not known which

func (e *LostNode) Error() string {
	if e.Node == "" {
		return "a node was lost, or was not there: the engine could not start its agent"
	}
	return fmt.Sprintf("node %s was lost: its agent ended", e.Node)
}
