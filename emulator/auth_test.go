package emulator_test

import (
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator"
)

// TestDefaultAzureCredential is a client that knows nothing of the emulator but what an environment says.
func TestDefaultAzureCredential(t *testing.T) {
	o := quick()
	o.HTTPS = true
	a := start(t, o)
	for _, k := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TOKEN_CREDENTIALS"} {
		t.Setenv(k, "")
		os.Unsetenv(k) // t.Setenv puts it back
	}
	for _, e := range a.Environ() {
		k, v, _ := strings.Cut(e, "=")
		t.Setenv(k, v)
	}
	trusting := azcore.ClientOptions{Transport: a.HTTPClient()}
	cred, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: trusting})
	a.must("make a credential", err)
	c, err := azbatch.NewClient(a.URL(), cred, &azbatch.ClientOptions{ClientOptions: trusting})
	a.must("make a client", err)
	if _, err := c.CreatePool(t.Context(), pool("p", 0), nil); err != nil {
		t.Fatal(err)
	}

	// Another emulator has another key.
	other := start(t, emulator.Options{HTTPS: true})
	c, err = azbatch.NewClient(other.URL(), cred, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: other.HTTPClient()}})
	a.must("make a client", err)
	if _, err := c.CreatePool(t.Context(), pool("p", 0), nil); code(err) != "AuthenticationFailed" {
		t.Errorf("got %v, want AuthenticationFailed", err)
	}
}

// TestTaskToken uses the token that a task was given, which is good for its job.
func TestTaskToken(t *testing.T) {
	a := start(t, quick())
	a.addPool(pool("p", 1))
	a.addJob(job("j", "p"))
	a.addJob(job("k", "p"))
	tell := task("t", `/bin/sh -c "echo $AZ_BATCH_AUTHENTICATION_TOKEN"`)
	tell.AuthenticationTokenSettings = &azbatch.AuthenticationTokenSettings{Access: []azbatch.AccessScope{azbatch.AccessScopeJob}}
	a.addTask("j", tell)
	a.addTask("j", task("none", *tell.CommandLine))
	a.completed("j", "t")
	a.completed("j", "none")
	if got := a.file("j", "none", "stdout.txt"); got != "\n" {
		t.Errorf("a task that asked for no token has %d bytes of one", len(got))
	}
	bearer := with("Authorization", "Bearer "+strings.TrimSpace(a.file("j", "t", "stdout.txt")))
	a.ok("GET", "/jobs/j", "", bearer)
	a.ok("POST", "/jobs/j/tasks", set(oneTask, "id", `"child"`), bearer)
	a.refuse(
		bad{method: "GET", path: "/jobs/k", change: bearer, status: 403, code: "InsufficientAccountPermissions"},
		bad{method: "GET", path: "/jobs", change: bearer, status: 403, code: "InsufficientAccountPermissions"},
		bad{method: "DELETE", path: "/pools/p", change: bearer, status: 403, code: "InsufficientAccountPermissions"},
	)
}
