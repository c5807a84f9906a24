//go:build linux

package node_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

func TestFiles(t *testing.T) {
	n := newNode(t)
	run(t, n, shell("j", "t", "mkdir -p b/c; echo text >b/c/x.txt; echo more >a.bin; chmod 640 a.bin; echo page >z.html; ln -s a.bin link"))
	tree, err := n.TaskFiles("j", "t")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	names := func(dir string, recursive bool) (names []string) {
		for f, err := range tree.List(dir, recursive) {
			if err != nil {
				t.Fatal(err)
			}
			name := f.Name
			if f.Dir {
				name += "/"
			}
			names = append(names, name)
		}
		return names
	}
	for _, c := range []struct {
		dir       string
		recursive bool
		want      string
	}{
		{"", false, "certs/ stderr.txt stdout.txt wd/"},
		{"", true, "certs/ stderr.txt stdout.txt wd/ wd/a.bin wd/b/ wd/b/c/ wd/b/c/x.txt wd/link wd/z.html"},
		{"wd", false, "wd/a.bin wd/b/ wd/link wd/z.html"},
		{"/wd/b/", true, "wd/b/c/ wd/b/c/x.txt"},
	} {
		if got := names(c.dir, c.recursive); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("list %q, %v: got %q, want %q", c.dir, c.recursive, got, c.want)
		}
	}
	for f := range tree.List("", true) { // one that is not looked through
		if f.Name != "certs" {
			t.Errorf("got %s first", f.Name)
		}
		break
	}
	st, err := tree.Stat("wd/a.bin")
	if err != nil || st.Size != 5 || st.Dir || st.UnixMode() != "0o100640" || st.ContentType != "application/octet-stream" || time.Since(st.Modified) > longEnough {
		t.Errorf("got %+v, %s, %v", st, st.UnixMode(), err)
	}
	if st, err := tree.Stat("stdout.txt"); err != nil || st.ContentType != "text/plain" || st.UnixMode() != "0o100644" {
		t.Errorf("got %+v, %s, %v", st, st.UnixMode(), err)
	}
	if st, err := tree.Stat("wd"); err != nil || !st.Dir || !strings.HasPrefix(st.UnixMode(), "0o40") {
		t.Errorf("got %+v, %s, %v", st, st.UnixMode(), err)
	}
	f, st, err := tree.Open("wd/b/c/x.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 2)
	if _, err := f.ReadAt(b, 1); err != nil || string(b) != "ex" || st.Size != 5 {
		t.Errorf("got %q, %+v, %v", b, st, err)
	}
	if f, st, err := tree.Open("wd"); f != nil || !st.Dir || err != nil {
		t.Errorf("open a directory: got %v, %+v, %v", f, st, err)
	}
	if err := tree.Remove("wd/b", false); !errors.Is(err, node.ErrNotEmpty) {
		t.Errorf("got %v, want ErrNotEmpty", err)
	}
	if err := tree.Remove("wd/b", true); err != nil {
		t.Error(err)
	}
	if err := tree.Remove("wd/link", false); err != nil {
		t.Error(err)
	}
	if got := names("wd", true); !slices.Equal(got, []string{"wd/a.bin", "wd/z.html"}) {
		t.Errorf("after removing: got %q", got)
	}
	if err := tree.Remove("wd/b", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove again: got %v", err)
	}
}

func TestHostileFiles(t *testing.T) {
	n := newNode(t)
	outside := filepath.Join(public(t), "outside")
	if err := os.MkdirAll(filepath.Join(outside, "dir"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("outside"), 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, n, shell("j", "other", "echo of another task >file"))
	run(t, n, shell("j", "t", "ln -s "+outside+"/file f; ln -s "+outside+" d; ln -s ../../other/wd/file o; ln -s loop loop; mkfifo pipe; ln -s / slash; ln -s .. up"))
	tree, err := n.TaskFiles("j", "t")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for _, name := range []string{
		"../other/wd/file", "wd/../../other/wd/file", "/etc/passwd", "//etc/passwd", "wd/f", "wd/d", "wd/d/file", "wd/o", "wd/loop", "wd/slash/etc/passwd",
		"..", "../", "../..", "", "a\x00b", "wd/none", `wd\..\..\other`, strings.Repeat("x", 5000), strings.Repeat("x/", 5000), "wd/pipe/x", "stdout.txt/x",
	} {
		if f, st, err := tree.Open(name); err == nil && (f != nil || !st.Dir) {
			b, _ := io.ReadAll(f)
			t.Errorf("open %.40q: got %q", name, b)
			f.Close()
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %.40q: got %v, want fs.ErrNotExist", name, err)
		}
		if _, err := tree.Stat(name); name != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %.40q: got %v, want fs.ErrNotExist", name, err)
		}
		if strings.HasPrefix(name, "wd/") && !strings.Contains(name[3:], "/") {
			continue // a link itself may be removed
		}
		for _, recursive := range []bool{false, true} {
			if err := tree.Remove(name, recursive); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("remove %.40q: got %v, want fs.ErrNotExist", name, err)
			}
		}
	}
	if f, _, err := tree.Open("wd/pipe"); !errors.Is(err, fs.ErrNotExist) { // and does not wait for somebody to write
		t.Errorf("open a pipe: got %v, %v", f, err)
	}
	var names []string
	for f, err := range tree.List("", true) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "certs stderr.txt stdout.txt wd wd/pipe wd/up"; got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
	for _, dir := range []string{"wd/d", "wd/slash", "..", "wd/none", "stdout.txt"} {
		for f, err := range tree.List(dir, true) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("list %s: got %+v, %v, want fs.ErrNotExist", dir, f, err)
			}
		}
	}
	if err := tree.Remove("wd", true); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "file")); string(b) != "outside" {
		t.Errorf("outside: %q, %v", b, err)
	}
	if got := read(t, n, "workitems/j/job-1/other/wd/file"); got != "of another task\n" {
		t.Errorf("another task's file: %q", got)
	}
	for _, c := range [][2]string{{"..", "t"}, {"j", ".."}, {"j/job-1", "t"}, {"", ""}, {"j", "none"}} {
		if tree, err := n.TaskFiles(c[0], c[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("files of %q: got %v, %v", c, tree, err)
		}
	}
}
