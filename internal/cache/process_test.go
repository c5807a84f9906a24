//go:build unix

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// TestMain makes the test binary a process of a node when told so: it asks its cache for a blob, from several
// goroutines.
func TestMain(m *testing.M) {
	args := strings.Fields(os.Getenv("CACHE_TEST_WORKER"))
	if len(args) == 0 {
		os.Exit(m.Run())
	}
	if err := worker(args[0], args[1], args[2], args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const workerSize = 4 << 20

func worker(cacheDir, storeDir, logFile, sum string) error {
	s, err := filestore.Open(storeDir)
	if err != nil {
		return err
	}
	c, err := cache.Open(cacheDir)
	if err != nil {
		return err
	}
	remote := &remoteStore{Store: s, log: logFile, stuck: os.Getenv("CACHE_TEST_STUCK") != ""}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			path, err := c.File(context.Background(), remote, "v", sum, workerSize)
			if err == nil {
				var got []byte
				if got, err = cache.Map(path); err == nil && hash(got) != sum {
					err = errors.New("wrong content")
				}
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// remoteStore is a store that has no files on this machine. It logs each blob that is opened, and that half of it was
// read. It is slow, or stuck in the middle.
type remoteStore struct {
	store.Store
	log   string
	stuck bool
}

func (r *remoteStore) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r.note("open\n")
	rc, err := r.Store.Get(ctx, key)
	return &slowReader{ReadCloser: rc, s: r}, err
}

func (r *remoteStore) note(line string) {
	f, err := os.OpenFile(r.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		f.WriteString(line)
		f.Close()
	}
}

type slowReader struct {
	io.ReadCloser
	s *remoteStore
	n int
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), workerSize/8)])
	before := r.n
	r.n += n
	if before < workerSize/2 && r.n >= workerSize/2 {
		r.s.note("half\n")
		if r.s.stuck {
			select {}
		}
	}
	time.Sleep(5 * time.Millisecond)
	return n, err
}

// node is what the processes of a test share.
type node struct {
	cache, store, log, sum string
}

func newNode(t *testing.T) node {
	n := node{cache: t.TempDir(), store: t.TempDir(), log: t.TempDir() + "/log"}
	s, err := filestore.Open(n.store)
	if err != nil {
		t.Fatal(err)
	}
	n.sum = put(t, s, "v", noise(workerSize))
	return n
}

func (n node) start(t *testing.T, stuck bool) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "CACHE_TEST_WORKER="+strings.Join([]string{n.cache, n.store, n.log, n.sum}, " "))
	if stuck {
		cmd.Env = append(cmd.Env, "CACHE_TEST_STUCK=1")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

func (n node) logged(line string) int {
	b, _ := os.ReadFile(n.log)
	return bytes.Count(b, []byte(line))
}

func TestProcessesFetchOnce(t *testing.T) {
	n := newNode(t)
	n.run(t, 6)
	if got := n.logged("open"); got != 1 {
		t.Errorf("6 processes opened the blob %d times, want once", got)
	}
	n.run(t, 2)
	if got := n.logged("open"); got != 1 {
		t.Errorf("later processes opened the blob again: %d times in all", got)
	}
}

func TestKilledProcessIsReplaced(t *testing.T) {
	n := newNode(t)
	half := func(times int) {
		for deadline := time.Now().Add(time.Minute); n.logged("half") < times; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("half of the blob was read %d times in a minute, want %d", n.logged("half"), times)
			}
		}
	}
	first, _ := n.start(t, true)
	half(1)
	second, _ := n.start(t, true) // waits for the first, which is stuck, and takes over
	for i, cmd := range []*exec.Cmd{first, second} {
		half(i + 1)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
	}
	before := n.logged("open")
	n.run(t, 4)
	if got := n.logged("open"); got != before+1 {
		t.Errorf("after the killed ones, the blob was opened %d times, want once", got-before)
	}
}

// run runs processes to their end.
func (n node) run(t *testing.T, processes int) {
	t.Helper()
	var wg sync.WaitGroup
	for range processes {
		cmd, out := n.start(t, false)
		wg.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}
