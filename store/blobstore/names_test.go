package blobstore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// keys are all of up to n characters from an alphabet in which a mark of gocloud.dev is one.
func keys(n int) (all []string) {
	var grow func(key string, left int)
	grow = func(key string, left int) {
		if store.CheckKey(key) == nil {
			all = append(all, key)
		}
		if left > 0 {
			for _, c := range []string{"+", "-", ".", "/", "0", "_", "__0x", "x"} {
				grow(key+c, left-1)
			}
		}
	}
	grow("", n)
	slices.Sort(all)
	return slices.Compact(all)
}

func TestNames(t *testing.T) {
	all := keys(5)
	names := make([]string, len(all))
	for i, key := range all {
		name := blobstore.BlobName(key)
		names[i] = name
		if back, ok := blobstore.KeyOf(name); back != key || !ok {
			t.Fatalf("key %q is blob %q, which is key %q, %t", key, name, back, ok)
		}
		for segment := range strings.SplitSeq(name, "/") {
			if strings.HasSuffix(segment, ".") || strings.Contains(segment, "__0x0_") {
				t.Fatalf("key %q is blob %q, whose segment %q is not safe", key, name, segment)
			}
		}
		for n := range len(key) + 1 {
			if p := blobstore.NamePrefix(key[:n]); !strings.HasPrefix(name, p) {
				t.Fatalf("key %q begins with %q, but its blob %q not with %q", key, key[:n], name, p)
			}
		}
	}
	if !slices.IsSorted(names) {
		t.Error("names are in another order than keys")
	}
	// What does not begin with the prefix of a key does not begin with that of its name either.
	few := keys(3)
	for _, prefix := range few {
		for _, key := range few {
			if got := strings.HasPrefix(blobstore.BlobName(key), blobstore.NamePrefix(prefix)); got != strings.HasPrefix(key, prefix) {
				t.Fatalf("blob %q of key %q begins with %q: %t", blobstore.BlobName(key), key, blobstore.NamePrefix(prefix), got)
			}
		}
	}
	for key, want := range map[string]string{
		"jobs/x-1/out/0.5+a": "jobs/x-1/out/0.5+a",
		"v1./a":              "v1.(/a",
		"...":                ".''!",
		"a__0x2f__b":         "a__0x!2f__b",
	} {
		if got := blobstore.BlobName(key); got != want {
			t.Errorf("key %q is blob %q, want %q", key, got, want)
		}
	}
	for _, foreign := range []string{"a b", "a.", "x!", "a/", "ä", ""} {
		if key, ok := blobstore.KeyOf(foreign); ok {
			t.Errorf("blob %q, which no store put there, is key %q", foreign, key)
		}
	}
}
