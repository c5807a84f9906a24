package autoscale

import (
	"maps"
	"slices"
)

// Variables of the service that a formula may set. Each target has an older name; the newer one wins when both are set.
const (
	targetDedicated      = "$TargetDedicatedNodes"
	targetLowPriority    = "$TargetLowPriorityNodes"
	targetDedicatedOld   = "$TargetDedicated"
	targetLowPriorityOld = "$TargetLowPriority"
	deallocationOption   = "$NodeDeallocationOption"
)

// older has the other name of each target.
var older = map[string]string{targetDedicated: targetDedicatedOld, targetLowPriority: targetLowPriorityOld}

// writable has the type of each variable of the service that a formula may set.
var writable = map[string]kind{
	targetDedicated:      double,
	targetLowPriority:    double,
	targetDedicatedOld:   double,
	targetLowPriorityOld: double,
	deallocationOption:   text,
}

// sampledNames are the variables of the service that it takes samples of. Those of resources are retired since 2024,
// and still in the language; $CurrentDedicated is the older name of $CurrentDedicatedNodes.
var sampledNames = map[string]string{
	"$ActiveTasks":             "$ActiveTasks",
	"$RunningTasks":            "$RunningTasks",
	"$PendingTasks":            "$PendingTasks",
	"$SucceededTasks":          "$SucceededTasks",
	"$FailedTasks":             "$FailedTasks",
	"$TaskSlotsPerNode":        "$TaskSlotsPerNode",
	"$CurrentDedicatedNodes":   "$CurrentDedicatedNodes",
	"$CurrentDedicated":        "$CurrentDedicatedNodes",
	"$CurrentLowPriorityNodes": "$CurrentLowPriorityNodes",
	"$CurrentLowPriority":      "$CurrentLowPriorityNodes",
	"$UsableNodeCount":         "$UsableNodeCount",
	"$PreemptedNodeCount":      "$PreemptedNodeCount",
	"$SampleNodeCount":         "$SampleNodeCount",
	"$CPUPercent":              "$CPUPercent",
	"$WallClockSeconds":        "$WallClockSeconds",
	"$MemoryBytes":             "$MemoryBytes",
	"$DiskBytes":               "$DiskBytes",
	"$DiskReadBytes":           "$DiskReadBytes",
	"$DiskWriteBytes":          "$DiskWriteBytes",
	"$DiskReadOps":             "$DiskReadOps",
	"$DiskWriteOps":            "$DiskWriteOps",
	"$NetworkInBytes":          "$NetworkInBytes",
	"$NetworkOutBytes":         "$NetworkOutBytes",
}

// Variables lists the variables that have samples, by name with the dollar sign, sorted: what a service has to record.
func Variables() []string {
	return slices.Compact(slices.Sorted(maps.Values(sampledNames)))
}

// deallocationOptions are the words for what happens to tasks on a node that goes.
var deallocationOptions = []string{"requeue", "terminate", "taskcompletion", "retaineddata"}

// constants are names with a value.
var constants = map[string]value{
	"requeue":                  "requeue",
	"terminate":                "terminate",
	"taskcompletion":           "taskcompletion",
	"retaineddata":             "retaineddata",
	"TimeInterval_Zero":        interval(0),
	"TimeInterval_100ns":       tick,
	"TimeInterval_Microsecond": 10 * tick,
	"TimeInterval_Millisecond": 10_000 * tick,
	"TimeInterval_Second":      second,
	"TimeInterval_Minute":      minute,
	"TimeInterval_Hour":        hour,
	"TimeInterval_Day":         day,
	"TimeInterval_Week":        7 * day,
	"TimeInterval_Year":        365 * day,
}
