package filestore_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

var small = strings.Repeat("x", 4096)

func BenchmarkPutSmall(b *testing.B)     { benchPut(b, len(small)) }
func BenchmarkPutSmallSync(b *testing.B) { benchPut(b, len(small), filestore.Sync()) }

// BenchmarkPut8MB puts memory that writes itself.
func BenchmarkPut8MB(b *testing.B) { benchPut(b, 8<<20) }

func benchPut(b *testing.B, size int, opts ...filestore.Option) {
	s := open(b, b.TempDir(), opts...)
	content := make([]byte, size)
	b.SetBytes(int64(size))
	i := 0
	for b.Loop() {
		key := fmt.Sprintf("jobs/x/out/%d", i)
		i++
		if err := s.Put(b.Context(), key, bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
		if size > 1<<20 { // so that the disk is not what is measured
			b.StopTimer()
			s.Delete(b.Context(), key)
			b.StartTimer()
		}
	}
}

func BenchmarkPutSmallParallel(b *testing.B) {
	s := open(b, b.TempDir())
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			put(b, s, fmt.Sprintf("jobs/x/out/%d", n.Add(1)), small)
		}
	})
}

func BenchmarkPutTaken(b *testing.B) {
	s := open(b, b.TempDir())
	put(b, s, "values/v", small)
	for b.Loop() {
		if err := s.Put(b.Context(), "values/v", strings.NewReader(small)); err == nil {
			b.Fatal("put twice")
		}
	}
}

func BenchmarkReadAllSmall(b *testing.B) {
	s := open(b, b.TempDir())
	put(b, s, "jobs/x/out/0", small)
	for b.Loop() {
		if _, err := store.ReadAll(b.Context(), s, "jobs/x/out/0"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetMissing(b *testing.B) {
	s := open(b, b.TempDir())
	for b.Loop() {
		if _, err := s.Get(b.Context(), "jobs/x/out/0"); err == nil {
			b.Fatal("found it")
		}
	}
}

func BenchmarkList10k(b *testing.B) {
	s := open(b, b.TempDir())
	for i := range 10_000 {
		put(b, s, fmt.Sprintf("jobs/x/out/%d", i), "")
	}
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "jobs/x/") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 10_000 {
			b.Fatal(n)
		}
	}
}
