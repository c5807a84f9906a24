package main

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// The command line and a program, on Azure Batch and Azure Storage as the emulators have them.
func TestAzure(t *testing.T) {
	storage := azurite.Start(t)
	store := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/jobs?protocol=http"
	s, err := blobstore.Open(store, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	engine := "azbatch" + strings.TrimPrefix(batch.URL(), "http") + "?http=true&poll=100ms"
	env := append(batch.Environ(), "AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key, "CLUSTERLESS_STORE="+store)
	for _, v := range env { // for waitlog, too
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/azure",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"waitjob": waitJob, "waitlog": waitLog},
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, env...)
			e.Setenv("CLUSTERLESS_ENGINE", engine)
			e.Setenv("CLUSTERLESS_DIR", e.Getenv("WORK")+"/dir")
			e.Setenv("HOME", e.Getenv("WORK")+"/home")
			e.Setenv("WAIT_ENGINE", engine+"&pool=small")
			return nil
		},
	})
}
