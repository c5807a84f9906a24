//go:build linux

package managed

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/batch/armbatch/v2"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
	"github.com/clusterless-go/clusterless/internal/account/accounttest"
)

const (
	group    = "/subscriptions/" + accounttest.Subscription + "/resourceGroups/g"
	identity = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
)

// start is an emulator whose pools are made through ARM.
func start(t *testing.T) (*emulator.Server, *sdk.Client, *accounttest.Cloud) {
	t.Helper()
	batch, err := emulator.Start(t.Context(), emulator.Options{AllocationTime: -1, BootTime: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { batch.Close() })
	client, err := sdk.NewClient(batch.URL(), batch.Credential(), batch.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	cloud := accounttest.New()
	cloud.Endpoint = strings.TrimPrefix(batch.URL(), "http://")
	cloud.Things[group+"/providers/Microsoft.Batch/batchAccounts/emulator"] = accounttest.Thing{Type: "Microsoft.Batch/batchAccounts", Region: "here"}
	cloud.Pool = func(_, id string, body []byte) error {
		var p armbatch.Pool
		if err := json.Unmarshal(body, &p); err != nil {
			return err
		}
		_, err := client.CreatePool(t.Context(), content(id, p.Properties), nil)
		for resource := range p.Identity.UserAssignedIdentities {
			if err == nil {
				err = batch.SetIdentity(t.Context(), id, resource)
			}
		}
		return err
	}
	options = cloud.Options()
	t.Cleanup(func() { options = nil })
	return batch, client, cloud
}

// content is what ARM hands on to the Batch account.
func content(id string, p *armbatch.PoolProperties) sdk.CreatePoolContent {
	m := p.DeploymentConfiguration.VirtualMachineConfiguration
	c := sdk.CreatePoolContent{ID: to.Ptr(id), VMSize: p.VMSize, TaskSlotsPerNode: p.TaskSlotsPerNode,
		EnableInterNodeCommunication: to.Ptr(*p.InterNodeCommunication == armbatch.InterNodeCommunicationStateEnabled),
		VirtualMachineConfiguration: &sdk.VirtualMachineConfiguration{NodeAgentSKUID: m.NodeAgentSKUID,
			ImageReference: &sdk.ImageReference{Publisher: m.ImageReference.Publisher, Offer: m.ImageReference.Offer, SKU: m.ImageReference.SKU}}}
	for _, item := range p.Metadata {
		c.Metadata = append(c.Metadata, sdk.MetadataItem{Name: item.Name, Value: item.Value})
	}
	if a := p.ScaleSettings.AutoScale; a != nil {
		c.EnableAutoScale, c.AutoScaleFormula, c.AutoScaleEvaluationInterval = to.Ptr(true), a.Formula, a.EvaluationInterval
	} else {
		c.TargetDedicatedNodes, c.TargetLowPriorityNodes = p.ScaleSettings.FixedScale.TargetDedicatedNodes, p.ScaleSettings.FixedScale.TargetLowPriorityNodes
	}
	if s := p.StartTask; s != nil {
		c.StartTask = &sdk.StartTask{CommandLine: s.CommandLine, WaitForSuccess: s.WaitForSuccess, MaxTaskRetryCount: s.MaxTaskRetryCount,
			UserIdentity: &sdk.UserIdentity{AutoUser: &sdk.AutoUserSpecification{Scope: to.Ptr(sdk.AutoUserScopePool), ElevationLevel: to.Ptr(sdk.ElevationLevelAdmin)}}}
		for _, e := range s.EnvironmentSettings {
			c.StartTask.EnvironmentSettings = append(c.StartTask.EnvironmentSettings, sdk.EnvironmentSetting{Name: e.Name, Value: e.Value})
		}
	}
	return c
}

func open(t *testing.T, batch *emulator.Server, spec azbatch.PoolSpec) *azbatch.Engine {
	t.Helper()
	e, err := azbatch.New(azbatch.Config{Endpoint: batch.URL(), Credential: batch.Credential(), Poll: 100 * time.Millisecond, Retries: -1,
		Placement: azbatch.Placement{Pool: "p"}, Make: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// A pool with an identity is made through ARM by the first job. That job has no secret: its program is fetched, and the store is
// opened, by the identity.
func TestManagedPool(t *testing.T) {
	batch, client, cloud := start(t)
	spec := azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Identity: identity, StartScript: "echo started >$AZ_BATCH_NODE_SHARED_DIR/started"}
	e := open(t, batch, spec)
	script := "#!/bin/sh\ncat $AZ_BATCH_NODE_SHARED_DIR/started\necho token=$CLUSTERLESS_STORE_TOKEN $AZURE_TOKEN_CREDENTIALS $AZURE_CLIENT_ID ${IDENTITY_ENDPOINT:+endpoint}\n"
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(script))
	z.Close()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || r.URL.RawQuery != "" {
			t.Errorf("the program is fetched with the query %q, and without a token of the identity", r.URL.RawQuery)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.Bytes()))
	}))
	t.Cleanup(files.Close)
	sum := sha256.Sum256([]byte(script))
	job := engine.Job{ID: "j", Command: []string{"/proc/1/exe"}, Runs: enginetest.Runs(2), Env: []string{"CLUSTERLESS_STORE_TOKEN=hushhush", "OTHER=x"},
		Program: &engine.Program{URL: files.URL + "/program?sig=hushhush", SHA256: hex.EncodeToString(sum[:])}}
	if err := e.Submit(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	for r, ev := range enginetest.Wait(t, e, "j", 2) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	pool, err := client.GetPool(t.Context(), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	id := pool.Identity.UserAssignedIdentities[0]
	want := "started\ntoken= ManagedIdentityCredential " + *id.ClientID + " endpoint\n"
	if log := enginetest.Log(t, e, "j", engine.Run{Task: 1, Attempt: 1}); log != want || *id.ResourceID != identity {
		t.Errorf("the program said %q, want %q, with the identity %s", log, want, *id.ResourceID)
	}
	for pages := client.NewListJobsPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Value {
			text, err := json.Marshal(j)
			if err != nil || strings.Contains(string(text), "hushhush") || !strings.Contains(string(text), identity) {
				t.Errorf("the Batch job has a secret, or not the identity: %s, %v", text, err)
			}
		}
	}
	if joined, err := e.CreatePool(t.Context(), "p", spec); !joined || err != nil {
		t.Errorf("create again: %v, %v; want that it is joined", joined, err)
	}
	if n := len(cloud.Changes); n != 1 {
		t.Errorf("%d changes through ARM: %q", n, cloud.Changes)
	}
	infos, err := e.Pools(t.Context())
	if err != nil || infos[0].Identity != identity || infos[0].Lease.IsZero() {
		t.Errorf("pools: %+v, %v", infos, err)
	}
}

func TestManagedPoolFails(t *testing.T) {
	batch, _, cloud := start(t)
	e := open(t, batch, azbatch.PoolSpec{})
	for _, test := range []struct {
		what string
		spec azbatch.PoolSpec
		do   func()
		want string
	}{
		{"not an identity", azbatch.PoolSpec{Identity: group}, func() {}, "user-assigned managed identity"},
		{"a failure", azbatch.PoolSpec{Identity: identity}, func() { cloud.Fail = "/pools/" }, "SomethingFailed"},
		{"no account", azbatch.PoolSpec{Identity: identity}, func() { cloud.Endpoint = "elsewhere" }, "in one subscription"},
	} {
		test.do()
		test.spec.VMSize, test.spec.MaxNodes = "Standard_D2s_v5", 1
		if _, err := e.CreatePool(t.Context(), "p2", test.spec); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.what, err, test.want)
		}
	}
}
