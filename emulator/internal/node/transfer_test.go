//go:build linux

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

// server is a server of files that does as it is told, such as no storage service would.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestHostileResourceFiles(t *testing.T) {
	n := newNode(t)
	outside := filepath.Join(public(t), "outside")
	if err := os.Mkdir(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	evil := server(t, func(w http.ResponseWriter, r *http.Request) {
		if name := r.URL.Query().Get("prefix"); r.URL.Query().Get("comp") == "list" {
			fmt.Fprintf(w, "<EnumerationResults><Blobs><Blob><Name>%s</Name></Blob></Blobs><NextMarker/></EnumerationResults>", name)
			return
		}
		fmt.Fprint(w, "evil")
	})
	run(t, n, shell("j", "t", "ln -s "+outside+" out; ln -s "+outside+"/f link; ln -s .. up; ln -s ../../.. top; mkfifo pipe; mkdir -p dir/full; touch dir/full/x"))
	before := everything(t, n)
	for _, name := range []string{
		"../f", "../../other/wd/f", "/f", outside + "/f", "a/../../f", "out/f", "up/f", "top/f", "..", ".", "", "dir/", "a\x00b",
		strings.Repeat("x", 300), "pipe/f",
	} {
		for _, f := range []node.ResourceFile{{HTTPURL: evil + "/x", FilePath: name}, {StorageContainerURL: evil + "/c", BlobPrefix: name}} {
			if f.BlobPrefix == "dir/" || strings.ContainsRune(f.BlobPrefix, 0) {
				continue // marks a directory, and cannot be in a list
			}
			task := shell("j", "t", "echo it ran")
			task.ResourceFiles = []node.ResourceFile{f}
			if r := n.Run(t.Context(), task); code(r) != node.ResourceFileCreateFailed {
				t.Errorf("%.50q: got %v, want %s", name, r.Failure, node.ResourceFileCreateFailed)
			}
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	if after := everything(t, n); !slices.Equal(before, after) {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	// A link, a pipe or a directory that has the name of the file makes way for it.
	for _, name := range []string{"link", "pipe", "dir"} {
		task := shell("j", "t", "cat "+name)
		task.ResourceFiles = []node.ResourceFile{{HTTPURL: evil + "/x", FilePath: name}}
		if got := run(t, n, task); got != "evil" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func everything(t *testing.T, n *node.Node) (names []string) {
	t.Helper()
	tree, err := n.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for f, err := range tree.List("", true) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	return names
}

func TestServersThatFail(t *testing.T) {
	c := config(t)
	c.Stall = 300 * time.Millisecond
	n := open(t, c)
	var requests atomic.Int64
	content := bytes.Repeat([]byte("0123456789"), 10000)
	stalled := make(chan struct{})
	defer close(stalled)
	base := server(t, func(w http.ResponseWriter, r *http.Request) {
		try := requests.Add(1)
		cut := func() {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(content[:5000])
			panic(http.ErrAbortHandler)
		}
		switch r.URL.Path {
		case "/busy-then-cut":
			if try == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if try == 2 {
				cut()
			}
			_, _ = w.Write(content)
		case "/always-cut":
			cut()
		case "/always-busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/no-answer":
			select {
			case <-stalled:
			case <-r.Context().Done():
			}
		case "/stalls":
			_, _ = w.Write(content[:5000])
			w.(http.Flusher).Flush()
			select {
			case <-stalled:
			case <-r.Context().Done():
			}
		case "/moved":
			http.Redirect(w, r, "/busy-then-cut", http.StatusFound)
		}
	})
	for _, c := range []struct{ path, code string }{
		{"/busy-then-cut", ""},
		{"/moved", ""},
		{"/always-cut", node.BlobDownloadMiscError},
		{"/always-busy", node.BlobDownloadMiscError},
		{"/no-answer", node.BlobDownloadTimedOut},
		{"/stalls", node.BlobDownloadTimedOut},
	} {
		t.Run(c.path, func(t *testing.T) {
			requests.Store(0)
			task := shell("j", "t", "cat f | wc -c")
			task.ResourceFiles = []node.ResourceFile{{HTTPURL: base + c.path + "?sig=secret", FilePath: "f"}}
			r := n.Run(t.Context(), task)
			if code(r) != c.code {
				t.Fatalf("got %v, want %s", r.Failure, c.code)
			}
			out, _ := output(t, n, task)
			if c.code == "" && strings.TrimSpace(out) != "100000" {
				t.Errorf("got %q bytes", out)
			}
			if c.code != "" && (read(t, n, "workitems/j/job-1/t/wd/f") != "" || strings.Contains(r.Failure.Error(), "secret")) {
				t.Errorf("half a file, or a secret: %v", r.Failure)
			}
		})
	}
	task := shell("j", "slow", "true")
	task.ResourceFiles = []node.ResourceFile{{HTTPURL: base + "/no-answer", FilePath: "f"}}
	task.MaxWallClock = 100 * time.Millisecond
	if r := n.Run(t.Context(), task); code(r) != node.TaskEnded || r.Process {
		t.Errorf("a limit reached while downloading: got %+v, %v", r, r.Failure)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("requeue"))
	if r := n.Run(ctx, task); !r.Lost {
		t.Errorf("cancelled: got %+v, %v", r, r.Failure)
	}
}

func TestManagedIdentities(t *testing.T) {
	var uploaded atomic.Value
	base := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer token of /subscriptions/me" || r.Header.Get("X-Ms-Version") == "":
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodPut:
			b, _ := io.ReadAll(r.Body)
			uploaded.Store(r.URL.Path + "=" + string(b))
			w.WriteHeader(http.StatusCreated)
		case r.URL.Query().Get("comp") == "list" && r.URL.Query().Get("marker") == "":
			fmt.Fprint(w, "<EnumerationResults><Blobs><Blob><Name>one</Name></Blob></Blobs><NextMarker>more+&amp;</NextMarker></EnumerationResults>")
		case r.URL.Query().Get("comp") == "list" && r.URL.Query().Get("marker") == "more+&":
			fmt.Fprint(w, "<EnumerationResults><Blobs><Blob><Name>dir/two</Name></Blob><Blob><Name>dir/</Name></Blob></Blobs></EnumerationResults>")
		default:
			fmt.Fprint(w, r.URL.Path)
		}
	})
	c := config(t)
	c.Token = func(_ context.Context, identity string) (string, error) {
		if identity != "/subscriptions/me" {
			return "", errors.New("the pool does not have it")
		}
		return "token of " + identity, nil
	}
	n := open(t, c)
	task := node.Task{Job: "j", ID: "t", CommandLine: "/bin/sh -c '" + listAll + "'"}
	task.ResourceFiles = []node.ResourceFile{
		{StorageContainerURL: base + "/c", Identity: "/subscriptions/me"}, {HTTPURL: base + "/b", FilePath: "b", Identity: "/subscriptions/me"},
	}
	task.OutputFiles = []node.OutputFile{{Pattern: "b", Path: "up", ContainerURL: base + "/out/", Identity: "/subscriptions/me"}}
	if got := run(t, n, task); got != "./b=/b\n./dir/two=/c/dir/two\n./one=/c/one\n" {
		t.Errorf("got %q", got)
	}
	if uploaded.Load() != "/out/up=/b" {
		t.Errorf("uploaded: %v", uploaded.Load())
	}
	task.ResourceFiles = []node.ResourceFile{{HTTPURL: base + "/b", FilePath: "b", Identity: "/subscriptions/you"}}
	if r := n.Run(t.Context(), task); code(r) != node.BlobAccessDenied || !strings.Contains(r.Failure.Error(), "does not have it") {
		t.Errorf("another identity: got %v", r.Failure)
	}
	task.ResourceFiles[0].Identity = ""
	if r := n.Run(t.Context(), task); code(r) != node.BlobAccessDenied {
		t.Errorf("no identity: got %v", r.Failure)
	}
}
