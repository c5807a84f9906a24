package clusterless_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

// list returns the files below its working directory, with their contents; directories and links are followed.
var list = clusterless.Define("test.list", func(context.Context, int) (map[string]string, error) {
	all := map[string]string{}
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			st, err := os.Stat(name)
			if err != nil {
				return err
			}
			if st.IsDir() {
				if err := walk(name); err != nil {
					return err
				}
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all[name] = string(b)
			if st.Mode()&0o111 != 0 {
				all[name] += " (x)"
			}
		}
		return nil
	}
	return all, walk(".")
})

// plant makes files below a directory; the text of those that begin with #! is a program.
func plant(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o666)
		if strings.HasPrefix(text, "#!") {
			mode = 0o777
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInclude(t *testing.T) {
	ctx, s, dir := within(t), open(t), t.TempDir()
	plant(t, dir, map[string]string{"a.txt": "one", "run.sh": "#!/bin/sh\necho run\n", "data/x": "ex", "data/deep/er/y": "why", "data/tool": "#!tool", "with space\n": "odd name"})
	if err := os.Symlink("a.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	before := must(list.On(s).Go(ctx, 0))(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := s.Include(ctx, in("a.txt"), in("run.sh"), in("data"), in("with space\n"), in("link.txt")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a.txt": "one", "run.sh": "#!/bin/sh\necho run\n (x)", "data/x": "ex", "data/deep/er/y": "why", "data/tool": "#!tool (x)", "with space\n": "odd name", "link.txt": "one"}
	paths := s.Included()
	slices.Sort(paths)
	if all := []string{"a.txt", "data/deep/er/y", "data/tool", "data/x", "link.txt", "run.sh", "with space\n"}; !slices.Equal(paths, all) {
		t.Errorf("Included: got %q; want %q", paths, all)
	}
	if got := must(before.Get(ctx))(t); got["a.txt"] != "" {
		t.Errorf("a call made before has %q", got)
	}
	job := must(list.On(s).Map(ctx, []int{0, 1, 2}))(t)
	for i, got := range must(job.Results(ctx))(t) {
		if !equalMaps(got, want) {
			t.Errorf("call %d: got %q; want %q", i, got, want)
		}
	}
	// The same name again replaces what was there, also a directory with files that are no more.
	other := t.TempDir()
	plant(t, other, map[string]string{"a.txt": "two", "data/z": "zed"})
	if err := s.Include(ctx, filepath.Join(other, "a.txt"), filepath.Join(other, "data")); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{"a.txt": "two", "run.sh": "#!/bin/sh\necho run\n (x)", "data/z": "zed", "with space\n": "odd name", "link.txt": "one"}
	if got := must(list.On(s).Call(ctx, 0))(t); !equalMaps(got, want) {
		t.Errorf("after a replacement: got %q; want %q", got, want)
	}
	if err := s.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if paths := s.Included(); len(paths) != 0 {
		t.Errorf("Included after Clear: %q", paths)
	}
	if got := must(list.On(s).Call(ctx, 0))(t); got["a.txt"] != "" {
		t.Errorf("after Clear: got %q", got)
	}
}

func equalMaps(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

var script = clusterless.Define("test.script", func(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "./"+name).CombinedOutput()
	return string(out), err
})

func TestIncludedProgramsRun(t *testing.T) {
	ctx, s, dir := within(t), open(t), t.TempDir()
	plant(t, dir, map[string]string{"run.sh": "#!/bin/sh\ncat data\n", "data": "of the script"})
	if err := s.Include(ctx, filepath.Join(dir, "run.sh"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if got, err := script.On(s).Call(ctx, "run.sh"); got != "of the script" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestIncludeOfWhatCannotBe(t *testing.T) {
	ctx, s, dir := within(t), open(t), t.TempDir()
	plant(t, dir, map[string]string{"round/loop/a": "a"})
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "empty"), 0o777), os.Symlink("..", filepath.Join(dir, "round/loop/up")), os.Symlink("nowhere", filepath.Join(dir, "broken"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		filepath.Join(dir, "broken"):  "no such file",
		filepath.Join(dir, "empty"):   "there are no files in it",
		filepath.Join(dir, "round"):   "too deep",
		"/":                           "not the whole file system",
		os.DevNull:                    "neither a file nor a directory",
	} {
		wantErr(t, s.Include(ctx, path), nil, "clusterless: include "+path, want)
	}
	if paths := s.Included(); len(paths) != 0 {
		t.Errorf("Included: got %q; want nothing", paths)
	}
}

// spoil changes what was included, in every way that comes to mind, and says what its directory held before.
var spoil = clusterless.Define("test.spoil", func(ctx context.Context, i int) (map[string]string, error) {
	before, err := list.Call(ctx, i)
	if err != nil {
		return nil, err
	}
	// All of these may fail.
	os.WriteFile("mine", []byte("of a call"), 0o666)
	os.WriteFile("a.txt", []byte("overwritten"), 0o666)
	os.Remove("a.txt")
	os.WriteFile("a.txt", []byte("another"), 0o666)
	os.WriteFile("data/new", []byte("added"), 0o666)
	os.WriteFile("data/x", []byte("overwritten"), 0o666)
	os.Remove("data/x")
	os.RemoveAll("data/")
	return before, nil
})

// What a call does in its directory is not seen by others: they have one of their own, and what is included is the
// same for all.
func TestCallsDoNotSeeEachOthersFiles(t *testing.T) {
	ctx, s, dir := within(t), open(t), t.TempDir()
	want := map[string]string{"a.txt": "one", "data/x": "ex"}
	plant(t, dir, want)
	if err := s.Include(ctx, filepath.Join(dir, "a.txt"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	job := must(spoil.On(s, clusterless.Span(3)).Map(ctx, upTo(6)))(t)
	for i := range 6 {
		got, err := job.Result(ctx, i)
		if err != nil || !equalMaps(got, want) {
			t.Errorf("call %d: found %q, %v; want %q", i, got, err, want)
		}
	}
}

// write makes files in its directory, and then does what it is told.
type write struct {
	Files map[string]string
	Dirs  []string
	Links map[string]string // name to target
	Exec  string
	End   string
}

var writer = clusterless.Define("test.write", func(_ context.Context, in write) (int, error) {
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		return 0, fmt.Errorf("the directory is not empty: %v, %v", entries, err)
	}
	for _, d := range in.Dirs {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return 0, err
		}
	}
	for name, text := range in.Files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return 0, err
		}
		mode := fs.FileMode(0o644)
		if name == in.Exec {
			mode = 0o755
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			return 0, err
		}
	}
	for name, target := range in.Links {
		if err := os.Symlink(target, name); err != nil {
			return 0, err
		}
	}
	switch in.End {
	case "error":
		return 0, errStep
	case "panic":
		panic("after writing")
	}
	return len(in.Files), nil
})

// contents reads returned files.
func contents(t testing.TB, ctx context.Context, files []clusterless.File) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range files {
		r := must(f.Open(ctx))(t)
		b := must(io.ReadAll(r))(t)
		r.Close()
		if int64(len(b)) != f.Size {
			t.Errorf("%s: %d bytes, Size says %d", f.Name, len(b), f.Size)
		}
		if _, twice := all[f.Name]; twice {
			t.Errorf("%s came twice", f.Name)
		}
		all[f.Name] = string(b)
	}
	return all
}

func TestReturn(t *testing.T) {
	ctx, s := within(t), open(t)
	files := map[string]string{"a.csv": "1", "b.csv": "2", "out.bin": strings.Repeat("x", 1<<20), "d/c.csv": "3", "d/e/f.csv": "4", "d/e/g.txt": "5", "empty": "", ".hidden": "6"}
	for _, c := range []struct {
		patterns []string
		want     []string
	}{
		{[]string{"out.bin"}, []string{"out.bin"}},
		{[]string{"out.bin", "empty"}, []string{"out.bin", "empty"}},
		{[]string{"*.csv"}, []string{"a.csv", "b.csv"}},
		{[]string{"**/*.csv"}, []string{"a.csv", "b.csv", "d/c.csv", "d/e/f.csv"}},
		{[]string{"d/**"}, []string{"d/c.csv", "d/e/f.csv", "d/e/g.txt"}},
		{[]string{"**"}, []string{"a.csv", "b.csv", "out.bin", "d/c.csv", "d/e/f.csv", "d/e/g.txt", "empty", ".hidden"}},
		{[]string{"{a,b}.csv", "*.csv", "a.csv"}, []string{"a.csv", "b.csv"}},
		{[]string{"[ab].csv", "d/?.csv"}, []string{"a.csv", "b.csv", "d/c.csv"}},
		{[]string{"*.none", "none/**"}, nil},
	} {
		t.Run(strings.Join(c.patterns, " "), func(t *testing.T) {
			f := must(writer.On(s, clusterless.Return(c.patterns...)).Go(ctx, write{Files: files}))(t)
			if n, err := f.Get(ctx); n != len(files) || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
			want := map[string]string{}
			for _, name := range c.want {
				want[name] = files[name]
			}
			if got := contents(t, ctx, must(f.Files(ctx))(t)); !equalMaps(got, want) {
				t.Errorf("got %d files %v; want %q", len(got), keys(got), c.want)
			}
		})
	}
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestReturnFromEachCallOfAJob(t *testing.T) {
	ctx, s := within(t), open(t)
	var ins []write
	for i := range 30 {
		ins = append(ins, write{Files: map[string]string{"r": fmt.Sprint("result ", i)}})
	}
	job := must(writer.On(s, clusterless.Return("r")).Map(ctx, ins))(t)
	for i, r := range job.Completed(ctx) {
		if got := contents(t, ctx, r.Files); len(got) != 1 || got["r"] != fmt.Sprint("result ", i) {
			t.Errorf("call %d: got %q, %v", i, got, r.Err)
		}
	}
	if files := must(job.Files(ctx, 7))(t); contents(t, ctx, files)["r"] != "result 7" {
		t.Errorf("Files of call 7: got %+v", files)
	}
}

func TestReturnOfAFileThatIsNotWritten(t *testing.T) {
	ctx, s := within(t), open(t)
	_, err := writer.On(s, clusterless.Return("there", "missing")).Call(ctx, write{Files: map[string]string{"there": "1"}})
	wantErr(t, err, nil, `the call wrote no file "missing"`)
}

func TestReturnFromFailedCalls(t *testing.T) {
	ctx, s := within(t), open(t)
	ins := []write{{Files: map[string]string{"a": "fine"}}, {Files: map[string]string{"a": "error"}, End: "error"}, {Files: map[string]string{"a": "panic"}, End: "panic"}, {End: "error"}}
	job := must(writer.On(s, clusterless.Return("a"), clusterless.ReturnFailed(true)).Map(ctx, ins))(t)
	for i, want := range []string{"fine", "error", "panic", ""} {
		r := must(job.Outcome(ctx, i))(t)
		if got := contents(t, ctx, r.Files)["a"]; got != want || (r.Err != nil) != (i > 0) {
			t.Errorf("call %d: got %q, %v; want %q", i, got, r.Err, want)
		}
		if i == 3 && !errors.Is(r.Err, errStep) {
			t.Errorf("call 3: got %v; want its own error, not one about the file", r.Err)
		}
		files, err := job.Files(ctx, i)
		if len(files) != len(r.Files) || (err != nil) != (i > 0) {
			t.Errorf("call %d: Files gives %d and %v, Outcome %d and %v", i, len(files), err, len(r.Files), r.Err)
		}
	}
	job = must(writer.On(s, clusterless.Return("a")).Map(ctx, ins))(t)
	for i, want := range []int{1, 0, 0, 0} {
		if r := must(job.Outcome(ctx, i))(t); len(r.Files) != want {
			t.Errorf("without ReturnFailed: call %d: got %d files; want %d", i, len(r.Files), want)
		}
	}
}

// Each try of a call has a fresh directory, and only the last gives files.
func TestReturnWithRetries(t *testing.T) {
	ctx, s, g := within(t), open(t), newGate(t)
	f := must(writeOnce.On(s, clusterless.Return("*"), clusterless.RetryErrors(2), clusterless.Backoff(time.Millisecond), clusterless.ReturnFailed(true)).Go(ctx, g.file("tried")))(t)
	if v, err := f.Get(ctx); v != 0 || err != nil {
		t.Fatalf("got %d files before the second try, %v; want 0", v, err)
	}
	if got := contents(t, ctx, must(f.Files(ctx))(t)); !equalMaps(got, map[string]string{"second": "2"}) {
		t.Errorf("got %q; want only what the second try wrote", got)
	}
}

var writeOnce = clusterless.Define("test.writeonce", func(ctx context.Context, file string) (int, error) {
	entries, err := os.ReadDir(".")
	if err != nil {
		return 0, err
	}
	if exists(file) {
		return len(entries), os.WriteFile("second", []byte("2"), 0o666)
	}
	return 0, errors.Join(errStep, os.WriteFile("first", []byte("1"), 0o666), os.WriteFile(file, nil, 0o666))
})

func TestReturnOfHostileNames(t *testing.T) {
	ctx, s, outside := within(t), open(t), t.TempDir()
	plant(t, outside, map[string]string{"secret": "secret"})
	files := map[string]string{"-rf": "1", "new\nline": "2", "..dots": "3", "sp ace": "4", "ünï\xff": "5", `back\slash`: "6", "$(id)": "7", "[a]": "8", "*": "9", "a/..b/c": "10"}
	links := map[string]string{"link": filepath.Join(outside, "secret"), "up": outside}
	job := must(writer.On(s, clusterless.Return("**")).Map(ctx, []write{{Files: files, Links: links, Dirs: []string{"dir/of/nothing"}}}))(t)
	returned := must(job.Files(ctx, 0))(t)
	got := contents(t, ctx, returned)
	for name, text := range got {
		if text == "secret" {
			t.Errorf("%q leads out of the directory", name)
		}
	}
	if !equalMaps(got, files) {
		t.Errorf("got %q; want %q", got, files)
	}
	dir := t.TempDir()
	for _, f := range returned {
		path := must(f.Save(ctx, dir))(t)
		if b := must(os.ReadFile(path))(t); string(b) != files[f.Name] || path != filepath.Join(dir, f.Name) {
			t.Errorf("%q was saved to %q with %q", f.Name, path, b)
		}
	}
	// By name, a link is not a file of the call.
	_, err := writer.On(s, clusterless.Return("link")).Call(ctx, write{Links: links})
	wantErr(t, err, nil, `"link"`)
	// Names of files are data from elsewhere.
	for _, name := range []string{"../evil", "/evil", "a/../../evil", "..", ""} {
		f := returned[0]
		f.Name = name
		path, err := f.Save(ctx, filepath.Join(dir, "below"))
		if err == nil {
			t.Errorf("Save of %q: wrote %s", name, path)
		}
	}
	if exists(filepath.Join(dir, "evil")) {
		t.Error("Save wrote outside of its directory")
	}
}

func TestSave(t *testing.T) {
	ctx, s, dir := within(t), open(t), t.TempDir()
	in := write{Files: map[string]string{"d/run": "new", "d/data": "more"}, Exec: "d/run"}
	f := must(writer.On(s, clusterless.Return("**")).Go(ctx, in))(t)
	plant(t, dir, map[string]string{"d/run": "what was there before, and longer"})
	for _, file := range must(f.Files(ctx))(t) {
		path := must(file.Save(ctx, dir))(t)
		if want := filepath.Join(dir, file.Name); path != want {
			t.Errorf("saved to %s; want %s", path, want)
		}
	}
	if b := must(os.ReadFile(filepath.Join(dir, "d/run")))(t); string(b) != "new" {
		t.Errorf("got %q; want the file replaced", b)
	}
	// In a new directory, with the executable bit.
	fresh := filepath.Join(t.TempDir(), "not/there")
	for _, file := range must(f.Files(ctx))(t) {
		path := must(file.Save(ctx, fresh))(t)
		st := must(os.Stat(path))(t)
		if x := st.Mode()&0o100 != 0; x != (file.Name == "d/run") {
			t.Errorf("%s has mode %v", file.Name, st.Mode())
		}
	}
	files := must(f.Files(ctx))(t)
	if err := f.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := files[0].Open(ctx)
	wantErr(t, err, fs.ErrNotExist, files[0].Name)
}

// Returned files of a size that is not kept in memory.
func TestReturnOfALargeFile(t *testing.T) {
	ctx, s := within(t), open(t)
	text := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	f := must(writer.On(s, clusterless.Return("big")).Go(ctx, write{Files: map[string]string{"big": text}}))(t)
	files := must(f.Files(ctx))(t)
	path := must(files[0].Save(ctx, t.TempDir()))(t)
	if b := must(os.ReadFile(path))(t); !bytes.Equal(b, []byte(text)) {
		t.Errorf("got %d bytes that differ from the %d written", len(b), len(text))
	}
}
