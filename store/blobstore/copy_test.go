package blobstore_test

import (
	"errors"
	"io/fs"
	"net/http"
	neturl "net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
	"github.com/clusterless-go/clusterless/store/filestore"
)

// TestCopy copies between containers of a server, between servers that do not reach each other, and from and to files.
func TestCopy(t *testing.T) {
	here, there := azurite.Start(t), azurite.Start(t)
	a, b, far := newStore(t, here), newStore(t, here), newStore(t, there)
	files, err := filestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const size = 17*mib + 5
	if err := a.Put(t.Context(), "k/large", numbered(size)); err != nil {
		t.Fatal(err)
	}
	put(t, a, "k/small..", "content")

	var moved atomic.Int64 // bytes that were put, or gotten, through this process
	count := func(s *blobstore.Store, server *azurite.Server) *blobstore.Store {
		return meddling(t, server, s, func(r *http.Request) int {
			moved.Add(max(0, r.ContentLength))
			if r.Method == http.MethodGet && r.URL.Query().Get("comp") == "" {
				moved.Add(size)
			}
			return 0
		})
	}
	for _, c := range []struct {
		name     string
		dst, src store.Store
		direct   bool
	}{
		{"within a service", count(b, here), a, true},
		{"decorated", store.Retry(store.Limit(count(newStore(t, here), here), 2), store.Policy{}), store.Limit(store.Retry(a, store.Policy{}), 2), true},
		{"from what opened with a token", count(newStore(t, here), here), open(t, a.URL(), blobstore.WithToken(token(t, a, time.Hour, blobstore.Read))), true},
		{"to another service", count(far, there), a, false},
		{"to files", files, a, false},
		{"from files", count(newStore(t, there), there), files, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			moved.Store(0)
			for _, key := range []string{"k/large", "k/small.."} {
				if err := store.Copy(t.Context(), c.dst, c.src, key); err != nil {
					t.Errorf("Copy of %s: %v", key, err)
				}
			}
			wantKeys(t, c.dst, "k/large", "k/small..")
			if n := moved.Load(); c.direct && n > 0 {
				t.Errorf("%d bytes passed through this process", n)
			}
			wantNumbered(t, c.dst, "k/large", size)
			wantBlob(t, c.dst, "k/small..", "content")
			if err := store.Copy(t.Context(), c.dst, c.src, "missing"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Copy of a key that is not there: %v, want fs.ErrNotExist", err)
			}
			switch err := store.Copy(t.Context(), c.dst, c.src, "k/large"); {
			case c.direct && err != nil:
				t.Errorf("Copy again: %v", err)
			case !c.direct && !errors.Is(err, fs.ErrExist):
				t.Errorf("Copy again: %v, want fs.ErrExist", err)
			}
		})
	}
	t.Run("taken", func(t *testing.T) {
		dst := newStore(t, here)
		put(t, dst, "k/large", "another")
		if err := store.Copy(t.Context(), dst, a, "k/large"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Copy to a taken key: %v, want fs.ErrExist", err)
		}
		wantBlob(t, dst, "k/large", "another")
	})
	t.Run("lost answer", func(t *testing.T) {
		dst := newStore(t, here)
		s := meddling(t, here, dst, first(2, lost, isCommit))
		if err := store.Copy(t.Context(), s, a, "k/large"); err != nil {
			t.Errorf("Copy whose answer was lost: %v", err)
		}
		wantNumbered(t, dst, "k/large", size)
	})
	t.Run("signed for a while", func(t *testing.T) {
		signed, err := a.SignedURL(t.Context(), "k/small..", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		get := func(u string) int {
			resp, err := http.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if status := get(signed); status != http.StatusOK {
			t.Errorf("a GET of the signed URL answers %d", status)
		}
		other, err := neturl.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		other.Path = strings.Replace(other.Path, "small", "large", 1)
		if status := get(other.String()); status != http.StatusForbidden {
			t.Errorf("a GET of another blob by the signature answers %d, want 403", status)
		}
		eventually(t, "the signature expires", func() bool { return get(signed) == http.StatusForbidden })
	})
}
