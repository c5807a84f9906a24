//go:build unix

package cache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/clusterless-go/clusterless/internal/cache"
)

func TestMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	content := noise(100_000)
	if err := os.WriteFile(path, content, 0o444); err != nil {
		t.Fatal(err)
	}
	a, b := mapped(t, path), mapped(t, path)
	if !bytes.Equal(a, content) {
		t.Error("the mapping differs from the file")
	}
	a[0]++
	a[len(a)-1]++
	if !bytes.Equal(b, content) {
		t.Error("a write to one mapping shows in another")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		if err := cache.Reset(a); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, content) {
			t.Error("what was written is still there after Reset")
		}
	}
	a[1]++ // can be written to again
}

func TestMapEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	b := mapped(t, path)
	if b == nil || len(b) != 0 {
		t.Errorf("Map of an empty file = %v, want an empty slice that is not nil", b)
	}
	if err := cache.Reset(b); err != nil && runtime.GOOS == "linux" {
		t.Error(err)
	}
	if _, err := cache.Map(path + "x"); !os.IsNotExist(err) && err == nil {
		t.Errorf("Map of a missing file = %v", err)
	}
}

func mapped(t *testing.T, path string) []byte {
	t.Helper()
	b, err := cache.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Unmap(b); err != nil {
			t.Error(err)
		}
	})
	return b
}
