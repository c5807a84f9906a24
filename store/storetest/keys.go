package storetest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/store"
)

func testKeys(t *testing.T, s store.Store) {
	long := strings.Repeat("x", store.MaxSegment)
	good := []string{
		"a", "A0.-_+=@~z", "...", "..a", ".hidden", "-", "~", "tmp", ".tmp", "a.d", "con=1", "x../y", "x./y", "x.-y", "a__0x2f__b", "programs/" + strings.Repeat("f", 64),
		long, long + "/" + long + "/" + strings.Repeat("y", store.MaxKey-2*store.MaxSegment-2), strings.Repeat("d/", 200) + "f",
	}
	for _, key := range good {
		put(t, s, key, []byte(key))
		wantBlob(t, s, key, []byte(key))
	}
	slices.Sort(good)
	wantKeys(t, s, "", good...)
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "../a", "a/../b", "a/..", "a b", "a\\b", "a,b", ",tmp/x", "a:b", "a\x00b",
		"a\nb", "ä", "a%2fb", "a*", strings.Repeat("x", store.MaxSegment+1), strings.Repeat("abc/", store.MaxKey/4) + "x",
	}
	for _, key := range bad {
		if err := s.Put(t.Context(), key, strings.NewReader("x")); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Put(%q) = %v, want fs.ErrInvalid", key, err)
		}
		if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Get(%q) = %v, want fs.ErrInvalid", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Delete(%q) = %v, want fs.ErrInvalid", key, err)
		}
		if _, _, err := store.File(t.Context(), plain{s}, key); err != nil {
			t.Errorf("File(%q) of a store without files = %v, want nil", key, err)
		}
	}
	wantKeys(t, s, "", good...)
}

func testKeyBelowKey(t *testing.T, s store.Store) {
	keys := []string{"jobs/x", "jobs/x/in", "jobs/x/in/0", "jobs/x/manifest", "jobs/x-y", "jobs/x.y", "jobs/x0", "jobs"}
	for i, key := range keys {
		if i%2 == 0 {
			put(t, s, key, []byte(key))
		}
	}
	for i, key := range slices.Backward(keys) {
		if i%2 == 1 {
			put(t, s, key, []byte(key))
		}
	}
	for _, key := range keys {
		wantBlob(t, s, key, []byte(key))
	}
	wantKeys(t, s, "", "jobs", "jobs/x", "jobs/x-y", "jobs/x.y", "jobs/x/in", "jobs/x/in/0", "jobs/x/manifest", "jobs/x0")
	if err := s.Delete(t.Context(), "jobs/x"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, "jobs/x/", "jobs/x/in", "jobs/x/in/0", "jobs/x/manifest")
	if err := s.Delete(t.Context(), "jobs/x/in/0"); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, s, "jobs/x/in", []byte("jobs/x/in"))
}

// manyKeys returns n keys, in order, of characters on both sides of the slash.
func manyKeys(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	const chars = "+-.0=@A_a~"
	seen := map[string]bool{}
	for len(seen) < n {
		var key strings.Builder
		for range 1 + r.IntN(3) {
			key.WriteByte('/')
			for range 1 + r.IntN(2) {
				key.WriteByte(chars[r.IntN(len(chars))])
			}
		}
		if k := key.String()[1:]; store.CheckKey(k) == nil {
			seen[k] = true
		}
	}
	keys := make([]string, 0, n)
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func testListOrder(t *testing.T, s store.Store) {
	keys := manyKeys(500)
	var wg sync.WaitGroup
	for _, part := range chunks(keys, 8) {
		wg.Go(func() {
			for _, k := range part {
				if err := s.Put(t.Context(), k, strings.NewReader(k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantKeys(t, s, "", keys...)
	for _, prefix := range []string{"a", "a/", "-", ".", "./", "0", "~/a", "+", "=/=", "none", "A", "/", "a//"} {
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) })
		wantKeys(t, s, prefix, want...)
	}
	for _, k := range keys[:100] {
		wantKeys(t, s, k, slices.DeleteFunc(slices.Clone(keys), func(l string) bool { return !strings.HasPrefix(l, k) })...)
	}
}

func chunks(keys []string, n int) (parts [][]string) {
	shuffled := slices.Clone(keys)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for c := range slices.Chunk(shuffled, (len(keys)+n-1)/n) {
		parts = append(parts, c)
	}
	return parts
}

func testListPrefix(t *testing.T, s store.Store) {
	keys := []string{"jobs/a/in/0", "jobs/a/in/1", "jobs/a/in/10", "jobs/a/manifest", "jobs/ab/manifest", "programs/f", "values/f"}
	for _, k := range keys {
		put(t, s, k, nil)
	}
	for prefix, want := range map[string][]string{
		"":                                keys,
		"j":                               keys[:5],
		"jobs/":                           keys[:5],
		"jobs/a":                          keys[:5],
		"jobs/a/":                         keys[:4],
		"jobs/a/in/1":                     keys[1:3],
		"jobs/a/in/1/":                    nil,
		"jobs/a/manifest":                 keys[3:4],
		"jobs//a":                         nil,
		"/jobs":                           nil,
		"../":                             nil,
		"..":                              nil,
		"jobs/../":                        nil,
		"jobs/a/./in":                     nil,
		",":                               nil,
		",tmp/":                           nil,
		"jobs,":                           nil,
		"x\x00":                           nil,
		"x\x00/y":                         nil,
		"programs/f":                      keys[5:6],
		"values":                          keys[6:],
		strings.Repeat("very/long/", 100): nil,
	} {
		wantKeys(t, s, prefix, want...)
	}
}

func testListStops(t *testing.T, s store.Store) {
	for i := range 10 {
		put(t, s, fmt.Sprintf("k/%d/x", i), nil)
	}
	seq := s.List(t.Context(), "k/")
	for range 2 { // the sequence can be used again
		n := 0
		for _, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("List yielded %d blobs before the break, want 3", n)
		}
	}
}

func testListWhileChanging(t *testing.T, s store.Store) {
	for i := range 50 {
		put(t, s, fmt.Sprintf("stay/%02d", i), nil)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("stay/%02d/%d/x%d", i%50, w, i)
				if err := s.Put(t.Context(), key, strings.NewReader("comes and goes")); err != nil {
					t.Errorf("Put: %v", err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	for range 10 {
		last, stayed := "", 0
		for info, err := range s.List(t.Context(), "stay/") {
			if err != nil {
				t.Errorf("List: %v", err)
				break
			}
			if info.Key <= last {
				t.Errorf("List yielded %s after %s", info.Key, last)
			}
			last = info.Key
			if len(info.Key) == len("stay/00") {
				stayed++
			} else if info.Size != int64(len("comes and goes")) {
				t.Errorf("List shows %s with %d bytes: half-written", info.Key, info.Size)
			}
		}
		if stayed != 50 {
			t.Errorf("List yielded %d of 50 blobs that stayed", stayed)
		}
	}
	close(stop)
	wg.Wait()
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, "a/b/c", []byte("1"))
	put(t, s, "a/b/d", []byte("2"))
	for range 2 {
		if err := s.Delete(t.Context(), "a/b/c"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		wantKeys(t, s, "", "a/b/d")
	}
	put(t, s, "a/b/c", []byte("again"))
	wantBlob(t, s, "a/b/c", []byte("again"))
	for _, key := range []string{"a/b/c", "a/b/d"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	wantKeys(t, s, "")
	put(t, s, "a/b", []byte("where a directory may have been"))
	wantKeys(t, s, "", "a/b")
}

// testDeleteBesidePut deletes the last blob of what may be a directory while others are put there.
func testDeleteBesidePut(t *testing.T, s store.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("deep/er/%d/%d", i%3, w)
				if err := s.Put(t.Context(), key, strings.NewReader(key)); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				if got, err := store.ReadAll(t.Context(), s, key); err != nil || string(got) != key {
					t.Errorf("ReadAll(%s) = %q, %v", key, got, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantKeys(t, s, "")
}

func list(t *testing.T, s store.Store, prefix string) (infos []store.Info) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Errorf("List(%q): %v", prefix, err)
			break
		}
		infos = append(infos, info)
	}
	return infos
}

func wantKeys(t *testing.T, s store.Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	for _, info := range list(t, s, prefix) {
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		for i := range got {
			if i >= len(want) || got[i] != want[i] {
				got, want = got[i:], want[min(i, len(want)):]
				t.Errorf("List(%q) differs from item %d on: got %.5q…, want %.5q…", prefix, i, got[:min(5, len(got))], want[:min(5, len(want))])
				return
			}
		}
		t.Errorf("List(%q) yielded %d keys, want %d: it ends before %q", prefix, len(got), len(want), want[len(got)])
	}
}
