package apicheck

import (
	"bytes"
	"io"
	"mime"
	"net/http"
)

// Handler passes each exchange on to next, and calls report with a *Violation for each point in which it does not
// conform, after next has answered, in the goroutine of the request. The exchange itself is left alone, but that next
// starts when the body of the request is there. It belongs around the handlers of the API and nothing else. A request
// that next refused for its form (status 400 and the like) is not reported, its answer is. An exchange in which next
// panics is not checked.
func (c *Checker) Handler(next http.Handler, report func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange{request: r.Clone(r.Context())} // as it was, whatever next does to it
		if r.Body != nil && r.Body != http.NoBody {
			b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
			x.requestBody = b
			r.Body = &rest{Reader: io.MultiReader(bytes.NewReader(b), &failed{err}, r.Body), Closer: r.Body}
		}
		kept := &recorder{ResponseWriter: w}
		next.ServeHTTP(kept, r)
		if kept.status == 0 {
			kept.status, kept.sent = http.StatusOK, w.Header().Clone()
		}
		x.status, x.header, x.responseBody = kept.status, kept.sent, kept.body.Bytes()
		c.check(x, report)
	})
}

// maxRequest is more than the service takes; what is longer is no JSON for the Checker.
const maxRequest = 16 << 20

// rest is a body of which some was read.
type rest struct {
	io.Reader
	io.Closer
}

// failed ends a body where reading it failed, or goes on to what is left.
type failed struct{ err error }

func (f *failed) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// A recorder copies status, headers and body of an answer; of a body that is no JSON only the beginning.
type recorder struct {
	http.ResponseWriter
	status int
	sent   http.Header
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status, r.sent = status, r.Header().Clone()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.body.Write(p[:min(len(p), room(r.sent, r.body.Len()))])
	return r.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// keptOfFiles is how much is kept of a body that nothing is described of but that it is or is not there.
const keptOfFiles = 512

// room is how much more of a body is to be kept.
func room(h http.Header, kept int) int {
	if media, _, _ := mime.ParseMediaType(h.Get("Content-Type")); media == jsonMedia {
		return maxJSON - kept
	}
	return max(0, keptOfFiles-kept)
}

// maxJSON is more than any answer of the service has.
const maxJSON = 1 << 30

// RoundTripper does for a client what Handler does for a server.
func (c *Checker) RoundTripper(next http.RoundTripper, report func(error)) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		x := exchange{request: r.Clone(r.Context())}
		if r.Body != nil && r.Body != http.NoBody {
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil {
				return nil, err
			}
			x.requestBody = b
			r = r.Clone(r.Context()) // which belongs to the caller
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		resp, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if room(resp.Header, 0) > keptOfFiles || resp.StatusCode != http.StatusOK {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return nil, err
			}
			x.responseBody = b
			resp.Body = io.NopCloser(bytes.NewReader(b))
		}
		x.status, x.header = resp.StatusCode, resp.Header
		c.check(x, report)
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
