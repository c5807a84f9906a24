package autoscale_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
)

func TestSyntaxErrors(t *testing.T) {
	for _, test := range []struct{ name, formula, want string }{
		{"nothing", "", "the formula has no statement"},
		{"comments only", " // x = 1\n\t// y", "the formula has no statement"},
		{"no semicolon between statements", "x = 1\n$TargetDedicatedNodes = 2;", "Line 2, Col 1: expected ';' before '$TargetDedicatedNodes'"},
		{"no value", "$TargetDedicatedNodes = ", "Line 1, Col 25: expected a value before the end of the formula"},
		{"no value before ;", "x = ;", "Line 1, Col 5: expected a value before ';'"},
		{"no operand", "x = 1 + * 2", "Line 1, Col 9: expected a value before '*'"},
		{"open parenthesis", "x = (1 + 2;", "Line 1, Col 11: expected ')' before ';'"},
		{"open arguments", "x = max(1, 2", "Line 1, Col 13: expected ',' before the end of the formula"},
		{"two arguments without a comma", `x = max(1 "two")`, `Line 1, Col 11: expected ',' before "two"`},
		{"argument missing", "x = max(1, )", "Line 1, Col 12: expected a value before ')'"},
		{"argument missing at first", "x = max(, 1)", "Line 1, Col 9: expected a value before ','"},
		{"half a condition", "x = 1 ? 2;", "Line 1, Col 10: expected ':' before ';'"},
		{"no member", "x = time().;", "Line 1, Col 12: expected a name before ';'"},
		{"a number as member", "x = time().1", "Line 1, Col 12: expected a name before '1'"},
		{"a value set", "1 = x", "Line 1, Col 3: only a variable can stand before '='"},
		{"a variable in parentheses set", "(x) = 1", "Line 1, Col 5: only a variable can stand before '='"},
		{"set twice", "x = y = 1", "Line 1, Col 7: only a variable can stand before '='"},
		{"unknown character", "// first\n\tx = 1 % 2", "Line 2, Col 8: unexpected character '%'"},
		{"a character of three bytes before", `x = "€"; y = 1 € 2`, "Line 1, Col 16: unexpected character '€'"},
		{"broken text", "x = \xff", "Line 1, Col 5: unexpected character '\ufffd'"},
		{"one ampersand", "x = 1 & 2", "Line 1, Col 7: unexpected character '&'"},
		{"dollar sign alone", "$ = 1", "Line 1, Col 1: a name has to follow '$'"},
		{"dollar sign and digit", "$1 = 1", "Line 1, Col 1: a name has to follow '$'"},
		{"open string", "x = \"abc;\ny = 1", "Line 1, Col 5: the string has no closing '\"' on its line"},
		{"open string at the end", `x = "abc`, "Line 1, Col 5: the string has no closing '\"' on its line"},
		{"huge number", "x = 1e999", "Line 1, Col 5: the number 1e999 is out of range"},
		{"windows lines", "x = 1;\r\ny = ;\r\n", "Line 2, Col 5: expected a value before ';'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := autoscale.Parse(test.formula)
			wantError(t, err, autoscale.CodeSyntax, test.want)
			if checked := autoscale.Check(test.formula); fmt.Sprint(checked) != fmt.Sprint(err) {
				t.Errorf("Check: got %v, want %v", checked, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	statements := func(n int) string { return strings.Repeat("x = 1;", n) }
	comment := func(n int) string { return "x = 1; //" + strings.Repeat("ä", n-9) }
	for _, test := range []struct{ name, formula, want string }{
		{"100 statements", statements(100), ""},
		{"empty statements do not count", statements(100) + ";;;", ""},
		{"101 statements", statements(101), "Line 1, Col 601: the formula has more than 100 statements"},
		{"8192 characters", comment(8192), ""},
		{"8193 characters", comment(8193), "the formula has 8193 characters, more than 8192"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := autoscale.Parse(test.formula)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, autoscale.CodeTooLong, test.want)
		})
	}
}

// Mistakes that Check finds before a formula runs, and Evaluate as it does.
func TestMeaninglessFormulas(t *testing.T) {
	for _, test := range []struct{ name, formula, want string }{
		{"unknown variable", "$something_useless", "Line 1, Col 1: the variable $something_useless has no value"},
		{"variable set later", "x = y; y = 1", "Line 1, Col 5: the variable y has no value"},
		{"other case", "x = 1; $TargetDedicatedNodes = X", "Line 1, Col 32: the variable X has no value"},
		{"with and without a dollar sign", "$x = 1; y = x", "Line 1, Col 13: the variable x has no value"},
		{"unknown function", "x = mean(1)", "Line 1, Col 9: there is no function mean"},
		{"unknown method", "x = $ActiveTasks.Last()", "Line 1, Col 22: $ActiveTasks has no method Last"},
		{"method of a number", "x = 1; y = x.GetSample(1)", "Line 1, Col 23: only a variable with samples, like $PendingTasks, has a method GetSample"},
		{"method of a target", "x = $TargetDedicatedNodes.GetSample(1)", "Line 1, Col 36: only a variable with samples, like $PendingTasks, has a method GetSample"},
		{"unknown member", "x = time().millisecond", "Line 1, Col 12: a timestamp has no member millisecond"},
		{"member of a number", "x = 1; y = x.hour", "Line 1, Col 14: a double has no member hour"},
		{"constant set", "TimeInterval_Hour = 1", "Line 1, Col 1: TimeInterval_Hour is a constant"},
		{"keyword set", "requeue = 1", "Line 1, Col 1: requeue is a constant"},
		{"read-only variable set", "x = 1;\n  $ActiveTasks = 1", "Line 2, Col 3: $ActiveTasks is read-only"},
		{"target as a string", `$TargetDedicatedNodes = "two"`, "Line 1, Col 1: $TargetDedicatedNodes cannot be set to a string, only to a double"},
		{"target as a vector", `$TargetLowPriorityNodes = $PendingTasks.GetSample(1)`, "Line 1, Col 1: $TargetLowPriorityNodes cannot be set to a doubleVec, only to a double"},
		{"option as a number", `$NodeDeallocationOption = 1`, "Line 1, Col 1: $NodeDeallocationOption cannot be set to a double, only to a string"},
		{"unknown option", `$NodeDeallocationOption = "delete"`,
			`Line 1, Col 1: $NodeDeallocationOption is requeue, terminate, taskcompletion, retaineddata, not "delete"`},
		{"unknown word", `$NodeDeallocationOption = Requeue`, "Line 1, Col 27: the variable Requeue has no value"},
		{"types of an operator", "x = 1;\ny = x +\n  \"a\"", "Line 2, Col 7: operator '+' is not for a double and a string"},
		{"strings do not add", `x = "a" + "b"`, "Line 1, Col 9: operator '+' is not for a string and a string"},
		{"times do not subtract an interval", `x = time() - TimeInterval_Hour`, "Line 1, Col 12: operator '-' is not for a timestamp and a timeinterval"},
		{"vectors do not compare", `x = vec(1) < 2`, "Line 1, Col 12: operator '<' is not for a doubleVec and a double"},
		{"type of a sign", `x = -time()`, "Line 1, Col 5: operator '-' is not for a timestamp"},
		{"type of a condition", `x = "yes" ? 1 : 2`, "Line 1, Col 11: a condition is a double, not a string"},
		{"type in &&", `x = 1 && "b"`, `Line 1, Col 7: operator '&&' is for a double and a double, not a string`},
		{"type of an argument", `x = avg("a")`, "Line 1, Col 8: avg(string) is not avg(doubleVecList)"},
		{"no argument", `x = sum()`, "Line 1, Col 8: sum() is not sum(doubleVecList)"},
		{"no argument of lg", `x = lg()`, "Line 1, Col 7: lg() is not lg(double) or lg(doubleVecList)"},
		{"too many arguments", `x = rand(1)`, "Line 1, Col 9: rand(double) is not rand()"},
		{"arguments of percentile", `x = percentile(50, vec(1))`, "Line 1, Col 15: percentile(double, doubleVec) is not percentile(doubleVec v, double p)"},
		{"arguments of val", `x = val(vec(1))`, "Line 1, Col 8: val(doubleVec) is not val(doubleVec v, double i)"},
		{"argument of time", `x = time(2026)`, `Line 1, Col 9: time(double) is not time(string dateTime="")`},
		{"no time", `x = time("yesterday")`, `Line 1, Col 9: "yesterday" is no time in W3C-DTF, like 2006-01-02T15:04:05Z, nor in RFC 1123`},
		{"a time without a zone", `x = time("2026-10-15T09:30:07")`, `Line 1, Col 9: "2026-10-15T09:30:07" is no time in W3C-DTF, like 2006-01-02T15:04:05Z, nor in RFC 1123`},
		{"samples of nothing", `x = $ActiveTasks.GetSample()`,
			"Line 1, Col 27: GetSample() is not GetSample(count), GetSample(start[, percent]) or GetSample(start, end[, percent])"},
		{"samples in a wrong order", `x = $ActiveTasks.GetSample(70, TimeInterval_Minute)`,
			"Line 1, Col 27: GetSample(double, timeinterval) is not GetSample(count), GetSample(start[, percent]) or GetSample(start, end[, percent])"},
		{"percentage of a count", `x = $ActiveTasks.GetSamplePercent(5)`, "Line 1, Col 34: GetSamplePercent(double) is not GetSamplePercent(start[, end])"},
		{"an argument of Count", `x = $ActiveTasks.Count(1)`, "Line 1, Col 23: Count(double) is not Count()"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := autoscale.Parse(test.formula); err != nil {
				t.Fatalf("Parse: %v", err)
			}
			wantError(t, autoscale.Check(test.formula), autoscale.CodeEvaluation, test.want)
			_, err := evaluate(test.formula, env())
			wantError(t, err, autoscale.CodeEvaluation, test.want)
		})
	}
}

// Mistakes that show only as a formula runs.
func TestEvaluationErrors(t *testing.T) {
	for _, test := range []struct{ name, formula, code, want string }{
		{"insufficient data", "$TargetDedicatedNodes=min($CPUPercent.GetSample(TimeInterval_Minute * 10, 95))", autoscale.CodeInsufficientSampleData,
			"Line 1, Col 48: Insufficient data from data set: $CPUPercent wanted 95%, received 90%"},
		{"no data", "avg($FailedTasks.GetSample(TimeInterval_Minute, TimeInterval_Hour, 10))", autoscale.CodeInsufficientSampleData,
			"Line 1, Col 27: Insufficient data from data set: $FailedTasks wanted 10%, received 0%"},
		{"no begin", "x = $FailedTasks.HistoryBeginTime()", autoscale.CodeInsufficientSampleData,
			"Line 1, Col 34: Insufficient data from data set: $FailedTasks wanted 100%, received 0%"},
		{"no last sample", "x = $FailedTasks + 1", autoscale.CodeInsufficientSampleData,
			"Line 1, Col 5: Insufficient data from data set: $FailedTasks wanted 100%, received 0%"},
		{"average of nothing", "avg($FailedTasks.GetSample(1))", autoscale.CodeEvaluation, "Line 1, Col 4: avg has too few values to work on"},
		{"deviation of one", "x = std(1)", autoscale.CodeEvaluation, "Line 1, Col 8: std has too few values to work on"},
		{"percentile of nothing", "x = percentile($FailedTasks.GetSample(1), 50)", autoscale.CodeEvaluation, "Line 1, Col 15: the vector is empty"},
		{"percentile over 100", "x = percentile(vec(1), 101)", autoscale.CodeEvaluation, "Line 1, Col 15: a percentile is from 0 to 100, not 101"},
		{"element too far", "x = val(vec(1, 2), 2)", autoscale.CodeEvaluation, "Line 1, Col 8: the vector has no element 2"},
		{"element before the first", "x = val(vec(1, 2), -1)", autoscale.CodeEvaluation, "Line 1, Col 8: the vector has no element -1"},
		{"element NaN", "x = val(vec(1, 2), 0/0)", autoscale.CodeEvaluation, "Line 1, Col 8: the vector has no element NaN"},
		{"vectors of different lengths", "x = vec(1, 2) + vec(1)", autoscale.CodeEvaluation, "Line 1, Col 15: the vectors have different lengths"},
		{"negative count", "x = $ActiveTasks.GetSample(-1)", autoscale.CodeEvaluation, "Line 1, Col 27: GetSample cannot get -1 samples"},
		{"time out of range", "x = time() + 10000 * TimeInterval_Year", autoscale.CodeEvaluation, "Line 1, Col 12: the result is out of range"},
		{"interval out of range", "x = 1e9 * TimeInterval_Year", autoscale.CodeEvaluation, "Line 1, Col 9: the result is out of range"},
		{"interval by zero", "x = TimeInterval_Year / 0", autoscale.CodeEvaluation, "Line 1, Col 23: the result is out of range"},
		{"samples out of range", "x = $ActiveTasks.GetSample(20000 * TimeInterval_Year)", autoscale.CodeEvaluation, "Line 1, Col 27: the time of the samples is out of range"},
		{"negative target", "$TargetDedicatedNodes = -1", autoscale.CodeEvaluation, "Line 1, Col 1: $TargetDedicatedNodes cannot be -1"},
		{"infinite target", "$TargetLowPriority = 1/0", autoscale.CodeEvaluation, "Line 1, Col 1: $TargetLowPriority cannot be Infinity"},
		{"target that is no number", "$TargetDedicatedNodes = 0/0", autoscale.CodeEvaluation, "Line 1, Col 1: $TargetDedicatedNodes cannot be NaN"},
		{"types that only show now", `x = (1 ? "a" : 1) + 1`, autoscale.CodeEvaluation, "Line 1, Col 19: operator '+' is not for a string and a double"},
		{"a time that only shows now", `s = "noon"; x = time(s)`, autoscale.CodeEvaluation,
			`Line 1, Col 21: "noon" is no time in W3C-DTF, like 2006-01-02T15:04:05Z, nor in RFC 1123`},
		{"a vector that doubles without end", "x = vec(1);" + strings.Repeat("x = vec(x, x);", 99), autoscale.CodeEvaluation,
			"Line 1, Col 257: the formula works on too many numbers: its vectors have more than 262144 together"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := autoscale.Check(test.formula); err != nil {
				t.Errorf("Check: %v", err)
			}
			_, err := evaluate(test.formula, env())
			wantError(t, err, test.code, test.want)
		})
	}
}

func TestCheckRefusesTheValueOfStop(t *testing.T) {
	wantError(t, autoscale.Check(`x = stop()`), autoscale.CodeEvaluation, "Line 1, Col 1: there is no value to set x to")
	wantError(t, autoscale.Check(`x = 1 + stop()`), autoscale.CodeEvaluation, "Line 1, Col 7: operator '+' is not for a double and a nothing")
}

func TestErrorLeavesTargets(t *testing.T) {
	e := env()
	e.TargetLowPriorityNodes = 5
	e.NodeDeallocationOption = "terminate"
	got, err := evaluate("x = 1; $TargetDedicatedNodes = 9; $NodeDeallocationOption = requeue; y = z;", e)
	wantError(t, err, autoscale.CodeEvaluation, "Line 1, Col 74: the variable z has no value")
	if want := "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=5;$NodeDeallocationOption=terminate;x=1"; got.Text != want {
		t.Errorf("got %s, want %s", got.Text, want)
	}
}

// wantError checks all parts of an error: the detail, and that position and text agree with it.
func wantError(t *testing.T, err error, code, detail string) {
	t.Helper()
	e, ok := errors.AsType[*autoscale.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error: %s", err, detail)
	}
	if e.Code != code || len(e.Values) != 1 || e.Values[0].Name != "Message" || e.Values[0].Value != detail {
		t.Errorf("got  %s %v\nwant %s [{Message %s}]", e.Code, e.Values, code, detail)
	}
	if at := fmt.Sprintf("Line %d, Col %d: ", e.Line, e.Column); e.Line > 0 && !strings.HasPrefix(detail, at) {
		t.Errorf("got position %s of %s", at, detail)
	}
	if e.Error() != e.Message+": "+detail {
		t.Errorf("got %q of %q", e.Error(), e.Message)
	}
}
