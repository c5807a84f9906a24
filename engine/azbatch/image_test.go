//go:build linux

package azbatch_test

import (
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine/azbatch"
)

func TestImages(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Options{Simulate: "task=1s"})
	e := a.open(t)
	gallery := "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i"
	for name, test := range map[string]struct {
		spec azbatch.PoolSpec
		want string
	}{
		"default":   {azbatch.PoolSpec{}, "canonical:ubuntu-24_04-lts:server, batch.node.ubuntu 24.04"},
		"exact":     {azbatch.PoolSpec{Image: "Canonical:ubuntu-24_04-lts:server-gen1"}, "canonical:ubuntu-24_04-lts:server-gen1, batch.node.ubuntu 24.04"},
		"publisher": {azbatch.PoolSpec{Image: "canonical"}, "canonical:ubuntu-24_04-lts:server, batch.node.ubuntu 24.04"},
		"offer":     {azbatch.PoolSpec{Image: "canonical:0001-com-ubuntu-server-jammy"}, "canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2, batch.node.ubuntu 22.04"},
		"container": {azbatch.PoolSpec{Container: "here"}, "microsoft-dsvm:ubuntu-hpc:2204, batch.node.ubuntu 22.04"},
		"gallery":   {azbatch.PoolSpec{Image: gallery, Agent: "batch.node.ubuntu 22.04"}, gallery + ", batch.node.ubuntu 22.04"},
		// Those that are not had: part of an offer's name, one that has ended, one that is not verified, another system.
		"part":       {azbatch.PoolSpec{Image: "canonical:ubuntu"}, "error"},
		"retired":    {azbatch.PoolSpec{Image: "canonical:0001-com-ubuntu-server-focal"}, "error"},
		"unverified": {azbatch.PoolSpec{Image: "debian"}, "error"},
		"windows":    {azbatch.PoolSpec{Image: "microsoftwindowsserver:windowsserver"}, "error"},
	} {
		test.spec.VMSize, test.spec.MaxNodes = "Standard_D2s_v5", 1
		got := "error"
		if _, err := e.CreatePool(t.Context(), name, test.spec); err != nil {
			if !strings.Contains(err.Error(), "choose one of") {
				t.Errorf("%s: %v", name, err)
			}
		} else if p, err := a.client.GetPool(t.Context(), name, nil); err != nil {
			t.Error(err)
		} else if m := p.VirtualMachineConfiguration; m.ImageReference.VirtualMachineImageID != nil {
			got = *m.ImageReference.VirtualMachineImageID + ", " + *m.NodeAgentSKUID
		} else {
			got = *m.ImageReference.Publisher + ":" + *m.ImageReference.Offer + ":" + *m.ImageReference.SKU + ", " + *m.NodeAgentSKUID
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
