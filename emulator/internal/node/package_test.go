//go:build linux

package node_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

type entry struct {
	name, content string
	mode          fs.FileMode
}

func zipFile(t *testing.T, entries ...entry) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "package.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(e.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestApplicationPackages(t *testing.T) {
	c := config(t)
	tool := zipFile(t, entry{"bin/run", "#!/bin/sh\ncat $(dirname $0)/../data.txt\n", 0o755}, entry{"data.txt", "one", 0o600}, entry{"empty/", "", fs.ModeDir | 0o700},
		entry{"link", "data.txt", fs.ModeSymlink | 0o777})
	windows := zipFile(t, entry{`dir\start`, "#!/bin/sh\necho from windows\n", 0})
	c.Packages = []node.Package{{Application: "my-tool", Version: "1.0", Default: true, Zip: tool}}
	n := open(t, c)
	task := node.Task{Job: "j", ID: "t", Packages: []node.Package{{Application: "other#app", Version: "2.7-beta", Zip: windows}}}
	task.CommandLine = `/bin/sh -c 'env | grep APP_PACKAGE | sort; $AZ_BATCH_APP_PACKAGE_my_tool/bin/run; echo
		cat $AZ_BATCH_APP_PACKAGE_my_tool_1_0/link; echo; $AZ_BATCH_APP_PACKAGE_other_app_2_7_beta/dir/start
		ls $AZ_BATCH_NODE_ROOT_DIR/applications | wc -l; touch $AZ_BATCH_APP_PACKAGE_my_tool/mark 2>/dev/null || echo kept'`
	got := strings.Split(strings.TrimSpace(run(t, n, task)), "\n")
	if len(got) < 7 {
		t.Fatalf("got %q", got)
	}
	apps := n.RootDir() + "/applications/"
	for i, prefix := range []string{"my_tool=" + apps + "my-tool1.0", "my_tool_1_0=" + apps + "my-tool1.0", "other_app_2_7_beta=" + apps + "other#app2.7-beta"} {
		if !strings.HasPrefix(got[i], "AZ_BATCH_APP_PACKAGE_"+prefix) {
			t.Errorf("got %s, want %s…", got[i], prefix)
		}
	}
	if rest := strings.Join(got[3:7], " "); rest != "one one from windows 2" {
		t.Errorf("got %s", rest)
	}
	if asRoot && (len(got) != 8 || got[7] != "kept") {
		t.Error("a task can change a package that others use")
	}

	// What is there is used again, and a changed package is another one.
	task.CommandLine = `/bin/sh -c 'ls $AZ_BATCH_NODE_ROOT_DIR/applications | wc -l; cat $AZ_BATCH_APP_PACKAGE_other_app_2_7_beta/x'`
	changed := zipFile(t, entry{"x", "two", 0})
	if err := os.Chtimes(changed, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	task.Packages[0].Zip = changed
	if got := run(t, n, task); got != "3\ntwo" {
		t.Errorf("got %q", got)
	}
}

func TestBadApplicationPackages(t *testing.T) {
	n := newNode(t)
	text := filepath.Join(t.TempDir(), "text.zip")
	if err := os.WriteFile(text, []byte("this is no package"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(zipFile(t, entry{"a", strings.Repeat("some text ", 1000), 0}))
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.zip")
	copy(whole[40:60], "xxxxxxxxxxxxxxxxxxxx")
	if err := os.WriteFile(broken, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(public(t), "outside")
	for name, p := range map[string]node.Package{
		"none":             {Application: "a", Version: "1"},
		"no file":          {Application: "a", Version: "1", Zip: filepath.Join(t.TempDir(), "none.zip")},
		"no zip":           {Application: "a", Version: "1", Zip: text},
		"broken":           {Application: "a", Version: "1", Zip: broken},
		"leads up":         {Application: "a", Version: "1", Zip: zipFile(t, entry{"ok", "", 0}, entry{"../evil", "evil", 0})},
		"leads up, dos":    {Application: "a", Version: "1", Zip: zipFile(t, entry{`..\evil`, "evil", 0})},
		"absolute":         {Application: "a", Version: "1", Zip: zipFile(t, entry{outside, "evil", 0})},
		"through a link":   {Application: "a", Version: "1", Zip: zipFile(t, entry{"out", filepath.Dir(outside), fs.ModeSymlink | 0o777}, entry{"out/outside", "evil", 0})},
		"a file as parent": {Application: "a", Version: "1", Zip: zipFile(t, entry{"x", "", 0}, entry{"x/y", "evil", 0})},
		"bad name":         {Application: "../a", Version: "1", Zip: zipFile(t, entry{"x", "", 0})},
	} {
		t.Run(name, func(t *testing.T) {
			task := node.Task{Job: "j", ID: "t", CommandLine: "true", Packages: []node.Package{p}}
			r := n.Run(t.Context(), task)
			if code(r) != node.ApplicationPackageError || r.Process || r.Retriable {
				t.Errorf("got %+v, %v", r, r.Failure)
			}
		})
	}
	tree, err := n.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for f := range tree.List("applications", true) {
		t.Errorf("left: %s", f.Name)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("there is something outside")
	}
}

func TestAFullDisk(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: no small disk can be mounted")
		return
	}
	c := config(t)
	mountSmall(t, filepath.Dir(c.Dir))
	n := open(t, c)
	big := zipFile(t, entry{"big", string(make([]byte, 4<<20)), 0})
	base := server(t, zeros(4<<20))
	small := server(t, zeros(10))
	url := func(base string) []node.ResourceFile { return []node.ResourceFile{{HTTPURL: base, FilePath: "f"}} }
	for _, c := range []struct {
		name string
		task node.Task
	}{
		{"resource file", node.Task{ResourceFiles: url(base)}},
		{"package", node.Task{Packages: []node.Package{{Application: "a", Version: "1", Zip: big}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.task.Job, c.task.ID, c.task.CommandLine = "j", "t", "true"
			r := n.Run(t.Context(), c.task)
			if code(r) != node.DiskFull || r.Failure.Category != node.ServerError || r.Process || r.Lost {
				t.Errorf("got %+v, %v", r, r.Failure)
			}
			after := node.Task{Job: "j", ID: "t", CommandLine: "/bin/sh -c 'wc -c <f; ls $AZ_BATCH_NODE_ROOT_DIR/applications'", ResourceFiles: url(small)}
			if got := run(t, n, after); got != "10\n" {
				t.Errorf("afterwards: got %q", got)
			}
		})
	}
	// A task that fills the disk itself fails as it says, and the next one has no room, until the files are removed.
	if r := n.Run(t.Context(), shell("j", "fills", "dd if=/dev/zero of=f bs=64k status=none")); code(r) != node.FailureExitCode || !r.Retriable {
		t.Errorf("got %+v, %v", r, r.Failure)
	}
	if r := n.Run(t.Context(), node.Task{Job: "j", ID: "next", CommandLine: "true", ResourceFiles: url(base)}); code(r) != node.DiskFull {
		t.Errorf("got %+v, %v", r, r.Failure)
	}
	removed(t)(n.RemoveTask("j", "fills"))
	run(t, n, node.Task{Job: "j", ID: "next", CommandLine: "true", ResourceFiles: url(small)})
}
