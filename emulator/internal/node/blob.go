package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// storageVersion is the version of Azure Storage's REST API that is spoken when a token is sent, which needs one, and when
// listing and uploading.
const storageVersion = "2021-12-02"

// transferTries are made at a transfer that fails for a reason that may pass. The wait between them doubles.
const transferTries = 4

// Files up to putLimit are uploaded by one request, larger ones in blocks.
const (
	putLimit  = 64 << 20
	blockSize = 32 << 20
)

var errStalled = errors.New("no progress was made for too long")

// A blobError is what went wrong with a request to storage. It holds no query of a URL, which may have a signature.
type blobError struct {
	op, url string
	status  int    // 0: there was no answer
	code    string // x-ms-error-code
	err     error
}

func (e *blobError) Error() string {
	if e.status == 0 {
		return fmt.Sprintf("%s %s: %v", e.op, e.url, e.err)
	}
	return strings.TrimSuffix(fmt.Sprintf("%s %s: %d %s %s", e.op, e.url, e.status, http.StatusText(e.status), e.code), " ")
}

func (e *blobError) Unwrap() error { return e.err }

// passing says whether another try may help.
func (e *blobError) passing() bool {
	switch e.status {
	case 0:
		return !errors.Is(e.err, errStalled)
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// A localError is what went wrong on the node's side of a transfer: no try will help.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// retried makes tries at something until one works, or fails for good.
func (n *Node) retried(ctx context.Context, try func() error) error {
	for i, wait := 1, n.c.RetryWait; ; i, wait = i+1, 2*wait {
		err := try()
		var b *blobError
		if err == nil || i == transferTries || ctx.Err() != nil || !errors.As(err, &b) || !b.passing() {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// A request to storage, or to any other server for a download.
type request struct {
	op, url  string
	method   string
	identity string
	header   http.Header
	body     io.Reader
	size     int64
	want     int
	read     func(io.Reader) error // the answer
}

// do makes a request, which fails when nothing moves for as long as Config.Stall says.
func (n *Node) do(ctx context.Context, r request) error {
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return &blobError{op: r.op, url: "the URL", status: http.StatusBadRequest, err: err}
	}
	failed := &blobError{op: r.op, url: u.Scheme + "://" + u.Host + u.EscapedPath()}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(n.c.Stall, func() { cancel(errStalled) })
	defer stall.Stop()
	moved := func() { stall.Reset(n.c.Stall) }
	var body io.Reader
	if r.size > 0 { // with a body of no bytes, the length would not be told
		body = progress{r.body, moved}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		failed.status, failed.err = http.StatusBadRequest, err
		return failed
	}
	req.ContentLength = r.size
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.identity != "" {
		if n.c.Token == nil {
			failed.status, failed.code, failed.err = http.StatusUnauthorized, "NoManagedIdentity", errors.New("the pool has no identity")
			return failed
		}
		token, err := n.c.Token(ctx, r.identity)
		if err != nil {
			failed.status, failed.code, failed.err = http.StatusUnauthorized, "NoToken: "+err.Error(), err
			return failed
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("X-Ms-Version", storageVersion)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		failed.err = cause(ctx, err)
		return failed
	}
	defer resp.Body.Close()
	if resp.StatusCode != r.want {
		failed.status, failed.code = resp.StatusCode, resp.Header.Get("X-Ms-Error-Code")
		return failed
	}
	if r.read == nil {
		return nil
	}
	err = r.read(progress{resp.Body, moved})
	var local localError
	if err == nil || errors.As(err, &local) {
		return err
	}
	failed.err = cause(ctx, err)
	return failed
}

// cause is the error of a request without its URL, or why it was cancelled.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// progress tells when something was read.
type progress struct {
	io.Reader
	moved func()
}

func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.moved()
	}
	return n, err
}

// get downloads what a URL leads to.
func (n *Node) get(ctx context.Context, from, identity string, read func(io.Reader) error) error {
	return n.retried(ctx, func() error {
		return n.do(ctx, request{op: "download", method: http.MethodGet, url: from, identity: identity, want: http.StatusOK, read: read})
	})
}

// list gives the names of a container's blobs that begin with a prefix to a function, until that has an error.
func (n *Node) list(ctx context.Context, container, prefix, identity string, each func(name string) error) error {
	for marker := ""; ; {
		var page struct {
			Blobs struct {
				Blob []struct{ Name string }
			}
			NextMarker string
		}
		query := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {prefix}}
		if marker != "" {
			query.Set("marker", marker)
		}
		err := n.retried(ctx, func() error {
			return n.do(ctx, request{
				op: "list", method: http.MethodGet, url: withQuery(container, query), identity: identity, want: http.StatusOK,
				header: http.Header{"X-Ms-Version": {storageVersion}},
				read:   func(r io.Reader) error { return xml.NewDecoder(r).Decode(&page) },
			})
		})
		if err != nil {
			return err
		}
		for _, b := range page.Blobs.Blob {
			if err := each(b.Name); err != nil {
				return err
			}
		}
		if marker = page.NextMarker; marker == "" {
			return nil
		}
	}
}

// put uploads a block blob.
func (n *Node) put(ctx context.Context, to, identity string, headers http.Header, file io.ReaderAt, size int64) error {
	send := func(query url.Values, header http.Header, body io.ReaderAt, at, size int64) error {
		return n.retried(ctx, func() error {
			h := header.Clone()
			h.Set("X-Ms-Version", storageVersion)
			return n.do(ctx, request{
				op: "upload", method: http.MethodPut, url: withQuery(to, query), identity: identity, header: h,
				body: io.NewSectionReader(body, at, size), size: size, want: http.StatusCreated,
			})
		})
	}
	if size <= putLimit {
		headers = headers.Clone()
		headers.Set("X-Ms-Blob-Type", "BlockBlob")
		return send(nil, headers, file, 0, size)
	}
	list := []byte("<BlockList>")
	for at := int64(0); at < size; at += blockSize {
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%016d", at))
		list = fmt.Appendf(list, "<Latest>%s</Latest>", id)
		block := url.Values{"comp": {"block"}, "blockid": {id}}
		if err := send(block, http.Header{}, file, at, min(blockSize, size-at)); err != nil {
			return err
		}
	}
	list = append(list, "</BlockList>"...)
	headers = headers.Clone()
	if kind := headers.Get("Content-Type"); kind != "" {
		headers.Set("X-Ms-Blob-Content-Type", kind)
		headers.Del("Content-Type")
	}
	return send(url.Values{"comp": {"blocklist"}}, headers, bytes.NewReader(list), 0, int64(len(list)))
}

// withQuery is a URL with more in its query, which may have a signature already.
func withQuery(to string, query url.Values) string {
	if len(query) == 0 {
		return to
	}
	if strings.Contains(to, "?") {
		return to + "&" + query.Encode()
	}
	return to + "?" + query.Encode()
}

// blobURL is the URL of a blob in a container.
func blobURL(container, name string) (string, error) {
	u, err := url.Parse(container)
	if err != nil {
		return "", errors.New("the URL of the container cannot be read")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/"+strings.TrimPrefix(name, "/"), ""
	return u.String(), nil
}

// shown is a URL without its query, for messages.
func shown(of string) string {
	before, _, _ := strings.Cut(of, "?")
	return before
}
