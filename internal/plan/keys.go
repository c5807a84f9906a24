package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of blobs. Numbers are written with leading zeros, so that their order as text is their order.

// JobsPrefix is what the keys of all jobs begin with.
const JobsPrefix = "jobs/"

// ValuesPrefix is what the keys of broadcast values and included files begin with.
const ValuesPrefix = "values/"

// ProgramsPrefix is what the keys of programs begin with.
const ProgramsPrefix = "programs/"

// JobPrefix is what all keys of a job begin with.
func JobPrefix(job string) string { return JobsPrefix + job + "/" }

// ManifestKey is the job's manifest.
func ManifestKey(job string) string { return JobsPrefix + job + "/manifest" }

// RecordKey is the n-th record of the job's plan, the first of which is in the manifest.
func RecordKey(job string, n int) string { return fmt.Sprintf("jobs/%s/plan/%06d", job, n) }

// PartKey is the n-th part of the job's inputs, the first of which may be in the manifest.
func PartKey(job string, n int) string { return fmt.Sprintf("jobs/%s/in/%06d", job, n) }

// OutKey is the seq-th commit of a task.
func OutKey(job string, task, seq int) string {
	return fmt.Sprintf("jobs/%s/out/%08d.%04d", job, task, seq)
}

// TakenKey replaces OutKey's blob once all its results were taken.
func TakenKey(job string, task, seq int) string {
	return fmt.Sprintf("jobs/%s/taken/%08d.%04d", job, task, seq)
}

// TookPrefix is what the keys of TakenCallKey begin with.
func TookPrefix(job string) string { return JobPrefix(job) + "took/" }

// TakenCallKey marks one result as taken.
func TakenCallKey(job string, call int) string { return fmt.Sprintf("jobs/%s/took/%08d", job, call) }

// ErrPrefix is what the keys of failed attempts begin with.
func ErrPrefix(job string) string { return JobPrefix(job) + "err/" }

// ErrKey is the record of a failed attempt.
func ErrKey(job string, task, attempt int) string {
	return fmt.Sprintf("jobs/%s/err/%08d.%04d", job, task, attempt)
}

// ParseErrKey takes an ErrKey apart.
func ParseErrKey(key string) (task, attempt int, ok bool) {
	_, name, ok := strings.Cut(key, "/err/")
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(name, ".")
	if !ok {
		return 0, 0, false
	}
	task, err1 := strconv.Atoi(a)
	attempt, err2 := strconv.Atoi(b)
	return task, attempt, err1 == nil && err2 == nil
}

// BegunKey marks a call of a job without retries as begun by a task, so that the task never begins it again.
func BegunKey(job string, task, call int) string {
	return fmt.Sprintf("jobs/%s/begun/%08d.%08d", job, task, call)
}

// LogPrefix is what the keys of what the processes of an attempt wrote begin with.
func LogPrefix(job string, task, attempt int) string {
	return fmt.Sprintf("jobs/%s/log/%08d.%04d.", job, task, attempt)
}

// LogKey is what the n-th process of an attempt wrote to stdout and stderr, from 1: a service may begin one again.
func LogKey(job string, task, attempt, n int) string {
	return fmt.Sprintf("%s%04d", LogPrefix(job, task, attempt), n)
}

// CancelKey marks a job that was cancelled.
func CancelKey(job string) string { return JobPrefix(job) + "cancelled" }

// FileKey is the n-th file that a call returned in an attempt; its name stands in the commit.
func FileKey(job string, task, attempt, call, n int) string {
	return fmt.Sprintf("jobs/%s/files/%08d/%04d/%08d.%04d", job, task, attempt, call, n)
}

// ValueKey is a broadcast value or an included file by the hex SHA-256 of its bytes.
func ValueKey(sha string) string { return ValuesPrefix + sha }

// ProgramKey is an executable, compressed by gzip, by the hex SHA-256 of its bytes before compression.
func ProgramKey(sha string) string { return ProgramsPrefix + sha }

// CheckJob says whether a text can be a job's name: 1 to 96 letters, digits and ".-_", not beginning with a dot.
func CheckJob(name string) error {
	if name == "" || len(name) > 96 {
		return fmt.Errorf("job name %q: want 1 to 96 characters", name)
	}
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.' && i > 0:
		default:
			return fmt.Errorf("job name %q: character %q: want letters, digits, '-', '_' and '.', and no '.' at the start", name, r)
		}
	}
	return nil
}
