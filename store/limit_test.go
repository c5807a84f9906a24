package store_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem(t)
		put(t, m, "k", "x")
		s := store.Limit(m, 3)
		var now, most atomic.Int32
		slow := func() {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			now.Add(-1)
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				s.Put(t.Context(), "new/"+strings.Repeat("x", i+1), store.Source(func(io.Writer) error { slow(); return nil }))
			})
			wg.Go(func() {
				r, err := s.Get(t.Context(), "k")
				if err != nil {
					t.Error(err)
					return
				}
				slow()
				r.Close()
				r.Close() // gives its turn back once
			})
		}
		wg.Wait()
		if most.Load() != 3 {
			t.Errorf("%d operations at once, want 3", most.Load())
		}
	})
}

// TestLimitDuringList gets each blob that a List yields, with a limit of one.
func TestLimitDuringList(t *testing.T) {
	m := mem(t)
	for _, k := range []string{"a", "b", "c"} {
		put(t, m, k, k)
	}
	s := store.Limit(m, 1)
	n := 0
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.ReadAll(t.Context(), s, info.Key); string(got) != info.Key {
			t.Errorf("ReadAll(%s) = %q, %v", info.Key, got, err)
		}
		if n++; n == 2 {
			break
		}
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "none"); err == nil {
		t.Error("Get of a missing blob succeeded")
	}
	if err := s.Delete(t.Context(), "b"); err != nil { // the Get that failed gave its turn back
		t.Error(err)
	}
}

func TestLimitEndsWithTheContext(t *testing.T) {
	m := mem(t)
	put(t, m, "k", "x")
	s := store.Limit(m, 1)
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get in the queue = %v, want context.Canceled", err)
	}
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("List in the queue: %v, want context.Canceled", err)
		}
	}
}
