package blobstore

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// silence is how long a connection may neither bring nor take a byte. The service answers any request in less, but a network
// may lose a connection without a word.
const silence = 2 * time.Minute

// defaultTransport is shared by all stores of the process, for its idle connections.
var defaultTransport = sync.OnceValue(func() *http.Transport { return newTransport(silence) })

// newTransport keeps more connections than the standard one, whose two per host make many readers at once connect again and
// again.
func newTransport(silence time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{c, silence}, nil
		},
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 30 * time.Second,
		DisableCompression:  true, // blobs are as they were put
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
	}
}

// conn breaks off when nothing has passed for so long. A write also keeps alive a read that waits for the answer.
type conn struct {
	net.Conn
	silence time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// guard keeps the bodies of requests from being read after the answer. A transport may do that, when the answer comes early
// or the context ends, and the SDK (azblob v1.8.3) sends blocks from mappings that it unmaps then: the process would crash.
type guard struct{ *http.Transport }

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return g.Transport.RoundTrip(req)
	}
	var gate gate
	defer gate.close()
	guarded := req.WithContext(req.Context()) // a copy
	guarded.Body = guardedBody{req.Body, &gate}
	if req.GetBody != nil {
		guarded.GetBody = func() (io.ReadCloser, error) {
			body, err := req.GetBody()
			return guardedBody{body, &gate}, err
		}
	}
	return g.Transport.RoundTrip(guarded)
}

// gate lets reads through until it is closed, and closes when none is on its way.
type gate struct {
	mu     sync.Mutex
	closed bool
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

type guardedBody struct {
	io.ReadCloser
	gate *gate
}

func (b guardedBody) Read(p []byte) (int, error) {
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	if b.gate.closed {
		return 0, errAnswered
	}
	return b.ReadCloser.Read(p)
}

var errAnswered = errors.New("the request was answered before all of it was sent")
