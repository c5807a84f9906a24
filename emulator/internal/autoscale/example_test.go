package autoscale_test

import (
	"fmt"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/autoscale"
)

func Example() {
	now := time.Date(2026, 10, 15, 9, 30, 0, 0, time.UTC)
	history := autoscale.NewHistory(time.Hour)
	for i := range 20 {
		at := now.Add(time.Duration(i-20) * autoscale.SampleInterval)
		history.Record(at, map[string]float64{"$PendingTasks": float64(10 + i)})
	}

	formula, err := autoscale.Parse(`
		tasks = avg($PendingTasks.GetSample(5 * TimeInterval_Minute, 70));
		$TargetDedicatedNodes = min(100, tasks / $TaskSlotsPerNode);`)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := formula.Evaluate(autoscale.Env{
		Now:     now,
		Samples: history,
		Current: map[string]float64{"$TaskSlotsPerNode": 2},
	})
	fmt.Println(result.TargetDedicatedNodes, err)
	fmt.Println(result.Text)

	fmt.Println(autoscale.Check("$TargetDedicatedNodes = \n  $PendingTasks.GetSamples(1)"))
	// Output:
	// 12 <nil>
	// $TargetDedicatedNodes=12;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;tasks=24.5
	// Autoscale evaluation failed due to evaluation errors in the formula: Line 2, Col 27: $PendingTasks has no method GetSamples
}
