package rest

import (
	"net/http"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

var (
	plain            = reading{}
	readCertificates = of[model.Certificate]()
)

func applicationGet(c *call) error {
	q, err := plain.parse(c)
	if err != nil {
		return err
	}
	app, err := c.s.Application(c.ids[0])
	if err != nil {
		return err
	}
	return entity(c, "applications", q, app, &app.ODataMetadata, service.Tag{})
}

var usageList = list("poolusagemetrics", plain, func(c *call, q odata.Query) (_ []model.PoolUsageMetrics, _ string, err error) {
	var bounds [2]time.Time
	for i, name := range []string{"starttime", "endtime"} {
		if v := c.query.Get(name); v != "" {
			if bounds[i], err = time.Parse(time.RFC3339, v); err != nil {
				return nil, "", apierror.Parameter(name, v, "It is no time like 2006-01-02T15:04:05Z.")
			}
		}
	}
	return c.s.Usage(q, bounds[0], bounds[1])
})

func certificateAdd(c *call) error {
	in, err := body[model.CertificateAddParameter](c)
	if err != nil {
		return err
	}
	if err := c.s.AddCertificate(c.r.Context(), in); err != nil {
		return err
	}
	return c.created("/certificates(thumbprintAlgorithm="+in.ThumbprintAlgorithm+",thumbprint="+in.Thumbprint+")",
		service.Tag{})
}

func certificateGet(c *call) error {
	q, err := readCertificates.parse(c)
	if err != nil {
		return err
	}
	cert, err := c.s.Certificate(c.base, c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	return entity(c, "certificates", q, cert, &cert.ODataMetadata, service.Tag{})
}

func certificateDelete(c *call) error {
	if err := c.s.DeleteCertificate(c.r.Context(), c.ids[0], c.ids[1]); err != nil {
		return err
	}
	return c.accepted(http.StatusAccepted, service.Tag{})
}

func certificateCancel(c *call) error {
	if err := c.s.CancelCertificateDeletion(c.r.Context(), c.ids[0], c.ids[1]); err != nil {
		return err
	}
	return c.accepted(http.StatusNoContent, service.Tag{})
}

// element is wire.Metadata for what is no list.
func element(c *call, what string) string { return wire.Metadata(c.r, what) }
