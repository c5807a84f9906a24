package rest

import (
	"net/http"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

var (
	readNodes      = of[model.ComputeNode]()
	readExtensions = of[model.NodeVMExtension]()
)

func nodeGet(c *call) error {
	q, err := readNodes.parse(c)
	if err != nil {
		return err
	}
	node, err := c.s.Node(c.base, c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	return entity(c, "nodes", q, node, &node.ODataMetadata, service.Tag{})
}

// act answers a request that does something with a node.
func act[T any](c *call, read func(*call) (*T, error), status int, do func(in *T) error) error {
	return change(c, read, status, func(in *T, _ odata.Conditions) (service.Tag, error) { return service.Tag{}, do(in) })
}

func nodeReboot(c *call) error {
	return act(c, optional, http.StatusAccepted, func(in *model.NodeRebootParameter) error {
		return c.s.Reboot(c.r.Context(), c.ids[0], c.ids[1], in.NodeRebootOption)
	})
}

func nodeReimage(c *call) error {
	return act(c, optional, http.StatusAccepted, func(in *model.NodeReimageParameter) error {
		return c.s.Reimage(c.r.Context(), c.ids[0], c.ids[1], in.NodeReimageOption)
	})
}

func nodeDeallocate(c *call) error {
	return act(c, optional, http.StatusAccepted, func(in *model.NodeDeallocateParameter) error {
		return c.s.Deallocate(c.r.Context(), c.ids[0], c.ids[1], in.NodeDeallocateOption)
	})
}

func nodeStart(c *call) error {
	return act(c, none, http.StatusAccepted, func(*struct{}) error { return c.s.StartNode(c.r.Context(), c.ids[0], c.ids[1]) })
}

func nodeDisableScheduling(c *call) error {
	return act(c, optional, http.StatusOK, func(in *model.NodeDisableSchedulingParameter) error {
		return c.s.SetScheduling(c.r.Context(), c.ids[0], c.ids[1], false, in.NodeDisableSchedulingOption)
	})
}

func nodeEnableScheduling(c *call) error {
	return act(c, none, http.StatusOK, func(*struct{}) error {
		return c.s.SetScheduling(c.r.Context(), c.ids[0], c.ids[1], true, "")
	})
}

func userAdd(c *call) error {
	in, err := body[model.ComputeNodeUser](c)
	if err != nil {
		return err
	}
	if err := c.s.AddUser(c.r.Context(), c.ids[0], c.ids[1], in); err != nil {
		return err
	}
	return c.created("/pools/"+c.ids[0]+"/nodes/"+c.ids[1]+"/users/"+in.Name, service.Tag{})
}

func userPut(c *call) error {
	return act(c, body, http.StatusOK, func(in *model.NodeUpdateUserParameter) error {
		return c.s.UpdateUser(c.r.Context(), c.ids[0], c.ids[1], c.ids[2], in)
	})
}

func userDelete(c *call) error {
	return act(c, none, http.StatusOK, func(*struct{}) error {
		return c.s.DeleteUser(c.r.Context(), c.ids[0], c.ids[1], c.ids[2])
	})
}

func nodeRemoteLogin(c *call) error {
	login, err := c.s.RemoteLogin(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	login.ODataMetadata = element(c, "Microsoft.Azure.Batch.Protocol.Entities.ComputeNodeRemoteLoginSettings")
	wire.JSON(c.w, c.r, http.StatusOK, login)
	return nil
}

func nodeUploadLogs(c *call) error {
	in, err := body[model.UploadBatchServiceLogsConfiguration](c)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(in.ContainerURL, "http://") && !strings.HasPrefix(in.ContainerURL, "https://") {
		return apierror.Property("containerUrl", in.ContainerURL, "It is no URL.")
	}
	result, err := c.s.UploadLogs(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	result.ODataMetadata = element(c, "Microsoft.Azure.Batch.Protocol.Entities.UploadBatchServiceLogsResult")
	wire.JSON(c.w, c.r, http.StatusOK, result)
	return nil
}

func extensionGet(c *call) error {
	q, err := readExtensions.parse(c)
	if err != nil {
		return err
	}
	all, err := c.s.Extensions(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	for i := range all {
		if strings.EqualFold(all[i].VMExtension.Name, c.ids[2]) {
			return entity(c, "extensions", q, &all[i], &all[i].ODataMetadata, service.Tag{})
		}
	}
	return apierror.New(apierror.ResourceNotFound)
}
