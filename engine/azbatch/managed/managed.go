// Package managed lets a program make pools whose nodes have a managed identity. The Batch account itself cannot make those: it goes
// through ARM, Azure's management, whose client is linked only into programs that import this package for that:
//
//	import _ "github.com/clusterless-go/clusterless/engine/azbatch/managed"
//
// A program that uses such a pool, which "clusterless azure pool create" or another program has made, does not need it.
package managed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/batch/armbatch/v2"

	"github.com/clusterless-go/clusterless/engine/azbatch"
)

func init() { azbatch.ManagePools(create) }

// options are the ARM client's; nil is Azure's public cloud. Tests have others.
var options *arm.ClientOptions

// create makes a pool, unless there is one.
func create(ctx context.Context, p azbatch.ManagedPool) error {
	id, err := arm.ParseResourceID(p.Identity)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.ManagedIdentity/userAssignedIdentities") {
		return fmt.Errorf("the identity %s: want the resource ID of a user-assigned managed identity", p.Identity)
	}
	if p.Credential == nil {
		if p.Credential, err = azidentity.NewDefaultAzureCredential(nil); err != nil {
			return fmt.Errorf("credential: %w", err)
		}
	}
	clients, err := armbatch.NewClientFactory(id.SubscriptionID, p.Credential, options)
	if err != nil {
		return err
	}
	account, err := find(ctx, clients.NewAccountClient(), p.Host)
	if err != nil {
		return explain(err)
	}
	_, err = clients.NewPoolClient().Create(ctx, account.ResourceGroupName, account.Name, *p.Pool.ID, pool(&p.Pool, p.Identity), &armbatch.PoolClientCreateOptions{IfNoneMatch: to.Ptr("*")})
	if r := (*azcore.ResponseError)(nil); errors.As(err, &r) && r.StatusCode == http.StatusPreconditionFailed {
		r.ErrorCode = "PoolExists" // as the Batch account says it
		return r
	}
	return explain(err)
}

// find looks for the account of an endpoint in the identity's subscription.
func find(ctx context.Context, client *armbatch.AccountClient, host string) (*arm.ResourceID, error) {
	for pages := client.NewListPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range page.Value {
			if a.Properties != nil && a.Properties.AccountEndpoint != nil && strings.EqualFold(*a.Properties.AccountEndpoint, host) {
				return arm.ParseResourceID(*a.ID)
			}
		}
	}
	return nil, fmt.Errorf("the subscription of the identity has no Batch account %s that you can see: the account and the identity have to be in one subscription", host)
}

func explain(err error) error {
	var r *azcore.ResponseError
	if errors.As(err, &r) && (r.ErrorCode == "AuthorizationFailed" || r.ErrorCode == "LinkedAuthorizationFailed") {
		return fmt.Errorf("ARM refuses it (%s): a pool with an identity needs the roles Azure Batch Data Contributor on the Batch account, and Managed Identity Operator on the identity", r.ErrorCode)
	}
	return err
}

// pool is a pool as ARM has it.
func pool(c *sdk.CreatePoolContent, identity string) armbatch.Pool {
	p := &armbatch.PoolProperties{VMSize: c.VMSize, TaskSlotsPerNode: c.TaskSlotsPerNode,
		DeploymentConfiguration: &armbatch.DeploymentConfiguration{VirtualMachineConfiguration: machine(c.VirtualMachineConfiguration)},
		InterNodeCommunication:  to.Ptr(armbatch.InterNodeCommunicationStateDisabled),
		TaskSchedulingPolicy:    &armbatch.TaskSchedulingPolicy{NodeFillType: to.Ptr(armbatch.ComputeNodeFillTypePack)}}
	if c.EnableInterNodeCommunication != nil && *c.EnableInterNodeCommunication {
		p.InterNodeCommunication = to.Ptr(armbatch.InterNodeCommunicationStateEnabled)
	}
	for _, m := range c.Metadata {
		p.Metadata = append(p.Metadata, &armbatch.MetadataItem{Name: m.Name, Value: m.Value})
	}
	if c.AutoScaleFormula != nil {
		p.ScaleSettings = &armbatch.ScaleSettings{AutoScale: &armbatch.AutoScaleSettings{Formula: c.AutoScaleFormula, EvaluationInterval: c.AutoScaleEvaluationInterval}}
	} else {
		p.ScaleSettings = &armbatch.ScaleSettings{FixedScale: &armbatch.FixedScaleSettings{TargetDedicatedNodes: c.TargetDedicatedNodes, TargetLowPriorityNodes: c.TargetLowPriorityNodes}}
	}
	if t := c.StartTask; t != nil {
		p.StartTask = &armbatch.StartTask{CommandLine: t.CommandLine, MaxTaskRetryCount: t.MaxTaskRetryCount, WaitForSuccess: t.WaitForSuccess,
			UserIdentity: &armbatch.UserIdentity{AutoUser: &armbatch.AutoUserSpecification{Scope: to.Ptr(armbatch.AutoUserScopePool), ElevationLevel: to.Ptr(armbatch.ElevationLevelAdmin)}}}
		for _, e := range t.EnvironmentSettings {
			p.StartTask.EnvironmentSettings = append(p.StartTask.EnvironmentSettings, &armbatch.EnvironmentSetting{Name: e.Name, Value: e.Value})
		}
	}
	return armbatch.Pool{Properties: p, Identity: &armbatch.PoolIdentity{Type: to.Ptr(armbatch.PoolIdentityTypeUserAssigned),
		UserAssignedIdentities: map[string]*armbatch.UserAssignedIdentities{identity: {}}}}
}

func machine(m *sdk.VirtualMachineConfiguration) *armbatch.VirtualMachineConfiguration {
	i := m.ImageReference
	a := &armbatch.VirtualMachineConfiguration{NodeAgentSKUID: m.NodeAgentSKUID,
		ImageReference: &armbatch.ImageReference{ID: i.VirtualMachineImageID, Publisher: i.Publisher, Offer: i.Offer, SKU: i.SKU, Version: i.Version}}
	if c := m.ContainerConfiguration; c != nil {
		a.ContainerConfiguration = &armbatch.ContainerConfiguration{Type: to.Ptr(armbatch.ContainerTypeDockerCompatible), ContainerImageNames: to.SliceOfPtrs(c.ContainerImageNames...)}
		for _, r := range c.ContainerRegistries {
			to := &armbatch.ContainerRegistry{RegistryServer: r.RegistryServer, UserName: r.Username, Password: r.Password}
			if r.IdentityReference != nil {
				to.IdentityReference = &armbatch.ComputeNodeIdentityReference{ResourceID: r.IdentityReference.ResourceID}
			}
			a.ContainerConfiguration.ContainerRegistries = append(a.ContainerConfiguration.ContainerRegistries, to)
		}
	}
	return a
}
