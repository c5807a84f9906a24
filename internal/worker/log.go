package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// logTime is how long a node is kept from its next run for the log of the last.
const logTime = 5 * time.Minute

// keepLog is the whole of a process with the role "log": it puts what a run wrote into the store, where it outlives the node.
func keepLog(env map[string]string) int {
	ctx, cancel := context.WithTimeout(context.Background(), logTime)
	defer cancel()
	if err := putLog(ctx, env); err != nil {
		fmt.Fprintf(os.Stderr, "clusterless: the log of the run is not kept: %v\n", err)
		return contract.ExitTask
	}
	return 0
}

func putLog(ctx context.Context, env map[string]string) error {
	task, err1 := strconv.Atoi(env[contract.EnvTask])
	attempt, err2 := strconv.Atoi(env[contract.EnvAttempt])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s, err := store.Open(ctx, env[contract.EnvStore])
	if err != nil {
		return err
	}
	f, err := os.Open(env[contract.EnvLog])
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 1; ; n++ { // a service may have begun the run before
		err := s.Put(ctx, plan.LogKey(env[contract.EnvJob], task, attempt, n), f)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}
