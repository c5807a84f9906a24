package wire_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// serve runs h behind Handler on a real server.
func serve(t *testing.T, h http.HandlerFunc, log io.Writer) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(wire.Handler(h, slog.New(slog.NewTextHandler(log, nil))))
	t.Cleanup(s.Close)
	return s
}

func do(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestHeaders(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		wire.JSON(w, r, 200, map[string]string{"odata.metadata": wire.Metadata(r, "jobs"), "commandLine": "a && b > c"})
	}, io.Discard)
	resp, body := do(t, "GET", s.URL+"/jobs")
	for k, want := range map[string]string{
		"Content-Type": "application/json;odata=minimalmetadata", "DataServiceVersion": "3.0", "Server": "clusterless-emulator",
		"Strict-Transport-Security": "", "X-Content-Type-Options": "nosniff", "client-request-id": "",
	} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
	if id := resp.Header.Get("request-id"); !guid.MatchString(id) {
		t.Errorf("request-id is %q", id)
	}
	if want := `{"commandLine":"a && b > c","odata.metadata":"` + s.URL + `/$metadata#jobs"}` + "\n"; body != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestClientRequestIDComesBackWhenAskedFor(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {}, io.Discard)
	const id = "9c4d50ee-2d56-4cd3-8152-34347dc9f2b0"
	for flag, want := range map[string]string{"true": id, "True": id, "false": "", "": ""} {
		resp, _ := do(t, "GET", s.URL, "client-request-id", id, "return-client-request-id", flag)
		if got := resp.Header.Get("client-request-id"); got != want {
			t.Errorf("return-client-request-id %q: got %q, want %q", flag, got, want)
		}
	}
}

func TestError(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", "0x1")
		e := apierror.New(apierror.ServerBusy).With("Reason", "a test")
		e.Header = http.Header{"Retry-After": {"7"}}
		wire.Error(w, r, e)
	}, io.Discard)
	resp, body := do(t, "GET", s.URL)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "7" || resp.Header.Get("ETag") != "" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
	var got struct {
		Metadata string `json:"odata.metadata"`
		Code     string
		Message  struct{ Lang, Value string }
		Values   []struct{ Key, Value string }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Code != "ServerBusy" || got.Message.Lang != "en-US" || len(got.Values) != 1 || got.Values[0].Key != "Reason" ||
		got.Metadata != s.URL+"/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element" {
		t.Errorf("got %s", body)
	}
	if !strings.Contains(got.Message.Value, "RequestId:"+resp.Header.Get("request-id")+"\nTime:") {
		t.Errorf("the message names no request: %q", got.Message.Value)
	}
	if resp, body := do(t, "HEAD", s.URL); resp.StatusCode != 503 || body != "" {
		t.Errorf("HEAD: got %s with %q", resp.Status, body)
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			panic("something secret")
		case "/late":
			io.WriteString(w, "half an ")
			http.NewResponseController(w).Flush()
			panic("something secret")
		default:
			panic(http.ErrAbortHandler)
		}
	}, &log)
	resp, body := do(t, "GET", s.URL+"/early")
	if resp.StatusCode != 500 || !strings.Contains(body, "InternalError") || strings.Contains(body, "secret") {
		t.Errorf("got %s %s", resp.Status, body)
	}
	resp, err := http.Get(s.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half an answer looked whole: %q", b)
	}
	resp.Body.Close()
	if resp, err := http.Get(s.URL + "/abort"); err == nil {
		t.Errorf("the connection was not dropped: %s", resp.Status)
	}
	if s.Close(); strings.Count(log.String(), "something secret") != 2 {
		t.Errorf("want two panics in the log, got %s", &log)
	}
}
