package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// A program on a pool whose nodes have a managed identity: they open the store by it, and no job has a token. Azurite takes
// identities over https only, and what trusts its certificate are processes of their own, the emulator too.
func TestAzureIdentity(t *testing.T) {
	cert, key := azurite.Certificate(t)
	storage := azurite.Start(t, "--oauth", "basic", "--cert", cert, "--key", key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/azureidentity",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, value := range map[string]string{"HOME": e.WorkDir + "/home", "CLUSTERLESS_DIR": e.WorkDir + "/dir", "SSL_CERT_FILE": cert, "TASK_CERTIFICATES": cert,
				"ADDRESS": address, "STATE": filepath.Dir(cert) + "/account", "CLUSTERLESS_ENGINE": "azbatch://" + address + "?http=true&poll=100ms&pool=small",
				"CLUSTERLESS_STORE":     "azblob" + strings.TrimPrefix(storage.Endpoint, "https") + "/jobs",
				"AZURE_STORAGE_ACCOUNT": storage.Account, "AZURE_STORAGE_KEY": storage.Key} {
				e.Setenv(name, value)
			}
			return nil
		},
	})
}

func init() { programs["accounthelper"] = accountHelper }

// accountHelper does what scripts need of the services beside the command line: container URL; identify ENDPOINT POOL ID; secrets
// ENDPOINT, which fails if a Batch job has something signed.
func accountHelper() {
	if err := helpAccount(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func helpAccount(ctx context.Context, what string, args []string) error {
	switch what {
	case "container":
		s, err := blobstore.Open(args[0])
		if err != nil {
			return err
		}
		return s.Create(ctx)
	case "identify":
		body, err := json.Marshal(map[string]string{"resourceId": args[2]})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, args[0]+"/admin/pools/"+args[1]+"/identity", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			return fmt.Errorf("identify: %s", resp.Status)
		}
		return nil
	case "secrets":
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return err
		}
		client, err := sdk.NewClient(args[0], credential, &sdk.ClientOptions{ClientOptions: azcore.ClientOptions{InsecureAllowCredentialWithHTTP: true}})
		if err != nil {
			return err
		}
		n := 0
		for pages := client.NewListJobsPager(nil); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, j := range page.Value {
				b, err := json.Marshal(j)
				if err != nil {
					return err
				}
				if n++; bytes.Contains(b, []byte("sig=")) || bytes.Contains(b, []byte("STORE_TOKEN")) {
					return fmt.Errorf("there is something secret in %s", b)
				}
			}
		}
		fmt.Println(n, "jobs have no secrets")
		return nil
	}
	return fmt.Errorf("no %s", what)
}
