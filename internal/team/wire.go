package team

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// ErrToken: the other side does not know the token.
var ErrToken = errors.New("the other side does not have this task's token")

// greet is how long the other side may take to prove itself.
const greet = 30 * time.Second

// NewToken makes up a token.
func NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// certificate is of a key that nobody knows: who the lead is shows by the token.
var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(100 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, pub, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// A conn is an encrypted connection between two processes that have proved to each other that they know the token: each
// sends a code of the token and of a number that only the two ends of this very connection can derive (RFC 9266), so
// the token does not travel, and nobody can stand in between.
type conn struct {
	*tls.Conn
	token  string // that the other side knows
	r      *bufio.Reader
	mu     sync.Mutex // of writers
	w      *bufio.Writer
	closed func() // by Close; may be nil
}

// Close closes the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if c.closed != nil {
		c.closed()
	}
	return err
}

// secure makes a conn of a connection. The one that dials has one token; the lead takes whoever knows one of several.
func secure(ctx context.Context, c net.Conn, lead bool, tokens ...string) (*conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}
	var t *tls.Conn
	if lead {
		cert, err := certificate()
		if err != nil {
			return nil, err
		}
		cfg.Certificates, cfg.SessionTicketsDisabled = []tls.Certificate{cert}, true
		t = tls.Server(c, cfg)
	} else {
		t = tls.Client(c, cfg)
	}
	c.SetDeadline(time.Now().Add(greet))
	defer c.SetDeadline(time.Time{})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	key, err := state.ExportKeyingMaterial("EXPORTER-clusterless-team", nil, 32)
	if err != nil {
		return nil, err
	}
	proof := func(token, side string) []byte {
		m := hmac.New(sha256.New, []byte(token))
		m.Write([]byte(side))
		m.Write(key)
		return m.Sum(nil)
	}
	mine, theirs := "member", "lead"
	if lead {
		mine, theirs = theirs, mine
	}
	if !lead { // the lead tells nobody anything before it has seen a proof
		if _, err := t.Write(proof(tokens[0], mine)); err != nil {
			return nil, err
		}
	}
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(t, got); err != nil {
		if !lead {
			err = ErrToken // it hung up
		}
		return nil, err
	}
	i := slices.IndexFunc(tokens, func(token string) bool { return token != "" && hmac.Equal(got, proof(token, theirs)) })
	if i < 0 {
		return nil, ErrToken
	}
	if lead {
		if _, err := t.Write(proof(tokens[i], mine)); err != nil {
			return nil, err
		}
	}
	return &conn{Conn: t, token: tokens[i], r: bufio.NewReaderSize(t, 64<<10), w: bufio.NewWriterSize(t, 64<<10)}, nil
}

// dial connects to the lead.
func dial(ctx context.Context, addr, token string) (*conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s, err := secure(ctx, c, false, token)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("lead of the task at %s: %w", addr, err)
	}
	return s, nil
}

// A message is a line of JSON behind its length, and Size bytes.
type message struct {
	Kind string `json:"kind"`
	Size int    `json:"size,omitempty"` // bytes that follow

	// hello
	Role string `json:"role,omitempty"`
	Node string `json:"node,omitempty"` // of an agent: its name; of a shell: where to
	Rank int    `json:"rank,omitempty"`
	PID  int    `json:"pid,omitempty"`
	Host string `json:"host,omitempty"`

	// run, and the hello of its stream
	ID   int      `json:"id,omitempty"`
	Argv []string `json:"argv,omitempty"`
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`

	// call
	Call *Call `json:"call,omitempty"`

	// done: N calls from ID
	N       int           `json:"n,omitempty"`
	Failure *plan.Failure `json:"failure,omitempty"`

	// exit of a command
	Code int `json:"code,omitempty"`
}

// Kinds of messages.
const (
	hello = "hello" // member, agent, shell, stream: who it is
	run   = "run"   // lead to agent: start a command; shell to lead
	call  = "call"  // lead to member, with the input
	done  = "done"  // member to lead, with the result
	bye   = "bye"   // lead to member: all is well, end
	outs  = "out"   // stream: output of a command
	errs  = "err"   // stream: its standard error
	exits = "exit"  // stream: its end
	ping  = "ping"  // lead to agent: is it there?
	pong  = "pong"  // agent to lead: it is
)

// maxHeader is the largest JSON of a message.
const maxHeader = 4 << 20

// put writes a message without sending it yet.
func (c *conn) put(m message, body []byte) error {
	m.Size = len(body)
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(b)))
	c.w.Write(n[:])
	c.w.Write(b)
	_, err = c.w.Write(body)
	return err
}

// send writes a message.
func (c *conn) send(m message, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.put(m, body); err != nil {
		return err
	}
	return c.w.Flush()
}

// receive reads a message.
func (c *conn) receive() (m message, body []byte, err error) {
	var n [4]byte
	if _, err := io.ReadFull(c.r, n[:]); err != nil {
		return m, nil, err
	}
	size := binary.LittleEndian.Uint32(n[:])
	if size > maxHeader {
		return m, nil, fmt.Errorf("a message of %d bytes: not of this protocol", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return m, nil, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, nil, err
	}
	if m.Size > 0 {
		body = make([]byte, m.Size)
		_, err = io.ReadFull(c.r, body)
	}
	return m, body, err
}
