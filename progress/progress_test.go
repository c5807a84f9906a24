package progress_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/progress"
)

const made = "-20260102-030405-0123456789" // the end of a made-up name

// story shows a display the life of a job of 100 calls.
func story(d *progress.Display, name string, each time.Duration, change func(*clusterless.JobStatus)) {
	for done := 0; done <= 100; done++ {
		st := clusterless.JobStatus{Job: name, Func: "work", Total: 100, Sent: 100, Done: done, Running: 2, Over: done == 100}
		change(&st)
		d.Observe(st)
		time.Sleep(each)
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		name   string
		job    string
		change func(*clusterless.JobStatus)
		want   string
	}{
		{"well", "work" + made, func(st *clusterless.JobStatus) {}, `
work: 5 of 100, 11.1/s, 8.5s left, 2 running
work: 61 of 100, 11.1/s, 3.5s left, 2 running
work: 100 calls in 9.0s, 11.1/s
`},
		{"named", "survey-7", func(st *clusterless.JobStatus) { st.Named = true }, `
survey-7: 5 of 100, 11.1/s, 8.5s left, 2 running
survey-7: 61 of 100, 11.1/s, 3.5s left, 2 running
survey-7: 100 calls in 9.0s, 11.1/s
`},
		{"troubles", "work" + made, func(st *clusterless.JobStatus) {
			st.Failed, st.Retries, st.Waiting = st.Done/50, st.Done/5, 3
		}, `
work: 5 of 100, 11.1/s, 8.5s left, 1 retry, 2 running, 3 waiting for others
work: 61 of 100, 11.1/s, 3.5s left, 1 failed, 12 retries, 2 running, 3 waiting for others
work: 100 calls in 9.0s, 11.1/s, 2 failed, 20 retries
`},
		{"total unknown", "work" + made, func(st *clusterless.JobStatus) {
			if st.Total, st.Sent = -1, st.Done+20; st.Over {
				st.Total, st.Sent = 100, 100
			}
		}, `
work: 5 of 25 or more, 11.1/s, 2 running
work: 61 of 81 or more, 11.1/s, 2 running
work: 100 calls in 9.0s, 11.1/s
`},
		{"attached", "work" + made, func(st *clusterless.JobStatus) {
			st.Total, st.Done = 500, st.Done+400
		}, `
work: 405 of 500, 11.1/s, 8.5s left, 2 running
work: 461 of 500, 11.1/s, 3.5s left, 2 running
work: 500 calls, 100 of them in 9.0s, 11.1/s
`},
		{"cancelled", "work" + made, func(st *clusterless.JobStatus) {
			if st.Total = 300; st.Over {
				st.Err = errors.New("cancelled")
			}
		}, `
work: 5 of 300, 11.1/s, 26s left, 2 running
work: 61 of 300, 11.1/s, 22s left, 2 running
work: ended after 100 of 300 in 9.0s, 11.1/s: cancelled
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				d := progress.New(&out, progress.Lines)
				story(d, c.job, 90*time.Millisecond, c.change)
				d.Close()
				if got, want := out.String(), strings.TrimPrefix(c.want, "\n"); got != want {
					t.Errorf("got\n%swant\n%s", got, want)
				}
			})
		})
	}
}

func TestQuickJobsLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.New(&out, progress.Lines)
		for range 100 {
			d.Observe(clusterless.JobStatus{Job: "quick", Func: "quick", Total: 1, Sent: 1})
			time.Sleep(50 * time.Millisecond)
			d.Observe(clusterless.JobStatus{Job: "quick", Func: "quick", Total: 1, Sent: 1, Done: 1, Over: true})
		}
		time.Sleep(10 * time.Second)
		if out.Len() > 0 {
			t.Errorf("got %q, want nothing", out.String())
		}
	})
}

// What does not change is said again after twice the time, and what ought to be over by now has no time left to tell.
func TestLinesOfAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.New(&out, progress.Lines)
		st := clusterless.JobStatus{Job: "wait", Func: "wait", Named: true, Total: 2, Sent: 2, Note: "attached", Queue: "waits in the queue"}
		d.Observe(st)
		time.Sleep(61 * time.Second)
		st.Done, st.Running, st.Queue = 1, 1, ""
		d.Observe(st)
		time.Sleep(2 * time.Minute)
		st.Done, st.Running, st.Over = 2, 0, true
		d.Observe(st)
		d.Close()
		const want = "wait: attached; 0 of 2\n" +
			"wait: 0 of 2, waits in the queue\n" + // after 0.5 s, and then after 5, 10, 20 and 40
			"wait: 0 of 2, waits in the queue\nwait: 0 of 2, waits in the queue\nwait: 0 of 2, waits in the queue\nwait: 0 of 2, waits in the queue\n" +
			"wait: 1 of 2, 0.984/min, 56s left, 1 running\n"
		if got := out.String(); !strings.HasPrefix(got, want) || strings.Contains(got, " 0.0s left") || !strings.Contains(got, "wait: 1 of 2, 0.984/min, 1 running\n") {
			t.Errorf("got\n%s", got)
		}
	})
}

// A call that takes long has no events between its start and its end.
func TestLinesOfAQuietJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.New(&out, progress.Lines)
		d.Observe(clusterless.JobStatus{Job: "long", Func: "long", Total: 1, Sent: 1, Running: 1})
		time.Sleep(12 * time.Second)
		d.Observe(clusterless.JobStatus{Job: "long", Func: "long", Total: 1, Sent: 1, Done: 1, Over: true})
		time.Sleep(time.Minute)
		const want = "long: 0 of 1, 1 running\nlong: 0 of 1, 1 running\nlong: 0 of 1, 1 running\nlong: 1 call in 12s\n"
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestManyJobsShareALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.New(&out, progress.Lines)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			d.Observe(clusterless.JobStatus{Job: name, Func: name, Total: 10, Sent: 10, Done: 2, Running: 1})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(6 * time.Second)
		d.Close()
		time.Sleep(time.Minute)
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if want := "5 jobs (a, b, c, …): 10 of 50, 5 running"; len(got) != 6 || got[5] != want {
			t.Errorf("got\n%s\nwant five lines and\n%s", out.String(), want)
		}
	})
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := progress.New(&out, progress.JSONLines)
		story(d, "work"+made, 100*time.Millisecond, func(st *clusterless.JobStatus) {
			if st.Total = -1; st.Done >= 50 {
				st.Total = 100
			}
			if st.Over {
				st.Failed, st.Err = 1, errors.New("cancelled")
			}
		})
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 11 { // begin, nine seconds, end
			t.Fatalf("got %d lines, want 11:\n%s", len(lines), out.String())
		}
		for i, want := range map[int]string{
			0:  `{"time":"2000-01-01T00:00:00Z","event":"begin","job":"work-20260102-030405-0123456789","func":"work","total":null,"sent":100,"done":0,"failed":0,"running":2,"waiting":0,"retries":0,"seconds":0}`,
			5:  `{"time":"2000-01-01T00:00:05Z","event":"progress","job":"work-20260102-030405-0123456789","func":"work","total":100,"sent":100,"done":50,"failed":0,"running":2,"waiting":0,"retries":0,"seconds":5,"rate":10,"left":5}`,
			10: `{"time":"2000-01-01T00:00:10Z","event":"end","job":"work-20260102-030405-0123456789","func":"work","total":100,"sent":100,"done":100,"failed":1,"running":2,"waiting":0,"retries":0,"seconds":10,"rate":10,"error":"cancelled"}`,
		} {
			if lines[i] != want {
				t.Errorf("line %d: got\n%s\nwant\n%s", i, lines[i], want)
			}
		}
		for _, l := range lines {
			if !json.Valid([]byte(l)) {
				t.Errorf("not JSON: %s", l)
			}
		}
	})
}

func TestEnvironmentChooses(t *testing.T) {
	one := func(d *progress.Display) {
		d.Observe(clusterless.JobStatus{Job: "j", Func: "f", Named: true, Total: 1, Sent: 1})
		time.Sleep(time.Second)
		d.Observe(clusterless.JobStatus{Job: "j", Func: "f", Named: true, Total: 1, Sent: 1, Done: 1, Over: true})
	}
	for _, c := range []struct{ env, want string }{
		{"", "j: 0 of 1\nj: 1 call in 1.0s\n"},
		{"plain", "j: 0 of 1\nj: 1 call in 1.0s\n"},
		{"none", ""},
		{"pretty", "progress: CLUSTERLESS_PROGRESS=pretty: want bar, plain, json or none\nj: 0 of 1\nj: 1 call in 1.0s\n"},
	} {
		t.Run(c.env, func(t *testing.T) {
			t.Setenv("CLUSTERLESS_PROGRESS", c.env)
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				one(progress.New(&out, progress.Auto))
				if got := out.String(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
	t.Run("json", func(t *testing.T) {
		t.Setenv("CLUSTERLESS_PROGRESS", "json")
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			one(progress.New(&out, progress.Auto))
			if !strings.HasPrefix(out.String(), `{"time":`) {
				t.Errorf("got %q, want JSON", out.String())
			}
		})
	})
}

func TestAboveKeepsLinesWhole(t *testing.T) {
	var out, text bytes.Buffer
	d := progress.New(&out, progress.Lines)
	w := d.Above(&text)
	for _, part := range []string{"one", " and a half\ntwo\nthr", "ee", "\nfour"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write: got %d, %v; want %d", n, err, len(part))
		}
	}
	if got, want := text.String(), "one and a half\ntwo\nthree\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLog(t *testing.T) {
	for _, c := range []struct {
		env, level   string
		info, errors bool
	}{
		{"", "", false, false},
		{"", "info", true, true},
		{"", "error", false, true},
		{"warn", "info", false, true},
		{"debug,json", "", true, true},
		{"none", "info", false, false},
	} {
		t.Setenv("CLUSTERLESS_LOG", c.env)
		l := progress.Log(c.level, false)
		if got := l.Enabled(t.Context(), slog.LevelInfo); got != c.info {
			t.Errorf("CLUSTERLESS_LOG=%s, level %q: info: got %v, want %v", c.env, c.level, got, c.info)
		}
		if got := l.Enabled(t.Context(), slog.LevelError); got != c.errors {
			t.Errorf("CLUSTERLESS_LOG=%s, level %q: error: got %v, want %v", c.env, c.level, got, c.errors)
		}
		_, isJSON := l.Handler().(*slog.JSONHandler)
		if want := strings.HasSuffix(c.env, ",json"); isJSON != want {
			t.Errorf("CLUSTERLESS_LOG=%s: JSON: got %v, want %v", c.env, isJSON, want)
		}
	}
}

// A level or a form that is none is said on standard error.
func TestMisspeltLog(t *testing.T) {
	stderr := os.Stderr
	t.Cleanup(func() { os.Stderr = stderr })
	for env, want := range map[string]string{"inof": `log level "inof": want debug, `, "warn,jsn": `CLUSTERLESS_LOG=warn,jsn: want a level, or `, "warn,json": ""} {
		t.Setenv("CLUSTERLESS_LOG", env)
		f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		os.Stderr = f
		progress.Log("", false)
		got, err := os.ReadFile(f.Name())
		if err != nil || !strings.Contains(string(got), want) || want == "" && len(got) > 0 {
			t.Errorf("CLUSTERLESS_LOG=%s: wrote %q, %v, want %q", env, got, err, want)
		}
	}
}
