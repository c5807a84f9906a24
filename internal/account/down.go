package account

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

// Delete plans to delete all that Up has made under a name, in whatever regions: Batch accounts with their pools and jobs, storage
// accounts with all results, the identity, and the group, unless it was there before or has other things in it.
func (c *Client) Delete(ctx context.Context, name string) (*Plan, error) {
	p, err := c.deletion(ctx, Setup{Name: name, Regions: []string{"anywhere"}})
	if err != nil {
		return nil, fmt.Errorf("azure: look at what is there: %w", explain(err))
	}
	return p, nil
}

func (c *Client) deletion(ctx context.Context, s Setup) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	plan := &Plan{}
	groups := c.resources.NewResourceGroupsClient()
	g, err := groups.Get(ctx, s.Name, nil)
	if missing(err) {
		return plan, nil
	}
	if err != nil {
		return nil, err
	}
	ours, others, err := c.things(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, r := range ours {
		plan.Steps = append(plan.Steps, c.delete(s, r))
	}
	switch {
	case g.Tags[Tag] == nil:
		plan.Notes = append(plan.Notes, "the resource group "+s.Name+" was there before azure up, and stays")
	case others > 0:
		plan.Notes = append(plan.Notes, fmt.Sprintf("the resource group %s has %d things in it that are not ours, and stays", s.Name, others))
	default:
		plan.Steps = append(plan.Steps, Step{What: "resource group " + s.Name, do: func(ctx context.Context) error {
			if _, others, err := c.things(ctx, s); err != nil || others > 0 { // the plan may be some time ago
				return cmp.Or(err, fmt.Errorf("it has %d things in it now that are not ours, and stays", others))
			}
			p, err := groups.BeginDelete(ctx, s.Name, nil)
			if missing(err) {
				return nil
			}
			return wait(ctx, c, p, err)
		}})
	}
	return plan, nil
}

// things are the resources of a group that Up has made, and how many others there are.
func (c *Client) things(ctx context.Context, s Setup) (ours []*armresources.GenericResourceExpanded, others int, err error) {
	for pages := c.resources.NewClient().NewListByResourceGroupPager(s.Name, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if missing(err) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		for _, r := range page.Value {
			if c.made(s, r) {
				ours = append(ours, r)
			} else {
				others++
			}
		}
	}
	return ours, others, nil
}

// Types of what Up makes, in small letters.
const (
	batchType    = "microsoft.batch/batchaccounts"
	storageType  = "microsoft.storage/storageaccounts"
	identityType = "microsoft.managedidentity/userassignedidentities"
)

// made reports whether a resource is one that Up makes, by its type and name. The tag alone would not do: a group may be told to hand
// its tags on to all that is in it.
func (c *Client) made(s Setup, r *armresources.GenericResourceExpanded) bool {
	if tag := r.Tags[Tag]; tag == nil || !strings.EqualFold(*tag, s.Name) || r.Location == nil {
		return false
	}
	switch strings.ToLower(*r.Type) {
	case batchType, storageType:
		return *r.Name == c.accountName(s, strings.ToLower(strings.ReplaceAll(*r.Location, " ", "")))
	case identityType:
		return strings.EqualFold(*r.Name, s.identity())
	}
	return false
}

// delete is the deletion of a resource that Up has made.
func (c *Client) delete(s Setup, r *armresources.GenericResourceExpanded) (step Step) {
	name := *r.Name
	switch strings.ToLower(*r.Type) {
	case batchType:
		step.What = "Batch account " + name + ", with its pools, and the jobs that run"
		step.do = func(ctx context.Context) error {
			p, err := c.batch.NewAccountClient().BeginDelete(ctx, s.Name, name, nil)
			if missing(err) {
				return nil
			}
			return wait(ctx, c, p, err)
		}
	case storageType:
		step.What = "storage account " + name + ", with all programs, inputs and results"
		step.do = func(ctx context.Context) error {
			_, err := c.storage.NewAccountsClient().Delete(ctx, s.Name, name, nil)
			return err
		}
	default:
		step.What = "identity " + name
		step.do = func(ctx context.Context) error {
			_, err := c.identities.NewUserAssignedIdentitiesClient().Delete(ctx, s.Name, name, nil)
			return err
		}
	}
	return step
}
