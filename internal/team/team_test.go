package team_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
)

// The test binary is also the program that a lead starts as agents and helpers.
func TestMain(m *testing.M) {
	addr, token := os.Getenv(contract.EnvTeam), os.Getenv(contract.EnvToken)
	ctx := context.Background()
	switch os.Getenv(contract.EnvRole) {
	case team.Agent:
		os.Exit(team.Serve(ctx, team.AgentConfig{Addr: addr, Token: token, Node: os.Getenv(contract.EnvNode), Here: []string{"WHERE=" + os.Getenv(contract.EnvNode)}}))
	case team.Shell:
		os.Exit(team.RunShell(ctx, addr, token, os.Args[1:]))
	case team.Helper:
		mem, err := team.Join(ctx, addr, token, team.Helper, func() { os.Exit(9) })
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for c, in := mem.Next(); c != nil; c, in = mem.Next() {
			mem.Done(c.Call, c.N, nil, append([]byte(os.Getenv("WHERE")+":"), in...))
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newLead(t *testing.T, nodes int) *team.Lead {
	t.Helper()
	l, err := team.New(t.Context(), team.Info{Scratch: t.TempDir(), Dir: t.TempDir(), Node: "first", Shape: plan.Shape{Nodes: nodes}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func next(t *testing.T, l *team.Lead) team.Event {
	t.Helper()
	select {
	case e := <-l.Events():
		return e
	case <-time.After(time.Minute):
		t.Fatal("nothing happened for a minute")
		panic("")
	}
}

func TestHelpersOnNodes(t *testing.T) {
	l := newLead(t, 3)
	nodes, err := l.Nodes()
	if err != nil || len(nodes) != 3 {
		t.Fatalf("nodes %q, %v", nodes, err)
	}
	for i, n := range nodes {
		if err := l.StartHelper(n, i == 0, nil, func(error) {}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for len(got) < 3 {
		e := next(t, l)
		switch {
		case e.Joined:
			e.Member.Call(&team.Call{Func: "echo", Call: 7, N: 1}, []byte("x"))
		case e.Done:
			if e.Call != 7 || e.N != 1 {
				t.Errorf("call %d, want 7", e.Call)
			}
			got[string(e.Result)] = true
		}
	}
	for _, want := range []string{":x", "node1:x", "node2:x"} {
		if !got[want] {
			t.Errorf("results %v lack %q", got, want)
		}
	}
}

// environment is that of a process which mpiexec starts in place of ssh.
func environment(l *team.Lead, role string) map[string]string {
	env := map[string]string{}
	for _, v := range l.Env(role) {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

func TestShell(t *testing.T) {
	l := newLead(t, 2)
	if _, err := l.Nodes(); err != nil {
		t.Fatal(err)
	}
	l.SetRemote([]string{"GREETING=hello"}, map[string]string{"alias": "node1"})
	env := environment(l, team.Shell)
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-x", "node1", `echo "$GREETING" from $WHERE`}, 0, "hello from node1\n"},
		{[]string{"alias", "echo", "$WHERE"}, 0, "node1\n"},
		{[]string{"node1", "exit", "3"}, 3, ""},
		{[]string{"node9", "true"}, 255, `there is no agent on node "node9"`},
		{[]string{"node1"}, 255, "want HOST COMMAND"},
	} {
		out.Truncate(0)
		out.Seek(0, io.SeekStart)
		stdout, stderr := os.Stdout, os.Stderr
		os.Stdout, os.Stderr = out, out
		code := team.RunShell(t.Context(), env[contract.EnvTeam], env[contract.EnvToken], c.args)
		os.Stdout, os.Stderr = stdout, stderr
		b, _ := os.ReadFile(out.Name())
		if code != c.code || !strings.Contains(string(b), c.want) {
			t.Errorf("%q: code %d, %q; want %d, %q", c.args, code, b, c.code, c.want)
		}
	}
}

// Whoever does not know the token is turned away, by the lead and by members, and the team goes on.
func TestWrongToken(t *testing.T) {
	l := newLead(t, 1)
	env := environment(l, team.Helper)
	addr := env[contract.EnvTeam]
	for _, token := range []string{"", team.NewToken()} {
		if _, err := team.Join(t.Context(), addr, token, team.Helper, func() {}); !errors.Is(err, team.ErrToken) {
			t.Errorf("token %q: joined with %v", token, err)
		}
		if code := team.Serve(t.Context(), team.AgentConfig{Addr: addr, Token: token, Node: "node1"}); code != 1 {
			t.Errorf("token %q: an agent ended with %d", token, code)
		}
		if code := team.RunShell(t.Context(), addr, token, []string{"node1", "true"}); code != 255 {
			t.Errorf("token %q: a shell ended with %d", token, code)
		}
	}
	// Something that speaks another protocol.
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n")
	io.Copy(io.Discard, c)
	c.Close()

	m, err := team.Join(t.Context(), addr, env[contract.EnvToken], team.Helper, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, l); !e.Joined {
		t.Errorf("event %+v, want that the member has joined", e)
	} else {
		e.Member.Bye()
	}
	if c, _ := m.Next(); c != nil {
		t.Errorf("call %+v at the end", c)
	}
}

// Those who connect and prove nothing take up only so much, and keep nobody out.
func TestStrangers(t *testing.T) {
	l := newLead(t, 1)
	env := environment(l, team.Helper)
	addr := env[contract.EnvTeam]
	var idle []net.Conn
	for i := range 1200 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch i % 3 {
		case 0: // says nothing
			idle = append(idle, c)
		case 1: // comes as far as one can without the token
			s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
			if i < 60 {
				if err := s.Handshake(); err != nil {
					t.Fatal(err)
				}
			}
		case 2: // speaks without end
			go io.Copy(c, zeros{})
		}
	}
	m, err := team.Join(t.Context(), addr, env[contract.EnvToken], team.Helper, func() {})
	if err != nil {
		t.Fatal(err)
	}
	e := next(t, l)
	if !e.Joined {
		t.Fatalf("event %+v, want that the member has joined", e)
	}
	idle[0].SetReadDeadline(time.Now().Add(20 * time.Second)) // a stranger alone may take 30 s
	if _, err := idle[0].Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first stranger has not made room")
	}
	e.Member.Bye()
	if c, _ := m.Next(); c != nil {
		t.Errorf("call %+v at the end", c)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// Who plays the lead without knowing the token gets nothing but the member's proof, which is of no use on another
// connection.
func TestWrongLead(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	heard := make(chan int, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		proof := make([]byte, 32)
		io.ReadFull(c, proof)
		c.Write(proof) // sending back what came is the best it can do
		n, _ := io.Copy(io.Discard, c)
		heard <- int(n)
	}()
	if code := team.Serve(t.Context(), team.AgentConfig{Addr: ln.Addr().String(), Token: team.NewToken(), Node: "node1"}); code != 1 {
		t.Errorf("an agent served a stranger, and ended with %d", code)
	}
	if n := <-heard; n != 0 {
		t.Errorf("a stranger heard %d bytes", n)
	}
}
