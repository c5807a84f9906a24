package rest

import (
	"net/http"

	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

var readPools = of[model.CloudPool]("stats")

func poolAdd(c *call) error {
	in, err := body[model.PoolAddParameter](c)
	if err != nil {
		return err
	}
	tag, err := c.s.AddPool(c.r.Context(), in)
	if err != nil {
		return err
	}
	return c.created("/pools/"+in.ID, tag)
}

func poolGet(c *call) error {
	q, err := readPools.parse(c)
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	pool, tag, err := c.s.Pool(c.base, c.ids[0], q.Expands("stats"), conditions)
	if err != nil {
		return err
	}
	return entity(c, "pools", q, pool, &pool.ODataMetadata, tag)
}

// change answers a request with a body that changes the entity that is named first in the path.
func change[T any](c *call, read func(*call) (*T, error), status int,
	do func(in *T, conditions odata.Conditions) (service.Tag, error)) error {
	in, err := read(c)
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	tag, err := do(in, conditions)
	if err != nil {
		return err
	}
	return c.accepted(status, tag)
}

// none is the body of requests that have none.
func none(*call) (*struct{}, error) { return nil, nil }

func poolPatch(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.PoolPatchParameter, when odata.Conditions) (service.Tag, error) {
		return c.s.PatchPool(c.r.Context(), c.ids[0], in, when)
	})
}

func poolDelete(c *call) error {
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return service.Tag{}, c.s.DeletePool(c.r.Context(), c.ids[0], when)
	})
}

func poolEnableAutoScale(c *call) error {
	return change(c, body, http.StatusOK, func(in *model.PoolEnableAutoScaleParameter,
		when odata.Conditions) (service.Tag, error) {
		return c.s.EnableAutoScale(c.r.Context(), c.ids[0], in, when)
	})
}

func poolDisableAutoScale(c *call) error {
	return change(c, none, http.StatusOK, func(*struct{}, odata.Conditions) (service.Tag, error) {
		return c.s.DisableAutoScale(c.r.Context(), c.ids[0])
	})
}

func poolEvaluateAutoScale(c *call) error {
	in, err := body[model.PoolEvaluateAutoScaleParameter](c)
	if err != nil {
		return err
	}
	run, tag, err := c.s.EvaluateAutoScale(c.ids[0], in.AutoScaleFormula)
	if err != nil {
		return err
	}
	run.ODataMetadata = element(c, "Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun")
	c.w.Header().Set("DataServiceId", c.base+c.r.URL.EscapedPath())
	odata.SetETag(c.w.Header(), tag.ETag, tag.Modified)
	wire.JSON(c.w, c.r, http.StatusOK, run)
	return nil
}

func poolResize(c *call) error {
	return change(c, body, http.StatusAccepted, func(in *model.PoolResizeParameter, when odata.Conditions) (service.Tag,
		error) {
		return c.s.ResizePool(c.r.Context(), c.ids[0], in, when)
	})
}

func poolStopResize(c *call) error {
	return change(c, none, http.StatusAccepted, func(_ *struct{}, when odata.Conditions) (service.Tag, error) {
		return c.s.StopResize(c.r.Context(), c.ids[0], when)
	})
}

func poolRemoveNodes(c *call) error {
	return change(c, body, http.StatusAccepted, func(in *model.NodeRemoveParameter, when odata.Conditions) (service.Tag,
		error) {
		return c.s.RemoveNodes(c.r.Context(), c.ids[0], in, when)
	})
}

func poolUpdateProperties(c *call) error {
	return change(c, body, http.StatusNoContent, func(in *model.PoolUpdatePropertiesParameter,
		_ odata.Conditions) (service.Tag, error) {
		return c.s.UpdatePoolProperties(c.r.Context(), c.ids[0], in)
	})
}
