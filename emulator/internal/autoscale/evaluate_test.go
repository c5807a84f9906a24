package autoscale_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
)

// present is a Thursday morning, on no sample's second.
var present = time.Date(2026, 10, 15, 9, 30, 7, 123_456_700, time.UTC)

// hour is a history of the hour before present, in which a variable has the value that f gives for each sample's age in
// intervals.
func hour(f map[string]func(age int) float64) *autoscale.History {
	h := autoscale.NewHistory(24 * time.Hour)
	for age := 120; age >= 0; age-- {
		values := map[string]float64{}
		for name, g := range f {
			values[name] = g(age)
		}
		h.Record(present.Add(-time.Duration(age)*autoscale.SampleInterval), values)
	}
	return h
}

func always(x float64) func(int) float64 { return func(int) float64 { return x } }

// env is a pool with two nodes, and tasks for an hour.
func env() autoscale.Env {
	return autoscale.Env{
		Now: present,
		Samples: hour(map[string]func(int) float64{
			"$PendingTasks": always(7),
			"$ActiveTasks":  func(age int) float64 { return float64(age) },
			"$RunningTasks": always(1),
			"$CPUPercent":   always(0.9),
		}),
		Current:              map[string]float64{"$CurrentDedicatedNodes": 10, "$CurrentLowPriorityNodes": 3, "$TaskSlotsPerNode": 4},
		TargetDedicatedNodes: 2,
		Rand:                 func() float64 { return 0.25 },
	}
}

func evaluate(formula string, e autoscale.Env) (*autoscale.Result, error) {
	f, err := autoscale.Parse(formula)
	if err != nil {
		return nil, err
	}
	return f.Evaluate(e)
}

// The formulas of Microsoft's guide, and some that are in use.
func TestFormulasInUse(t *testing.T) {
	fresh := env()
	fresh.Samples = autoscale.NewHistory(time.Hour)
	for _, test := range []struct {
		name, formula string
		env           autoscale.Env
		want          string
	}{
		{"one assignment without a semicolon", `$TargetDedicatedNodes=3`, env(),
			"$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"},
		{"pending tasks", `
			startingNumberOfVMs = 1;
			maxNumberofVMs = 25;
			pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
			pendingTaskSamples = pendingTaskSamplePercent < 70 ? startingNumberOfVMs : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
			$TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
			$NodeDeallocationOption = taskcompletion;`, env(),
			// Four of six samples are more than a minute old: 67 percent.
			"$TargetDedicatedNodes=1;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;" +
				"maxNumberofVMs=25;pendingTaskSamplePercent=66.6666666666667;pendingTaskSamples=1;startingNumberOfVMs=1"},
		{"pending tasks on a pool without samples", `
			samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
			tasks = samples < 70 ? max(0, $PendingTasks.GetSample(1)) : max($PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
			targetVMs = tasks > 0 ? tasks : max(0, $TargetDedicatedNodes/2);
			cappedPoolSize = 20;
			$TargetDedicatedNodes = max(0, min(targetVMs, cappedPoolSize));`, fresh,
			"$TargetDedicatedNodes=1;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;cappedPoolSize=20;samples=0;targetVMs=1;tasks=0"},
		{"tasks", `
			// Get pending tasks for the past 15 minutes.
			$samples = $ActiveTasks.GetSamplePercent(TimeInterval_Minute * 15);
			$tasks = $samples < 70 ? max(0,$ActiveTasks.GetSample(1)) : max( $ActiveTasks.GetSample(1), avg($ActiveTasks.GetSample(TimeInterval_Minute * 15)));
			$targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
			cappedPoolSize = 20;
			$TargetDedicatedNodes = max(0, min($targetVMs, cappedPoolSize));
			// Set node deallocation mode - keep nodes active only until tasks finish
			$NodeDeallocationOption = taskcompletion;`, env(),
			// The ages from 2 to 29 have the average 15.5.
			"$TargetDedicatedNodes=15;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;" +
				"$samples=93.3333333333333;$targetVMs=15.5;$tasks=15.5;cappedPoolSize=20"},
		{"preempted nodes", `
			maxNumberofVMs = 25;
			$TargetDedicatedNodes = min(maxNumberofVMs, $PreemptedNodeCount.GetSample(180 * TimeInterval_Second));
			$TargetLowPriorityNodes = min(maxNumberofVMs , maxNumberofVMs - $TargetDedicatedNodes);
			$NodeDeallocationOption = taskcompletion;`, preempted(4),
			"$TargetDedicatedNodes=4;$TargetLowPriorityNodes=21;$NodeDeallocationOption=taskcompletion;maxNumberofVMs=25"},
		{"load", `
			$totalDedicatedNodes =
				(min($CPUPercent.GetSample(TimeInterval_Minute * 10)) > 0.7) ?
				($CurrentDedicatedNodes * 1.1) : $CurrentDedicatedNodes;
			$totalDedicatedNodes =
				(avg($CPUPercent.GetSample(TimeInterval_Minute * 60)) < 0.2) ?
				($CurrentDedicatedNodes * 0.9) : $totalDedicatedNodes;
			$TargetDedicatedNodes = min(400, $totalDedicatedNodes);
			$NodeDeallocationOption = taskcompletion;`, env(),
			"$TargetDedicatedNodes=11;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;$totalDedicatedNodes=11"},
		{"the reference's", `totalNodes=($CPUPercent.GetSamplePercent(TimeInterval_Minute*0,TimeInterval_Minute*10)<0.7?5:` +
			`(min($CPUPercent.GetSample(TimeInterval_Minute*0, TimeInterval_Minute*10))>0.8?($CurrentDedicated*1.1):$CurrentDedicated));` +
			`$TargetDedicated=min(100,totalNodes);`, env(),
			"$TargetDedicatedNodes=11;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;totalNodes=11"},
		{"hours of work", `
			$curTime = time();
			$workHours = $curTime.hour >= 8 && $curTime.hour < 18;
			$isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
			$isWorkingWeekdayHour = $workHours && $isWeekday;
			$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;`, env(),
			"$TargetDedicatedNodes=20;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;" +
				"$curTime=2026-10-15T09:30:07.123Z;$isWeekday=1;$isWorkingWeekdayHour=1;$workHours=1"},
		{"time zone", `$curTime = time() + (-6 * TimeInterval_Hour); $TargetDedicatedNodes = ($curTime.weekday == 4 ? 5:1)`, env(),
			"$TargetDedicatedNodes=5;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;$curTime=2026-10-15T03:30:07.123Z"},
		{"start up, then what runs", `
			lifespan = time() - time("Thu, 15 Oct 2026 09:20:07 GMT");
			span = TimeInterval_Second * 90;
			startup = TimeInterval_Minute * 2;
			ratio = 10;
			$TargetDedicatedNodes = (lifespan > startup ? min($PendingTasks.GetSample(span, ratio)) : 1);`, env(),
			"$TargetDedicatedNodes=7;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;" +
				"lifespan=00:10:00.1234567;ratio=10;span=00:01:30;startup=00:02:00"},
		{"a range of samples", `x = $RunningTasks.GetSample(1 * TimeInterval_Minute, 3 * TimeInterval_Minute); $TargetDedicatedNodes = len(x);`, env(),
			"$TargetDedicatedNodes=4;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;x=[1,1,1,1]"},
		{"nothing set", `x = 1`, env(),
			"$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;x=1"},
		{"stop", `$TargetDedicatedNodes = 5; 1 > 0 ? stop() : 0; $TargetDedicatedNodes = 6`, env(),
			"$TargetDedicatedNodes=5;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"},
		{"older names", `$TargetDedicated = 1; $TargetLowPriority = 4; x = $TargetDedicatedNodes + $TargetLowPriorityNodes`, env(),
			"$TargetDedicatedNodes=1;$TargetLowPriorityNodes=4;$NodeDeallocationOption=requeue;x=5"},
		{"the newer name wins", `$TargetDedicatedNodes = 3; $TargetDedicated = 1;`, env(),
			"$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"},
		{"the option as a string", `$NodeDeallocationOption = "retaineddata"`, env(),
			"$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=retaineddata"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := autoscale.Check(test.formula); err != nil {
				t.Errorf("Check: %v", err)
			}
			got, err := evaluate(test.formula, test.env)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != test.want {
				t.Errorf("got  %s\nwant %s", got.Text, test.want)
			}
			if begin := fmt.Sprintf("$TargetDedicatedNodes=%d;$TargetLowPriorityNodes=%d;$NodeDeallocationOption=%s",
				got.TargetDedicatedNodes, got.TargetLowPriorityNodes, got.NodeDeallocationOption); !strings.HasPrefix(got.Text, begin) {
				t.Errorf("the result is %s and its text is %s", begin, got.Text)
			}
		})
	}
}

// A formula that nests as deeply as its length lets it.
func TestDeepFormulas(t *testing.T) {
	for _, test := range []struct{ name, formula, want string }{
		{"parentheses", "x=" + strings.Repeat("(", 4000) + "1" + strings.Repeat(")", 4000), "1"},
		{"signs", "x=" + strings.Repeat("-", 8000) + "1", "1"},
		{"sums", "x=1" + strings.Repeat("+1", 4000), "4001"},
		{"conditions", "x=" + strings.Repeat("0?1:", 2000) + "2", "2"},
		{"functions", "x=" + strings.Repeat("max(", 1600) + "3" + strings.Repeat(")", 1600), "3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := autoscale.Check(test.formula); err != nil {
				t.Errorf("Check: %v", err)
			}
			got, err := evaluate(test.formula, env())
			if err != nil {
				t.Fatal(err)
			}
			if _, x, _ := strings.Cut(got.Text, ";x="); x != test.want {
				t.Errorf("got %s, want %s", x, test.want)
			}
		})
	}
}

func preempted(n float64) autoscale.Env {
	e := env()
	e.Samples = hour(map[string]func(int) float64{"$PreemptedNodeCount": always(n)})
	return e
}

func TestExpressions(t *testing.T) {
	for _, test := range []struct{ expression, want string }{
		// Precedence and grouping.
		{`1 + 2 * 3`, "7"},
		{`(1 + 2) * 3`, "9"},
		{`8 - 3 - 2`, "3"},
		{`16 / 4 / 2`, "2"},
		{`-2 * -3`, "6"},
		{`--3`, "3"},
		{`!3 + 1`, "1"},
		{`1 + 1 == 2 && 3 > 2`, "1"},
		{`1 || 0 && 0`, "1"},
		{`1 < 2 == 1`, "1"},
		{`0 ? 1 : 0 ? 2 : 3`, "3"},
		{`1 ? 0 ? 4 : 5 : 6`, "5"},
		{`1 == 1 ? 2 : 3`, "2"},
		{`5 > 3 != 0`, "1"},

		// Only what is needed is computed.
		{`0 && val(vec(1), 9)`, "0"},
		{`2 || val(vec(1), 9)`, "1"},
		{`1 ? 7 : val(vec(1), 9)`, "7"},
		{`1 && 5`, "1"},
		{`0 || 0`, "0"},

		// Numbers as they print.
		{`1e3`, "1000"},
		{`1.5e-3`, "0.0015"},
		{`0.1 + 0.2`, "0.3"},
		{`1 / 3`, "0.333333333333333"},
		{`1 / 0`, "Infinity"},
		{`-1 / 0`, "-Infinity"},
		{`0 / 0`, "NaN"},
		{`-0`, "0"},
		{`123456789012345`, "123456789012345"},
		{`1e15`, "1E+15"},
		{`1 / 1000000`, "1E-06"},
		{`0 / 0 == 0 / 0`, "0"},
		{`0 / 0 != 0 / 0`, "1"},

		// Vectors.
		{`vec(1, 2, vec(3, 4))`, "[1,2,3,4]"},
		{`vec(1, 2) + 1`, "[2,3]"},
		{`vec(1, 2) - 1`, "[0,1]"},
		{`vec(1, 2) * 3`, "[3,6]"},
		{`vec(1, 2) / 2`, "[0.5,1]"},
		{`vec(1, 2) + vec(10, 20)`, "[11,22]"},
		{`vec(1, 2) - vec(10, 20)`, "[-9,-18]"},
		{`vec(1, 2) * vec(10, 20)`, "[10,40]"},
		{`vec(10, 20) / vec(5, 2)`, "[2,10]"},

		// Strings.
		{`"a" < "b"`, "1"},
		{`"a" == "a" && "a" != "b"`, "1"},
		{`"b" >= "a" && "b" > "a" && "a" <= "a"`, "1"},
		{`"text with // no comment"`, "text with // no comment"},
		{`requeue`, "requeue"},

		// Times and intervals.
		{`TimeInterval_Zero`, "00:00:00"},
		{`TimeInterval_100ns`, "00:00:00.0000001"},
		{`TimeInterval_Microsecond`, "00:00:00.0000010"},
		{`TimeInterval_Millisecond`, "00:00:00.0010000"},
		{`TimeInterval_Second`, "00:00:01"},
		{`TimeInterval_Minute`, "00:01:00"},
		{`TimeInterval_Hour`, "01:00:00"},
		{`TimeInterval_Day`, "1.00:00:00"},
		{`TimeInterval_Week`, "7.00:00:00"},
		{`TimeInterval_Year`, "365.00:00:00"},
		{`2 * TimeInterval_Minute + TimeInterval_Second * 3`, "00:02:03"},
		{`TimeInterval_Hour / 4 - TimeInterval_Minute`, "00:14:00"},
		{`-TimeInterval_Day`, "-1.00:00:00"},
		{`-TimeInterval_Minute < TimeInterval_Zero`, "1"},
		{`60 * TimeInterval_Second == TimeInterval_Minute`, "1"},
		{`time("2026-01-31") + TimeInterval_Day`, "2026-02-01T00:00:00.000Z"},
		{`TimeInterval_Year * 100 + time("2026-01-31")`, "2126-01-07T00:00:00.000Z"},
		{`time("2026-02-01") - time("2026-01-01T12:00Z")`, "30.12:00:00"},
		{`time("2026-02-01") > time("2026-01-31") && time("2026") == time("2026-01-01")`, "1"},
		{`time("")`, "2026-10-15T09:30:07.123Z"},
		{`time("2026-10")`, "2026-10-01T00:00:00.000Z"},
		{`time("2026-10-15T09:30+02:00")`, "2026-10-15T07:30:00.000Z"},
		{`time("2026-10-15T09:30:07Z")`, "2026-10-15T09:30:07.000Z"},
		{`time("2026-10-15T09:30:07.5-01:00")`, "2026-10-15T10:30:07.500Z"},
		{`time("Thu, 15 Oct 2026 09:30:07 GMT")`, "2026-10-15T09:30:07.000Z"},
		{`time("Thu, 15 Oct 2026 09:30:07 +0200")`, "2026-10-15T07:30:07.000Z"},
		{`time().year * 10000 + time().month * 100 + time().day`, "20261015"},
		{`time().hour * 10000 + time().minute * 100 + time().second`, "93007"},
		{`time("2026-10-18").weekday`, "0"},
		{`time("2026-10-19").weekday`, "1"},

		// Functions.
		{`avg(1, vec(2, 3), 6)`, "3"},
		{`len(1, vec(2, 3))`, "3"},
		{`max(1, vec(7, 3))`, "7"},
		{`min(4, vec(7, 3))`, "3"},
		{`norm(3, 4)`, "5"},
		{`range(3, vec(9, 4))`, "6"},
		{`std(2, 4, 4, 4, 5, 5, 7, 9)`, "2.1380899352994"},
		{`sum(1, vec(2, 3))`, "6"},
		{`ceil(1.2)`, "2"},
		{`ceil(vec(1.2, -1.2))`, "[2,-1]"},
		{`floor(-1.2)`, "-2"},
		{`floor(1.7, 2.2)`, "[1,2]"},
		{`round(2.5)`, "3"},
		{`round(-2.5)`, "-3"},
		{`round(vec(0.4, 0.5))`, "[0,1]"},
		{`lg(8)`, "3"},
		{`lg(vec(8))`, "[3]"},
		{`lg(2, 4)`, "[1,2]"},
		{`ln(1)`, "0"},
		{`ln(vec(1, 1))`, "[0,0]"},
		{`log(1000)`, "3"},
		{`log(vec(10, 100))`, "[1,2]"},
		{`percentile(vec(15, 20, 35, 40, 50), 40)`, "20"},
		{`percentile(vec(50, 15), 0)`, "15"},
		{`percentile(vec(50, 15), 100)`, "50"},
		{`rand()`, "0.25"},
		{`val(vec(4, 5), 1)`, "5"},
		{`val(vec(4, 5), 0)`, "4"},

		// Samples. The newest that can be seen is two intervals old.
		{`$ActiveTasks.GetSample(1)`, "[2]"},
		{`$ActiveTasks.GetSample(3)`, "[4,3,2]"},
		{`len($ActiveTasks.GetSample(1000))`, "119"},
		{`$ActiveTasks.GetSample(0)`, "[]"},
		{`$FailedTasks.GetSample(1)`, "[]"},
		{`$ActiveTasks.GetSample(2 * TimeInterval_Minute)`, "[3,2]"},
		{`$ActiveTasks.GetSample(2 * TimeInterval_Minute, 50)`, "[3,2]"},
		{`$ActiveTasks.GetSample(TimeInterval_Minute, 3 * TimeInterval_Minute)`, "[5,4,3,2]"},
		{`$ActiveTasks.GetSample(3 * TimeInterval_Minute, TimeInterval_Minute, 100)`, "[5,4,3,2]"},
		{`$ActiveTasks.GetSample(time() + (-2 * TimeInterval_Minute))`, "[3,2]"},
		{`$ActiveTasks.GetSample(time("2026-10-15T09:00:07.1234567Z"), time("2026-10-15T09:01:07.1234567Z"))`, "[59,58]"},
		{`$ActiveTasks.GetSample(TimeInterval_Minute)`, "[]"},
		{`len($ActiveTasks.GetSample(TimeInterval_Minute * 10))`, "18"},
		{`$ActiveTasks.GetSamplePercent(TimeInterval_Minute * 10)`, "90"},
		{`$ActiveTasks.GetSamplePercent(TimeInterval_Minute, TimeInterval_Minute * 6)`, "100"},
		{`$ActiveTasks.GetSamplePercent(TimeInterval_Zero)`, "0"},
		{`$ActiveTasks.GetSamplePercent(2 * TimeInterval_Hour) < 50`, "1"},
		{`$FailedTasks.GetSamplePercent(TimeInterval_Hour)`, "0"},
		{`$ActiveTasks.GetSamplePeriod()`, "00:00:30"},
		{`$ActiveTasks.Count()`, "119"},
		{`$FailedTasks.Count()`, "0"},
		{`$ActiveTasks.HistoryBeginTime()`, "2026-10-15T08:30:07.123Z"},

		// Variables of the service as numbers.
		{`$CurrentDedicatedNodes + $CurrentLowPriorityNodes`, "13"},
		{`$TaskSlotsPerNode`, "4"},
		{`$ActiveTasks`, "2"},
		{`max(1, $PendingTasks)`, "7"},
		{`$TargetDedicatedNodes * 10 + $TargetLowPriorityNodes`, "20"},
		{`$NodeDeallocationOption == requeue`, "1"},
	} {
		t.Run(test.expression, func(t *testing.T) {
			formula := "x = " + test.expression + ";"
			if err := autoscale.Check(formula); err != nil {
				t.Errorf("Check: %v", err)
			}
			got, err := evaluate(formula, env())
			if err != nil {
				t.Fatal(err)
			}
			if _, x, _ := strings.Cut(got.Text, ";x="); x != test.want {
				t.Errorf("got %s, want %s", x, test.want)
			}
		})
	}
}

// operands of each type, and the operators that the guide's table allows between them, with the type of the result.
func TestOperatorsOfTypes(t *testing.T) {
	operands := map[string]string{
		"double": "3", "doubleVec": "vec(1, 2)", "string": `"s"`, "timestamp": `time("2026")`, "timeinterval": "TimeInterval_Hour",
	}
	table := map[string]string{}
	for _, row := range []string{
		"double + - * / double = double",
		"double * timeinterval = timeinterval",
		"doubleVec + - * / double = doubleVec",
		"doubleVec + - * / doubleVec = doubleVec",
		"timeinterval * / double = timeinterval",
		"timeinterval + - timeinterval = timeinterval",
		"timeinterval + timestamp = timestamp",
		"timestamp + timeinterval = timestamp",
		"timestamp - timestamp = timeinterval",
		"double < <= == >= > != double = double",
		"string < <= == >= > != string = double",
		"timestamp < <= == >= > != timestamp = double",
		"timeinterval < <= == >= > != timeinterval = double",
		"double && || double = double",
	} {
		f := strings.Fields(row)
		for _, op := range f[1 : len(f)-3] {
			table[f[0]+" "+op+" "+f[len(f)-3]] = f[len(f)-1]
		}
	}
	for l, left := range operands {
		for r, right := range operands {
			for _, op := range []string{"+", "-", "*", "/", "<", "<=", "==", ">=", ">", "!=", "&&", "||"} {
				want, ok := table[l+" "+op+" "+r]
				x := left + " " + op + " " + right
				if op == "||" && l == "double" {
					x = "0 || " + right // so that the right side counts
				}
				testOperation(t, l+" "+op+" "+r, x, want, ok, operands)
			}
		}
		testOperation(t, "- "+l, "-"+left, l, l == "double" || l == "timeinterval", operands)
		testOperation(t, "! "+l, "!"+left, l, l == "double", operands)
		testOperation(t, l+" ? 1 : 2", left+" ? 1 : 2", "double", l == "double", operands)
	}
}

// testOperation finds the type of an expression by what can be put in the place of it: a value compares with its own
// type only, and vectors with nothing.
func testOperation(t *testing.T, name, expression, want string, ok bool, operands map[string]string) {
	t.Helper()
	formula := "x = " + expression
	if ok && want == "doubleVec" {
		formula += "; y = x + 1; y = sum(x)"
	} else if ok {
		formula += "; y = x == " + operands[want]
	}
	checked := autoscale.Check(formula)
	_, err := evaluate(formula, env())
	if ok && (checked != nil || err != nil) {
		t.Errorf("%s: %s: got %v from Check and %v from Evaluate, want a %s", name, formula, checked, err, want)
	}
	if !ok && (code(checked) != autoscale.CodeEvaluation || code(err) != autoscale.CodeEvaluation) {
		t.Errorf("%s: %s: got %v from Check and %v from Evaluate, want that the types do not fit", name, formula, checked, err)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[*autoscale.Error](err); ok {
		return e.Code
	}
	return ""
}
