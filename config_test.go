package clusterless_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/engine"
)

// configure makes a configuration file that counts for the test.
func configure(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clusterless.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLUSTERLESS_CONFIG", path)
	t.Setenv("CLUSTERLESS_DIR", "")
	t.Setenv("CLUSTERLESS_ENGINE", "")
}

// The file says which directory and engine a session has; the environment overrides it, and options override both.
func TestConfigurationFile(t *testing.T) {
	of := func(opts ...clusterless.Option) (dir string, slots int) {
		t.Helper()
		s, err := clusterless.Open(t.Context(), opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Dir(), s.Slots()
	}
	here, env, option := t.TempDir(), t.TempDir(), t.TempDir()
	configure(t, "dir = '"+here+"'\n[local]\nslots = 3\n[profile.small]\nengine = 'local:?slots=1'\n")
	for _, test := range []struct {
		name, env string
		opts      []clusterless.Option
		dir       string
		slots     int
	}{
		{"file", "", nil, here, 3},
		{"environment", env, nil, env, 3},
		{"options", env, []clusterless.Option{clusterless.Dir(option), clusterless.Slots(2)}, option, 2},
		{"profile", "", []clusterless.Option{clusterless.Engine("small")}, here, 1},
	} {
		t.Setenv("CLUSTERLESS_DIR", test.env)
		if dir, slots := of(test.opts...); dir != test.dir || slots != test.slots {
			t.Errorf("%s: %s with %d slots, want %s with %d", test.name, dir, slots, test.dir, test.slots)
		}
	}
	configure(t, "dri = '/x'\n")
	if _, err := clusterless.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "clusterless.toml:1: unknown key dri") {
		t.Errorf("a misspelt key: %v", err)
	}
}

// A value that cannot be meant is an error that names it, says who said so, and what there is.
func TestMisspelt(t *testing.T) {
	for _, test := range []struct {
		name, file string
		env        [2]string
		opt        clusterless.Option
		want       []string
	}{
		{"engine of the environment", "", [2]string{"CLUSTERLESS_ENGINE", "locl:?slots=1"}, nil,
			[]string{"open: CLUSTERLESS_ENGINE: ", "locl:?slots=1", `no driver for scheme "locl" (this program has: local`, `did you mean "local"?`}},
		{"engine without its driver", "", [2]string{"CLUSTERLESS_ENGINE", "azbatch://a"}, nil,
			[]string{`import _ "github.com/clusterless-go/clusterless/engine/azbatch"`}},
		{"engine of an option", "", [2]string{}, clusterless.Engine("k8s:"), []string{"open: option Engine: ", `"k8s" (this program has: local`}},
		{"profile", "[profile.small]\nengine = 'local:'\n", [2]string{"CLUSTERLESS_ENGINE", "smal"}, nil,
			[]string{"open: CLUSTERLESS_ENGINE: ", `"smal" is no URL, and no profile of `, `did you mean "small"?`, "its profiles are small"}},
		{"engine of a profile", "engine = 'small'\n[profile.small]\nengine = 'lcoal:'\n", [2]string{}, nil,
			[]string{"open: profile small of ", "clusterless.toml: ", `did you mean "local"?`}},
		{"setting in a URL", "", [2]string{}, clusterless.Engine("local:?slot=2"),
			[]string{"open: option Engine: ", "slot=2", `did you mean "slots"?`, "there are slots, memory, loglimit"}},
		{"value in a URL", "", [2]string{"CLUSTERLESS_ENGINE", "local:?slots=two"}, nil,
			[]string{"open: CLUSTERLESS_ENGINE: ", "slots=two: want a whole number of at least 1"}},
		{"value of the file", "[local]\nmemory = '16Q'\n", [2]string{"CLUSTERLESS_ENGINE", "local:"}, nil,
			[]string{"open: CLUSTERLESS_ENGINE, settings of ", "clusterless.toml: ", "memory=16Q: want a size"}},
		{"value of a file that names no engine", "[local]\nmemory = '16Q'\n", [2]string{}, nil, []string{"clusterless.toml: ", "memory=16Q"}},
		{"store of the environment", "", [2]string{"CLUSTERLESS_STORE", "s4://b"}, nil,
			[]string{"open: CLUSTERLESS_STORE: ", `s4://b: no driver for scheme "s4" (this program has: `, `did you mean "s3"?`}},
		{"store of the file", "store = 's3://b'\n", [2]string{}, nil, []string{"clusterless.toml: store: open s3://b: no driver", "store/blobstore"}},
		{"store of a profile", "[profile.p]\nengine = 'local:'\nstore = 'x://b'\n", [2]string{}, clusterless.Engine("p"),
			[]string{"open: option Engine, profile p of ", "clusterless.toml: store: open x://b"}},
		{"variable", "", [2]string{"CLUSTERLESS_ENGIN", "slurm:"}, nil,
			[]string{"environment variable CLUSTERLESS_ENGIN: no such variable", `did you mean "ENGINE"?`, "CONFIG, ENGINE, DIR"}},
		{"setting of an option", "", [2]string{}, clusterless.Setting("slurm.partion", "x"),
			[]string{`option Setting("slurm.partion", …): `, `did you mean "partition"?`, "there are partition, account"}},
		{"engine of a setting", "", [2]string{}, clusterless.Setting("slrum.partition", "x"),
			[]string{`option Setting("slrum.partition", …): no engine slrum`, `did you mean "slurm"?`, "azbatch, local, slurm"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			configure(t, test.file)
			t.Setenv("CLUSTERLESS_STORE", "")
			t.Setenv("CLUSTERLESS_DIR", t.TempDir())
			if test.env[0] != "" {
				t.Setenv(test.env[0], test.env[1])
			}
			s, err := clusterless.Open(t.Context(), test.opt)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}

// Variables of a task, and those that only begin as ours do, are nobody's mistake.
func TestOtherVariables(t *testing.T) {
	configure(t, "")
	for _, name := range []string{"PROCESS", "JOB", "TASK", "ROLE", "NODE", "STORE_TOKEN", "CONTROL", "STORETEST", "MINE"} {
		t.Setenv("CLUSTERLESS_"+name, "1")
	}
	s, err := clusterless.Open(t.Context(), clusterless.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Settings are for one kind of engine: others leave them aside.
func TestSettings(t *testing.T) {
	s, err := clusterless.Open(t.Context(), clusterless.Dir(t.TempDir()), clusterless.Slots(1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := square.On(s, clusterless.Setting("slurm.partition", "gpu")).Call(t.Context(), 3); err != nil || got != 9 {
		t.Errorf("with a setting for Slurm: %v, %v; want 9", got, err)
	}
	_, err = square.On(s, clusterless.Setting("local.partition", "gpu")).Call(t.Context(), 3)
	if !errors.Is(err, engine.ErrCannotRun) || !strings.Contains(err.Error(), "setting local.partition=gpu") {
		t.Errorf("a setting that the engine does not have: %v, want ErrCannotRun with its name", err)
	}
	for _, opt := range []clusterless.Option{clusterless.Setting("partition", "gpu"), clusterless.Setting("slurm.partion", "gpu"), clusterless.GPUs(-1)} {
		if _, err := square.On(s, opt).Call(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "option ") {
			t.Errorf("%v, want an error about the option", err)
		}
	}
}
