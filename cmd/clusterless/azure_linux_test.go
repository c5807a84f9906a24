package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// The command line and a program, on Azure Batch and Azure Storage as the emulators have them.
func TestAzure(t *testing.T) {
	onAzure(t, "testdata/azure", emulator.Options{})
}

// Commands for what costs money delete all that they find, so they have an account of their own, whose clock runs fast.
func TestAzurePools(t *testing.T) {
	onAzure(t, "testdata/azurepools", emulator.Options{Speed: 300})
}

func onAzure(t *testing.T, dir string, o emulator.Options) {
	storage := azurite.Start(t)
	store := "azblob" + strings.TrimPrefix(storage.Endpoint, "http") + "/jobs?protocol=http"
	s, err := blobstore.Open(store, blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, err := emulator.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	client, err := sdk.NewClient(batch.URL(), batch.Credential(), batch.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	engine := "azbatch" + strings.TrimPrefix(batch.URL(), "http") + "?http=true&poll=100ms"
	env := append(batch.Environ(), "AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key, "CLUSTERLESS_STORE="+store)
	for _, v := range env { // for waitlog, too
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"waitjob": waitJob, "waitlog": waitLog,
			"theirs": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(makeTheirs(client, args[0])) },
			"waitgone": func(ts *testscript.TestScript, _ bool, args []string) {
				for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
					if _, err := client.GetPool(context.Background(), args[0], nil); err != nil {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("the pool %s is still there", args[0])
					}
				}
			}},
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

// makeTheirs makes a pool as others would.
func makeTheirs(client *sdk.Client, id string) error {
	_, err := client.CreatePool(context.Background(), sdk.CreatePoolContent{ID: to.Ptr(id), VMSize: to.Ptr("Standard_D4s_v5"), TargetDedicatedNodes: to.Ptr[int32](1),
		VirtualMachineConfiguration: &sdk.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr("batch.node.ubuntu 24.04"),
			ImageReference: &sdk.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server")}}}, nil)
	return err
}
