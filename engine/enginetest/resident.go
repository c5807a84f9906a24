//go:build unix

package enginetest

import (
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// processes runs a resident job that notes its process numbers, and counts the different ones.
func (s *suite) processes(t *testing.T, e engine.Engine, n int, isolated bool) int {
	t.Helper()
	file := s.Dir(t) + "/pids"
	j := s.job(t, n, "append:"+file+":{pid}")
	j.Resident, j.Isolated = true, isolated
	submit(t, e, j)
	for _, ev := range Wait(t, e, j.ID, n) {
		if ev.Cause != "" {
			t.Errorf("%+v", ev)
		}
	}
	pids := map[string]bool{}
	for _, pid := range lines(t, file) {
		pids[pid] = true
	}
	return len(pids)
}

func (s *suite) residentReuse(t *testing.T, e engine.Engine) {
	slots, _ := engine.Slots(e, engine.Resources{})
	if got := s.processes(t, e, 20*slots, false); got > slots {
		t.Errorf("%d runs took %d processes, want at most one for each of %d slots", 20*slots, got, slots)
	}
}

func (s *suite) residentIsolated(t *testing.T, e engine.Engine) {
	if got := s.processes(t, e, 8, true); got != 8 {
		t.Errorf("8 isolated runs took %d processes", got)
	}
}

// residentDies: a process that dies takes only its present run with it.
func (s *suite) residentDies(t *testing.T, e engine.Engine) {
	script := []string{"on:3:die:7", "on:11:die:0"}
	if !s.NoSignals {
		script = append(script, "on:5:signal:9")
		if _, keeps := engine.Slots(e, engine.Resources{}); keeps { // else there may be no socket to hang up
			script = append(script, "on:7:hangup:")
		}
	}
	j := s.job(t, 30, script...)
	j.Resident = true
	submit(t, e, j)
	for r, ev := range Wait(t, e, j.ID, 30) {
		if ev.State != engine.Exited {
			t.Errorf("%+v, want it exited", ev)
		}
		if slots, ok := engine.Slots(e, engine.Resources{}); !ok || slots == 0 {
			continue // each run may have had a process of its own, where exit code 0 is success
		}
		bad := r.Task == 3 || r.Task == 5 || r.Task == 7 || r.Task == 11
		if s.NoSignals {
			bad = r.Task == 3 || r.Task == 11
		}
		if bad != (ev.Cause != "") {
			t.Errorf("%+v: failed %v, want %v", ev, ev.Cause != "", bad)
		}
	}
}

func (s *suite) residentBeats(t *testing.T, e engine.Engine) {
	dir := s.Dir(t)
	j := s.job(t, 1, "beat:", "wait:"+dir+"/go")
	j.Resident = true
	submit(t, e, j)
	Until(t, e, j.ID, func(got map[engine.Run]engine.Event) bool { return got[engine.Run{Attempt: 1}].Beat })
	touch(t, dir+"/go")
	Wait(t, e, j.ID, 1)
}

func (s *suite) residentNeverGreets(t *testing.T, e engine.Engine) {
	for _, test := range []struct{ script, want string }{
		{"silent:", "did not greet"},
		{"refuse:no license to work", "no license to work"},
	} {
		j := s.job(t, 8, test.script)
		j.Resident, j.StartTimeout = true, 300*time.Millisecond
		submit(t, e, j)
		for r, ev := range Wait(t, e, j.ID, 8) {
			if ev.Cause != engine.CauseNotStarted || !strings.Contains(ev.Reason, test.want) || !strings.Contains(ev.Reason, "clusterless.Main") {
				t.Errorf("%s: %v: %+v, want it not started with the reason %q and advice", test.script, r, ev, test.want)
			}
		}
	}
}

func (s *suite) residentRetires(t *testing.T, e engine.Engine) {
	j := s.job(t, 10, "retire:")
	j.Resident = true
	submit(t, e, j)
	for _, ev := range Wait(t, e, j.ID, 10) {
		if ev.Cause != "" {
			t.Errorf("%+v, want success", ev)
		}
	}
}
