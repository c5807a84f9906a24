package service

import (
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// An image is one that pools can be made of.
type image struct {
	publisher, offer, sku, agent string
	end                          time.Time // of its support; zero: not announced
	unverified                   bool
	capabilities                 []string
}

var generation2 = []string{"NvmeSupported", "IntelMPI", "Gen2"}

// images are some of those that the service lists, and older ones that programs still name. Nodes run the same whatever
// image they have: that of this machine.
var images = []image{
	{publisher: "canonical", offer: "ubuntu-24_04-lts", sku: "server", agent: "batch.node.ubuntu 24.04",
		capabilities: generation2},
	{publisher: "canonical", offer: "ubuntu-24_04-lts", sku: "server-gen1", agent: "batch.node.ubuntu 24.04"},
	{publisher: "canonical", offer: "0001-com-ubuntu-server-jammy", sku: "22_04-lts", agent: "batch.node.ubuntu 22.04",
		end: day(2027, 6, 1)},
	{publisher: "canonical", offer: "0001-com-ubuntu-server-jammy", sku: "22_04-lts-gen2",
		agent: "batch.node.ubuntu 22.04", end: day(2027, 6, 1), capabilities: generation2},
	{publisher: "microsoft-dsvm", offer: "ubuntu-hpc", sku: "2204", agent: "batch.node.ubuntu 22.04",
		end: day(2027, 6, 1), capabilities: []string{"NvidiaTeslaDriverInstalled", "DockerCompatible"}},
	{publisher: "microsoft-azure-batch", offer: "ubuntu-server-container", sku: "20-04-lts",
		agent: "batch.node.ubuntu 20.04", end: day(2025, 4, 22), capabilities: []string{"DockerCompatible"}},
	{publisher: "canonical", offer: "0001-com-ubuntu-server-focal", sku: "20_04-lts", agent: "batch.node.ubuntu 20.04",
		end: day(2025, 4, 22)},
	{publisher: "debian", offer: "debian-12", sku: "12", agent: "batch.node.debian 12", unverified: true},
	{publisher: "debian", offer: "debian-12", sku: "12-gen2", agent: "batch.node.debian 12", unverified: true,
		capabilities: generation2},
	{publisher: "almalinux", offer: "almalinux-x86_64", sku: "9-gen2", agent: "batch.node.el 9", capabilities: generation2},
	{publisher: "microsoftwindowsserver", offer: "windowsserver", sku: "2022-datacenter", agent: "batch.node.windows amd64"},
}

func day(year, month, d int) time.Time {
	return time.Date(year, time.Month(month), d, 0, 0, 0, 0, time.UTC)
}

func (i image) windows() bool { return strings.HasPrefix(i.agent, "batch.node.windows") }

func (i image) os() string {
	if i.windows() {
		return "windows"
	}
	return "linux"
}

func (i image) verification() string {
	if i.unverified {
		return "unverified"
	}
	return "verified"
}

func (i image) matches(r *model.ImageReference) bool {
	return strings.EqualFold(i.publisher, r.Publisher) && strings.EqualFold(i.offer, r.Offer) && strings.EqualFold(i.sku, r.SKU)
}

var imageFields = odata.Fields[image]{
	"osType":           odata.Text(image.os),
	"verificationType": odata.Text(image.verification),
	"nodeAgentSKUId":   odata.Text(func(i image) string { return i.agent }),
}

// Images lists the images that pools can be made of.
func (s *Service) Images(q odata.Query) ([]model.ImageInformation, string, error) {
	match, err := imageFields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	var all ordered[image]
	for _, i := range images {
		all.add(i.agent+"/"+i.publisher+"/"+i.offer+"/"+i.sku, i)
	}
	page, after := odata.Page(q, all.from(q.After), match)
	list := make([]model.ImageInformation, len(page))
	for n, i := range page {
		list[n] = model.ImageInformation{NodeAgentSKUID: i.agent, OSType: i.os(), VerificationType: i.verification(),
			Capabilities: i.capabilities, BatchSupportEndOfLife: i.end,
			ImageReference: &model.ImageReference{Publisher: i.publisher, Offer: i.offer, SKU: i.sku, Version: "latest"}}
	}
	return list, after, nil
}
