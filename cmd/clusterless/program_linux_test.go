package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// other makes a program that does the same as this one, and is another file.
func other(t *testing.T, path string) (hash string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, "the end"...) // which nobody loads
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Nodes of another platform get a program that was built for them, which is not the client's: one that the user names, or one that the
// go command builds. That it can build for others, internal/program tests; here it makes one that runs on this machine.
func TestOtherProgram(t *testing.T) {
	storage := azurite.Start(t)
	storeURL := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/jobs?protocol=http"
	blobs, err := blobstore.Open(storeURL, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	t.Setenv("AZURE_STORAGE_ACCOUNT", storage.Account)
	t.Setenv("AZURE_STORAGE_KEY", storage.Key)
	t.Setenv("CLUSTERLESS_STORE", storeURL)
	on := func(platform string) clusterless.Option {
		return clusterless.WithEngine(onEmulator(t, batch, func(c *azbatch.Config) { c.Platform = platform }))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "other")
	hash := other(t, file)
	calls := func(name string, opts ...clusterless.Option) error {
		t.Helper()
		s, err := clusterless.Open(t.Context(), append(opts, clusterless.Dir(filepath.Join(dir, "state")))...)
		if err != nil {
			return err
		}
		defer s.Close()
		job, err := work.On(s, clusterless.Name(name), clusterless.OrAttach(true)).Map(t.Context(), []int{1, 2, 3})
		if err != nil {
			return err
		}
		all, err := job.Results(t.Context())
		if err == nil && (len(all) != 3 || all[2] != 3) {
			t.Errorf("%s: %v", name, all)
		}
		return err
	}
	read := func(key string) []byte {
		t.Helper()
		r, err := blobs.Get(t.Context(), key)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	uses := func(name, hash string) {
		t.Helper()
		if manifest := read("jobs/" + name + "/manifest"); !strings.Contains(string(manifest), `"program":"`+hash+`"`) {
			t.Errorf("%s: the manifest does not name the program %s: %.500s", name, hash, manifest)
		}
		read("programs/" + hash)
	}

	if err := calls("named", on(""), clusterless.Program(file)); err != nil {
		t.Fatal(err)
	}
	uses("named", hash)
	if err := calls("named", on("")); err != nil { // by a client that has not got it
		t.Errorf("attach: %v", err)
	}
	if err := calls("wrong", on("linux/arm64"), clusterless.Program(file)); err == nil || !strings.Contains(err.Error(), "it is for linux/amd64") {
		t.Errorf("a program for another platform: %v", err)
	}
	if err := calls("local", clusterless.Engine("local:"), clusterless.Program(file)); err == nil || !strings.Contains(err.Error(), "ready-made") {
		t.Errorf("on this machine: %v", err)
	}

	const goCommand = `#!/bin/sh
echo "$@" >>$OTHER.log
while [ $# -gt 0 ]; do [ "$1" = -o ] && cp $OTHER "$2"; shift; done
`
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(goCommand), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTHER", file)
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+":"+path)
	if err := calls("built", on("linux/amd64/v4")); err != nil {
		t.Fatal(err)
	}
	uses("built", hash)
	log, err := os.ReadFile(file + ".log")
	if err != nil || !strings.Contains(string(log), "test -c -o ") || !strings.Contains(string(log), "clusterless-go/clusterless/cmd/clusterless\n") {
		t.Errorf("what was built: %v, %s", err, log)
	}
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := calls("again", on("linux/amd64/v4")); err != nil {
		t.Errorf("a second client, which finds what was built: %v", err)
	}
	if err := calls("cannot", on("linux/arm64")); err == nil || !strings.Contains(err.Error(), "CLUSTERLESS_PROGRAM") {
		t.Errorf("what cannot be built: %v", err)
	}
}
