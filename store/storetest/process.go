package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

// Variables that make a test binary one of the processes of testProcesses.
const (
	envURL  = "CLUSTERLESS_STORETEST_URL"
	envName = "CLUSTERLESS_STORETEST_NAME"
)

const (
	processes  = 4
	contended  = 40 // keys that each process puts
	contendKey = "race/%d/out"
)

func testReopen(t *testing.T, s store.Store) {
	put(t, s, "k", []byte("x"))
	again, err := store.Open(t.Context(), s.URL())
	if err != nil {
		t.Fatalf("Open(%s): %v", s.URL(), err)
	}
	if again.URL() != s.URL() {
		t.Errorf("the store at %s, opened again, says it is %s", s.URL(), again.URL())
	}
	wantBlob(t, again, "k", []byte("x"))
	put(t, again, "l", []byte("y"))
	wantKeys(t, s, "", "k", "l")
}

// testProcesses lets several processes put the same keys at the same time.
func testProcesses(t *testing.T, s store.Store) {
	if strings.HasPrefix(s.URL(), "mem:") {
		t.Log("the store belongs to one process")
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The name of the test that called Run: without the case's own.
	test := t.Name()[:strings.LastIndexByte(t.Name(), '/')]
	var pattern []string
	for part := range strings.SplitSeq(test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	var wg sync.WaitGroup
	for p := range processes {
		cmd := exec.CommandContext(t.Context(), exe, "-test.run="+strings.Join(pattern, "/"), "-test.count=1", "-test.v=true")
		cmd.Env = append(os.Environ(), envURL+"="+s.URL(), fmt.Sprintf("%s=%d", envName, p))
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", p, err, out)
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); len(list(t, s, "ready/")) < processes; time.Sleep(5 * time.Millisecond) {
		if t.Failed() || time.Now().After(deadline) {
			t.Error("not all processes came to the start")
			break
		}
	}
	put(t, s, "start", nil)
	wg.Wait()
	if t.Failed() {
		return
	}
	winner := map[string]string{}
	for p := range processes {
		won, err := store.ReadAll(t.Context(), s, fmt.Sprintf("won/%d", p))
		if err != nil {
			t.Fatal(err)
		}
		for key := range strings.FieldsSeq(string(won)) {
			if w, taken := winner[key]; taken {
				t.Errorf("processes %s and %d both put %s", w, p, key)
			}
			winner[key] = fmt.Sprint(p)
		}
	}
	for i := range contended {
		key := fmt.Sprintf(contendKey, i)
		if winner[key] == "" {
			t.Errorf("no process put %s", key)
		}
		wantBlob(t, s, key, []byte(strings.Repeat(winner[key], 1000)))
	}
}

// contend is what each of the processes does.
func contend(t *testing.T, url string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	name := os.Getenv(envName)
	put(t, s, "ready/"+name, nil)
	for {
		r, err := s.Get(ctx, "start")
		if err == nil {
			r.Close()
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	var won strings.Builder
	for i := range contended {
		key := fmt.Sprintf(contendKey, i)
		switch err := s.Put(ctx, key, strings.NewReader(strings.Repeat(name, 1000))); {
		case err == nil:
			won.WriteString(key + "\n")
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("Put: %v, want fs.ErrExist", err)
		}
	}
	put(t, s, "won/"+name, []byte(won.String()))
}
