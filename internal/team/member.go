package team

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// A Call is what a member is to do: N calls in a row, from the one numbered Call, whose inputs are a pack.
type Call struct {
	N       int       `json:"n"`
	Func    string    `json:"func"`
	Job     string    `json:"job"`
	Task    int       `json:"task"`
	Attempt int       `json:"attempt"`
	Call    int       `json:"call"`
	Until   time.Time `json:"until,omitzero"`  // when its time is over
	Quiet   bool      `json:"quiet,omitempty"` // its result is not wanted
}

// A Member is this process's connection to the lead.
type Member struct {
	c    *conn
	gone func()
	in   chan received
}

type received struct {
	m    message
	body []byte
}

// Join dials the lead and says who this process is. gone is called when the lead is.
func Join(ctx context.Context, addr, token, role string, gone func()) (*Member, error) {
	ctx, cancel := context.WithTimeout(ctx, greet)
	defer cancel()
	c, err := dial(ctx, addr, token)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	if err := c.send(message{Kind: hello, Role: role, Rank: envRank(), PID: os.Getpid(), Host: host}, nil); err != nil {
		return nil, err
	}
	m := &Member{c: c, gone: gone, in: make(chan received, 64)}
	go func() {
		for {
			msg, body, err := c.receive()
			if err != nil {
				gone()
				return
			}
			m.in <- received{msg, body}
		}
	}()
	return m, nil
}

// Next returns the next calls with their inputs; nil at the end.
func (m *Member) Next() (c *Call, inputs []byte) {
	r := <-m.in
	if r.m.Kind != call {
		return nil, nil
	}
	return r.m.Call, r.body
}

// Done says what became of calls: n in a row ended well, with results; with a failure it is one that did not.
func (m *Member) Done(call, n int, f *plan.Failure, results []byte) error {
	return m.c.send(message{Kind: done, ID: call, N: n, Failure: f}, results)
}

// envRank is the number that mpiexec gave this process.
func envRank() int {
	for _, name := range []string{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"} {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
	}
	return 0
}
