package azbatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

// Images of pools that name none.
const (
	defaultImage  = "canonical:ubuntu-24_04-lts:server"
	defaultFamily = "canonical" // when Batch supports the default no more
	defaultAgent  = "batch.node.ubuntu 24.04"
)

// image finds the image of a pool among those that the service has verified, with its node agent: the newest, where several are
// meant.
func (e *Engine) image(ctx context.Context, spec PoolSpec) (*azbatch.VirtualMachineConfiguration, error) {
	if strings.HasPrefix(spec.Image, "/") {
		return &azbatch.VirtualMachineConfiguration{NodeAgentSKUID: to.Ptr(cmp.Or(spec.Agent, defaultAgent)),
			ImageReference: &azbatch.ImageReference{VirtualMachineImageID: to.Ptr(spec.Image)}, ContainerConfiguration: spec.containers()}, nil
	}
	all, err := e.images(ctx, spec.Container != "")
	if err != nil {
		return nil, err
	}
	wants := []string{spec.Image}
	if spec.Image == "" {
		if wants = []string{defaultImage, defaultFamily}; spec.Container != "" {
			wants = []string{""}
		}
	}
	for _, want := range wants {
		if i := newest(all, want); i != nil {
			r := i.ImageReference
			return &azbatch.VirtualMachineConfiguration{NodeAgentSKUID: i.NodeAgentSKUID, ContainerConfiguration: spec.containers(),
				ImageReference: &azbatch.ImageReference{Publisher: r.Publisher, Offer: r.Offer, SKU: r.SKU, Version: to.Ptr("latest")}}, nil
		}
	}
	names := map[string]bool{}
	for i := range all {
		names[imageName(&all[i])] = true
	}
	what := "that Batch has verified for Linux and still supports"
	if spec.Container != "" {
		what += ", and that runs containers"
	}
	return nil, fmt.Errorf("image %s is none %s: choose one of %s: %w", cmp.Or(spec.Image, defaultImage), what,
		strings.Join(slices.Sorted(maps.Keys(names)), ", "), engine.ErrCannotRun)
}

// images are those that can be had: verified, not retired, of Linux; only those that run containers, if asked for.
func (e *Engine) images(ctx context.Context, containers bool) (all []azbatch.SupportedImage, err error) {
	for pages := e.client.NewListSupportedImagesPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err)
		}
		for _, i := range page.Value {
			switch {
			case i.ImageReference == nil || word(i.OSType) != azbatch.OSTypeLinux || word(i.VerificationType) != azbatch.ImageVerificationTypeVerified:
			case i.BatchSupportEndOfLife != nil && i.BatchSupportEndOfLife.Before(time.Now()):
			case containers && !slices.Contains(i.Capabilities, "DockerCompatible"):
			default:
				all = append(all, i)
			}
		}
	}
	return all, nil
}

// newest is the best of the images that a name means: "publisher:offer:sku", or the beginning of that up to a colon. nil: none.
func newest(all []azbatch.SupportedImage, name string) (best *azbatch.SupportedImage) {
	for i := range all {
		one := imageName(&all[i])
		exact := one == strings.ToLower(name)
		part := (name == "" || strings.HasPrefix(one, strings.ToLower(name)+":")) && !strings.Contains(one, "arm64")
		if exact || part && (best == nil || newer(&all[i], best) > 0) {
			best = &all[i]
		}
		if exact {
			break
		}
	}
	return best
}

func imageName(i *azbatch.SupportedImage) string {
	r := i.ImageReference
	return strings.ToLower(deref(r.Publisher) + ":" + deref(r.Offer) + ":" + deref(r.SKU))
}

// newer compares two images: the one of the later release, then the one that is supported for longer, then the one for machines
// of generation 2, on which all current VM sizes can be started.
func newer(a, b *azbatch.SupportedImage) int {
	forever := time.Unix(1<<40, 0)
	end := func(i *azbatch.SupportedImage) time.Time {
		if i.BatchSupportEndOfLife == nil {
			return forever
		}
		return *i.BatchSupportEndOfLife
	}
	generation2 := func(i *azbatch.SupportedImage) int {
		if slices.Contains(i.Capabilities, "Gen2") {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(release(a), release(b)), end(a).Compare(end(b)), cmp.Compare(generation2(a), generation2(b)), cmp.Compare(imageName(b), imageName(a)))
}

// release is the number of the operating system's release, which ends the name of the node agent: 24.04 of
// "batch.node.ubuntu 24.04".
func release(i *azbatch.SupportedImage) float64 {
	agent := deref(i.NodeAgentSKUID)
	n, _ := strconv.ParseFloat(agent[strings.LastIndexByte(agent, ' ')+1:], 64)
	return n
}
