//go:build linux

package azbatch

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Variables are one line each, and a shell finds in them what they were made of.
func TestOneLine(t *testing.T) {
	odd := "a\nb\\nc\\\\ \t'\"$HOME `id` %s \\0101 \\c é"
	j := &engine.Job{ID: "j", Command: []string{"x", odd}, Env: []string{"ODD=" + odd}}
	all := environment(j, machine{})
	all = append(all, startTask("#!/bin/sh\n"+odd).EnvironmentSettings...)
	for _, s := range all {
		if strings.Contains(*s.Value, "\n") {
			t.Errorf("%s has several lines: %q", *s.Name, *s.Value)
		}
	}
	for _, shell := range []string{"sh", "bash"} {
		cmd := exec.Command(shell, "-c", `eval "$(printf %b "$CLUSTERLESS_ENVIRON")"; eval "set -- $(printf %b "$CLUSTERLESS_COMMAND")"; printf '%s|%s' "$ODD" "$2"`)
		for _, s := range all {
			cmd.Env = append(cmd.Env, *s.Name+"="+*s.Value)
		}
		cmd.Stderr = os.Stderr
		if b, err := cmd.Output(); err != nil || string(b) != odd+"|"+odd {
			t.Errorf("%s finds %q, %v; want %q twice", shell, b, err, odd)
		}
	}
}

// agentIn runs the agent in a directory, as a node does, until it ends or, if waits is a file, that is there.
func agentIn(t *testing.T, dir string, waits string, command []string, more ...string) (stdout, stderr string, code int) {
	t.Helper()
	j := &engine.Job{ID: "j", Command: command, KeepLogs: true}
	cmd := exec.Command("/bin/sh", "-c", `eval "$(printf %b "$CLUSTERLESS_AGENT")"`)
	cmd.Env = append(more, "PATH="+os.Getenv("PATH"), "AZ_BATCH_TASK_ID=0-1", "AZ_BATCH_NODE_ID=n", "AZ_BATCH_TASK_DIR="+dir, "AZ_BATCH_TASK_WORKING_DIR="+dir+"/wd", "AZ_BATCH_NODE_SHARED_DIR="+dir)
	for _, s := range environment(j, machine{}) {
		cmd.Env = append(cmd.Env, *s.Name+"="+*s.Value)
	}
	if err := os.MkdirAll(dir+"/wd", 0o700); err != nil {
		t.Fatal(err)
	}
	out, err1 := os.Create(dir + "/stdout.txt")
	errs, err2 := os.Create(dir + "/stderr.txt")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer errs.Close()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, errs, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // as a node ends a task
	for deadline := time.Now().Add(time.Minute); waits != ""; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(waits); err == nil {
			end()
			break
		} else if time.Now().After(deadline) {
			t.Errorf("there is no %s", waits)
			break
		}
	}
	err := cmd.Wait()
	end()
	if x := (*exec.ExitError)(nil); err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	said, err1 := os.ReadFile(dir + "/stdout.txt")
	errSaid, err2 := os.ReadFile(dir + "/stderr.txt")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return string(said), string(errSaid), cmd.ProcessState.ExitCode()
}

// A run that the service is about to end for its time puts what it wrote into the store first; one that runs too long says so, and when
// the service begins it again, that is forgotten.
func TestAgentLimits(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$CLUSTERLESS_ROLE\" = log ]; then cp \"$CLUSTERLESS_LOG\" %[1]s/kept.new; mv %[1]s/kept.new %[1]s/kept; exit; fi\necho output\n[ -e %[1]s/once ] || { : >%[1]s/once; exec sleep 1000; }\n", dir)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, _, _ := agentIn(t, dir, dir+"/kept", []string{program}, "CLUSTERLESS_TIME=1"); out != "output\n" {
		t.Errorf("beyond its time it wrote %q", out)
	}
	if b, err := os.ReadFile(dir + "/kept"); err != nil || string(b) != "output\n" {
		t.Errorf("kept is %q, %v", b, err)
	}
	if err := os.Remove(dir + "/once"); err != nil {
		t.Fatal(err)
	}
	if _, said, code := agentIn(t, dir, "", []string{program}, "CLUSTERLESS_LIMIT=1"); code != agentCode || !strings.Contains(said, "clusterless: timeout ran longer than 1 s") {
		t.Errorf("beyond its limit: exit code %d, %q", code, said)
	}
	if out, said, code := agentIn(t, dir, "", []string{program}, "CLUSTERLESS_LIMIT=100"); code != 0 || out != "output\n" || said != "" {
		t.Errorf("begun again: exit code %d, %q, %q", code, out, said)
	}
}

// The program is fetched with whatever the image has, again while the storage is busy, and not again when it refuses. The link, which has a
// secret, is not left behind.
func TestPrepare(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte("the program"))
	z.Close()
	for _, test := range []struct{ tool, path, says, made string }{
		{"curl", "/busy", "could not be fetched (503); trying again", "the program"},
		{"wget", "/busy", "could not be fetched (503); trying again", "the program"},
		{"curl", "/refused", "cannot be fetched: the storage answers 403 AuthenticationFailed", ""},
		{"wget", "/refused", "cannot be fetched: the storage answers 403 AuthenticationFailed", ""},
		{"", "/busy", "neither curl nor wget", ""},
	} {
		t.Run(test.tool+test.path, func(t *testing.T) {
			t.Parallel()
			bin, dir := t.TempDir(), t.TempDir()
			for _, name := range []string{"chmod", "date", "gzip", "mv", "rm", "sed", "sha256sum", "sleep", "tail", test.tool} {
				if name == "" {
					continue
				}
				path, err := exec.LookPath(name)
				if err != nil {
					t.Skipf("there is no %s here", name)
				}
				if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
					t.Fatal(err)
				}
			}
			var tries atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/refused":
					w.Header().Set("x-ms-error-code", "AuthenticationFailed")
					w.WriteHeader(http.StatusForbidden)
				case tries.Add(1) == 1:
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					w.Write(b.Bytes())
				}
			}))
			defer s.Close()
			j := &engine.Job{ID: "j", Command: []string{"x"}, Program: &engine.Program{URL: s.URL + test.path + "?sig=a%2Bb&x={1}[2]", SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("the program")))}}
			cmd := exec.Command("/bin/sh", "-c", `eval "$(printf %b "$CLUSTERLESS_PREPARE")"`)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin}
			for _, v := range preparation(j, machine{}).EnvironmentSettings {
				cmd.Env = append(cmd.Env, *v.Name+"="+*v.Value)
			}
			out, err := cmd.CombinedOutput()
			if (err == nil) != (test.made != "") || !strings.Contains(string(out), test.says) || strings.Contains(string(out), "sig") {
				t.Errorf("%v: %s", err, out)
			}
			made, _ := os.ReadFile(filepath.Join(dir, "program"))
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			if string(made) != test.made || test.made != "" && len(left) != 1 {
				t.Errorf("the program is %q; there are %q", made, left)
			}
			if _, err := os.Stat(filepath.Join(dir, "answer")); err == nil {
				t.Error("the answer is left behind")
			}
		})
	}
}
