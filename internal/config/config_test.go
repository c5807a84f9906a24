package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse("/etc/c/clusterless.toml", []byte(`
engine = "slurm:?account=url"
dir = "jobs"

[local]
slots = 3

[slurm]
partition = "cpu"
account = "file"
time = "2h"
requeue = false
flag = ["--exclusive", "--reservation=a class"]

[profile.big]
engine = "slurm:///big?qos=url"
[profile.big.slurm]
partition = "bigmem"

[profile.home]
engine = "local:"
dir = "~/jobs"

[profile.azure]
engine = "azbatch://a.b.batch.azure.com"
store = "azblob://a/c"
[profile.azure.azbatch]
pool = "p"
retries = 0
`))
	if err != nil {
		t.Fatal(err)
	}
	const slurm = "flag=--exclusive&flag=--reservation%3Da+class"
	for _, test := range []struct {
		name         string
		env, options Choice
		engine, dir  string
	}{
		{"file", Choice{}, Choice{}, "slurm:?account=url&" + slurm + "&partition=cpu&requeue=false&time=2h", "/etc/c/jobs"},
		{"environment", Choice{Engine: "local:?slots=2", Dir: "/env"}, Choice{}, "local:?slots=2", "/env"},
		{"settings of the file for the engine of the environment", Choice{Engine: "local", Dir: ""}, Choice{}, "local:?slots=3", "/etc/c/jobs"},
		{"options", Choice{Engine: "slurm:", Dir: "/env"}, Choice{Engine: "local:", Dir: "/option"}, "local:?slots=3", "/option"},
		{"directory of the environment for the engine of an option", Choice{Engine: "", Dir: "/env"}, Choice{Engine: "local:", Dir: ""}, "local:?slots=3", "/env"},
		{"path of an option's URL", Choice{Engine: "", Dir: "/env"}, Choice{Engine: "slurm:///shared?time=1h", Dir: ""},
			"slurm:///shared?account=file&" + slurm + "&partition=cpu&requeue=false&time=1h", "/shared"},
		{"directory beside a path", Choice{}, Choice{Engine: "slurm:///shared?time=1h", Dir: "/option"},
			"slurm:///shared?account=file&" + slurm + "&partition=cpu&requeue=false&time=1h", "/option"},
		{"profile", Choice{Engine: "big", Dir: ""}, Choice{}, "slurm:///big?account=file&" + slurm + "&partition=bigmem&qos=url&requeue=false&time=2h", "/big"},
		{"profile of an option", Choice{Engine: "slurm:", Dir: "/env"}, Choice{Engine: "home", Dir: ""}, "local:?slots=3", filepath.Join(home, "jobs")},
	} {
		got, err := f.Resolve(test.env, test.options)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got.Engine.String() != test.engine || got.Dir != test.dir {
			t.Errorf("%s: %s in %q, want %s in %q", test.name, got.Engine, got.Dir, test.engine, test.dir)
		}
	}
	for _, test := range []struct {
		env, options  Choice
		engine, store string
	}{
		{Choice{}, Choice{Engine: "azure"}, "azbatch://a.b.batch.azure.com?pool=p&retries=0", "azblob://a/c"},
		{Choice{Engine: "azure", Store: "azblob://env/c"}, Choice{}, "azbatch://a.b.batch.azure.com?pool=p&retries=0", "azblob://env/c"},
		{Choice{Store: "azblob://env/c"}, Choice{Engine: "azure", Store: "azblob://o/c"}, "azbatch://a.b.batch.azure.com?pool=p&retries=0", "azblob://o/c"},
	} {
		got, err := f.Resolve(test.env, test.options)
		if err != nil || got.Engine.String() != test.engine || got.Store != test.store || got.Dir != "/etc/c/jobs" {
			t.Errorf("%+v, %+v: %+v, %v; want %s with %s", test.env, test.options, got, err, test.engine, test.store)
		}
	}
	if _, err := f.Resolve(Choice{}, Choice{Engine: "bih"}); err == nil || !strings.Contains(err.Error(), "no profile of /etc/c/clusterless.toml") {
		t.Errorf("a profile that is not there: %v", err)
	}
	if _, err := (&File{}).Resolve(Choice{Engine: "bih"}, Choice{}); err == nil || !strings.Contains(err.Error(), "no clusterless.toml with a profile") {
		t.Errorf("a profile without a file: %v", err)
	}
	made, err := (&File{}).Resolve(Choice{Store: "azblob://127.0.0.1:1/a/c?create=true&protocol=http"}, Choice{})
	if err != nil || made.Store != "azblob://127.0.0.1:1/a/c?protocol=http" || !made.MakeStore {
		t.Errorf("a store to be made: %+v, %v", made, err)
	}
	none, err := (&File{}).Resolve(Choice{}, Choice{})
	if err != nil || none.Engine.String() != "local:" || none.Dir != "" {
		t.Errorf("nothing said: %+v, %v", none, err)
	}
}

func TestBadFiles(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"engine = \"slurm:\"\n\n[slurm]\npartion = \"cpu\"\n", `c.toml:4: unknown key slurm.partion (did you mean "partition"?); there are partition, account, `},
		{"[slum]\ntime = \"1h\"\n", `c.toml:1: unknown key slum (did you mean "slurm"?); there are profile, engine, dir, store, program, local, slurm, azbatch`},
		{"[profile.a]\nengine = \"slurm:\"\n[profile.a.slurm]\nque = \"x\"\n", "c.toml:4: unknown key profile.a.slurm.que; there are partition, "},
		{"one = 1\ntwo = 2\n", "c.toml:2: unknown key two"},
		{"[local]\nslots = \"four\"\n", "c.toml:2:9: local.slots: want a whole number, found a TOML string"},
		{"engine = slurm\n", "c.toml:1:10: "},
		{"[profile.a]\ndir = \"/x\"\n", "profile a names no engine"},
	} {
		_, err := parse("c.toml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
}

// The examples of the documentation are files that are accepted.
func TestDocumented(t *testing.T) {
	for _, page := range []string{"configuration.md", "slurm.md", "azure.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(b), "```toml\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s shows no file", page)
		}
		for _, block := range blocks {
			text, _, _ := strings.Cut(block, "```")
			f, err := parse(page, []byte(text))
			if err != nil {
				t.Errorf("%v in\n%s", err, text)
				continue
			}
			if _, err := f.Resolve(Choice{}, Choice{}); err != nil {
				t.Errorf("%v in\n%s", err, text)
			}
		}
	}
}

func TestFind(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Setenv(EnvFile, "")
	t.Chdir(work)
	found := func(want string) {
		t.Helper()
		got, err := Find()
		if err == nil && got != "" {
			got, err = filepath.EvalSymlinks(got)
		}
		if want != "" {
			want, _ = filepath.EvalSymlinks(want)
		}
		if got != want || err != nil {
			t.Errorf("found %q, %v; want %q", got, err, want)
		}
	}
	write := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	found("")
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	found(write(filepath.Join(config, "clusterless", Name)))
	found(write(filepath.Join(work, Name)))
	t.Setenv(EnvFile, write(filepath.Join(home, "mine.toml")))
	found(filepath.Join(home, "mine.toml"))
	t.Setenv(EnvFile, filepath.Join(home, "gone.toml"))
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), EnvFile) {
		t.Errorf("a file that is not there: %v, want an error that names %s", err, EnvFile)
	}
}
