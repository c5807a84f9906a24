package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// What a client proves to be with.
const (
	tenant       = "11111111-2222-3333-4444-555555555555"
	clientID     = "66666666-7777-8888-9999-000000000000"
	clientSecret = "hush-this-is-the-secret-of-the-client"
)

// authority is Entra ID on this machine: it gives the client a token for a Batch account.
func authority(t *testing.T, batch *emulator.Server) (s *httptest.Server, certificate string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		base := s.URL + "/" + tenant
		switch r.URL.Path {
		case "/" + tenant + "/v2.0/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"token_endpoint": "%[1]s/oauth2/v2.0/token", "authorization_endpoint": "%[1]s/oauth2/v2.0/authorize", "issuer": "%[1]s/v2.0"}`, base)
		case "/" + tenant + "/oauth2/v2.0/token":
			if r.PostFormValue("client_id") != clientID || r.PostFormValue("client_secret") != clientSecret || r.PostFormValue("grant_type") != "client_credentials" ||
				!strings.HasPrefix(r.PostFormValue("scope"), "https://batch.core.windows.net/") {
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(w, `{"error": "invalid_client", "error_description": "who is that?"}`)
				return
			}
			token, err := batch.Credential().GetToken(r.Context(), policy.TokenRequestOptions{})
			if err != nil {
				t.Error(err)
			}
			asked.Add(1)
			json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": token.Token})
		default:
			http.NotFound(w, r)
		}
	}))
	s.StartTLS()
	t.Cleanup(s.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(certificate, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, certificate, asked
}

// A program runs on Azure with nothing but the two files of the original: as its client, on pools of theirs, in a container that
// it makes. No secret shows anywhere.
func TestOriginalFiles(t *testing.T) {
	storage := azurite.Start(t)
	batch, err := emulator.Start(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	entra, certificate, asked := authority(t, batch)

	dir := t.TempDir()
	write := func(name string, v map[string]string) {
		b, err := json.MarshalIndent(v, "", "    ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("credentials.json", map[string]string{"_AD_TENANT": tenant, "_AD_BATCH_CLIENT_ID": clientID, "_AD_SECRET_BATCH": clientSecret, "_BATCH_ACCOUNT_URL": batch.URL(),
		"_BATCH_RESOURCE": "https://batch.core.windows.net/", "_STORAGE_ACCOUNT_NAME": storage.Account, "_STORAGE_ACCOUNT_KEY": storage.Key, "_STORAGE_ACCOUNT_URL": storage.Endpoint})
	write("parameters.json", map[string]string{"_POOL_ID": "OldPool", "_POOL_VM_SIZE": "Standard_E2s_v3", "_NODE_OS_PUBLISHER": "Canonical", "_NODE_OS_OFFER": "UbuntuServer",
		"_NODE_OS_SKU": "18.04", "_BLOB_CONTAINER": "oldtemp", "_JULIA_DEPOT_PATH": "/x", "_VERBOSE": "1"})

	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...) // which TestMain has put into PATH
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "CLUSTERLESS_DIR="+filepath.Join(dir, "state"),
			"SSL_CERT_FILE="+certificate, "AZURE_AUTHORITY_HOST="+entra.URL, "CLUSTERLESS_LOG=debug")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	said := run("clusterless", "doctor")
	for _, want := range []string{"credentials.json\n", "parameters.json\n", "_JULIA_DEPOT_PATH is ignored", "UbuntuServer 18.04 is gone", "there is no pool OldPool_1; the first job makes it", "ran on tvmps_"} {
		if !strings.Contains(said, want) {
			t.Errorf("the doctor does not say %q:\n%s", want, said)
		}
	}
	said += run("program", "numbers", "1", "2", "3")
	said += run("clusterless", "status", "numbers")
	if !strings.Contains(said, "calls     3/3 done, 0 failed") {
		t.Errorf("the job has not run:\n%s", said)
	}
	if asked.Load() == 0 {
		t.Error("nobody asked for a token as the client")
	}

	holdings := bytes.NewBufferString(said)
	service(t, batch, holdings)
	blobs(t, storage, holdings)
	for _, secret := range []string{clientSecret, storage.Key} {
		if i := bytes.Index(holdings.Bytes(), []byte(secret)); i >= 0 {
			t.Errorf("a secret is in …%s…", holdings.Bytes()[max(0, i-300):i])
		}
	}
}

// service writes all that the Batch account holds.
func service(t *testing.T, batch *emulator.Server, w io.Writer) {
	t.Helper()
	client, err := sdk.NewClient(batch.URL(), batch.Credential(), batch.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	put := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
	}
	p, err := client.GetPool(t.Context(), "OldPool_1", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s, %d slots, %d nodes, %s", strings.ToLower(*p.VMSize), *p.TaskSlotsPerNode, *p.CurrentDedicatedNodes, *p.VirtualMachineConfiguration.ImageReference.Offer)
	if want := "standard_e2s_v3, 1 slots, 1 nodes, ubuntu-24_04-lts"; got != want {
		t.Errorf("the pool: %s; want %s", got, want)
	}
	put(p)
	jobs := 0
	for pages := client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Value {
			jobs++
			put(page.Value[i])
			for tasks := client.NewListTasksPager(*page.Value[i].ID, nil); tasks.More(); {
				some, err := tasks.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				put(some)
			}
		}
	}
	if jobs == 0 {
		t.Error("the account has no job")
	}
}

// blobs writes all that the container holds.
func blobs(t *testing.T, storage *azurite.Server, w io.Writer) {
	t.Helper()
	s, err := blobstore.Open("azblob"+strings.TrimPrefix(storage.Endpoint, "http")+"/oldtemp?protocol=http", blobstore.WithKey(storage.Key))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		fmt.Fprintln(w, info.Key)
		if strings.HasPrefix(info.Key, "programs/") {
			continue // of this test, with the secrets that it made up
		}
		r, err := s.Get(context.Background(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Error("the container is empty")
	}
}
