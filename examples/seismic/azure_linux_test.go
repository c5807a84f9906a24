package main

import (
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
)

// The same program on Azure Batch and Azure Storage, as the emulators have them; the container is made by the way.
func TestMigrationOnAzure(t *testing.T) {
	storage := azurite.Start(t)
	batch, err := emulator.Start(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	for _, v := range append(batch.Environ(),
		"CLUSTERLESS_STORE=azblob"+strings.TrimPrefix(storage.Endpoint, "http")+"/seismic?protocol=http&create=true",
		"AZURE_STORAGE_ACCOUNT="+storage.Account, "AZURE_STORAGE_KEY="+storage.Key) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	migration(t, "-engine", "azbatch"+strings.TrimPrefix(batch.URL(), "http")+"?http=true&poll=100ms&pool=seismic&vmsize=Standard_D2s_v5&nodes=2")
}
