package azlogin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/clusterless-go/clusterless/internal/azlogin"
	"github.com/clusterless-go/clusterless/internal/original"
)

// An account's URL may be written without a scheme, and the file may come from an editor of Windows.
func TestOddURLs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials.json")
	for _, url := range []string{"https://acc.westeurope.batch.azure.com/", "acc.westeurope.batch.azure.com", "HTTPS://Acc.WestEurope.batch.azure.com"} {
		text := fmt.Sprintf("\uFEFF"+`{"_BATCH_ACCOUNT_URL": %q, "_STORAGE_ACCOUNT_NAME": "store", "_STORAGE_ACCOUNT_KEY": "a2V5", "_STORAGE_ACCOUNT_URL": "store.example.org",
			"_AD_TENANT": "t", "_AD_BATCH_CLIENT_ID": "c", "_AD_SECRET_BATCH": "secret"}`, url)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(original.EnvCredentials, file)
		c, err := azlogin.Batch("https://acc.westeurope.batch.azure.com")
		if got := fmt.Sprintf("%T", c); err != nil || got != "*azidentity.ClientSecretCredential" {
			t.Errorf("%s: a credential %s, %v; want the client of the file", url, got, err)
		}
		if c, err := azlogin.Batch("https://other.westeurope.batch.azure.com"); err != nil || fmt.Sprintf("%T", c) != "*azidentity.DefaultAzureCredential" {
			t.Errorf("of another account: %T, %v", c, err)
		}
		if key, _, _, err := azlogin.Storage("store", "https://store.example.org"); err != nil || key.Reveal() != "a2V5" {
			t.Errorf("%s: the key of the storage is not found: %v", url, err)
		}
	}
}
