package original

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// credentials is a file as the original's documentation shows it.
const credentials = `{
    "_AD_TENANT": "11111111-2222-3333-4444-555555555555",
    "_AD_BATCH_CLIENT_ID": "66666666-7777-8888-9999-000000000000",
    "_AD_SECRET_BATCH": "hush-client",
    "_BATCH_ACCOUNT_URL": "https://mybatch.westus2.batch.azure.com/",
    "_BATCH_RESOURCE": "https://batch.core.windows.net/",
    "_REGION": "westus2",
    "_STORAGE_ACCOUNT_NAME": "mystorage",
    "_STORAGE_ACCOUNT_KEY": "aHVzaC1zdG9yYWdl",
    "_APP_INSIGHTS_APP_ID": "x"
}`

// place makes a working directory and an empty home, with no variable set.
func place(t *testing.T) (work string) {
	t.Helper()
	home, work := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Setenv(EnvCredentials, "")
	t.Setenv(EnvParameters, "")
	t.Chdir(work)
	return work
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentials(t *testing.T) {
	work := place(t)
	if f, err := Find(); f != nil || err != nil {
		t.Fatalf("no files: %+v, %v", f, err)
	}
	write(t, "credentials.json", credentials)
	f, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	want := []Account{{BatchURL: "https://mybatch.westus2.batch.azure.com", Region: "westus2", StorageAccount: "mystorage",
		Tenant: "11111111-2222-3333-4444-555555555555", Client: "66666666-7777-8888-9999-000000000000", Secret: Secret{"hush-client"}, StorageKey: Secret{"aHVzaC1zdG9yYWdl"}}}
	if !reflect.DeepEqual(f.Accounts, want) || filepath.Dir(f.CredentialsPath) != resolved(t, work) || f.ParametersPath != "" {
		t.Errorf("%+v; want %+v", f, want)
	}
	if notes := strings.Join(f.Notes, "\n"); notes != "credentials.json: _APP_INSIGHTS_APP_ID is ignored: nodes run no insights agent" {
		t.Errorf("notes: %s", notes)
	}
	if p := f.Parameters; p.PoolID != "BatchPool" || p.PoolCount != 1 || p.NodesPerPool != 1 || p.VMSize != "Standard_E2s_v3" || p.BlobContainer != "azureclusterlesshpctemp" ||
		p.Image != "" || p.Container != "" || p.InterNode || p.Retries != 0 || p.MPI || p.NodesPerTask != 1 || p.ProcsPerNode != 1 || p.Threads != 1 {
		t.Errorf("defaults: %+v", p)
	}

	write(t, "credentials.json", "["+credentials+`, {"_BATCH_ACCOUNT_NAME": "b", "_REGION": "eastus", "_STORAGE_ACCOUNT_NAME": "s", "_AD_TENANT": null, "_MORE": 1}]`)
	if f, err = Find(); err != nil {
		t.Fatal(err)
	}
	if len(f.Accounts) != 2 || !reflect.DeepEqual(f.Accounts[1], Account{BatchURL: "https://b.eastus.batch.azure.com", Region: "eastus", StorageAccount: "s"}) {
		t.Errorf("%+v", f.Accounts)
	}
	if !strings.Contains(strings.Join(f.Notes, "\n"), "_MORE is ignored") {
		t.Errorf("notes: %q", f.Notes)
	}
}

func resolved(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhere(t *testing.T) {
	work := place(t)
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	write(t, "parameters.json", `{"_POOL_ID": "alone"}`)
	if f, err := Find(); f != nil || err != nil {
		t.Errorf("parameters without credentials: %+v, %v", f, err)
	}
	write(t, "credentials.json", `{"type": "service_account", "client_email": "x"}`) // another program's
	if f, err := Find(); f != nil || err != nil {
		t.Errorf("the files of somebody else: %+v, %v", f, err)
	}
	found := func(credentials, parameters, pool string) {
		t.Helper()
		f, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		if f == nil || !strings.HasSuffix(f.CredentialsPath, credentials) || !strings.HasSuffix(f.ParametersPath, parameters) || f.Parameters.PoolID != pool {
			t.Errorf("%+v; want %q, %q with the pool %s", f, credentials, parameters, pool)
		}
	}
	mine := filepath.Join(config, "clusterless")
	write(t, filepath.Join(mine, "credentials.json"), credentials)
	write(t, filepath.Join(mine, "parameters.json"), `{"_POOL_ID": "mine"}`)
	found("clusterless/credentials.json", "clusterless/parameters.json", "mine")
	write(t, "credentials.json", credentials)
	found(filepath.Base(work)+"/credentials.json", filepath.Base(work)+"/parameters.json", "alone")
	write(t, "elsewhere/p.json", `{"_POOL_ID": "variable"}`)
	t.Setenv(EnvParameters, filepath.Join("elsewhere", "p.json"))
	found("/credentials.json", "elsewhere/p.json", "variable")
	write(t, "dir/credentials.json", credentials)
	t.Setenv(EnvCredentials, "dir")
	found("dir/credentials.json", "elsewhere/p.json", "variable")
	t.Setenv(EnvCredentials, "gone.json")
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), EnvCredentials) {
		t.Errorf("a file that is not there: %v, want an error that names the variable", err)
	}
}

func TestParameters(t *testing.T) {
	place(t)
	write(t, "credentials.json", credentials)
	write(t, "parameters.json", `{
    "_POOL_ID": "MPI", "_POOL_COUNT": "2", "_NODE_COUNT_PER_POOL": 3, "_POOL_VM_SIZE": "Standard_E4s_v3", "_JOB_ID": "BatchJob",
    "_NODE_OS_PUBLISHER": "Canonical", "_NODE_OS_OFFER": "UbuntuServer", "_NODE_OS_SKU": "18.04",
    "_BLOB_CONTAINER": "temp", "_MPI_RUN": "1", "_INTER_NODE_CONNECTION": "1", "_NUM_NODES_PER_TASK": "2", "_NUM_PROCS_PER_NODE": "4",
    "_OMP_NUM_THREADS": "2", "_NUM_RETRYS": "1", "_CONTAINER": "None", "_VERBOSE": "1", "_JULIA_DEPOT_PATH": "/x", "_PYTHONPATH": "/y", "_NEW": "z"}`)
	f, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	want := Parameters{PoolID: "MPI", PoolCount: 2, NodesPerPool: 3, VMSize: "Standard_E4s_v3", BlobContainer: "temp", InterNode: true, Retries: 1, MPI: true,
		NodesPerTask: 2, ProcsPerNode: 4, Threads: 2}
	if f.Parameters != want {
		t.Errorf("%+v; want %+v", f.Parameters, want)
	}
	notes := strings.Join(f.Notes, "\n")
	for _, want := range []string{"_JOB_ID is ignored", "_VERBOSE is ignored", "_JULIA_DEPOT_PATH is ignored: it is for another language's runtime", "_PYTHONPATH is ignored",
		"_NEW is ignored: it is not known", "UbuntuServer 18.04 is gone"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in\n%s", want, notes)
		}
	}
	for _, test := range []struct{ text, want string }{
		{`{"_NUM_NODES_PER_TASK": "2"}`, "_INTER_NODE_CONNECTION is 0"},
		{`{"_NUM_NODES_PER_TASK": "2", "_INTER_NODE_CONNECTION": "0"}`, "_INTER_NODE_CONNECTION is 0"},
		{`{"_POOL_COUNT": "0"}`, `_POOL_COUNT: "0": want a number, at least 1`},
		{`{"_NUM_RETRYS": "often"}`, `_NUM_RETRYS: "often"`},
		{`{"_MPI_RUN": "maybe"}`, "want 0 or 1"},
		{`{"_POOL_ID": ["a"]}`, "_POOL_ID: want a text"},
		{`{"_NODE_OS_OFFER": "debian-12"}`, "belong together"},
		{"{\n\"_POOL_ID\": x}", "parameters.json:2: not JSON"},
	} {
		write(t, "parameters.json", test.text)
		if _, err := Find(); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "parameters.json") {
			t.Errorf("%s: %v, want %q", test.text, err, test.want)
		}
	}
	write(t, "parameters.json", `{"_NODE_OS_PUBLISHER": "debian", "_NODE_OS_OFFER": "debian-12", "_NODE_OS_SKU": "12-gen2", "_CONTAINER": "me/image:1"}`)
	if f, err = Find(); err != nil || f.Parameters.Image != "debian:debian-12:12-gen2" || f.Parameters.Container != "me/image:1" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestBadCredentials(t *testing.T) {
	place(t)
	for _, test := range []struct{ text, want string }{
		{`[]`, "no account"},
		{`{"_AD_TENANT": "t"}`, "no _BATCH_ACCOUNT_URL"},
		{`{"_BATCH_ACCOUNT_URL": "https://b.r.batch.azure.com"}`, "no _STORAGE_ACCOUNT_NAME"},
		{`[` + credentials + `, {"_BATCH_ACCOUNT_URL": "https://b", "_STORAGE_ACCOUNT_NAME": "s", "_AD_SECRET_BATCH": "hush-client"}]`, "account 2: _AD_TENANT, _AD_BATCH_CLIENT_ID and _AD_SECRET_BATCH belong together"},
		{`{"_AD_SECRET_BATCH": "hush-client", "_STORAGE_ACCOUNT_KEY": hush-storage}`, "not JSON"},
		{`{"_AD_SECRET_BATCH": ["hush-client"]}`, "_AD_SECRET_BATCH: want a text"},
		{`"hush-client"`, "want a JSON object"},
	} {
		write(t, "c.json", test.text)
		t.Setenv(EnvCredentials, "c.json")
		_, err := Find()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q and no secret", test.text, err, test.want)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	a := Account{Secret: Secret{"hush-client"}, StorageKey: Secret{"hush-storage"}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "account", a, "secret", a.Secret)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "account", a, "secret", a.Secret)
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(a), fmt.Sprintf("%+v %#v %s %q", a, a, a, a.Secret), fmt.Sprintf("%v", &a), string(b), log.String()} {
		if strings.Contains(text, "hush") {
			t.Errorf("a secret is printed: %s", text)
		}
	}
}
