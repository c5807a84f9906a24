package blobstore_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// network is what lies between a store and Azurite, and can be made bad.
type network struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
	n     int
}

// through opens a store over a bad network.
func through(t testing.TB, server *azurite.Server, s *blobstore.Store, opts ...blobstore.Option) (*blobstore.Store, *network) {
	t.Helper()
	endpoint, err := neturl.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "azurite", "127.0.0.1:0", endpoint.Host)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	opts = append(opts, blobstore.WithKey(server.Key))
	return open(t, strings.Replace(s.URL(), endpoint.Host, p.Listen, 1), opts...), &network{t: t, proxy: p}
}

// add makes the network bad in a way that toxiproxy describes; heal makes it good again.
func (n *network) add(stream, kind, attributes string) (heal func()) {
	n.t.Helper()
	n.n++
	name := fmt.Sprint(n.n)
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "stream": %q, "type": %q, "attributes": {%s}}`, name, stream, kind, attributes)))
	if err != nil {
		n.t.Fatal(err)
	}
	return func() {
		if err := n.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			n.t.Error(err)
		}
	}
}

// What happens to a request: 0 is that the service answers it, another one below 600 that this is the status of the answer
// and the service has not seen it.
const lost = 1000 // the service answers, but the answer does not arrive

// meddling opens a store whose requests are asked about.
func meddling(t testing.TB, server *azurite.Server, s *blobstore.Store, what func(r *http.Request) int) *blobstore.Store {
	t.Helper()
	return open(t, meddlingURL(t, server, s, what), blobstore.WithKey(server.Key))
}

func meddlingURL(t testing.TB, server *azurite.Server, s *blobstore.Store, what func(r *http.Request) int) string {
	t.Helper()
	endpoint, err := neturl.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", endpoint.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch status := what(r); status {
		case 0:
			proxy.ServeHTTP(w, r)
		case lost:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(front.Close)
	return strings.Replace(s.URL(), endpoint.Host, strings.TrimPrefix(front.URL, "http://"), 1)
}

// first meddles with the first n requests that match.
func first(n int32, status int, match func(r *http.Request) bool) func(r *http.Request) int {
	var seen atomic.Int32
	return func(r *http.Request) int {
		if match(r) && seen.Add(1) <= n {
			return status
		}
		return 0
	}
}

func isCommit(r *http.Request) bool {
	comp := r.URL.Query().Get("comp")
	return r.Method == http.MethodPut && (comp == "" || comp == "blocklist") && r.URL.Query().Get("restype") == ""
}

func isBlock(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("comp") == "block"
}
