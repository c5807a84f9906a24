package slurm

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	u, err := url.Parse("slurm:///shared/me?partition=cpu&time=90s&flag=--exclusive&flag=--reservation%3Da+b&requeue=false&pack=0s&maxjobs=7")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(u)
	want := Config{Dir: "/shared/me", Pack: -1, MaxJobs: 7,
		Placement: Placement{Partition: "cpu", Time: 90 * time.Second, NoRequeue: true, Flags: []string{"--exclusive", "--reservation=a b"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, test := range []struct{ url, want string }{
		{"slurm:?part=cpu", "there are partition, account,"},
		{"slurm:?time=-1h", "more than 0"},
		{"slurm:?flag=-o", "the engine's own"},
		{"slurm:?flag=-n4", "the engine's own"},
		{"slurm:?flag=--arr%3D0-9", "the engine's own"}, // which sbatch takes for --array
		{"slurm:?flag=--clusters%3Dnext", "the engine's own"},
		{"slurm:?flag=exclusive", "want a flag of sbatch"},
		{"slurm://host/dir", "want slurm: or slurm:///shared/directory"},
		{"slurm:?maxjobs=0", "at least 1"},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(u); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.url, err, test.want)
		}
	}
}

// What squeue writes of pending arrays: with brackets, limits, and lists.
func TestSnapshot(t *testing.T) {
	s := &snapshot{arrays: map[int]*inQueue{}}
	err := s.parse("12|N/A|RUNNING|None\n34|[3-5,9%2]|PENDING|Resources\n34|1|RUNNING|None\n34|0|COMPLETING|None\n34|2|PENDING|BeginTime\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		index           int
		pending, active bool
		reason          string
	}{
		{0, false, true, "COMPLETING"}, {1, false, true, "RUNNING"}, {2, true, false, "BeginTime"}, {4, true, false, "Resources"},
		{9, true, false, "Resources"}, {6, false, false, ""},
	} {
		pending, active, reason := s.find(element{34, test.index})
		if pending != test.pending || active != test.active || reason != test.reason {
			t.Errorf("element %d: pending %v, active %v, %q; want %+v", test.index, pending, active, reason, test)
		}
	}
	if pending, active, _ := s.find(element{12, 0}); pending || active {
		t.Error("a job that is no array was taken for one")
	}
	for _, bad := range []string{"34|x|PENDING|None\n", "34|1|PEND", "slurm_load_jobs error: Socket timed out\n", "34|[3-|PENDING|None\n"} {
		if err := s.parse(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestTimes(t *testing.T) {
	for in, want := range map[string]time.Duration{"10:00": 10 * time.Minute, "1-02:03:04": 26*time.Hour + 3*time.Minute + 4*time.Second} {
		if got, ok := parseLimit(in); !ok || got != want {
			t.Errorf("limit %s is %v, %v; want %v", in, got, ok, want)
		}
	}
	if _, ok := parseLimit("infinite"); ok {
		t.Error("infinite is a limit")
	}
	if got := minutes(61 * time.Second); got != "2" {
		t.Errorf("61 s is %s minutes for sbatch, want 2", got)
	}
}

// fake puts a command before those of PATH.
func fake(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// What slurmctld has forgotten the accounting knows. While that does not answer nothing is said of it; where there is none, nobody
// knows.
func TestFinals(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	fake(t, dir, "scontrol", `echo "JobId=36 ArrayJobId=34 ArrayTaskId=1 JobName=a b JobState=FAILED ExitCode=91:0 NodeList=n[2-3] BatchHost=n2 TimeLimit=00:01:00 JobState=x"
echo "JobId=34 ArrayJobId=34 ArrayTaskId=5-7%2 JobState=PENDING"; echo "JobId=40 ArrayJobId=40 ArrayTaskId=2 JobState=FAILED"; echo "JobId=41 ArrayJobId=34"`)
	const accounts, down, none = `echo "34_2|CANCELLED by 1000|0:15|n4|00:10:00"; echo "34_[5-7]|PENDING|0:0|None assigned|"; echo "34_1|FAILED|91:0|n2|1"`,
		`echo "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:localhost:6819: Connection refused" >&2; exit 1`,
		`echo "Slurm accounting storage is disabled" >&2; exit 1`
	e := &Engine{log: slog.New(slog.DiscardHandler)}
	for _, test := range []struct {
		name, sacct string
		by          string
		known, fail bool
	}{{"accounting", accounts, "1000", true, false}, {"accounting is down", down, "", false, true}, {"again", accounts, "1000", true, false},
		{"no accounting", none, "", false, false}, {"ever", accounts, "", false, false}} {
		fake(t, dir, "sacct", test.sacct)
		all := e.finals(t.Context(), 34)
		if f := all.of[1]; f.state != "FAILED" || f.code != 91 || f.node != "n[2-3]" || f.host != "n2" || !f.unfit() {
			t.Errorf("%s: element 1 is %+v", test.name, f)
		}
		if f := all.of[6]; !f.inQueue() {
			t.Errorf("%s: element 6 is %+v", test.name, f)
		}
		if f, known := all.of[2]; known != test.known || f.by != test.by || (all.err != nil) != test.fail {
			t.Errorf("%s: element 2 is %+v, %v", test.name, f, all.err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := &Engine{log: e.log}
	other.finals(ctx, 34)
	fake(t, dir, "sacct", accounts)
	if _, known := other.finals(t.Context(), 34).of[2]; !known {
		t.Error("after a question that was broken off the accounting is not asked any more")
	}
}
