package account

import (
	"context"
	"fmt"
)

// Found are the regions of all setups in the subscription, by the tags of their Batch accounts.
func (c *Client) Found(ctx context.Context) (all []Region, err error) {
	for pages := c.batch.NewAccountClient().NewListPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("azure: list Batch accounts: %w", explain(err))
		}
		for _, a := range page.Value {
			if a.Tags[Tag] != nil && a.Properties != nil && a.Properties.AccountEndpoint != nil {
				all = append(all, Region{Name: *a.Location, Endpoint: *a.Properties.AccountEndpoint, Storage: *a.Name})
			}
		}
	}
	return all, nil
}
