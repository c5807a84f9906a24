package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/batch/armbatch/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage/v2"
	"github.com/google/uuid"

	"github.com/clusterless-go/clusterless/internal/azerror"
)

// A Region is what a setup has in one.
type Region struct {
	Name     string
	Endpoint string // of the Batch account, without a scheme: "account.westeurope.batch.azure.com"
	Storage  string // name of the storage account
}

// Regions are what a setup has, or will have.
func (c *Client) Regions(s Setup) (all []Region) {
	for _, r := range s.Regions {
		name := c.accountName(s, r)
		all = append(all, Region{Name: r, Endpoint: name + "." + r + ".batch.azure.com", Storage: name})
	}
	return all
}

// IdentityID is the resource ID of the identity that nodes are to have.
func (c *Client) IdentityID(s Setup) string {
	return c.groupID(s) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + s.identity()
}

func (c *Client) groupID(s Setup) string {
	return "/subscriptions/" + c.subscription + "/resourceGroups/" + s.Name
}

// Built-in roles, by the IDs that they have in all of Azure.
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roles = map[string]string{
	"Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
	"Storage Blob Delegator":        "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
	"Azure Batch Data Contributor":  "6aaa78f1-f7de-44ca-8722-c64a23943cae",
}

// providers are the namespaces that a subscription has to have registered.
var providers = []string{"Microsoft.Batch", "Microsoft.Storage", "Microsoft.ManagedIdentity"}

// Up plans to make all that is not there yet.
func (c *Client) Up(ctx context.Context, s Setup) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	u := &up{Client: c, Setup: s}
	if err := u.plan(ctx); err != nil {
		return nil, fmt.Errorf("azure: look at what is there: %w", explain(err))
	}
	return &u.Plan, nil
}

// up makes a plan. group and so on tell what is there, and so what has to be asked for.
type up struct {
	*Client
	Setup
	Plan
	group bool
	nodes string // the identity's principal, once it is there
	me    principal
}

func (u *up) plan(ctx context.Context) error {
	var err error
	if u.me, err = u.caller(ctx); err != nil {
		return err
	}
	for _, p := range providers {
		if err := u.provider(ctx, p); err != nil {
			return err
		}
	}
	if err := u.resourceGroup(ctx); err != nil {
		return err
	}
	if err := u.nodesIdentity(ctx); err != nil {
		return err
	}
	for _, region := range u.Setup.Regions {
		name := u.accountName(u.Setup, region)
		for _, add := range []func(context.Context, string, string) error{u.storageAccount, u.container, u.batchAccount, u.assignments} {
			if err := add(ctx, name, region); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds a step. there is what a look at the thing said: nil if it is there.
func (u *up) add(what, costs string, there error, do func(context.Context) error) error {
	if there != nil && !missing(there) {
		return there
	}
	u.Steps = append(u.Steps, Step{What: what, Costs: costs, Done: there == nil, do: do})
	return nil
}

func (u *up) provider(ctx context.Context, namespace string) error {
	client := u.resources.NewProvidersClient()
	registered := func(ctx context.Context) (bool, error) {
		r, err := client.Get(ctx, namespace, nil)
		return err == nil && r.RegistrationState != nil && *r.RegistrationState == "Registered", err
	}
	is, err := registered(ctx)
	if err != nil || is { // it is in every subscription that is used
		return err
	}
	u.Steps = append(u.Steps, Step{What: "registration of " + namespace + " in the subscription", do: func(ctx context.Context) error {
		if _, err := client.Register(ctx, namespace, nil); err != nil {
			return err
		}
		for {
			if is, err := registered(ctx); err != nil || is {
				return err
			}
			if err := u.pause(ctx); err != nil {
				return err
			}
		}
	}})
	return nil
}

func (c *Client) pause(ctx context.Context) error {
	select {
	case <-time.After(c.poll):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (u *up) resourceGroup(ctx context.Context) error {
	client := u.resources.NewResourceGroupsClient()
	g, err := client.Get(ctx, u.Name, nil)
	u.group = err == nil
	if u.group && g.Tags[Tag] == nil {
		u.Notes = append(u.Notes, "the resource group "+u.Name+" was there before: it is used, and azure delete will leave it")
	}
	return u.add("resource group "+u.Name+" in "+u.Setup.Regions[0], "", err, func(ctx context.Context) error {
		_, err := client.CreateOrUpdate(ctx, u.Name, armresources.ResourceGroup{Location: to.Ptr(u.Setup.Regions[0]), Tags: u.tags(u.Setup)}, nil)
		return err
	})
}

// errNothing stands for a look that would find nothing, since what it would be in is not there.
var errNothing error = &azcore.ResponseError{StatusCode: http.StatusNotFound}

func (u *up) nodesIdentity(ctx context.Context) error {
	client := u.identities.NewUserAssignedIdentitiesClient()
	there := errNothing
	if u.group {
		var i armmsi.UserAssignedIdentitiesClientGetResponse
		if i, there = client.Get(ctx, u.Name, u.identity(), nil); there == nil {
			u.nodes = *i.Properties.PrincipalID
		}
	}
	return u.add("identity "+u.identity()+" for nodes", "", there, func(ctx context.Context) error {
		i, err := client.CreateOrUpdate(ctx, u.Name, u.identity(), armmsi.Identity{Location: to.Ptr(u.Setup.Regions[0]), Tags: u.tags(u.Setup)}, nil)
		if err == nil {
			u.nodes = *i.Properties.PrincipalID
		}
		return err
	})
}

func (u *up) storageAccount(ctx context.Context, name, region string) error {
	client := u.storage.NewAccountsClient()
	there := errNothing
	if u.group {
		var a armstorage.AccountsClientGetPropertiesResponse
		if a, there = client.GetProperties(ctx, u.Name, name, nil); there == nil && a.Properties != nil && !done(a.Properties.ProvisioningState) {
			there = errNothing
		}
	}
	return u.add("storage account "+name+" in "+region, "what is stored, by GB and month, requests, and traffic out of the region", there, func(ctx context.Context) error {
		p, err := client.BeginCreate(ctx, u.Name, name, armstorage.AccountCreateParameters{
			Kind: to.Ptr(armstorage.KindStorageV2), SKU: &armstorage.SKU{Name: to.Ptr(armstorage.SKUNameStandardLRS)}, Location: to.Ptr(region), Tags: u.tags(u.Setup),
			Properties: &armstorage.AccountPropertiesCreateParameters{
				AllowBlobPublicAccess: to.Ptr(false), AllowSharedKeyAccess: to.Ptr(false), DefaultToOAuthAuthentication: to.Ptr(true), EnableHTTPSTrafficOnly: to.Ptr(true),
				MinimumTLSVersion: to.Ptr(armstorage.MinimumTLSVersionTLS12), AllowCrossTenantReplication: to.Ptr(false)},
		}, nil)
		return wait(ctx, u.Client, p, err)
	})
}

func (u *up) container(ctx context.Context, name, _ string) error {
	client := u.storage.NewBlobContainersClient()
	there := errNothing
	if u.have() {
		_, there = client.Get(ctx, u.Name, name, Container, nil)
	}
	return u.add("container "+Container+" in "+name, "", there, func(ctx context.Context) error {
		_, err := client.Create(ctx, u.Name, name, Container, armstorage.BlobContainer{ContainerProperties: &armstorage.ContainerProperties{
			PublicAccess: to.Ptr(armstorage.PublicAccessNone), Metadata: map[string]*string{Tag: to.Ptr(time.Now().UTC().Format(time.RFC3339))}}}, nil)
		return err
	})
}

// done reports whether a resource that is there was wholly made: making one may have been interrupted, or have failed.
func done[T ~string](provisioning *T) bool {
	return provisioning == nil || strings.EqualFold(string(*provisioning), "Succeeded")
}

// have reports whether what the last step is about is there, so that there may be something in it.
func (u *up) have() bool { return u.Steps[len(u.Steps)-1].Done }

func (u *up) batchAccount(ctx context.Context, name, region string) error {
	client := u.batch.NewAccountClient()
	there := errNothing
	if u.group {
		var a armbatch.AccountClientGetResponse
		if a, there = client.Get(ctx, u.Name, name, nil); there == nil && a.Properties != nil && !done(a.Properties.ProvisioningState) {
			there = errNothing
		}
	}
	return u.add("Batch account "+name+" in "+region, "", there, func(ctx context.Context) error {
		p, err := client.BeginCreate(ctx, u.Name, name, armbatch.AccountCreateParameters{Location: to.Ptr(region), Tags: u.tags(u.Setup),
			Properties: &armbatch.AccountCreateProperties{PoolAllocationMode: to.Ptr(armbatch.PoolAllocationModeBatchService), PublicNetworkAccess: to.Ptr(armbatch.PublicNetworkAccessTypeEnabled),
				AllowedAuthenticationModes: []*armbatch.AuthenticationMode{to.Ptr(armbatch.AuthenticationModeAAD), to.Ptr(armbatch.AuthenticationModeTaskAuthenticationToken)}},
		}, nil)
		return wait(ctx, u.Client, p, err)
	})
}

// A principal is somebody who can be given a role.
type principal struct {
	id   string
	kind armauthorization.PrincipalType
	name string // for people
}

// assignments are the roles in a region: of the nodes, and of who makes the plan.
func (u *up) assignments(ctx context.Context, name, _ string) error {
	nodes := func() principal {
		return principal{u.nodes, armauthorization.PrincipalTypeServicePrincipal, "the nodes"}
	}
	me := func() principal { return u.me }
	storage, batch := u.groupID(u.Setup)+"/providers/Microsoft.Storage/storageAccounts/"+name, u.groupID(u.Setup)+"/providers/Microsoft.Batch/batchAccounts/"+name
	made := func(kind string) bool {
		return slices.ContainsFunc(u.Steps, func(s Step) bool { return s.Done && strings.HasPrefix(s.What, kind+" "+name+" ") })
	}
	for _, a := range []struct {
		who         func() principal
		role, scope string
		there       bool
	}{
		{nodes, "Storage Blob Data Contributor", storage, made("storage account")},
		{me, "Storage Blob Data Contributor", storage, made("storage account")},
		{me, "Storage Blob Delegator", storage, made("storage account")},
		{me, "Azure Batch Data Contributor", batch, made("Batch account")},
	} {
		if err := u.assignment(ctx, a.who, a.role, a.scope, a.there, name); err != nil {
			return err
		}
	}
	return nil
}

func (u *up) assignment(ctx context.Context, who func() principal, role, scope string, scoped bool, name string) error {
	client := u.roles.NewRoleAssignmentsClient()
	there := errNothing
	if p := who(); scoped && p.id != "" {
		_, there = client.Get(ctx, scope, assignmentName(scope, role, p), nil)
	}
	return u.add("role "+role+" of "+who().name+" on "+name, "", there, func(ctx context.Context) error {
		p := who()
		for began := time.Now(); ; {
			_, err := client.Create(ctx, scope, assignmentName(scope, role, p), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
				PrincipalID: to.Ptr(p.id), PrincipalType: to.Ptr(p.kind),
				RoleDefinitionID: to.Ptr("/subscriptions/" + u.subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + roles[role])}}, nil)
			switch c := azerror.Code(err); {
			case c == "RoleAssignmentExists": // under another name
				return nil
			case c == "PrincipalNotFound" && time.Since(began) < spreadTime: // an identity that was made just now is not known everywhere
				if err := u.pause(ctx); err != nil {
					return err
				}
				continue
			}
			return err
		}
	})
}

// spreadTime is how long it may take until a new identity is known everywhere: Microsoft says minutes.
const spreadTime = 10 * time.Minute

// assignmentName is the name of a role assignment, which is a UUID: the same for the same.
func assignmentName(scope, role string, p principal) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(strings.ToLower(scope)+" "+role+" "+p.id)).String()
}

// caller is who asks, by the token that ARM is sent.
func (c *Client) caller(ctx context.Context) (principal, error) {
	t, err := c.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		return principal{}, err
	}
	var claims struct {
		OID, UPN, AppID string
		IDType          string `json:"idtyp"`
		Scope           string `json:"scp"`
	}
	parts := strings.Split(t.Token, ".")
	if len(parts) != 3 {
		return principal{}, errors.New("the token for ARM is none of Entra ID")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil || claims.OID == "" {
		return principal{}, errors.New("the token for ARM does not say who you are")
	}
	p := principal{claims.OID, armauthorization.PrincipalTypeUser, "you"}
	if claims.IDType == "app" || claims.IDType == "" && claims.Scope == "" {
		p.kind, p.name = armauthorization.PrincipalTypeServicePrincipal, "this application"
	}
	return p, nil
}
