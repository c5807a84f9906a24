//go:build unix

package progress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/progress"
)

// screen is a terminal of the size given, on a real pseudo-terminal.
type screen struct {
	vt  vt10x.Terminal
	tty *os.File
}

func newScreen(t *testing.T, cols, rows int) *screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	s := &screen{vt10x.New(vt10x.WithSize(cols, rows)), tty}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(s.vt, master) // ends with an error when both ends are closed
	}()
	t.Cleanup(func() {
		tty.Close()
		master.Close()
		<-read
	})
	return s
}

// text is what one sees, without empty lines at the end.
func (s *screen) text() string {
	var b strings.Builder
	for l := range strings.Lines(s.vt.String()) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// wait waits until the screen is as the pattern says.
func (s *screen) wait(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(`^` + pattern + `$`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !re.MatchString(s.text()) {
		select {
		case <-ctx.Done():
			t.Fatalf("got the screen\n%s\nwant\n%s", s.text(), pattern)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestBarsOnATerminal(t *testing.T) {
	s := newScreen(t, 100, 12)
	d := progress.New(s.tty, progress.Auto)
	fmt.Fprintln(s.tty, "$ program")
	st := clusterless.JobStatus{Job: "migrate", Func: "shot", Named: true, Total: 40, Sent: 40, Running: 2}
	d.Observe(st)
	s.wait(t, `\$ program\nmigrate ·{32} 0/40 +[\d.]+s 2 running`)
	st.Done, st.Failed, st.Retries = 20, 1, 3
	d.Observe(st)
	s.wait(t, `\$ program\nmigrate ━{16}·{16} 20/40 +[\d.]+/s +[\d.]+s left 2 running 1 failed, 3 retries`)

	fmt.Fprintln(d.Above(s.tty), "a line of the user")
	s.wait(t, `\$ program\na line of the user\nmigrate ━+.*`)

	stack := clusterless.JobStatus{Job: "stack-20260102-030405-0123456789", Func: "stack", Total: -1, Sent: 7, Done: 3}
	d.Observe(stack)
	s.wait(t, `\$ program\na line of the user\nmigrate ━+.*\nstack   ·*━━━·* +3/7\+ .*`)

	st.Done, st.Running, st.Over = 40, 0, true
	d.Observe(st)
	s.wait(t, `\$ program\na line of the user\n✗ migrate: 40 calls in [\d.]+s, [\d.]+/s, 1 failed, 3 retries\nstack ·*━━━·* 3/7\+ .*`)

	stack.Total, stack.Done, stack.Over = 7, 7, true
	d.Observe(stack)
	s.wait(t, `\$ program\na line of the user\n✗ migrate: .*\n✓ stack: 7 calls, 4 of them in [\d.]+s, [\d.]+/s`)

	fmt.Fprintln(s.tty, "$ next")
	s.wait(t, `(?s).*\n✓ stack: [^\n]*\n\$ next`)
}

func TestBarsOfManyJobs(t *testing.T) {
	s := newScreen(t, 60, 40)
	d := progress.New(s.tty, progress.Auto)
	defer d.Close()
	status := func(i, done int) clusterless.JobStatus {
		return clusterless.JobStatus{Job: fmt.Sprintf("a-job-with-a-long-name-for-a-small-terminal-%d", i), Func: "f", Named: true, Total: 10, Sent: 10, Done: done, Over: done == 10}
	}
	for i := range 9 {
		d.Observe(status(i, 1))
	}
	s.wait(t, `(a-job-with-a-long-name-for-…[^\n]*\n){6}and 3 more jobs`)
	for i := range 4 {
		d.Observe(status(i, 10))
	}
	s.wait(t, `(✓ a-job-with-a-long-name-for-a-small-terminal-\d: 10 calls,[^✓]*){4}\n(a-job-[^\n]*\n){4}a-job-[^\n]*`)
	d.Close()
	s.wait(t, `(?s)(✓ a-job-with-a-long-name-for-a-small-terminal-\d: 10 calls,[^✓]*){4}`)
}

func TestBarsOfJobThatEndsEarly(t *testing.T) {
	s := newScreen(t, 80, 5)
	d := progress.New(s.tty, progress.Bars)
	st := clusterless.JobStatus{Job: "j", Func: "f", Named: true, Total: 10, Sent: 10}
	d.Observe(st)
	s.wait(t, `j ·+ +0/10 .*`)
	st.Over, st.Err = true, errors.New("no worker\nstarts")
	d.Observe(st)
	s.wait(t, `✗ j: ended after 0 of 10 in [\d.]+s: no worker starts`)
}
