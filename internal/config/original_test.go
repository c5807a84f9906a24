package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// with makes the files of the original, and reads the configuration with a file of ours that says text.
func with(t *testing.T, credentials, parameters, text string) *File {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	for name, text := range map[string]string{"CREDENTIALS": credentials, "PARAMETERS": parameters, EnvFile: text} {
		t.Setenv(name, "")
		if text == "" {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, path)
	}
	t.Chdir(dir)
	f, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOriginal(t *testing.T) {
	const (
		one = `{"_BATCH_ACCOUNT_URL": "https://a.r.batch.azure.com", "_STORAGE_ACCOUNT_NAME": "s", "_STORAGE_ACCOUNT_KEY": "aHVzaA==",
		        "_AD_TENANT": "t", "_AD_BATCH_CLIENT_ID": "c", "_AD_SECRET_BATCH": "hush"}`
		two = `[` + one + `, {"_BATCH_ACCOUNT_URL": "https://b.q.batch.azure.com", "_STORAGE_ACCOUNT_NAME": "s2"}]`
		dev = `{"_BATCH_ACCOUNT_URL": "http://127.0.0.1:1", "_STORAGE_ACCOUNT_NAME": "x", "_STORAGE_ACCOUNT_URL": "http://127.0.0.1:2/x"}`
	)
	const defaults = "nodes=1&pool=BatchPool_1&retries=0&slots=1&vmsize=Standard_E2s_v3"
	for _, test := range []struct {
		name                          string
		credentials, parameters, file string
		env, options                  Choice
		engine, store                 string
		task                          Task
	}{
		{"one account", one, "", "", Choice{}, Choice{}, "azbatch://a.r.batch.azure.com?" + defaults, "azblob://s/azureclusterlesshpctemp", Task{Nodes: 1, Cores: 1}},
		{"emulators", dev, `{"_BLOB_CONTAINER": "c"}`, "", Choice{}, Choice{}, "azbatch://127.0.0.1:1?http=true&" + defaults, "azblob://127.0.0.1:2/x/c?protocol=http", Task{Nodes: 1, Cores: 1}},
		{"pools are dealt to accounts", two, `{"_POOL_COUNT": "3", "_POOL_ID": "P", "_MPI_RUN": "1", "_INTER_NODE_CONNECTION": "1", "_NUM_NODES_PER_TASK": "2",
			"_NUM_PROCS_PER_NODE": "4", "_OMP_NUM_THREADS": "2", "_NUM_RETRYS": "2"}`, "", Choice{}, Choice{},
			"azbatch://a.r.batch.azure.com?internode=true&nodes=1&place=b.q.batch.azure.com%2FP_2&pool=P_1%2CP_3&retries=2&slots=8&vmsize=Standard_E2s_v3",
			"azblob://s/azureclusterlesshpctemp", Task{Nodes: 2, RanksPerNode: 4, Threads: 2}},
		{"our file overrides settings", one, "", "[azbatch]\npool = 'mine'\nmaxspot = 5\nvmsize = 'Standard_D4s_v5'\n", Choice{}, Choice{},
			"azbatch://a.r.batch.azure.com?maxspot=5&pool=mine&retries=0&slots=1&vmsize=Standard_D4s_v5", "azblob://s/azureclusterlesshpctemp", Task{Nodes: 1, Cores: 1}},
		{"our file overrides the store", one, "", "store = 'azblob://o/c'\n", Choice{}, Choice{}, "azbatch://a.r.batch.azure.com?" + defaults, "azblob://o/c", Task{Nodes: 1, Cores: 1}},
		{"our file overrides the engine", one, "", "engine = 'local:'\n", Choice{}, Choice{}, "local:", "", Task{}},
		{"the environment overrides", one, "", "", Choice{Engine: "local:"}, Choice{}, "local:", "", Task{}},
		{"options override", one, "", "engine = 'local:'\n", Choice{}, Choice{Engine: "azbatch://a.r.batch.azure.com?nodes=7"},
			"azbatch://a.r.batch.azure.com?" + strings.Replace(defaults, "nodes=1", "nodes=7", 1), "azblob://s/azureclusterlesshpctemp", Task{Nodes: 1, Cores: 1}},
		{"another account", one, "", "", Choice{Engine: "azbatch://other.r.batch.azure.com?pool=p"}, Choice{}, "azbatch://other.r.batch.azure.com?pool=p", "", Task{}},
		{"parameters alone", "", `{"_POOL_ID": "P"}`, "", Choice{Engine: "azbatch://any.r.batch.azure.com"}, Choice{},
			"azbatch://any.r.batch.azure.com?" + strings.Replace(defaults, "BatchPool", "P", 1), "", Task{Nodes: 1, Cores: 1}},
		{"parameters alone choose nothing", "", `{"_POOL_ID": "P"}`, "", Choice{}, Choice{}, "local:", "", Task{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := with(t, test.credentials, test.parameters, test.file)
			got, err := f.Resolve(test.env, test.options)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := url.PathUnescape(got.Engine.String()); strings.Contains(text, "hush") || strings.Contains(text, "aHVzaA") {
				t.Errorf("a secret is in %s", text)
			}
			if got.Engine.String() != test.engine || got.Store != test.store || got.Task != test.task {
				t.Errorf("%s with %q and %+v\nwant %s with %q and %+v", got.Engine, got.Store, got.Task, test.engine, test.store, test.task)
			}
			if wantMake := test.store != "" && !strings.Contains(test.file, "store"); got.MakeStore != wantMake {
				t.Errorf("MakeStore is %v", got.MakeStore)
			}
		})
	}
}
