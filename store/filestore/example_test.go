package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strings"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/filestore"
)

func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	s, err := filestore.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Put(ctx, "jobs/x/out/0", strings.NewReader("a result")); err != nil {
		log.Fatal(err)
	}
	// A task that ran twice commits once.
	err = s.Put(ctx, "jobs/x/out/0", strings.NewReader("another result"))
	fmt.Println(errors.Is(err, fs.ErrExist))

	// Another process opens the store by its URL.
	again, err := store.Open(ctx, s.URL())
	if err != nil {
		log.Fatal(err)
	}
	for info, err := range again.List(ctx, "jobs/x/out/") {
		if err != nil {
			log.Fatal(err)
		}
		content, err := store.ReadAll(ctx, again, info.Key)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", info.Key, content)
	}
	// Output:
	// true
	// jobs/x/out/0: a result
}

func ExampleStore_File() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	s, err := filestore.Open(dir, filestore.Sync())
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Put(ctx, "values/v", strings.NewReader("large")); err != nil {
		log.Fatal(err)
	}
	path, err := s.File(ctx, "values/v")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimPrefix(path, dir))
	// Output: /values,/v
}
