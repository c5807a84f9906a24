package rest

import (
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// list is the handler of an operation that lists what items returns a page of, with the key that the next page begins after.
func list[M any](what string, r reading, items func(c *call, q odata.Query) (page []M, after string, err error)) func(*call) error {
	return func(c *call) error {
		q, err := r.parse(c)
		if err != nil {
			return err
		}
		page, after, err := items(c, q)
		if err != nil {
			return err
		}
		return pages(c, what, q, page, after)
	}
}

// whole is a page that has all.
func whole[M any](all []M, err error) ([]M, string, error) { return all, "", err }

var (
	applicationList = list("applications", plain, func(c *call, q odata.Query) ([]model.ApplicationSummary, string, error) {
		return c.s.Applications(q)
	})
	imageList = list("supportedimages", plain, func(c *call, q odata.Query) ([]model.ImageInformation, string, error) {
		return c.s.Images(q)
	})
	nodeCounts = list("nodecounts", reading{odata.Options{Max: 10}}, func(c *call, q odata.Query) ([]model.PoolNodeCounts, string, error) {
		return c.s.NodeCounts(q)
	})
	certificateList = list("certificates", readCertificates, func(c *call, q odata.Query) ([]model.Certificate, string, error) {
		return c.s.Certificates(c.base, q)
	})
	poolList = list("pools", readPools, func(c *call, q odata.Query) ([]model.CloudPool, string, error) {
		return c.s.Pools(c.base, q)
	})
	nodeList = list("nodes", readNodes, func(c *call, q odata.Query) ([]model.ComputeNode, string, error) {
		return c.s.Nodes(c.base, c.ids[0], q)
	})
	extensionList = list("extensions", readExtensions, func(c *call, _ odata.Query) ([]model.NodeVMExtension, string, error) {
		return whole(c.s.Extensions(c.ids[0], c.ids[1]))
	})
	scheduleList = list("jobschedules", readSchedules, func(c *call, q odata.Query) ([]model.CloudJobSchedule, string, error) {
		return c.s.Schedules(c.base, q)
	})
	jobList = list("jobs", readJobs, func(c *call, q odata.Query) ([]model.CloudJob, string, error) {
		return c.s.Jobs(c.base, "", q)
	})
	scheduleJobs = list("jobs", readJobs, func(c *call, q odata.Query) ([]model.CloudJob, string, error) {
		return c.s.Jobs(c.base, c.ids[0], q)
	})
	jobPreparation = list("jobpreparationandreleasetaskstatuslist", readPreparation,
		func(c *call, q odata.Query) ([]model.JobPreparationAndReleaseTaskExecutionInformation, string, error) {
			return c.s.PreparationStatus(c.base, c.ids[0], q)
		})
	taskSubtasks = list("subtasks", readSubtasks, func(c *call, _ odata.Query) ([]model.SubtaskInformation, string, error) {
		return whole(c.s.Subtasks(c.base, c.ids[0], c.ids[1]))
	})
)
