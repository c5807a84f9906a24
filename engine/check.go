package engine

import (
	"errors"
	"fmt"
	"strings"
)

// ValidID reports whether s can be the ID of a job: 1 to 128 letters, digits, '.', '-' or '_', and no name that means a
// directory.
func ValidID(s string) bool {
	return len(s) <= 128 && s != "." && s != ".." && only(s, "-_.")
}

// only reports whether s has letters, digits and the characters of more, and at least one.
func only(s, more string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return s != ""
}

// Check refuses a job that no engine could run. What one engine cannot do is for its driver to say. The error has no value of
// the environment in it, which may be a secret.
func (j *Job) Check() error {
	r := j.Resources
	switch {
	case !ValidID(j.ID):
		return fmt.Errorf("job ID %q: want 1 to 128 letters, digits, '.', '-' or '_'", j.ID)
	case len(j.Command) == 0 || j.Command[0] == "":
		return errors.New("no command")
	case r.Nodes < 0 || r.Cores < 0 || r.Memory < 0 || r.GPUs < 0:
		return errors.New("negative resources")
	}
	for _, s := range j.Command {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("a NUL byte in %q of the command", s)
		}
	}
	for _, v := range j.Env {
		switch name, _, ok := strings.Cut(v, "="); {
		case !ok || name == "":
			return fmt.Errorf("environment %q: want NAME=value", name)
		case strings.ContainsRune(v, 0):
			return fmt.Errorf("a NUL byte in the environment variable %q", name)
		}
	}
	for _, r := range j.Runs {
		if r.Task < 0 || r.Attempt < 1 {
			return fmt.Errorf("run of task %d, attempt %d: tasks count from 0, attempts from 1", r.Task, r.Attempt)
		}
	}
	return nil
}

// CheckExports refuses an environment of NAME=value that a shell cannot export, for drivers whose processes a shell starts.
func CheckExports(env []string) error {
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if !only(name, "_") || '0' <= name[0] && name[0] <= '9' {
			return fmt.Errorf("environment %q: want a name of letters, digits and '_', which a shell can export", name)
		}
	}
	return nil
}
