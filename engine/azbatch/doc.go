// Package azbatch is the engine of an Azure Batch account: runs are tasks of the service, made on the nodes of a pool. It is
// driven through Microsoft's SDK and registers itself under the scheme "azbatch" when it is imported.
//
// # How runs are made
//
// A job is one Batch job in each place that it may run at (a pool of an account), whatever the number of its runs, since accounts may
// have few that are active. Its runs are dealt to the places once, by free slots, and the Batch jobs keep how. A run is a Batch
// task, whose ID is its task and attempt, so adding one twice is refused by the service. A node that is to make a run of
// the job for the first time runs the job's preparation task, which brings the program ([engine.Job.Program]), checks it, and
// keeps it for all runs that follow there. A run's process is started by the agent, a few lines of shell that the job's
// environment holds: they set what docs/worker.md says, start the command, and write down what an exit code cannot say.
//
// # What is true
//
// The service says what became of a run. A watch asks for tasks that changed state since it last asked, not for all, and for
// the job. A task that lost its node is begun again by the service, under the same attempt, as is one whose process failed,
// [Config.Retries] times: so jobs go on when no client is there. While runs wait and none is being made, the watch looks why,
// at the pool and its nodes, and says so; if nothing can ever run at a place, it ends the Batch job there and adds what is left to
// the others; if there is no other, the runs fail with the reason, and with the output of the start task that failed.
package azbatch
