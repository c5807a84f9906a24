package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// The program is built and run as a user would. What it finds does not depend on where calls are made.
func TestNestedMap(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "nestedmap")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var first string
	for _, args := range [][]string{{"-cores", "1"}, {"-cores", "2"}, {"-cores", "1", "-nodes", "2"}} {
		cmd := exec.CommandContext(t.Context(), exe, append(args, "-searches", "2")...)
		cmd.Env = append(os.Environ(), "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_ENGINE=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		if first == "" {
			first = string(out)
		}
		if string(out) != first {
			t.Errorf("%q finds\n%s, and -cores 1 found\n%s", args, out, first)
		}
	}
	m := regexp.MustCompile(`(?m)^lowest: (\S+) at \[.*\]$`).FindStringSubmatch(first)
	if m == nil {
		t.Fatalf("no lowest point:\n%s", first)
	}
	if h, err := strconv.ParseFloat(m[1], 64); err != nil || h > 10 {
		t.Errorf("the lowest point of the searches is %v (%v); hardly any point is that high", h, err)
	}
}
