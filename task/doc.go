// Package task is for functions that have several cores or nodes and make calls of other functions on them, without MPI:
//
//	var Survey = clusterless.Define("survey", survey, clusterless.Nodes(4), clusterless.Cores(8))
//
//	func survey(ctx context.Context, s Survey) (Image, error) {
//		parts, err := task.Map(ctx, Shot, s.Shots) // 32 at once
//		…
//	}
//
// A task cannot submit jobs; this is how it uses what it was given.
package task
