package node

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestPatterns(t *testing.T) {
	dir := fstest.MapFS{}
	for _, name := range strings.Fields(`
		stdout.txt stderr.txt fileuploadout.txt
		wd/a.txt wd/b.txt wd/abc wd/abcdef wd/abc* wd/.hidden.txt wd/x-1 wd/x-2 wd/x-z wd/[odd wd/ünit
		wd/sub/c.txt wd/sub/deep/d.txt wd/sub/.git/e.txt wd/.cache/f.txt wd/other/deep/g.gif wd/other/.h.gif
	`) {
		dir[name] = &fstest.MapFile{}
	}
	const task = "/mnt/batch/tasks/workitems/j/job-1/t"
	env := map[string]string{"AZ_BATCH_TASK_DIR": task, "AZ_BATCH_TASK_WORKING_DIR": task + "/wd", "KIND": "txt", "UP": "../.."}
	for _, c := range []struct{ pattern, want string }{
		{"a.txt", "wd/a.txt"},
		{"./a.txt", "wd/a.txt"},
		{"none", ""},
		{"sub", ""},
		{"*", "wd/[odd wd/a.txt wd/abc wd/abc* wd/abcdef wd/b.txt wd/x-1 wd/x-2 wd/x-z wd/ünit"},
		{"*.txt", "wd/a.txt wd/b.txt"},
		{"*.$KIND", "wd/a.txt wd/b.txt"},
		{"*.${KIND}", "wd/a.txt wd/b.txt"},
		{"abc*", "wd/abc wd/abc* wd/abcdef"},
		{"abc[*]", "wd/abc*"},
		{"?bc", "wd/abc"},
		{"?nit", "wd/ünit"},
		{"x-[0-9]", "wd/x-1 wd/x-2"},
		{"x-[!0-9]", "wd/x-z"},
		{"x-[13z]", "wd/x-1 wd/x-z"},
		{"[[]odd", "wd/[odd"},
		{"[odd", "wd/[odd"},
		{".*.txt", "wd/.hidden.txt"},
		{"**/*.txt", "wd/a.txt wd/b.txt wd/sub/c.txt wd/sub/deep/d.txt"},
		{"**/deep/*", "wd/other/deep/g.gif wd/sub/deep/d.txt"},
		{"sub/**", "wd/sub/c.txt wd/sub/deep/d.txt"},
		{"**", "wd/[odd wd/a.txt wd/abc wd/abc* wd/abcdef wd/b.txt wd/other/deep/g.gif wd/sub/c.txt wd/sub/deep/d.txt wd/x-1 wd/x-2 wd/x-z wd/ünit"},
		{"**/.git/*", "wd/sub/.git/e.txt"},
		{"other/*.gif", ""},
		{"other/.*.gif", "wd/other/.h.gif"},
		{"*/*.txt", "wd/sub/c.txt"},
		{"../stdout.txt", "stdout.txt"},
		{"../std*.txt", "stderr.txt stdout.txt"},
		{"$AZ_BATCH_TASK_DIR/std*.txt", "stderr.txt stdout.txt"},
		{"$AZ_BATCH_TASK_WORKING_DIR/sub/*", "wd/sub/c.txt"},
		{"../../t/x", "outside"},
		{"$UP/t2/*", "outside"},
		{"../../../../../etc/passwd", "outside"},
		{"/etc/passwd", "outside"},
		{"/mnt/batch/tasks/workitems/j/job-1/t2/stdout.txt", "outside"},
		{task + "/../t2/*", "outside"},
		{"*/../../../*", "outside"},
		{"", "outside"},
		{".", "outside"},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			p, ok := parsePattern(c.pattern, task, func(s string) string { return env[s] })
			if !ok {
				if c.want != "outside" {
					t.Errorf("leads outside, want %q", c.want)
				}
				return
			}
			got, err := p.files(dir)
			if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestBlobsOfPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, name, path, want string }{
		{"out/a.txt", "wd/out/a.txt", "task1/result", "task1/result"},
		{"out/a.txt", "wd/out/a.txt", "", "a.txt"},
		{"../stdout.txt", "stdout.txt", "", "stdout.txt"},
		{"../std*.txt", "stdout.txt", "task1", "task1/stdout.txt"},
		{"../std*.txt", "stdout.txt", "", "stdout.txt"},
		{"*.txt", "wd/a.txt", "dir/", "dir/a.txt"},
		{"out/**/*.txt", "wd/out/x/y/a.txt", "dir", "dir/x/y/a.txt"},
		{"**/*.txt", "wd/out/x/a.txt", "", "out/x/a.txt"},
	} {
		p, ok := parsePattern(c.pattern, "/t", os.Getenv)
		if got := p.blob(c.name, c.path); !ok || got != c.want {
			t.Errorf("%s of %s to %q: got %q, want %q", c.pattern, c.name, c.path, got, c.want)
		}
	}
}

func TestPatternsEnd(t *testing.T) {
	dir := fstest.MapFS{"wd/" + strings.Repeat("a", 200): &fstest.MapFile{}, "wd/" + strings.Repeat("d/", 30) + "f": &fstest.MapFile{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, text := range []string{strings.Repeat("*a", 100) + "*b", strings.Repeat("**/", 60) + "f", "[" + strings.Repeat("!", 500)} {
			if p, ok := parsePattern(text, "/t", os.Getenv); ok {
				if _, err := p.files(dir); err != nil {
					t.Errorf("%.20s: %v", text, err)
				}
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a pattern keeps the node busy")
	}
}
