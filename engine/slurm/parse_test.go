package slurm

import (
	"net/url"
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
	if err := s.parse("34|x|PENDING|None\n"); err == nil {
		t.Error("nonsense was accepted")
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
