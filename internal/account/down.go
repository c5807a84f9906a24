package account

import (
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
	others := 0
	for pages := c.resources.NewClient().NewListByResourceGroupPager(s.Name, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Value {
			if r.Tags[Tag] == nil || !c.delete(plan, s, r) {
				others++
			}
		}
	}
	switch {
	case g.Tags[Tag] == nil:
		plan.Notes = append(plan.Notes, "the resource group "+s.Name+" was there before azure up, and stays")
	case others > 0:
		plan.Notes = append(plan.Notes, fmt.Sprintf("the resource group %s has %d things in it that are not ours, and stays", s.Name, others))
	default:
		plan.Steps = append(plan.Steps, Step{What: "resource group " + s.Name, do: func(ctx context.Context) error {
			p, err := groups.BeginDelete(ctx, s.Name, nil)
			if missing(err) {
				return nil
			}
			return wait(ctx, c, p, err)
		}})
	}
	return plan, nil
}

// delete adds the deletion of a resource to a plan, if it is of a kind that Up makes.
func (c *Client) delete(plan *Plan, s Setup, r *armresources.GenericResourceExpanded) bool {
	name := *r.Name
	step := Step{}
	switch strings.ToLower(*r.Type) {
	case "microsoft.batch/batchaccounts":
		step.What = "Batch account " + name + ", with its pools, and the jobs that run"
		step.do = func(ctx context.Context) error {
			p, err := c.batch.NewAccountClient().BeginDelete(ctx, s.Name, name, nil)
			if missing(err) {
				return nil
			}
			return wait(ctx, c, p, err)
		}
	case "microsoft.storage/storageaccounts":
		step.What = "storage account " + name + ", with all programs, inputs and results"
		step.do = func(ctx context.Context) error {
			_, err := c.storage.NewAccountsClient().Delete(ctx, s.Name, name, nil)
			return err
		}
	case "microsoft.managedidentity/userassignedidentities":
		step.What = "identity " + name
		step.do = func(ctx context.Context) error {
			_, err := c.identities.NewUserAssignedIdentitiesClient().Delete(ctx, s.Name, name, nil)
			return err
		}
	default:
		return false
	}
	plan.Steps = append(plan.Steps, step)
	return true
}
