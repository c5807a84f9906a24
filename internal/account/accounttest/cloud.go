// Package accounttest is Azure's management as far as tests of accounts and pools need it: resources by their IDs, served by the
// fake servers of Microsoft's SDK, and, for Batch accounts, of which it has none, by a few lines of HTTP.
package accounttest

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	authfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	msifake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage/v2"
	storagefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage/v2/fake"
)

// Subscription is the only one.
const Subscription = "01234567-89ab-cdef-0123-456789abcdef"

// Me is the principal that the credential is for.
const Me = "aaaaaaaa-0000-0000-0000-000000000001"

// A Thing is a resource, or a role assignment.
type Thing struct {
	Type, Region string
	Tags         map[string]*string
	Says         any    // of its properties, as it was made
	State        string // of its provisioning; "" is "Succeeded"
}

// A Cloud is a subscription. Its fields may be changed between calls.
type Cloud struct {
	Mu      sync.Mutex
	Things  map[string]Thing // by ID, with the case of its maker
	Changes []string         // "PUT ID" and "DELETE ID" of each that was made, changed or deleted
	Fail    string           // the next change of an ID that contains this fails, once
	Slow    bool             // what takes long in Azure takes a second
	// Pool makes a pool of a Batch account, beside having it among Things. It may be nil.
	Pool func(account, id string, body []byte) error
	// Endpoint is that of every Batch account, if it is set.
	Endpoint string

	transports []policy.Transporter
}

// New makes an empty subscription.
func New() *Cloud {
	c := &Cloud{Things: map[string]Thing{}}
	c.transports = []policy.Transporter{
		resourcesfake.NewServerFactoryTransport(c.resources()), storagefake.NewServerFactoryTransport(c.storage()),
		msifake.NewServerFactoryTransport(c.identities()), authfake.NewServerFactoryTransport(c.roles()),
	}
	return c
}

// Options are those of ARM clients.
func (c *Cloud) Options() *arm.ClientOptions {
	return &arm.ClientOptions{ClientOptions: policy.ClientOptions{Transport: c, Retry: policy.RetryOptions{MaxRetries: -1}}, DisableRPRegistration: true}
}

// GetToken makes the cloud a credential too.
func (c *Cloud) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"` + Me + `","scp":"user_impersonation"}`))
	return azcore.AccessToken{Token: "e30." + claims + ".x", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Do answers a request.
func (c *Cloud) Do(req *http.Request) (*http.Response, error) {
	method, named := req.Context().Value(runtime.CtxAPINameKey{}).(string)
	if !named { // the SDK's client for Batch is from before its fakes
		return c.batch(req)
	}
	client, _, _ := strings.Cut(method, ".")
	i := map[string]int{"ResourceGroupsClient": 0, "ProvidersClient": 0, "Client": 0, "AccountsClient": 1, "BlobContainersClient": 1, "UserAssignedIdentitiesClient": 2, "RoleAssignmentsClient": 3}
	n, ok := i[client]
	if !ok {
		return nil, fmt.Errorf("accounttest: there is no fake of %s", method)
	}
	return c.transports[n].Do(req)
}

// find is a thing by its ID, in any case.
func (c *Cloud) find(id string) (string, Thing, bool) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	for have, t := range c.Things {
		if strings.EqualFold(have, id) {
			return have, t, true
		}
	}
	return id, Thing{}, false
}

// change makes a thing, or with an empty one deletes it and all in it.
func (c *Cloud) change(method, id string, t Thing) (failed bool) {
	id, _, _ = c.find(id)
	c.Mu.Lock()
	defer c.Mu.Unlock()
	if c.Fail != "" && strings.Contains(id, c.Fail) {
		c.Fail = ""
		return true
	}
	c.Changes = append(c.Changes, method+" "+id)
	if method == http.MethodPut {
		c.Things[id] = t
		return false
	}
	maps.DeleteFunc(c.Things, func(have string, _ Thing) bool { return have == id || strings.HasPrefix(have, id+"/") })
	return false
}

// List is the IDs of all things, sorted.
func (c *Cloud) List() []string {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return slices.Sorted(maps.Keys(c.Things))
}

func group(name string) string { return "/subscriptions/" + Subscription + "/resourceGroups/" + name }

func respond[T any](status int, v T, found, failed bool) (r azfake.Responder[T], e azfake.ErrorResponder) {
	switch {
	case failed:
		e.SetResponseError(http.StatusConflict, "SomethingFailed")
	case !found:
		e.SetResponseError(http.StatusNotFound, "ResourceNotFound")
	default:
		r.SetResponse(status, v, nil)
	}
	return r, e
}

// poll is respond for what takes long.
func poll[T any](slow bool, v T, failed bool) (r azfake.PollerResponder[T], e azfake.ErrorResponder) {
	if failed {
		e.SetResponseError(http.StatusConflict, "SomethingFailed")
		return r, e
	}
	if slow {
		r.AddNonTerminalResponse(http.StatusAccepted, nil)
	}
	r.SetTerminalResponse(http.StatusOK, v, nil)
	return r, e
}

func (c *Cloud) resources() *resourcesfake.ServerFactory {
	return &resourcesfake.ServerFactory{
		ProvidersServer: resourcesfake.ProvidersServer{
			Get: func(_ context.Context, ns string, _ *armresources.ProvidersClientGetOptions) (azfake.Responder[armresources.ProvidersClientGetResponse], azfake.ErrorResponder) {
				state := "NotRegistered"
				if _, _, ok := c.find("/providers/" + ns); ok {
					state = "Registered"
				}
				return respond(http.StatusOK, armresources.ProvidersClientGetResponse{Provider: armresources.Provider{Namespace: &ns, RegistrationState: &state}}, true, false)
			},
			Register: func(_ context.Context, ns string, _ *armresources.ProvidersClientRegisterOptions) (azfake.Responder[armresources.ProvidersClientRegisterResponse], azfake.ErrorResponder) {
				return respond(http.StatusOK, armresources.ProvidersClientRegisterResponse{}, true, c.change(http.MethodPut, "/providers/"+ns, Thing{}))
			},
		},
		ResourceGroupsServer: resourcesfake.ResourceGroupsServer{
			Get: func(_ context.Context, name string, _ *armresources.ResourceGroupsClientGetOptions) (azfake.Responder[armresources.ResourceGroupsClientGetResponse], azfake.ErrorResponder) {
				_, t, ok := c.find(group(name))
				return respond(http.StatusOK, armresources.ResourceGroupsClientGetResponse{ResourceGroup: armresources.ResourceGroup{Name: &name, Location: &t.Region, Tags: t.Tags}}, ok, false)
			},
			CreateOrUpdate: func(_ context.Context, name string, g armresources.ResourceGroup, _ *armresources.ResourceGroupsClientCreateOrUpdateOptions) (azfake.Responder[armresources.ResourceGroupsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
				failed := c.change(http.MethodPut, group(name), Thing{Region: *g.Location, Tags: g.Tags})
				return respond(http.StatusCreated, armresources.ResourceGroupsClientCreateOrUpdateResponse{ResourceGroup: g}, true, failed)
			},
			BeginDelete: func(_ context.Context, name string, _ *armresources.ResourceGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armresources.ResourceGroupsClientDeleteResponse], azfake.ErrorResponder) {
				return poll(c.Slow, armresources.ResourceGroupsClientDeleteResponse{}, c.change(http.MethodDelete, group(name), Thing{}))
			},
		},
		Server: resourcesfake.Server{
			NewListByResourceGroupPager: func(name string, _ *armresources.ClientListByResourceGroupOptions) (r azfake.PagerResponder[armresources.ClientListByResourceGroupResponse]) {
				var page armresources.ClientListByResourceGroupResponse
				for _, id := range c.List() {
					_, t, ok := c.find(id)
					if ok && t.Type != "" && strings.HasPrefix(strings.ToLower(id), strings.ToLower(group(name)+"/")) {
						page.Value = append(page.Value, &armresources.GenericResourceExpanded{ID: &id, Name: to.Ptr(id[strings.LastIndexByte(id, '/')+1:]), Type: &t.Type, Location: &t.Region, Tags: t.Tags})
					}
				}
				r.AddPage(http.StatusOK, page, nil)
				return r
			},
		},
	}
}

func (c *Cloud) storage() *storagefake.ServerFactory {
	account := func(g, name string) string { return group(g) + "/providers/Microsoft.Storage/storageAccounts/" + name }
	container := func(g, a, name string) string { return account(g, a) + "/blobServices/default/containers/" + name }
	return &storagefake.ServerFactory{
		AccountsServer: storagefake.AccountsServer{
			GetProperties: func(_ context.Context, g, name string, _ *armstorage.AccountsClientGetPropertiesOptions) (azfake.Responder[armstorage.AccountsClientGetPropertiesResponse], azfake.ErrorResponder) {
				_, t, ok := c.find(account(g, name))
				state := armstorage.ProvisioningState(cmp.Or(t.State, "Succeeded"))
				return respond(http.StatusOK, armstorage.AccountsClientGetPropertiesResponse{Account: armstorage.Account{Properties: &armstorage.AccountProperties{ProvisioningState: &state}}}, ok, false)
			},
			BeginCreate: func(_ context.Context, g, name string, p armstorage.AccountCreateParameters, _ *armstorage.AccountsClientBeginCreateOptions) (azfake.PollerResponder[armstorage.AccountsClientCreateResponse], azfake.ErrorResponder) {
				failed := c.change(http.MethodPut, account(g, name), Thing{Type: "Microsoft.Storage/storageAccounts", Region: *p.Location, Tags: p.Tags, Says: p.Properties})
				return poll(c.Slow, armstorage.AccountsClientCreateResponse{}, failed)
			},
			Delete: func(_ context.Context, g, name string, _ *armstorage.AccountsClientDeleteOptions) (azfake.Responder[armstorage.AccountsClientDeleteResponse], azfake.ErrorResponder) {
				return respond(http.StatusOK, armstorage.AccountsClientDeleteResponse{}, true, c.change(http.MethodDelete, account(g, name), Thing{}))
			},
		},
		BlobContainersServer: storagefake.BlobContainersServer{
			Get: func(_ context.Context, g, a, name string, _ *armstorage.BlobContainersClientGetOptions) (azfake.Responder[armstorage.BlobContainersClientGetResponse], azfake.ErrorResponder) {
				_, _, ok := c.find(container(g, a, name))
				return respond(http.StatusOK, armstorage.BlobContainersClientGetResponse{}, ok, false)
			},
			Create: func(_ context.Context, g, a, name string, b armstorage.BlobContainer, _ *armstorage.BlobContainersClientCreateOptions) (azfake.Responder[armstorage.BlobContainersClientCreateResponse], azfake.ErrorResponder) {
				_, _, ok := c.find(account(g, a))
				failed := ok && c.change(http.MethodPut, container(g, a, name), Thing{Says: b.ContainerProperties})
				return respond(http.StatusCreated, armstorage.BlobContainersClientCreateResponse{}, ok, failed)
			},
		},
	}
}

func (c *Cloud) identities() *msifake.ServerFactory {
	id := func(g, name string) string {
		return group(g) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	}
	properties := &armmsi.UserAssignedIdentityProperties{PrincipalID: to.Ptr("bbbbbbbb-0000-0000-0000-000000000001"), ClientID: to.Ptr("cccccccc-0000-0000-0000-000000000001")}
	return &msifake.ServerFactory{UserAssignedIdentitiesServer: msifake.UserAssignedIdentitiesServer{
		Get: func(_ context.Context, g, name string, _ *armmsi.UserAssignedIdentitiesClientGetOptions) (azfake.Responder[armmsi.UserAssignedIdentitiesClientGetResponse], azfake.ErrorResponder) {
			_, _, ok := c.find(id(g, name))
			return respond(http.StatusOK, armmsi.UserAssignedIdentitiesClientGetResponse{Identity: armmsi.Identity{Properties: properties}}, ok, false)
		},
		CreateOrUpdate: func(_ context.Context, g, name string, i armmsi.Identity, _ *armmsi.UserAssignedIdentitiesClientCreateOrUpdateOptions) (azfake.Responder[armmsi.UserAssignedIdentitiesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
			failed := c.change(http.MethodPut, id(g, name), Thing{Type: "Microsoft.ManagedIdentity/userAssignedIdentities", Region: *i.Location, Tags: i.Tags})
			return respond(http.StatusCreated, armmsi.UserAssignedIdentitiesClientCreateOrUpdateResponse{Identity: armmsi.Identity{Properties: properties}}, true, failed)
		},
		Delete: func(_ context.Context, g, name string, _ *armmsi.UserAssignedIdentitiesClientDeleteOptions) (azfake.Responder[armmsi.UserAssignedIdentitiesClientDeleteResponse], azfake.ErrorResponder) {
			return respond(http.StatusOK, armmsi.UserAssignedIdentitiesClientDeleteResponse{}, true, c.change(http.MethodDelete, id(g, name), Thing{}))
		},
	}}
}

func (c *Cloud) roles() *authfake.ServerFactory {
	id := func(scope, name string) string {
		return "/" + strings.Trim(scope, "/") + "/providers/Microsoft.Authorization/roleAssignments/" + name
	}
	unknown := true // an identity is not known everywhere at once
	return &authfake.ServerFactory{RoleAssignmentsServer: authfake.RoleAssignmentsServer{
		Get: func(_ context.Context, scope, name string, _ *armauthorization.RoleAssignmentsClientGetOptions) (azfake.Responder[armauthorization.RoleAssignmentsClientGetResponse], azfake.ErrorResponder) {
			_, _, ok := c.find(id(scope, name))
			return respond(http.StatusOK, armauthorization.RoleAssignmentsClientGetResponse{}, ok, false)
		},
		Create: func(_ context.Context, scope, name string, p armauthorization.RoleAssignmentCreateParameters, _ *armauthorization.RoleAssignmentsClientCreateOptions) (r azfake.Responder[armauthorization.RoleAssignmentsClientCreateResponse], e azfake.ErrorResponder) {
			if *p.Properties.PrincipalID != Me && unknown {
				unknown = false
				e.SetResponseError(http.StatusBadRequest, "PrincipalNotFound")
				return r, e
			}
			if _, _, ok := c.find(id(scope, name)); ok {
				e.SetResponseError(http.StatusConflict, "RoleAssignmentExists")
				return r, e
			}
			_, _, ok := c.find("/" + strings.Trim(scope, "/"))
			failed := ok && c.change(http.MethodPut, id(scope, name), Thing{Says: p.Properties})
			return respond(http.StatusCreated, armauthorization.RoleAssignmentsClientCreateResponse{}, ok, failed)
		},
	}}
}

// batch is what the management of Batch accounts and their pools answers.
func (c *Cloud) batch(req *http.Request) (*http.Response, error) {
	answer := func(status int, body any) (*http.Response, error) {
		b, err := json.Marshal(body)
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: req, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(b)))}, err
	}
	refuse := func(status int, code string) (*http.Response, error) {
		return answer(status, map[string]any{"error": map[string]string{"code": code, "message": "of a fake"}})
	}
	view := func(id string, t Thing) map[string]any {
		name := id[strings.LastIndexByte(id, '/')+1:]
		endpoint := c.Endpoint
		if endpoint == "" {
			endpoint = name + "." + t.Region + ".batch.azure.com"
		}
		return map[string]any{"id": id, "name": name, "location": t.Region, "tags": t.Tags, "properties": map[string]string{"accountEndpoint": endpoint, "provisioningState": cmp.Or(t.State, "Succeeded")}}
	}
	path := req.URL.Path
	if strings.HasSuffix(path, "/providers/Microsoft.Batch/batchAccounts") {
		var all []any
		for _, id := range c.List() {
			if _, t, _ := c.find(id); t.Type == "Microsoft.Batch/batchAccounts" {
				all = append(all, view(id, t))
			}
		}
		return answer(http.StatusOK, map[string]any{"value": all})
	}
	id, t, ok := c.find(path)
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	account, pool, isPool := strings.Cut(path, "/pools/")
	switch {
	case req.Method == http.MethodPut && isPool:
		if ok && req.Header.Get("If-None-Match") == "*" {
			return refuse(http.StatusPreconditionFailed, "PreconditionFailed")
		}
		if _, _, there := c.find(account); !there {
			return refuse(http.StatusNotFound, "ResourceNotFound")
		}
		if c.Pool != nil {
			if err := c.Pool(account[strings.LastIndexByte(account, '/')+1:], pool, body); err != nil {
				return nil, err
			}
		}
		if c.change(http.MethodPut, path, Thing{Says: json.RawMessage(body)}) {
			return refuse(http.StatusConflict, "SomethingFailed")
		}
		return answer(http.StatusOK, map[string]string{"id": id})
	case req.Method == http.MethodPut:
		var p struct {
			Location   string
			Tags       map[string]*string
			Properties any
		}
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, err
		}
		t = Thing{Type: "Microsoft.Batch/batchAccounts", Region: p.Location, Tags: p.Tags, Says: p.Properties}
		if c.change(http.MethodPut, path, t) {
			return refuse(http.StatusConflict, "SomethingFailed")
		}
		return answer(http.StatusOK, view(id, t))
	case !ok:
		return refuse(http.StatusNotFound, "ResourceNotFound")
	case req.Method == http.MethodDelete:
		if c.change(http.MethodDelete, path, Thing{}) {
			return refuse(http.StatusConflict, "SomethingFailed")
		}
		return answer(http.StatusOK, nil)
	}
	return answer(http.StatusOK, view(id, t))
}
