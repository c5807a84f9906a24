package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// metaMade is the metadata of containers that were made for stores; its value is when, as RFC 3339. What "clusterless azure up"
// makes has it too.
const metaMade = "clusterless"

func madeNow() map[string]*string {
	return map[string]*string{metaMade: to.Ptr(time.Now().UTC().Format(time.RFC3339))}
}

// A ContainerInfo is a container of a storage account.
type ContainerInfo struct {
	Name string
	URL  string    // of the store in it
	Made time.Time // by Create or "clusterless azure up"; zero: by other means
}

// Containers lists the containers of the account that the URL of a store names, in order of their names. A token, which is for one
// container, does not suffice.
func Containers(ctx context.Context, rawURL string, opts ...Option) (all []ContainerInfo, err error) {
	s, err := Open(rawURL, opts...)
	if err != nil {
		return nil, err
	}
	a := s.azure
	var client *service.Client
	o := &service.ClientOptions{ClientOptions: a.clientOptions()}
	switch {
	case a.token != nil:
		err = fmt.Errorf("%s is for one container: log in, or give the account's key", a.from)
	case a.shared != nil:
		client, err = service.NewClientWithSharedKeyCredential(a.endpoint, a.shared, o)
	default:
		client, err = service.NewClient(a.endpoint, a.bearer, o)
	}
	if err != nil {
		return nil, s.wrap("list containers", "", err)
	}
	for pages := client.NewListContainersPager(&service.ListContainersOptions{Include: service.ListContainersInclude{Metadata: true}}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.fail(ctx, "list containers", "", err)
		}
		for _, c := range page.ContainerItems {
			if c.Name == nil {
				return nil, s.wrap("list containers", "", errors.New("the service lists one without a name"))
			}
			at := a.place
			at.container = *c.Name
			i := ContainerInfo{Name: *c.Name, URL: at.storeURL()}
			if made := c.Metadata[metaMade]; made != nil {
				i.Made, _ = time.Parse(time.RFC3339, *made)
			}
			all = append(all, i)
		}
	}
	return all, nil
}
