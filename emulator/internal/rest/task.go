package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// maxTasks is how many tasks one request can add.
const maxTasks = 100

var (
	readTasks    = of[model.CloudTask]("stats")
	readSubtasks = of[model.SubtaskInformation]()
)

func taskAdd(c *call) error {
	in, err := body[model.TaskAddParameter](c)
	if err != nil {
		return err
	}
	tag, err := c.s.AddTask(c.r.Context(), c.ids[0], service.PrepareTask(in))
	if err != nil {
		return err
	}
	return c.created("/jobs/"+c.ids[0]+"/tasks/"+in.ID, tag)
}

func taskAddCollection(c *call) error {
	in, err := body[model.TaskAddCollectionParameter](c)
	if err != nil {
		return err
	}
	if n := len(in.Value); n > maxTasks {
		return apierror.Property("value", strconv.Itoa(n), "A collection can have at most "+strconv.Itoa(maxTasks)+" tasks.")
	}
	tasks := make([]service.NewTask, len(in.Value))
	for i := range in.Value {
		tasks[i] = service.PrepareTask(&in.Value[i])
	}
	added, err := c.s.AddTasks(c.r.Context(), c.ids[0], tasks)
	if err != nil {
		return err
	}
	out := model.TaskAddCollectionResult{ODataMetadata: element(c, "taskaddresult"),
		Value: make([]model.TaskAddResult, len(added))}
	for i, a := range added {
		r := &out.Value[i]
		r.TaskID = in.Value[i].ID
		if a.Err == nil {
			r.Status, r.ETag, r.LastModified = "success", a.Tag.ETag, a.Tag.Modified
			r.Location = c.base + "/jobs/" + c.ids[0] + "/tasks/" + r.TaskID
			continue
		}
		e := apierror.Of(a.Err)
		r.Status = "clienterror"
		if e.Status >= 500 {
			r.Status = "servererror"
		}
		r.Error = e.Body(wire.RequestID(c.w), time.Now())
	}
	wire.JSON(c.w, c.r, http.StatusOK, out)
	return nil
}

var taskList = list("tasks", readTasks, func(c *call, q odata.Query) ([]*model.CloudTask, string, error) {
	views, after, err := c.s.Tasks(c.ids[0], q)
	items := make([]*model.CloudTask, len(views))
	specification := needsSpecification(c.query.Get("$select"))
	for i := range views {
		items[i] = views[i].Model(c.base, specification, q.Expands("stats"))
	}
	return items, after, err
})

func taskGet(c *call) error {
	q, err := readTasks.parse(c)
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	view, tag, err := c.s.Task(c.ids[0], c.ids[1], conditions)
	if err != nil {
		return err
	}
	task := view.Model(c.base, needsSpecification(c.query.Get("$select")), q.Expands("stats"))
	return entity(c, "tasks", q, task, &task.ODataMetadata, tag)
}

func taskPut(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.CloudTask, when odata.Conditions) (service.Tag, error) {
		return c.s.UpdateTask(c.r.Context(), c.ids[0], c.ids[1], in.Constraints, when)
	})
}

func taskDelete(c *call) error {
	return change(c, none, http.StatusOK, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return service.Tag{}, c.s.DeleteTask(c.r.Context(), c.ids[0], c.ids[1], when)
	})
}

func taskTerminate(c *call) error {
	return change(c, none, http.StatusNoContent, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.TerminateTask(c.r.Context(), c.ids[0], c.ids[1], when)
	})
}

func taskReactivate(c *call) error {
	return change(c, none, http.StatusNoContent, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.ReactivateTask(c.r.Context(), c.ids[0], c.ids[1], when)
	})
}
