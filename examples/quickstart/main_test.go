package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The program is built and run as a user would, and must print what its source promises.
func TestQuickstart(t *testing.T) { quickstart(t) }

func quickstart(t *testing.T, env ...string) {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(exe)
	dir := t.TempDir()
	cmd.Env = append(append(os.Environ(), "CLUSTERLESS_DIR="+dir), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^hello world, from process \d+ on \S+$`,
		`(?m)^pi is about 3\.14\d\d$`,
		`(?m)^distances to the nearest point: \[0\.\d+ 1\.\d+ 3\.\d+\]$`,
		`(?m)^an error: withdraw on \S+: withdraw 150: no cash left$`,
		`is errNoCash: true`,
		`(?m)^a panic: reckless on \S+: panic: runtime error: index out of range \[7\] with length 3$`,
		`main\.reckless`,
		`about to look at element 7`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("it does not print %s:\n%s", want, out)
		}
	}
	if regexp.MustCompile(`sig=|AccountKey`).Match(out) {
		t.Errorf("it prints a secret:\n%s", out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "store", "jobs*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("jobs are left: %v, %v", left, err)
	}
}
