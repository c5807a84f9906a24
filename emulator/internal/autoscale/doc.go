// Package autoscale evaluates Azure Batch autoscale formulas: a small language of assignments that computes a pool's
// target node counts from samples of its tasks and nodes.
//
//	startingNumberOfVMs = 1;
//	samples = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
//	$TargetDedicatedNodes = min(25, samples < 70 ? startingNumberOfVMs : avg($PendingTasks.GetSample(180 * TimeInterval_Second)));
//
// [Parse] checks what the service checks when a formula is given to a pool; [Check] also checks names and types, for
// clients before they send one; [Formula.Evaluate] runs it.
//
// # What is known of the service
//
// Types, operators, functions, variables and methods are those of Microsoft's guide "Create a formula to automatically
// scale compute nodes in a Batch pool". Operators are exactly those of its table: timestamp - timeinterval, double *
// doubleVec and string + string are not in it, and are errors here. From its examples and remarks are that a sampled
// variable can stand for a number ($CurrentDedicatedNodes * 1.1), the function vec, and comments, which begin with //.
//
// The form of results is from the guide and from answers that users of the service have published: the three variables
// of the service, then the user's in the order of their names, a vector as [1,2], a timestamp in milliseconds. The
// codes of errors are from live tests of Microsoft's SDK for JavaScript (AutoScalingFormulaEvaluationError, with the
// pool's targets as results) and from the reference (InsufficientSampleData, whose column is the parenthesis of the
// call).
//
// Not known, and chosen here: the texts of errors other than that of insufficient data; that targets lose their
// fraction (formulas in use round up on their own); that a negative target, avg or max of nothing, and std of one
// value are errors; that percentile takes the nearest rank; that a timeinterval prints as .NET does, d.hh:mm:ss; that
// names differ by case.
package autoscale
