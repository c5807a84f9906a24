//go:build linux

package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
	"github.com/clusterless-go/clusterless/internal/azurite"
)

// storage is an account in Azurite.
type storage struct {
	t      *testing.T
	client *azblob.Client
}

func newStorage(t *testing.T) *storage {
	t.Helper()
	s := azurite.Start(t)
	cred, err := azblob.NewSharedKeyCredential(s.Account, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(s.Endpoint, cred, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &storage{t, client}
}

func (s *storage) container(name string, public *container.PublicAccessType) {
	s.t.Helper()
	if _, err := s.client.CreateContainer(s.t.Context(), name, &azblob.CreateContainerOptions{Access: public}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *storage) put(container, blob, content string) {
	s.t.Helper()
	if _, err := s.client.UploadBuffer(s.t.Context(), container, blob, []byte(content), nil); err != nil {
		s.t.Fatal(err)
	}
}

// sas is the URL of a container or blob that lets do what the permissions say.
func (s *storage) sas(containerName, blob, permissions string) string {
	s.t.Helper()
	c := s.client.ServiceClient().NewContainerClient(containerName)
	expires := time.Now().Add(time.Hour)
	if blob == "" {
		may := func(what string) bool { return strings.Contains(permissions, what) }
		p := sas.ContainerPermissions{Read: may("r"), List: may("l"), Write: may("w"), Create: may("c")}
		u, err := c.GetSASURL(p, expires, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		return u
	}
	u, err := c.NewBlobClient(blob).GetSASURL(sas.BlobPermissions{Read: true}, expires, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// blobs are the names and contents in a container.
func (s *storage) blobs(containerName string) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for pages := s.client.NewListBlobsFlatPager(containerName, nil); pages.More(); {
		page, err := pages.NextPage(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, b := range page.Segment.BlobItems {
			r, err := s.client.DownloadStream(s.t.Context(), containerName, *b.Name, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			content, err := io.ReadAll(r.Body)
			if err != nil {
				s.t.Fatal(err)
			}
			all[*b.Name] = string(content)
		}
	}
	return all
}

// noSecret fails the test when a failure shows a part of a signature.
func noSecret(t *testing.T, f *node.Failure, urls ...string) {
	t.Helper()
	for _, u := range urls {
		_, query, _ := strings.Cut(u, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if sig := values.Get("sig"); sig != "" && (strings.Contains(f.Error(), sig) || strings.Contains(f.Error(), url.QueryEscape(sig))) {
			t.Errorf("the failure tells a signature: %v", f)
		}
	}
}

func TestStorage(t *testing.T) {
	s := newStorage(t)
	s.container("inputs", nil)
	s.put("inputs", "a.txt", "a")
	s.put("inputs", "dir/b.txt", "b")
	s.put("inputs", "dir/deep/c d+é%.txt", "c")
	s.put("inputs", "dir2/e.txt", "e")
	s.container("open", to.Ptr(container.PublicAccessTypeContainer))
	s.put("open", "f.txt", "f")
	c := config(t)
	c.AutoStorage = func(_ context.Context, name string) (string, error) {
		if name != "inputs" {
			return "", errors.New("no such container")
		}
		return s.sas("inputs", "", "rl"), nil
	}
	n := open(t, c)
	t.Run("resource files", func(t *testing.T) { testResourceFiles(t, s, n) })
	t.Run("resource failures", func(t *testing.T) { testResourceFailures(t, s, n) })
	t.Run("output files", func(t *testing.T) { testOutputFiles(t, s, n) })
	t.Run("output failures", func(t *testing.T) { testOutputFailures(t, s, n) })
	t.Run("large files", func(t *testing.T) { testLargeFiles(t, s, n) })
}

const listAll = "find . -type f | sort | while read -r f; do echo \"$f=$(cat \"$f\")\"; done"

func testResourceFiles(t *testing.T, s *storage, n *node.Node) {
	open := s.client.ServiceClient().NewContainerClient("open").URL()
	for _, c := range []struct {
		name  string
		files []node.ResourceFile
		want  string
	}{
		{"one", []node.ResourceFile{{HTTPURL: s.sas("inputs", "a.txt", "r"), FilePath: "x/y/in.txt"}}, "./x/y/in.txt=a"},
		{"escaped", []node.ResourceFile{{HTTPURL: s.sas("inputs", "dir/deep/c d+é%.txt", "r"), FilePath: "in"}}, "./in=c"},
		{"container", []node.ResourceFile{{StorageContainerURL: s.sas("inputs", "", "rl")}}, "./a.txt=a ./dir/b.txt=b ./dir/deep/c d+é%.txt=c ./dir2/e.txt=e"},
		{"container in a directory", []node.ResourceFile{{StorageContainerURL: s.sas("inputs", "", "rl"), BlobPrefix: "dir/", FilePath: "data"}},
			"./data/dir/b.txt=b ./data/dir/deep/c d+é%.txt=c"},
		{"part of a name", []node.ResourceFile{{StorageContainerURL: s.sas("inputs", "", "rl"), BlobPrefix: "dir2"}}, "./dir2/e.txt=e"},
		{"automatic storage", []node.ResourceFile{{AutoStorageContainer: "inputs", BlobPrefix: "a"}}, "./a.txt=a"},
		{"public", []node.ResourceFile{{StorageContainerURL: open}, {HTTPURL: open + "/f.txt", FilePath: "again"}}, "./again=f ./f.txt=f"},
		{"replaced", []node.ResourceFile{{HTTPURL: open + "/f.txt", FilePath: "f"}, {HTTPURL: s.sas("inputs", "a.txt", "r"), FilePath: "f"}}, "./f=a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := node.Task{Job: "j", ID: strings.ReplaceAll(c.name, " ", "-"), CommandLine: "/bin/sh -c '" + listAll + "'", ResourceFiles: c.files}
			if got := strings.Join(strings.Split(strings.TrimSpace(run(t, n, task)), "\n"), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	task := shell("j", "modes", "stat -c \"%a %n\" *; test -O default && test -w default && ./executable")
	task.ResourceFiles = []node.ResourceFile{
		{HTTPURL: open + "/f.txt", FilePath: "default"}, {HTTPURL: open + "/f.txt", FilePath: "restricted", FileMode: "0600"},
		{HTTPURL: open + "/f.txt", FilePath: "setuid", FileMode: "4755"},
	}
	s.put("open", "script", "#!/bin/sh\necho runs\n")
	task.ResourceFiles = append(task.ResourceFiles, node.ResourceFile{HTTPURL: open + "/script", FilePath: "executable"})
	if got, want := run(t, n, task), "770 default\n770 executable\n600 restricted\n755 setuid\nruns\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func testResourceFailures(t *testing.T, s *storage, n *node.Node) {
	denied := s.client.ServiceClient().NewContainerClient("inputs").URL()
	wrong := strings.Replace(s.sas("inputs", "a.txt", "r"), "sig=", "sig=AAAA", 1)
	for _, c := range []struct {
		name string
		file node.ResourceFile
		code string
	}{
		{"no blob", node.ResourceFile{HTTPURL: s.sas("inputs", "none", "r"), FilePath: "f"}, node.BlobNotFound},
		{"no container", node.ResourceFile{StorageContainerURL: s.sas("none", "", "rl")}, node.BlobNotFound},
		{"another container", node.ResourceFile{StorageContainerURL: strings.Replace(s.sas("inputs", "", "rl"), "/inputs?", "/none?", 1)}, node.ResourceContainerAccessDenied},
		{"wrong signature", node.ResourceFile{HTTPURL: wrong, FilePath: "f"}, node.BlobAccessDenied},
		{"no right to list", node.ResourceFile{StorageContainerURL: s.sas("inputs", "", "r")}, node.ResourceContainerAccessDenied},
		{"no automatic storage", node.ResourceFile{AutoStorageContainer: "other"}, node.ResourceContainerAccessDenied},
		{"nobody there", node.ResourceFile{HTTPURL: "http://127.0.0.1:1/x?sig=secret", FilePath: "f"}, node.BlobDownloadMiscError},
		{"not http", node.ResourceFile{HTTPURL: "file:///etc/passwd", FilePath: "f"}, node.BlobDownloadMiscError},
		{"no URL", node.ResourceFile{HTTPURL: "http://%zz/?sig=secret", FilePath: "f"}, node.BlobDownloadMiscError},
		{"no source", node.ResourceFile{FilePath: "f"}, node.ResourceFileCreateFailed},
		{"no identity", node.ResourceFile{HTTPURL: denied + "/a.txt", FilePath: "f", Identity: "/subscriptions/x"}, node.BlobAccessDenied},
		{"mode", node.ResourceFile{HTTPURL: s.sas("inputs", "a.txt", "r"), FilePath: "f", FileMode: "rwx"}, node.ResourceFileCreateFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := shell("j", "fails", "echo it ran")
			task.ResourceFiles = []node.ResourceFile{c.file}
			r := n.Run(t.Context(), task)
			if code(r) != c.code || r.Process || r.Retriable || r.Lost {
				t.Fatalf("got %+v, %v, want %s", r, r.Failure, c.code)
			}
			noSecret(t, r.Failure, c.file.HTTPURL, c.file.StorageContainerURL)
			if read(t, n, "workitems/j/job-1/fails/wd/f") != "" {
				t.Error("there is a file")
			}
		})
	}
}

func testOutputFiles(t *testing.T, s *storage, n *node.Node) {
	for _, c := range []struct {
		name, script string
		condition    node.Condition
		pattern      string
		path         string
		want         map[string]string
	}{
		{"single", "echo r >r.txt", node.OnCompletion, "r.txt", "", map[string]string{"r.txt": "r\n"}},
		{"single with a path", "echo r >r.txt", node.OnSuccess, "r.txt", "task 1/ö/result", map[string]string{"task 1/ö/result": "r\n"}},
		{"logs", "echo out; echo err >&2", node.OnCompletion, "../std*.txt", "t", map[string]string{"t/stdout.txt": "out\n", "t/stderr.txt": "err\n"}},
		{"directories", "mkdir -p a/b; echo 1 >a/1.dat; echo 2 >a/b/2.dat; echo 3 >a/b/3.no; echo 4 >a/.4.dat", node.OnCompletion, "**/*.dat", "d",
			map[string]string{"d/a/1.dat": "1\n", "d/a/b/2.dat": "2\n"}},
		{"variable", "echo r >$AZ_BATCH_TASK_ID.txt", node.OnCompletion, "$AZ_BATCH_TASK_WORKING_DIR/${AZ_BATCH_TASK_ID}.*", "",
			map[string]string{"variable.txt": "r\n"}},
		{"empty", ": >empty", node.OnCompletion, "*", "", map[string]string{"empty": ""}},
		{"nothing", "true", node.OnCompletion, "none*", "", map[string]string{}},
		{"success only", "echo r >r; exit 1", node.OnSuccess, "r", "", map[string]string{}},
		{"failure only", "echo r >r", node.OnFailure, "r", "", map[string]string{}},
		{"failed", "echo r >r; exit 1", node.OnFailure, "r", "", map[string]string{"r": "r\n"}},
		{"failed, completed", "echo r >r; kill -9 $$", node.OnCompletion, "r", "", map[string]string{"r": "r\n"}},
		{"a link within", "echo r >r; ln -s r link", node.OnCompletion, "link", "", map[string]string{"link": "r\n"}},
		{"hostile links", "ln -s /etc/hostname h; ln -s /etc etc; ln -s ../../single/wd s; mkfifo p", node.OnCompletion, "**", "", map[string]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := strings.NewReplacer(" ", "-", ",", "").Replace(c.name)
			name := "out-" + id
			s.container(name, nil)
			task := shell("j", id, c.script)
			task.OutputFiles = []node.OutputFile{{Pattern: c.pattern, ContainerURL: s.sas(name, "", "wc"), Path: c.path, Condition: c.condition}}
			r := n.Run(t.Context(), task)
			if code(r) != "" && code(r) != node.FailureExitCode {
				t.Fatalf("got %v", r.Failure)
			}
			got := s.blobs(name)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			told := read(t, n, "workitems/j/job-1/"+id+"/fileuploadout.txt")
			if len(c.want) > 0 != strings.Contains(told, "upload ") || strings.Contains(told, "sig=") {
				t.Errorf("fileuploadout.txt: %q", told)
			}
		})
	}

	s.container("headers", nil)
	task := shell("j", "headers", "echo page >p.html")
	task.OutputFiles = []node.OutputFile{{Pattern: "p.html", ContainerURL: s.sas("headers", "", "wc"), Headers: []node.Variable{
		{Name: "Content-Type", Value: "text/html"}, {Name: "x-ms-meta-made", Value: "here"}, {Name: "x-ms-blob-type", Value: "PageBlob"}, {Name: "Content-Length", Value: "1"},
	}}}
	run(t, n, task)
	p, err := s.client.ServiceClient().NewContainerClient("headers").NewBlobClient("p.html").GetProperties(t.Context(), nil)
	if err != nil || *p.ContentType != "text/html" || p.Metadata["Made"] == nil && p.Metadata["made"] == nil {
		t.Errorf("got %+v, %v", p, err)
	}

	s.container("terminated", nil)
	task = shell("j", "terminated", "echo half >r; sleep 1000")
	task.OutputFiles = []node.OutputFile{{Pattern: "r", ContainerURL: s.sas("terminated", "", "wc"), Condition: node.OnFailure}}
	ctx, cancel := context.WithCancelCause(t.Context())
	result := begin(t, ctx, n, task, func() bool { return read(t, n, "workitems/j/job-1/terminated/wd/r") != "" })
	cancel(node.ErrTerminated)
	if r := result(); code(r) != node.TaskEnded || s.blobs("terminated")["r"] != "half\n" {
		t.Errorf("got %v, %q", r.Failure, s.blobs("terminated"))
	}
}

func testOutputFailures(t *testing.T, s *storage, n *node.Node) {
	for _, c := range []struct{ name, pattern, url, code string }{
		{"no container", "r", s.sas("none", "", "wc"), node.FileUploadContainerNotFound},
		{"another container", "r", strings.Replace(s.sas("inputs", "", "wc"), "/inputs?", "/none?", 1), node.FileUploadAccessDenied},
		{"read only", "r", s.sas("inputs", "", "r"), node.FileUploadAccessDenied},
		{"no rights", "r", s.client.ServiceClient().NewContainerClient("open").URL(), node.FileUploadAccessDenied},
		{"nobody there", "r", "http://127.0.0.1:1/c?sig=secret", node.FileUploadMiscError},
		{"outside", "../../other/*", s.sas("inputs", "", "wc"), node.FileUploadMiscError},
		{"absolute", "/etc/passwd", s.sas("inputs", "", "wc"), node.FileUploadMiscError},
		{"through a link", "etc/passwd*", s.sas("inputs", "", "wc"), node.FileUploadMiscError},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := shell("j", "t", "echo r >r; ln -sfn /etc etc")
			task.OutputFiles = []node.OutputFile{{Pattern: c.pattern, ContainerURL: c.url}}
			r := n.Run(t.Context(), task)
			if code(r) != c.code || !r.Process || r.ExitCode != 0 || r.Retriable {
				t.Fatalf("got %+v, %v, want %s", r, r.Failure, c.code)
			}
			noSecret(t, r.Failure, c.url)
			if errs := read(t, n, "workitems/j/job-1/t/fileuploaderr.txt"); !strings.Contains(errs, c.code) {
				t.Errorf("fileuploaderr.txt: %q", errs)
			}
			task.CommandLine = "/bin/sh -c 'exit 5'"
			if r := n.Run(t.Context(), task); code(r) != node.FailureExitCode || r.ExitCode != 5 || !r.Retriable {
				t.Errorf("when the task fails too: got %+v, %v", r, r.Failure)
			}
		})
	}
}

func testLargeFiles(t *testing.T, s *storage, n *node.Node) {
	s.container("large", nil)
	task := shell("j", "large", "dd if=/dev/urandom of=f bs=1M count=70 status=none; sha256sum <f")
	task.OutputFiles = []node.OutputFile{{Pattern: "f", ContainerURL: s.sas("large", "", "wc"), Headers: []node.Variable{{Name: "content-type", Value: "x/y"}}}}
	want := run(t, n, task)
	p, err := s.client.ServiceClient().NewContainerClient("large").NewBlobClient("f").GetProperties(t.Context(), nil)
	if err != nil || *p.ContentType != "x/y" {
		t.Errorf("got %v, %v", p.ContentType, err)
	}
	task = shell("j", "back", "sha256sum <f")
	task.ResourceFiles = []node.ResourceFile{{HTTPURL: s.sas("large", "f", "r"), FilePath: "f"}}
	if got := run(t, n, task); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
