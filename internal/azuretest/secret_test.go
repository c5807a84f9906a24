//go:build linux

package azuretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/store"
)

// tell says all that it can find out about itself, in three ways, and fails as it is told.
var tell = clusterless.Define("azuretest.tell", func(_ context.Context, how string) (string, error) {
	var b strings.Builder
	for _, v := range os.Environ() {
		fmt.Fprintln(&b, v)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		line, _ := os.ReadFile(file)
		fmt.Fprintf(&b, "%q\n", line)
	}
	files, _ := filepath.Glob(filepath.Join(os.Getenv("AZ_BATCH_TASK_DIR"), "*", "*"))
	fmt.Fprintln(&b, files)
	fmt.Println(b.String())
	switch how {
	case "error":
		return "", errors.New(b.String())
	case "panic":
		panic(b.String())
	case "exit":
		os.Exit(3)
	}
	return b.String(), nil
})

// A job that succeeds and fails in all ways, and then everything that it has left anywhere is read. The account's keys are nowhere,
// and the token of the container is where nodes get it, in the environment and the preparation of the Batch job, and nowhere else.
func TestNoSecrets(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 1, 0, 2)
	var log safeBuffer
	config := w.config()
	s := w.session(t, w.store, config, log.logger(), clusterless.Retries(1))
	job := must(tell.On(s, clusterless.Name("tell"), clusterless.Span(1)).Map(t.Context(), []string{"", "error", "panic", "exit"}))(t)
	where := map[string]string{} // texts by where they were found
	for i, r := range job.Completed(t.Context()) {
		where[fmt.Sprintf("result %d", i)] = r.Value
		if r.Err != nil {
			var failed *clusterless.TaskError
			if !errors.As(r.Err, &failed) {
				t.Errorf("call %d: %v", i, r.Err)
			}
			where[fmt.Sprintf("error %d", i)] = fmt.Sprintf("%v\n%+v\n%#v", r.Err, r.Err, failed)
		}
	}
	if len(where) != 7 {
		t.Fatalf("%d results and errors, want 7", len(where))
	}
	where["the client's log"] = log.String()
	for _, r := range must(job.Runs(t.Context()))(t) {
		l := must(job.RunLog(t.Context(), r, false))(t)
		where[fmt.Sprintf("log of %v", r)] = string(must(io.ReadAll(l))(t))
		l.Close()
	}
	for info, err := range w.store.List(t.Context(), "jobs/tell/") {
		if err != nil {
			t.Fatal(err)
		}
		where["blob "+info.Key] = string(must(store.ReadAll(t.Context(), w.store, info.Key))(t))
	}
	given := w.service(t, where)

	secrets := map[string]string{"the key of the storage account": w.storage.Key, "the key of the Batch account": w.batch.Key()}
	for _, sig := range regexp.MustCompile(`sig=([^&'" ]+)`).FindAllStringSubmatch(given, -1) {
		secrets["a token "+sig[1][:4]] = sig[1]
	}
	if len(secrets) < 4 {
		t.Fatalf("the Batch job has %d tokens, want one for the container and one for the program", len(secrets)-2)
	}
	for what, secret := range secrets {
		plain, err := url.QueryUnescape(secret)
		if err != nil {
			t.Fatal(err)
		}
		for place, text := range where {
			if strings.Contains(text, secret) || strings.Contains(text, plain) {
				t.Errorf("%s is in %s", what, place)
			}
		}
	}
	for place, text := range where {
		if strings.Contains(text, "CLUSTERLESS_STORE_TOKEN=") {
			t.Errorf("the variable of the token is in %s", place)
		}
	}
	for _, key := range []string{w.storage.Key, w.batch.Key()} {
		if strings.Contains(given, key) {
			t.Error("an account's key is in the Batch job")
		}
	}
}

// service notes what the service has of all jobs and tasks, and their files, and returns what nodes are given, which has tokens.
func (w *world) service(t *testing.T, where map[string]string) (given string) {
	t.Helper()
	text := func(v any) string { return string(must(json.Marshal(v))(t)) }
	for jobs := w.sdk.NewListJobsPager(nil); jobs.More(); {
		for _, j := range must(jobs.NextPage(t.Context()))(t).Value {
			full := must(w.sdk.GetJob(t.Context(), *j.ID, nil))(t).Job
			for _, v := range slices.Concat(full.CommonEnvironmentSettings, full.JobPreparationTask.EnvironmentSettings) {
				given += *v.Value + "\n"
			}
			full.CommonEnvironmentSettings, full.JobPreparationTask.EnvironmentSettings = nil, nil
			where["Batch job "+*j.ID] = text(full)
			for tasks := w.sdk.NewListTasksPager(*j.ID, nil); tasks.More(); {
				for _, task := range must(tasks.NextPage(t.Context()))(t).Value {
					where["Batch task "+*task.ID] = text(task)
					for _, file := range []string{"stdout.txt", "stderr.txt"} {
						r := must(w.sdk.GetTaskFile(t.Context(), *j.ID, *task.ID, file, nil))(t)
						where[file+" of "+*task.ID] = string(must(io.ReadAll(r.Body))(t))
						r.Body.Close()
					}
				}
			}
			for states := w.sdk.NewListJobPreparationAndReleaseTaskStatusPager(*j.ID, &sdk.ListJobPreparationAndReleaseTaskStatusOptions{}); states.More(); {
				where["preparation"] += text(must(states.NextPage(t.Context()))(t).Value)
			}
		}
	}
	return given
}
