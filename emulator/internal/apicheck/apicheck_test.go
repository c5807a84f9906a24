package apicheck_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/apicheck"
)

// checker is one for all tests that do not count.
var checker = sync.OnceValues(apicheck.New)

func shareChecker(t *testing.T) *apicheck.Checker {
	t.Helper()
	c, err := checker()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange makes a request of a server, with the Checker on the server's side and on the client's, and returns what it
// reports, which has to be the same on both.
func exchange(t *testing.T, c *apicheck.Checker, r *http.Request, h http.HandlerFunc) []string {
	t.Helper()
	var server, client []string
	report := func(to *[]string) func(error) {
		return func(err error) {
			v, ok := errors.AsType[*apicheck.Violation](err)
			if !ok {
				t.Errorf("got %v, want a *Violation", err)
				return
			}
			part := "answer"
			if v.Request {
				part = "request"
			}
			*to = append(*to, part+": "+v.Err.Error())
		}
	}
	s := httptest.NewServer(c.Handler(h, report(&server)))
	defer s.Close()
	var err error
	if r.URL, err = r.URL.Parse(s.URL + r.URL.String()); err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: c.RoundTripper(http.DefaultTransport, report(&client))}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	s.Close() // waits for the server's report
	if !slices.Equal(server, client) {
		t.Errorf("on the server's side:\n%s\non the client's:\n%s", strings.Join(server, "\n"), strings.Join(client, "\n"))
	}
	return server
}

// answerWith answers with all the headers that some answer has to have.
func answerWith(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("request-id", "12345678-1234-1234-1234-123456789abc")
	h.Set("ETag", "0x8DBCEEDDE12323A")
	h.Set("Last-Modified", "Fri, 17 Feb 2017 00:00:00 GMT")
	h.Set("DataServiceId", "http://127.0.0.1/pools/p")
	h.Set("ocp-batch-file-isdirectory", "False")
	h.Set("ocp-batch-file-mode", "0o100644")
	h.Set("ocp-batch-file-url", "http%3A%2F%2F127.0.0.1")
	if status == http.StatusOK && strings.Contains(r.URL.Path, "/files/") {
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	} else if body != nil {
		h.Set("Content-Type", "application/json;odata=minimalmetadata")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

func TestConformingExchanges(t *testing.T) {
	for _, test := range []struct {
		name, method, target, request string
		status                        int
		answer                        string
	}{
		{"a list with metadata and a next page", "GET", "/jobs?api-version=2024-07-01.20.0&maxresults=1&$filter=id%20eq%20'j'", "", 200,
			`{"odata.metadata":"http://a/$metadata#jobs","value":[{"id":"j"}],"odata.nextLink":"http://a/jobs?api-version=2024-07-01.20.0&$skiptoken=1"}`},
		{"the version of the Azure CLI", "GET", "/jobs?api-version=2022-10-01.16.0", "", 200, `{"value":[]}`},
		{"the SDK's spelling of timeout", "GET", "/jobs?api-version=2024-07-01.20.0&timeOut=30", "", 200, `{"value":[]}`},
		{"a selection", "GET", "/pools/p/nodes/n/files?api-version=2024-07-01.20.0", "", 200,
			`{"value":[{"name":"f","properties":{"lastModified":"2026-10-15T09:30:07.1234567Z","contentLength":"12"}}]}`},
		{"a size as a number", "GET", "/pools/p/nodes/n/files?api-version=2024-07-01.20.0", "", 200,
			`{"value":[{"name":"f","properties":{"lastModified":"2026-10-15T09:30:07Z","contentLength":12}}]}`},
		{"required properties not selected", "GET", "/pools/p?api-version=2024-07-01.20.0&$select=id,startTask", "", 200,
			`{"id":"p","startTask":{"waitForSuccess":true}}`},
		{"an error", "GET", "/jobs/j?api-version=2024-07-01.20.0", "", 404,
			`{"code":"JobNotFound","message":{"lang":"en-US","value":"no"},"values":[{"key":"k","value":"v"}]}`},
		{"a request that was refused", "POST", "/jobs?api-version=2024-07-01.20.0", `{"nonsense":1}`, 400,
			`{"code":"InvalidRequestBody","message":{"lang":"en-US","value":"no"}}`},
		{"no such path", "GET", "/nowhere?api-version=2024-07-01.20.0", "", 404, ``},
		{"a pool that does not exist", "HEAD", "/pools/p?api-version=2024-07-01.20.0", "", 404, ``},
		{"not modified", "GET", "/pools/p?api-version=2024-07-01.20.0", "", 304, ``},
		{"a file's path with slashes", "HEAD", "/jobs/j/tasks/t/files/wd%2Fa/b.txt?api-version=2024-07-01.20.0", "", 200, ``},
		{"a certificate", "DELETE", "/certificates(thumbprintAlgorithm=sha1,thumbprint=00ff)?api-version=2024-07-01.20.0", "", 202, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := exchange(t, shareChecker(t), request(t, test.method, test.target, test.request), func(w http.ResponseWriter, r *http.Request) {
				answerWith(w, r, test.status, []byte(test.answer))
			}); len(got) > 0 {
				t.Errorf("got\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func request(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json; odata=minimalmetadata")
	}
	return r
}

func TestViolationsOfRequests(t *testing.T) {
	const version = "?api-version=2024-07-01.20.0"
	for _, test := range []struct {
		name, method, target, body string
		header                     http.Header
		status                     int
		want                       string
	}{
		{"no such path", "GET", "/nowhere" + version, "", nil, 200, "the description has no such method and path"},
		{"no such method", "PUT", "/pools" + version, `{}`, nil, 200, "the description has no such method and path"},
		{"a slash in an ID", "DELETE", "/pools/a/b" + version, "", nil, 202, "the description has no such method and path"},
		{"no version", "DELETE", "/pools/p", "", nil, 202, "query parameter api-version: value is required but missing"},
		{"another version", "DELETE", "/pools/p?api-version=2019-08-01.10.0", "", nil, 202,
			`api-version is "2019-08-01.10.0", not one of ["2024-07-01.20.0" "2022-10-01.16.0"]`},
		{"unknown parameter", "DELETE", "/pools/p" + version + "&really=true", "", nil, 202, `query parameter "really" is not described`},
		{"parameter of another operation", "DELETE", "/pools/p" + version + "&maxresults=5", "", nil, 202, `query parameter "maxresults" is not described`},
		{"parameter given twice", "DELETE", "/jobs/p" + version + "&force=true&force=false", "", nil, 202, `query parameter "force" is given 2 times`},
		{"no number", "DELETE", "/pools/p" + version + "&timeout=soon", "", nil, 202, `query parameter timeout: value soon: an invalid integer: invalid syntax`},
		{"no date", "DELETE", "/pools/p" + version, "", http.Header{"Ocp-Date": {"2026-10-15"}}, 202,
			`header parameter ocp-date: /: string doesn't match the format "date-time-rfc1123" (not a time like Mon, 02 Jan 2006 15:04:05 GMT)`},
		{"no GUID", "DELETE", "/pools/p" + version, "", http.Header{"Client-Request-Id": {"{1}"}}, 202,
			`header parameter client-request-id: /: string doesn't match the format "uuid" (not a GUID without braces)`},
		{"unknown property", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p"},"colour":"red"}`, nil, 201,
			`body: /: property "colour" is unsupported`},
		{"unknown property further down", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p","colour":"red"}}`, nil, 201,
			`body: /poolInfo: property "colour" is unsupported`},
		{"required property missing", "POST", "/jobs" + version, `{"id":"j"}`, nil, 201, `body: /poolInfo: property "poolInfo" is missing`},
		{"wrong type", "POST", "/jobs" + version, `{"id":5,"poolInfo":{"poolId":"p"}}`, nil, 201, `body: /id: value must be a string`},
		{"wrong word", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p"},"onAllTasksComplete":"explode"}`, nil, 201,
			`body: /onAllTasksComplete: value is not one of the allowed values ["noaction","terminatejob"]`},
		{"no duration", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p"},"constraints":{"maxWallClockTime":"1h"}}`, nil, 201,
			`body: /constraints/maxWallClockTime: string doesn't match the format "duration" (not a duration like P1DT2H)`},
		{"too large for 32 bits", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p"},"priority":3000000000}`, nil, 201,
			`body: /priority: integer doesn't match the format "int32" (value should be between -2147483648 and 2147483647)`},
		{"no JSON", "POST", "/jobs" + version, `{"id":`, nil, 201, `body: unexpected EOF`},
		{"another content type", "POST", "/jobs" + version, `{"id":"j","poolInfo":{"poolId":"p"}}`, http.Header{"Content-Type": {"application/json"}}, 201,
			`Content-Type is "application/json", not application/json; odata=minimalmetadata`},
		{"a body where there is none", "DELETE", "/pools/p" + version, `{}`, nil, 202, "request body not allowed for this request"},
		{"no body", "POST", "/jobs" + version, "", nil, 201, "body: value is required but missing"},
		{"a conflict is no excuse", "POST", "/jobs" + version, `{"id":"j"}`, nil, 409, `body: /poolInfo: property "poolInfo" is missing`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request(t, test.method, test.target, test.body)
			for name, values := range test.header {
				r.Header[name] = values
			}
			got := exchange(t, shareChecker(t), r, func(w http.ResponseWriter, r *http.Request) {
				var answer []byte
				if test.status >= 400 {
					answer = []byte(`{"code":"JobExists","message":{"lang":"en-US","value":"there is one"}}`)
				}
				answerWith(w, r, test.status, answer)
			})
			if want := "request: " + test.want; len(got) != 1 || got[0] != want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), want)
			}
		})
	}
}

func TestViolationsOfAnswers(t *testing.T) {
	const jobs, job, pool, file = "/jobs?api-version=2024-07-01.20.0", "/jobs/j?api-version=2024-07-01.20.0", "/pools/p?api-version=2024-07-01.20.0",
		"/jobs/j/tasks/t/files/stdout.txt?api-version=2024-07-01.20.0"
	without := func(name string) http.Header { return http.Header{name: {""}} }
	for _, test := range []struct {
		name, method, target string
		status               int
		body                 string
		header               http.Header
		want                 string
	}{
		{"another success", "DELETE", job, 200, "", nil, "status 200 is not described, only 202"},
		{"a redirection", "DELETE", job, 302, "", nil, "status 302 is not described, only 202"},
		{"unknown property", "GET", job, 200, `{"id":"j","colour":"red"}`, nil, `body: /: property "colour" is unsupported`},
		{"unknown property in a list", "GET", jobs, 200, `{"value":[{"id":"j"},{"colour":"red"}]}`, nil, `body: /value/1: property "colour" is unsupported`},
		{"required property missing", "GET", job, 200, `{"executionInfo":{}}`, nil, `body: /executionInfo/startTime: property "startTime" is missing`},
		{"another word", "GET", job, 200, `{"state":"busy"}`, nil,
			`body: /state: value is not one of the allowed values ["active","disabling","disabled","enabling","terminating","completed","deleting"]`},
		{"no time", "GET", job, 200, `{"creationTime":"yesterday"}`, nil,
			`body: /creationTime: string doesn't match the format "date-time" (not a time like 2006-01-02T15:04:05.1234567Z)`},
		{"null", "GET", job, 200, `{"id":null}`, nil, "body: /id: Value is not nullable"},
		{"a size as a word", "GET", "/pools/p/nodes/n/files?api-version=2024-07-01.20.0", 200,
			`{"value":[{"properties":{"lastModified":"2026-10-15T09:30:07Z","contentLength":"big"}}]}`, nil,
			`body: /value/0/properties/contentLength: string doesn't match the format "integer64" (not an integer of 64 bits)`},
		{"no body", "GET", job, 200, "", http.Header{"Content-Type": {"application/json;odata=minimalmetadata"}}, "the body is no JSON: EOF"},
		{"no JSON", "GET", job, 200, "hello", nil, "the body is no JSON: invalid character 'h' looking for beginning of value"},
		{"two values", "GET", job, 200, "{}{}", nil, "there is more after the body's JSON"},
		{"a body where there is none", "DELETE", job, 202, "{}", nil, "there is a body of 2 bytes, where none is described"},
		{"another content type", "GET", job, 200, "{}", http.Header{"Content-Type": {"application/json"}},
			`Content-Type is "application/json", not application/json; odata=minimalmetadata`},
		{"no request-id", "GET", job, 200, "{}", without("Request-Id"), "header request-id is missing"},
		{"no request-id of an error", "HEAD", pool, 500, "", without("Request-Id"), "header request-id is missing"},
		{"a request-id that is none", "GET", job, 200, "{}", http.Header{"Request-Id": {"7"}},
			`header request-id: /: string doesn't match the format "uuid" (not a GUID without braces)`},
		{"no ETag of a pool", "HEAD", pool, 200, "", without("Etag"), "header ETag is missing"},
		{"no Last-Modified of a job", "GET", job, 200, "{}", without("Last-Modified"), "header Last-Modified is missing"},
		{"a Last-Modified that is no time", "GET", job, 200, "{}", http.Header{"Last-Modified": {"today"}},
			`header Last-Modified: /: string doesn't match the format "date-time-rfc1123" (not a time like Mon, 02 Jan 2006 15:04:05 GMT)`},
		{"no DataServiceId of an action", "POST", "/jobs/j/enable?api-version=2024-07-01.20.0", 202, "", without("Dataserviceid"), "header DataServiceId is missing"},
		{"no mode of a file", "GET", file, 200, "text", without("Ocp-Batch-File-Mode"), "header ocp-batch-file-mode is missing"},
		{"isdirectory is no boolean", "HEAD", file, 200, "", http.Header{"Ocp-Batch-File-Isdirectory": {"maybe"}},
			`header ocp-batch-file-isdirectory: strconv.ParseBool: parsing "maybe": invalid syntax`},
		{"an error without a code", "GET", job, 404, `{"message":{"lang":"en-US","value":"no"}}`, nil, `body: /code: property "code" is missing`},
		{"an error without a text", "GET", job, 404, `{"code":"JobNotFound","message":{"lang":"en-US"}}`, nil, `body: /message/value: property "value" is missing`},
		{"a page by a relative link", "GET", jobs, 200, `{"value":[],"odata.nextLink":"/jobs?api-version=1"}`, nil,
			`odata.nextLink is /jobs?api-version=1, which is no absolute URL`},
		{"a page without a version", "GET", jobs, 200, `{"value":[],"odata.nextLink":"http://a/jobs"}`, nil,
			`odata.nextLink is http://a/jobs, which has no api-version`},
		{"metadata that are no link", "GET", job, 200, `{"odata.metadata":5}`, nil, `odata.metadata is 5, which is no absolute URL`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := exchange(t, shareChecker(t), request(t, test.method, test.target, ""), func(w http.ResponseWriter, r *http.Request) {
				answerWith(&overridden{w, test.header}, r, test.status, []byte(test.body))
			})
			if want := "answer: " + test.want; len(got) != 1 || got[0] != want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), want)
			}
		})
	}
}

// overridden sets headers at the last moment; one that is empty is not sent.
type overridden struct {
	http.ResponseWriter
	header http.Header
}

func (w *overridden) WriteHeader(status int) {
	for name, values := range w.header {
		if values[0] == "" {
			w.Header().Del(name)
		} else {
			w.Header()[name] = values
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func TestClientRequestIDComesBack(t *testing.T) {
	for _, test := range []struct{ ask, echo, want string }{
		{"true", "", "answer: header client-request-id is missing"},
		{"true", "12345678-1234-1234-1234-123456789abc", ""},
		{"false", "", ""},
	} {
		r := request(t, "DELETE", "/jobs/j?api-version=2024-07-01.20.0", "")
		r.Header.Set("client-request-id", "12345678-1234-1234-1234-123456789abc")
		r.Header.Set("return-client-request-id", test.ask)
		got := exchange(t, shareChecker(t), r, func(w http.ResponseWriter, r *http.Request) {
			if test.echo != "" {
				w.Header().Set("client-request-id", test.echo)
			}
			answerWith(w, r, 202, nil)
		})
		if strings.Join(got, "\n") != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

func TestViolationSaysWhere(t *testing.T) {
	w := httptest.NewRecorder()
	r := request(t, "DELETE", "/pools/p?api-version=2024-07-01.20.0&x=1", "")
	var got error
	shareChecker(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerWith(w, r, 202, nil) }),
		func(err error) { got = err }).ServeHTTP(w, r)
	const want = `Pool_Delete: DELETE /pools/p?api-version=2024-07-01.20.0&x=1: 202: the request does not conform: query parameter "x" is not described`
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

// A handler that answers before it has read the request, changes the request, or answers in pieces is seen as it is.
func TestHandlerLeavesTheExchangeAlone(t *testing.T) {
	body := `{"id":"j","poolInfo":{"poolId":"p"}}`
	r := request(t, "POST", "/jobs?api-version=2024-07-01.20.0", body)
	if got := exchange(t, shareChecker(t), r, func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.Method = "/elsewhere", "GET"
		r.Header.Del("Content-Type")
		answerWith(w, r, 201, nil)
	}); len(got) > 0 {
		t.Errorf("got %q of a handler that reads nothing", got)
	}

	pieces := make(chan struct{})
	c := shareChecker(t)
	s := httptest.NewServer(c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerWith(w, r, 200, []byte("one"))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		<-pieces
		w.Write([]byte("two"))
	}), func(err error) { t.Error(err) }))
	defer s.Close()
	resp, err := http.Get(s.URL + "/pools/p/nodes/n/files/f?api-version=2024-07-01.20.0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "one" {
		t.Fatalf("got %q, %v before the handler went on", first, err)
	}
	close(pieces)
}

func TestPanicGoesThrough(t *testing.T) {
	h := shareChecker(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
		func(err error) { t.Errorf("got %v of an exchange that was dropped", err) })
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("got panic %v, want %v", p, http.ErrAbortHandler)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), request(t, "GET", "/jobs?api-version=2024-07-01.20.0", ""))
}

func TestCoverage(t *testing.T) {
	c, err := apicheck.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{404, 202, 202} {
		h := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body []byte
			if status == 404 {
				body = []byte(`{"code":"PoolNotFound","message":{"lang":"en-US","value":"no"}}`)
			}
			answerWith(w, r, status, body)
		}), func(err error) { t.Error(err) })
		h.ServeHTTP(httptest.NewRecorder(), request(t, "DELETE", "/pools/p?api-version=2024-07-01.20.0", ""))
	}
	all := c.Coverage()
	if len(all) != 77 || !slices.IsSortedFunc(all, func(a, b apicheck.Coverage) int { return strings.Compare(a.Operation, b.Operation) }) {
		t.Errorf("got %d operations, want 77 by name", len(all))
	}
	for _, got := range all {
		want := apicheck.Coverage{Operation: got.Operation, Method: got.Method, Path: got.Path}
		if got.Operation == "Pool_Delete" {
			want = apicheck.Coverage{Operation: "Pool_Delete", Method: "DELETE", Path: "/pools/{poolId}", Requests: 3, Statuses: []int{202, 404}}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	var b bytes.Buffer
	if err := c.WriteCoverage(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 79 || strings.TrimSpace(lines[78]) != "1 of 77" || !slices.ContainsFunc(lines, func(l string) bool {
		return slices.Equal(strings.Fields(l), []string{"Pool_Delete", "3", "202", "404"})
	}) {
		t.Errorf("got\n%s", b.String())
	}
}
