// Clusterless is the command line for jobs: it lists, inspects, cancels and removes what programs left in a store. It
// runs no functions and takes over no jobs; that is for the programs themselves.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/clusterless-go/clusterless"
)

func main() {
	clusterless.Init()
	os.Exit(run())
}

// run is main, for tests, which are the program too.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "clusterless:", err)
		return 1
	}
	return 0
}
