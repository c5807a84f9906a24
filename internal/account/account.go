// Package account makes what clusterless needs of an Azure subscription, through ARM, and deletes it again: a resource group, and
// in each region a storage account with a container and a Batch account, an identity for nodes, and the roles of all. What is to
// be done is a [Plan], which is shown before it is run.
//
// All names follow from the subscription, the group and the region, and all that is made has the tag [Tag]: so a plan finds what
// an earlier one has made, on any machine, and running it again does what is left.
package account

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/batch/armbatch/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage/v2"

	"github.com/clusterless-go/clusterless/internal/azerror"
)

// Tag is on all that was made here; its value is the name of the group.
const Tag = "clusterless"

// Container is the name of the container in each storage account.
const Container = "clusterless"

// A Setup says what to make, or to delete.
type Setup struct {
	Name    string   // of the resource group; the names of all else begin with it
	Regions []string // as "westeurope"; the group itself and the identity are in the first
}

// accountName is the name of the Batch account of a region, and of its storage account: both are names in all of Azure.
func (c *Client) accountName(s Setup, region string) string {
	sum := sha256.Sum256([]byte(c.subscription + "/" + strings.ToLower(s.Name) + "/" + region))
	tail := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:13])
	begin := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s.Name))
	return begin[:min(len(begin), 24-len(tail))] + tail
}

func (s Setup) identity() string { return s.Name + "-nodes" }

var (
	groupName  = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{0,59}$`)
	regionName = regexp.MustCompile(`^[a-z][a-z0-9]+$`)
)

func (s Setup) check() error {
	if !groupName.MatchString(s.Name) {
		return fmt.Errorf("the name %q: want up to 60 letters, digits and '-', with a letter first", s.Name)
	}
	if len(s.Regions) == 0 {
		return errors.New("no region: name one or several, as westeurope")
	}
	seen := map[string]bool{}
	for _, r := range s.Regions {
		if !regionName.MatchString(r) {
			return fmt.Errorf("the region %q: want a name as westeurope", r)
		}
		if seen[r] {
			return fmt.Errorf("the region %s is named twice", r)
		}
		seen[r] = true
	}
	return nil
}

// A Client asks ARM about one subscription.
type Client struct {
	subscription string
	credential   azcore.TokenCredential
	resources    *armresources.ClientFactory
	storage      *armstorage.ClientFactory
	batch        *armbatch.ClientFactory
	identities   *armmsi.ClientFactory
	roles        *armauthorization.ClientFactory
	poll         time.Duration
}

// New makes a client. It sends nothing. The options may be nil.
func New(subscription string, credential azcore.TokenCredential, o *arm.ClientOptions) (*Client, error) {
	c := &Client{subscription: strings.ToLower(subscription), credential: credential, poll: 3 * time.Second}
	var errs [5]error
	c.resources, errs[0] = armresources.NewClientFactory(subscription, credential, o)
	c.storage, errs[1] = armstorage.NewClientFactory(subscription, credential, o)
	c.batch, errs[2] = armbatch.NewClientFactory(subscription, credential, o)
	c.identities, errs[3] = armmsi.NewClientFactory(subscription, credential, o)
	c.roles, errs[4] = armauthorization.NewClientFactory(subscription, credential, o)
	return c, errors.Join(errs[:]...)
}

// A Step is one thing that a plan does.
type Step struct {
	What  string // "storage account clxyz in westeurope"
	Costs string // what it costs money for; "" for nothing
	Done  bool   // there is nothing to be done: it is there, or it is gone
	do    func(ctx context.Context) error
}

// A Plan is what is to be done, in order.
type Plan struct {
	Steps []Step
	Notes []string // what the user should know
}

// Empty reports whether nothing is to be done.
func (p *Plan) Empty() bool {
	for _, s := range p.Steps {
		if !s.Done {
			return false
		}
	}
	return true
}

// Run does what is left to be done. told hears of each step when it is done. After an error the same command may be given again:
// a new plan has what is left.
func (p *Plan) Run(ctx context.Context, told func(Step)) error {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Done {
			continue
		}
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.What, explain(err))
		}
		s.Done = true
		told(*s)
	}
	return nil
}

// wait waits for a long operation.
func wait[T any](ctx context.Context, c *Client, p *runtime.Poller[T], err error) error {
	if err != nil {
		return err
	}
	_, err = p.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: max(c.poll, time.Second)})
	return err
}

func missing(err error) bool { return azerror.Status(err) == http.StatusNotFound }

// advice is what to do about errors that a person has to mend.
var advice = map[string]string{
	"AuthorizationFailed":                            "you need the role Owner of the subscription, or Contributor and Role Based Access Control Administrator",
	"SubscriptionNotFound":                           "log in (az login) to the tenant that has the subscription",
	"StorageAccountAlreadyTaken":                     "somebody has an account of this name: choose another name for the group",
	"AccountNameNotAvailable":                        "somebody has an account of this name: choose another name for the group",
	"SubscriptionQuotaExceeded":                      "the subscription has as many Batch accounts in the region as it may: ask for a larger quota in the portal, or choose another region",
	"LocationNotAvailableForResourceType":            "choose another region",
	"ResourceGroupBeingDeleted":                      "wait some minutes until it is gone",
	"RequestDisallowedByPolicy":                      "a policy of your organization forbids it: ask who administers the subscription",
	"MaxStorageAccountsCountPerSubscriptionExceeded": "the subscription has as many storage accounts in the region as it may",
}

func explain(err error) error { return azerror.Explain(err, advice) }

func (c *Client) tags(s Setup) map[string]*string { return map[string]*string{Tag: to.Ptr(s.Name)} }
