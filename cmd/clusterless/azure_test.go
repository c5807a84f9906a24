package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/internal/account"
	"github.com/clusterless-go/clusterless/internal/account/accounttest"
	"github.com/clusterless-go/clusterless/internal/config"
)

// azure runs a command, and returns what it says.
func azure(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command()
	cmd.SetArgs(append([]string{"azure"}, args...))
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestAzureUp(t *testing.T) {
	cloud := accounttest.New()
	connect := connectARM
	connectARM = func(id string) (*account.Client, error) { return account.New(id, cloud, cloud.Options()) }
	t.Cleanup(func() { connectARM = connect })
	t.Setenv("AZURE_SUBSCRIPTION_ID", "")
	t.Setenv("HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "clusterless.toml")

	if _, err := azure(t, "", "up", "--region", "westeurope"); err == nil || !strings.Contains(err.Error(), "which subscription") {
		t.Errorf("without a subscription: %v", err)
	}
	t.Setenv("AZURE_SUBSCRIPTION_ID", accounttest.Subscription)
	for stdin, want := range map[string]string{"": "nobody answered", "n\n": ""} {
		said, err := azure(t, stdin, "up", "--region", "westeurope")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || len(cloud.Changes) > 0 {
			t.Errorf("answered %q: %v; changes: %q", stdin, err, cloud.Changes)
		}
		for _, line := range []string{"make     resource group clusterless in westeurope\n", "What costs money:\n", "what is stored", "none is made now", " USD dedicated, ", "Make this? [y/N]"} {
			if !strings.Contains(said, line) {
				t.Errorf("it does not say %q:\n%s", line, said)
			}
		}
	}

	// It fails half-way, goes on, and then has nothing to do.
	cloud.Fail = "batchAccounts/"
	said, err := azure(t, "y\n", "up", "--region", "westeurope,northeurope", "--write", file)
	if err == nil || !strings.Contains(err.Error(), "give the command again") || !strings.Contains(said, "made     storage account") {
		t.Errorf("half-way: %v\n%s", err, said)
	}
	said, err = azure(t, "", "up", "--region", "westeurope,northeurope", "--write", file, "--yes")
	if err != nil || !strings.Contains(said, "is there storage account") || !strings.Contains(said, "made     Batch account") || !strings.Contains(said, "wrote "+file) {
		t.Errorf("the second time: %v\n%s", err, said)
	}
	changes := len(cloud.Changes)
	if _, err := azure(t, "", "up", "--region", "westeurope,northeurope", "--write", file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("it overwrites the file: %v", err)
	}
	said, err = azure(t, "", "up", "--region", "westeurope,northeurope")
	text, _ := os.ReadFile(file)
	if err != nil || strings.Contains(said, "make ") || !strings.HasSuffix(said, string(text)) || len(cloud.Changes) != changes {
		t.Errorf("with nothing to do: %v\n%s", err, said)
	}

	// What it writes is a configuration, of the accounts that there are.
	t.Setenv(config.EnvFile, file)
	set, err := (&flags{}).settled()
	if err != nil {
		t.Fatal(err)
	}
	q := set.Engine.Query()
	if set.Engine.Scheme != "azbatch" || !strings.HasSuffix(set.Engine.Host, ".westeurope.batch.azure.com") || !strings.HasSuffix(q.Get("place"), ".northeurope.batch.azure.com/small") ||
		!strings.HasPrefix(set.Store, "azblob://clusterless") || !strings.HasSuffix(q.Get("identity"), "/clusterless-nodes") {
		t.Errorf("the configuration comes to %s, %s", set.Engine, set.Store)
	}

	if said, err := azure(t, "n\n", "delete"); err != nil || !strings.Contains(said, "with its pools") || len(cloud.Changes) != changes {
		t.Errorf("not to be deleted: %v\n%s", err, said)
	}
	if said, err := azure(t, "", "delete", "--yes"); err != nil || !strings.Contains(said, "deleted  resource group clusterless") {
		t.Errorf("delete: %v\n%s", err, said)
	}
	if said, err := azure(t, "", "delete", "--yes"); err != nil || !strings.Contains(said, "nothing to delete") {
		t.Errorf("delete again: %v\n%s", err, said)
	}
}
