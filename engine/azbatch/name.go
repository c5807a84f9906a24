package azbatch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Metadata of a Batch job: what is ours is found by it, from any machine.
const (
	metaJob  = "clusterless-job"  // the job's ID, which that of the Batch job may only resemble
	metaTime = "clusterless-time" // Placement.Time

	metaNeeds = "clusterless-needs" // cores, bytes of memory and GPUs of a run that asks for one of the latter

	// Of a job with several places, see split:
	metaPlaces = "clusterless-places" // HOST/POOL of each, with spaces
	metaOrder  = "clusterless-order"  // digits, each the number of a place
	metaPart   = "clusterless-part"   // on all but the first: it counts when that is there
)

// batchID is the ID of the Batch job of a job in a store. IDs of the service have at most 64 letters, digits, "-" and "_", and are the
// same when they differ in case only, so a hash makes the difference: also between jobs of one name in different stores, whose
// programs share the account.
func batchID(store, job string) string {
	sum := sha256.Sum256([]byte(store + " " + job))
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, job)
	return fmt.Sprintf("cl-%.40s-%s", name, hex.EncodeToString(sum[:8]))
}

// taskID is the ID of the Batch task of a run; the agent takes it apart again.
func taskID(r engine.Run) string { return fmt.Sprintf("%d-%d", r.Task, r.Attempt) }

func parseTask(id string) (engine.Run, bool) {
	task, attempt, _ := strings.Cut(id, "-")
	t, err1 := strconv.Atoi(task)
	a, err2 := strconv.Atoi(attempt)
	r := engine.Run{Task: t, Attempt: a}
	return r, err1 == nil && err2 == nil && t >= 0 && a >= 1 && taskID(r) == id
}

// validPool reports whether s can be the ID of a pool.
func validPool(s string) bool {
	return len(s) <= 64 && engine.ValidID(s) && !strings.Contains(s, ".")
}

// isoDuration writes a duration as the service reads it.
func isoDuration(d time.Duration) string {
	return "PT" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S"
}
