// Package azwait tells the watch of a context how services of Azure answer, try by try: the SDK's clients hide what they try again.
package azwait

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/clusterless-go/clusterless/internal/azerror"
	"github.com/clusterless-go/clusterless/internal/waiting"
)

// How long a service takes at most, usually.
const (
	connectTime = 3 * time.Second // to let us in
	answerTime  = 5 * time.Second // to answer when it has the whole request
)

// A Policy belongs among a client's PerRetryPolicies.
type Policy struct {
	Service string // for people: "Azure Batch"
}

// Do implements policy.Policy.
func (p Policy) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	w := waiting.From(ctx)
	if w == nil {
		return req.Next()
	}
	t := &try{w: w, service: p.Service + " at " + req.Raw().URL.Host, began: time.Now()}
	t.expect(connectTime, "no connection")
	resp, err := req.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { t.expect(0, "") }, // what is sent may be long
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.expect(answerTime, "no answer") },
		GotFirstResponseByte: func() { t.expect(0, "") },
	})).Next()
	t.end()
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil:
		w.Failed(t.service, reason(err), t.began)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode >= 500:
		w.Failed(t.service, strings.ToLower(http.StatusText(resp.StatusCode)), t.began)
	default:
		w.Answered(t.service)
	}
	return resp, err
}

// A try is one request.
type try struct {
	w       *waiting.Watch
	service string
	began   time.Time

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// expect says that something is to happen within d; 0: that it has.
func (t *try) expect(d time.Duration, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	if d == 0 || t.ended {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.timer == timer && !t.ended {
			t.w.Failed(t.service, why, t.began)
		}
	})
	t.timer = timer
}

// end keeps what is late from being told after all.
func (t *try) end() {
	t.expect(0, "")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// reason is why there was no answer, in a few words without an address, which the service's name has.
func reason(err error) string {
	var dns *net.DNSError
	var number syscall.Errno
	var timeout net.Error
	var request *url.Error // its text has the URL
	switch {
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &number):
		return number.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	case errors.As(err, &request):
		err = request.Err
	}
	return azerror.Redact(strings.Join(strings.Fields(err.Error()), " "))
}
