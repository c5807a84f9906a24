package autoscale_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
)

// Whatever is given as a formula, it is refused with a position in it or evaluates to something or to an error, soon.
func FuzzFormula(f *testing.F) {
	for _, seed := range []string{
		`startingNumberOfVMs = 1; p = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second); $TargetDedicatedNodes = p < 70 ? 1 : 2;`,
		`$x = avg($ActiveTasks.GetSample(TimeInterval_Minute, TimeInterval_Hour, 50)); $NodeDeallocationOption = taskcompletion`,
		"// comment\n$curTime = time(); x = $curTime.hour >= 8 && !($curTime.weekday == 0) || rand() > 0.5;",
		`v = vec(1, 2, 3); w = v * 2 - v / 3; s = std(v) + percentile(w, 90) + val(v, 2) + norm(lg(v)); x = -s;`,
		`x = time("2026-10-15T09:30:07Z") + 3 * TimeInterval_Day - time("Thu, 15 Oct 2026 09:30:07 GMT");`,
		`x = $CPUPercent.Count() + $CurrentDedicatedNodes; y = $CPUPercent.HistoryBeginTime(); z = $CPUPercent.GetSamplePeriod(); stop()`,
		"x = ((-(--1)));" + strings.Repeat("x=vec(x,x,x,x);", 9),
		"x = 1e308 * 10 * TimeInterval_Year; \xff",
	} {
		f.Add(seed)
	}
	e := env()
	f.Fuzz(func(t *testing.T, text string) {
		checked := autoscale.Check(text)
		position(t, text, checked)
		formula, err := autoscale.Parse(text)
		position(t, text, err)
		if err != nil {
			if checked == nil {
				t.Fatalf("%q: Check finds nothing and Parse: %v", text, err)
			}
			return
		}
		got, err := formula.Evaluate(e)
		position(t, text, err)
		if got == nil || !strings.HasPrefix(got.Text, "$TargetDedicatedNodes=") || got.TargetDedicatedNodes < 0 || got.TargetLowPriorityNodes < 0 {
			t.Fatalf("%q: got %+v", text, got)
		}
		if err != nil && (got.TargetDedicatedNodes != e.TargetDedicatedNodes || got.TargetLowPriorityNodes != 0 || got.NodeDeallocationOption != "requeue") {
			t.Fatalf("%q: got %+v after %v, want the targets of the pool", text, got, err)
		}
	})
}

// position checks that an error is one of the package's, and points into the formula.
func position(t *testing.T, text string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	e, ok := errors.AsType[*autoscale.Error](err)
	if !ok || e.Code == "" || e.Message == "" {
		t.Fatalf("%q: got %#v, want an *Error with code and message", text, err)
	}
	lines := strings.Split(text, "\n")
	if e.Line == 0 && e.Column == 0 {
		return
	}
	if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 {
		t.Fatalf("%q: line %d, column %d is not in it", text, e.Line, e.Column)
	}
}
