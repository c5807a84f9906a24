package cache_test

import (
	"fmt"
	"testing"

	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

const benchSize = 64 << 20

// BenchmarkFile is about files of the store's own: read through once per node, known by a record afterwards.
func BenchmarkFile(b *testing.B) {
	s, err := filestore.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	sum := put(b, s, "v", noise(benchSize))
	file := func(b *testing.B, c *cache.Cache) {
		if _, err := c.File(b.Context(), s, "v", sum, benchSize); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.SetBytes(benchSize)
		dir := b.TempDir()
		for i := 0; b.Loop(); i++ {
			c, err := cache.Open(fmt.Sprint(dir, "/", i))
			if err != nil {
				b.Fatal(err)
			}
			file(b, c)
		}
	})
	b.Run("again", func(b *testing.B) {
		c := open(b)
		for b.Loop() {
			file(b, c)
		}
	})
}

// BenchmarkFetch copies from a store without files.
func BenchmarkFetch(b *testing.B) {
	s := store.Store(mem(b))
	sum := put(b, s, "v", noise(benchSize))
	dir := b.TempDir()
	b.SetBytes(benchSize)
	for i := 0; b.Loop(); i++ {
		c, err := cache.Open(fmt.Sprint(dir, "/", i))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.File(b.Context(), s, "v", sum, benchSize); err != nil {
			b.Fatal(err)
		}
	}
}
