package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

const mib = 1 << 20

func TestFaults(t *testing.T) {
	server := azurite.Start(t)
	// The others wait most of the time, and do so together; but not beside this one.
	t.Run("Memory", func(t *testing.T) { testMemory(t, newStore(t, server)) })
	for _, c := range []struct {
		name string
		test func(t *testing.T, server *azurite.Server, s *blobstore.Store)
	}{
		{"LostAnswers", testLostAnswers},
		{"TwoWritersAndALostAnswer", testTwoWriters},
		{"Throttled", testThrottled},
		{"AwayForLong", testAway},
		{"FailedBlockEndsPut", testFailedBlock},
		{"TakenIsNotSent", testTakenIsNotSent},
		{"BrokenConnections", testBroken},
		{"SlowNetwork", testSlow},
		{"SilentNetwork", testSilent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, server, newStore(t, server))
		})
	}
}

// testLostAnswers: the service commits a blob, and nobody hears of it, so it is asked to commit it again.
func testLostAnswers(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	for _, size := range []int64{0, 1000, 20 * mib} {
		s := meddling(t, server, direct, first(2, lost, isCommit))
		key := fmt.Sprint("k/", size)
		if err := s.Put(t.Context(), key, numbered(size)); err != nil {
			t.Errorf("Put of %d bytes whose answer was lost twice: %v", size, err)
		}
		wantNumbered(t, direct, key, size)
		if err := s.Put(t.Context(), key, numbered(size)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Put of %d bytes once more: %v, want fs.ErrExist", size, err)
		}
	}
	s := meddling(t, server, direct, first(1, lost, func(r *http.Request) bool { return r.Method == http.MethodDelete }))
	if err := s.Delete(t.Context(), "k/0"); err != nil {
		t.Errorf("Delete whose answer was lost: %v", err)
	}
}

// testTwoWriters: of two who put the same bytes, one hears that it was not the first, though its commit was tried twice.
func testTwoWriters(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	put(t, direct, "k", "the same")
	s := meddling(t, server, direct, first(1, lost, isCommit))
	if err := s.Put(t.Context(), "k", strings.NewReader("the same")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Put of a taken key whose answer was lost: %v, want fs.ErrExist", err)
	}
}

func testThrottled(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusGatewayTimeout} {
		s := meddling(t, server, direct, first(2, status, func(*http.Request) bool { return true }))
		key := fmt.Sprint("k/", status)
		put(t, s, key, "x")
		wantBlob(t, direct, key, "x")
	}
}

// testAway: when the service answers nothing but errors, they are ones that [store.Retry] tries again.
func testAway(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	put(t, direct, "there", "content")
	var away atomic.Bool
	s := meddling(t, server, direct, func(*http.Request) int {
		if away.Load() {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	away.Store(true)
	var wg sync.WaitGroup
	for what, f := range operations(s) {
		wg.Go(func() {
			err := f(t.Context())
			// A large body may meet a closed connection before the answer is read.
			if !store.IsTransient(err) || what != "large" && !strings.Contains(fmt.Sprint(err), "503") {
				t.Errorf("%s while the service is away: %v, want a transient error that says 503", what, err)
			}
		})
	}
	wg.Wait()
	patient := store.Retry(s, store.Policy{Attempts: 1000, Max: 100 * time.Millisecond})
	time.AfterFunc(2*time.Second, func() { away.Store(false) })
	put(t, patient, "later", "x")
	wantBlob(t, patient, "there", "content")
	wantKeys(t, direct, "later", "there")
}

// operations are all that a store does.
func operations(s *blobstore.Store) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Put":   func(ctx context.Context) error { return s.Put(ctx, "new", strings.NewReader("x")) },
		"large": func(ctx context.Context) error { return s.Put(ctx, "large", numbered(20*mib)) },
		"Get": func(ctx context.Context) error {
			_, err := store.ReadAll(ctx, s, "there")
			return err
		},
		"GetRange": func(ctx context.Context) error {
			r, err := s.GetRange(ctx, "there", 1, 2)
			if err == nil {
				r.Close()
			}
			return err
		},
		"List": func(ctx context.Context) error {
			for _, err := range s.List(ctx, "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Delete":   func(ctx context.Context) error { return s.Delete(ctx, "other") },
		"CopyFrom": func(ctx context.Context) error { return s.CopyFrom(ctx, "copy", "http://127.0.0.1:1/a/b/c?sig=SECRET") },
	}
}

// testFailedBlock: a Put does not read its source to the end when a part of it could not be sent.
func testFailedBlock(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	s := meddling(t, server, direct, first(1, http.StatusBadRequest, isBlock))
	err := s.Put(t.Context(), "k", store.Source(func(w io.Writer) error {
		part := make([]byte, mib)
		for {
			if _, err := w.Write(part); err != nil {
				return nil // it keeps it to itself
			}
		}
	}))
	if err == nil || store.IsTransient(err) || !strings.Contains(err.Error(), "400") {
		t.Errorf("Put of an endless source: %v, want an error that says 400", err)
	}
	wantKeys(t, direct)
}

func testTakenIsNotSent(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	put(t, direct, "k", "first")
	var sent atomic.Int64
	s := meddling(t, server, direct, func(r *http.Request) int {
		sent.Add(max(0, r.ContentLength))
		return 0
	})
	if err := s.Put(t.Context(), "k", numbered(200*mib)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Put of a taken key: %v, want fs.ErrExist", err)
	}
	if n := sent.Load(); n > 9*mib {
		t.Errorf("Put of a taken key sent %d bytes, want a block at most", n)
	}
}

// testBroken puts and gets blobs while connections are reset, cut and held up all the time. Nothing may be lost, or be there
// by half at any time.
func testBroken(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	s, net := through(t, server, direct, blobstore.WithSilence(2*time.Second))
	patient := store.Retry(s, store.Policy{Attempts: 1000, Base: 10 * time.Millisecond, Max: 200 * time.Millisecond})
	size := func(i int) int64 {
		if i%16 == 0 {
			return 17*mib + int64(i)
		}
		return int64(i%30) * 30_000
	}
	key := func(i int) string { return fmt.Sprintf("k/%03d", i) }

	done := make(chan struct{})
	var background, work sync.WaitGroup
	var bad atomic.Int32
	kinds := [][3]string{
		{"downstream", "reset_peer", `"timeout": 10`},
		{"upstream", "reset_peer", `"timeout": 30`},
		{"upstream", "limit_data", `"bytes": 2000000`},
		{"downstream", "limit_data", `"bytes": 100000`},
		{"downstream", "limit_data", `"bytes": 0`},
		{"upstream", "timeout", `"timeout": 50`},
	}
	background.Go(func() {
		for i := 0; ; i++ {
			k := kinds[i%len(kinds)]
			heal := net.add(k[0], k[1], k[2])
			time.Sleep(100 * time.Millisecond)
			heal()
			bad.Add(1)
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	background.Go(func() {
		for {
			for info, err := range direct.List(t.Context(), "k/") {
				var i int
				if _, e := fmt.Sscanf(info.Key, "k/%d", &i); err != nil || e != nil || info.Size != size(i) {
					t.Errorf("List shows %v, %v: want %d bytes", info, err, size(i))
				}
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	next := make(chan int)
	for range 6 {
		work.Go(func() {
			for i := range next {
				if err := patient.Put(t.Context(), key(i), numbered(size(i))); err != nil {
					t.Errorf("Put of %d bytes: %v", size(i), err)
				}
				wantNumbered(t, patient, key(i), size(i))
			}
		})
	}
	blobs := 0
	for ; int(bad.Load()) < 2*len(kinds) && !t.Failed(); blobs++ {
		next <- blobs
	}
	close(next)
	work.Wait()
	close(done)
	background.Wait()
	t.Logf("%d blobs while the network was bad %d times", blobs, bad.Load())
	for i := range blobs {
		wantNumbered(t, direct, key(i), size(i))
	}
}

func testSlow(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	s, net := through(t, server, direct, blobstore.WithSilence(time.Minute))
	for _, k := range [][3]string{
		{"downstream", "latency", `"latency": 100, "jitter": 50`},
		{"upstream", "slicer", `"average_size": 1000, "size_variation": 500, "delay": 10`},
		{"downstream", "bandwidth", `"rate": 4000`}, // KB/s
		{"upstream", "bandwidth", `"rate": 4000`},
	} {
		net.add(k[0], k[1], k[2])
	}
	const size = 9*mib + 1
	if err := s.Put(t.Context(), "k", numbered(size)); err != nil {
		t.Fatal(err)
	}
	wantNumbered(t, s, "k", size)
}

// testSilent: a network that takes everything and brings nothing is found out, and does not hold up the next request.
func testSilent(t *testing.T, server *azurite.Server, direct *blobstore.Store) {
	s, net := through(t, server, direct, blobstore.WithSilence(200*time.Millisecond))
	put(t, direct, "there", "content")
	heal := net.add("downstream", "timeout", `"timeout": 0`)
	var wg sync.WaitGroup
	for what, f := range operations(s) {
		if what == "large" {
			continue // its blocks take longer than this silence, on a busy machine
		}
		wg.Go(func() {
			if err := f(t.Context()); !store.IsTransient(err) {
				t.Errorf("%s over a silent network: %v, want a transient error", what, err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "there"); !errors.Is(err, context.DeadlineExceeded) || store.IsTransient(err) {
		t.Errorf("Get that its caller gave little time: %v, want context.DeadlineExceeded", err)
	}
	heal()
	patient := store.Retry(s, store.Policy{Attempts: 1000, Max: 100 * time.Millisecond})
	wantBlob(t, patient, "there", "content")
}

// testMemory streams more than memory may grow by, up and down.
func testMemory(t *testing.T, s *blobstore.Store) {
	if runtime.GOOS != "linux" {
		t.Skip("the peak of the memory of a process is read from /proc")
	}
	const size, bound = 200 * mib, 100 * mib
	debug.FreeOSMemory()
	peak(t)
	before := peak(t)
	if err := s.Put(t.Context(), "k", numbered(size)); err != nil {
		t.Fatal(err)
	}
	up := peak(t)
	wantNumbered(t, s, "k", size)
	down := peak(t)
	t.Logf("memory at most: %d MiB before, %d MiB after putting 200 MiB, %d MiB after getting them", before/mib, up/mib, down/mib)
	if down-before > bound {
		t.Errorf("memory grew by %d MiB, want %d at most", (down-before)/mib, bound/mib)
	}
}

// peak is the most memory that the process has had since the last call.
func peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// wantNumbered reads a blob that numbered wrote.
func wantNumbered(t testing.TB, s store.Store, key string, size int64) {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Errorf("Get(%s): %v", key, err)
		return
	}
	defer r.Close()
	var n int64
	buf := make([]byte, 32<<10)
	_, err = numbered(size).WriteTo(writerFunc(func(want []byte) (int, error) {
		k, err := io.ReadFull(r, buf[:len(want)])
		n += int64(k)
		if err == nil && !bytes.Equal(buf[:k], want) {
			err = errors.New("other content")
		}
		return k, err
	}))
	if err == nil {
		if k, _ := io.ReadFull(r, buf[:1]); k > 0 {
			err = errors.New("there is more")
		}
	}
	if err != nil {
		t.Errorf("%s after %d of %d bytes: %v", key, n, size, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
