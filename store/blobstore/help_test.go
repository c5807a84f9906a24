package blobstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// newStore makes a container, opened with the account's key, which is removed after the test.
func newStore(t testing.TB, server *azurite.Server) *blobstore.Store {
	t.Helper()
	s := open(t, url(server.Endpoint, "test-"+strings.ToLower(rand.Text())), blobstore.WithKey(server.Key))
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(context.Background()); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
	return s
}

// url is that of a container at an endpoint of Azurite.
func url(endpoint, container string) string {
	return "azblob" + strings.TrimPrefix(endpoint, "http") + "/" + container + "?protocol=http"
}

func open(t testing.TB, url string, opts ...blobstore.Option) *blobstore.Store {
	t.Helper()
	s, err := blobstore.Open(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s store.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func wantBlob(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	if got, err := store.ReadAll(t.Context(), s, key); err != nil || string(got) != want {
		t.Errorf("ReadAll(%s) = %.40q (%d bytes), %v, want %.40q (%d bytes)", key, got, len(got), err, want, len(want))
	}
}

func wantKeys(t testing.TB, s store.Store, want ...string) {
	t.Helper()
	var got []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Errorf("List: %v", err)
		}
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
}

// numbered writes n bytes in which every line has its number.
func numbered(n int64) *store.Written {
	return store.Source(func(w io.Writer) error {
		const line = 32 << 10
		buf := make([]byte, line)
		for off := int64(0); off < n; off += line {
			copy(buf, fmt.Sprintf("%020d\n", off))
			if _, err := w.Write(buf[:min(line, n-off)]); err != nil {
				return err
			}
		}
		return nil
	})
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s", what)
		}
	}
}
