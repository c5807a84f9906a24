// Clusterless is the command line for jobs: it lists, inspects, cancels and removes what programs left in a store. It
// runs no functions and takes over no jobs; that is for the programs themselves.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/clusterless-go/clusterless"
	_ "github.com/clusterless-go/clusterless/engine/azbatch"
	_ "github.com/clusterless-go/clusterless/engine/slurm"
	_ "github.com/clusterless-go/clusterless/store/blobstore"
)

func main() {
	clusterless.Init()
	os.Exit(run())
}

// run is main, for tests, which are the program too.
func run() int {
	if isVetTool(os.Args[1:]) {
		vetTool()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	if err := command().ExecuteContext(ctx); err != nil {
		// Errors of the package begin with its name, which is that of the program too.
		fmt.Fprintln(os.Stderr, "clusterless:", strings.TrimPrefix(err.Error(), "clusterless: "))
		return 1
	}
	return 0
}
