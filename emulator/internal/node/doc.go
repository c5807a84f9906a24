// Package node is a compute node of the emulator: a directory tree, an identity, and processes that really run.
//
// A Node knows nothing of pools, queues and retries, nor of the REST API: the service tells it what to run, one attempt at
// a time, and gets back how that went, in the words in which Azure Batch reports failures. Where those words are not
// documented, the place says so.
//
//	n, err := node.Open(ctx, node.Config{ID: node.NewID(true), Dir: dir, Pool: "pool"})
//	...
//	result := n.Run(ctx, node.Task{Job: "job", ID: "task", CommandLine: "/bin/echo hello"})
//
// Commands run below keepers (see package keeper), so they end when the emulator does, whatever it dies of. When the
// emulator has the rights of root, they run as users of their own, which have no entry on the machine, and see the tree at
// the same place on every node, through mounts that exist for them alone. Everybody else's commands run as the emulator's
// own user, and see the tree where it lies.
//
// Names of files come from clients and from tasks, and may be hostile: everything is opened below an os.Root.
package node
