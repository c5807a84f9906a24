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
	for _, opt := range []clusterless.Option{clusterless.Setting("partition", "gpu"), clusterless.GPUs(-1)} {
		if _, err := square.On(s, opt).Call(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "option ") {
			t.Errorf("%v, want an error about the option", err)
		}
	}
}
