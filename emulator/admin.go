package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/faults"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
)

// Preempt takes a low-priority node away from its pool, as Azure does. What ran there is active again; the node comes back
// after Options.PreemptedTime, empty.
func (s *Server) Preempt(ctx context.Context, pool, node string) error {
	return s.service.PreemptNode(ctx, pool, node)
}

// Break makes a node unusable, until it is rebooted or reimaged. What ran there is active again.
func (s *Server) Break(ctx context.Context, pool, node string) error {
	return s.service.BreakNode(ctx, pool, node)
}

// Slow makes tasks on a simulated node take that many times longer, from the next one on.
func (s *Server) Slow(ctx context.Context, pool, node string, factor float64) error {
	return s.service.SlowNode(ctx, pool, node, factor)
}

// A Capacity is how many nodes of each kind Azure has for a pool; -1 is any number. A resize to more waits until it times out,
// or ends at once with the error AllocationFailed.
type Capacity struct {
	Dedicated   int  `json:"dedicated"`
	LowPriority int  `json:"lowPriority"`
	FailFast    bool `json:"failFast"`
}

// SetCapacity limits the nodes of a pool. It takes no node away.
func (s *Server) SetCapacity(ctx context.Context, pool string, c Capacity) error {
	return s.service.SetCapacity(ctx, pool, [2]int{c.Dedicated, c.LowPriority}, c.FailFast)
}

// SetIdentity gives the nodes of a pool a managed identity, by its resource ID: tasks find it at IDENTITY_ENDPOINT, where
// DefaultAzureCredential looks, and may name it in references to identities. Real pools get theirs through ARM, which this is not.
func (s *Server) SetIdentity(ctx context.Context, pool, resourceID string) error {
	client := uuid.NewSHA1(uuid.NameSpaceURL, []byte(resourceID)).String()
	return s.service.SetIdentity(ctx, pool, resourceID, client)
}

// SetQuota gives the account another quota.
func (s *Server) SetQuota(q Quota) { s.service.SetQuota(service.Quota(q)) }

// AddPackage adds a version of an application, from a zip file. Real accounts are given them through Azure's management.
func (s *Server) AddPackage(ctx context.Context, application, version string, isDefault bool, zip io.Reader) error {
	return s.service.AddPackage(ctx, application, version, isDefault, zip)
}

// Fail adds a rule by which requests fail, in the JSON of docs/emulator.md, and returns a function that removes it.
func (s *Server) Fail(rule string) (undo func(), err error) {
	var r faults.Rule
	if err := json.Unmarshal([]byte(rule), &r); err != nil {
		return nil, fmt.Errorf("emulator: the rule %s: %w", rule, err)
	}
	if r, err = s.faults.Add(r); err != nil {
		return nil, err
	}
	return func() { s.faults.Remove(r.ID) }, nil
}

// admin serves the same to programs in other languages, on this machine only.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, f func(r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := local(r); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			if err := f(r); err != nil {
				status := http.StatusBadRequest
				if e, ok := errors.AsType[*apierror.Error](err); ok {
					status = e.Status
				}
				http.Error(w, err.Error(), status)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	on("POST /admin/pools/{pool}/nodes/{node}/preempt", func(r *http.Request) error {
		return s.Preempt(r.Context(), r.PathValue("pool"), r.PathValue("node"))
	})
	on("POST /admin/pools/{pool}/nodes/{node}/break", func(r *http.Request) error {
		return s.Break(r.Context(), r.PathValue("pool"), r.PathValue("node"))
	})
	on("POST /admin/pools/{pool}/nodes/{node}/slow", func(r *http.Request) error {
		var in struct{ Factor float64 }
		if err := decode(r, &in); err != nil {
			return err
		}
		return s.Slow(r.Context(), r.PathValue("pool"), r.PathValue("node"), in.Factor)
	})
	on("PUT /admin/pools/{pool}/capacity", func(r *http.Request) error {
		in := Capacity{-1, -1, false}
		if err := decode(r, &in); err != nil {
			return err
		}
		return s.SetCapacity(r.Context(), r.PathValue("pool"), in)
	})
	on("PUT /admin/pools/{pool}/identity", func(r *http.Request) error {
		var in struct {
			ResourceID string `json:"resourceId"`
		}
		if err := decode(r, &in); err != nil {
			return err
		}
		return s.SetIdentity(r.Context(), r.PathValue("pool"), in.ResourceID)
	})
	on("PUT /admin/quota", func(r *http.Request) error {
		in := Quota(s.service.Quota())
		if err := decode(r, &in); err != nil {
			return err
		}
		s.SetQuota(in)
		return nil
	})
	on("PUT /admin/applications/{application}/{version}", func(r *http.Request) error {
		return s.AddPackage(r.Context(), r.PathValue("application"), r.PathValue("version"),
			r.URL.Query().Get("default") == "true", r.Body)
	})
	return mux
}

// local checks that a caller is on this machine and no web page in a browser.
func local(r *http.Request) error {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return errors.New("emulator: only callers on this machine may do this")
	}
	if r.Header.Get("Origin") != "" {
		return errors.New("emulator: web pages may not do this")
	}
	return nil
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("emulator: read the request: %w", err)
	}
	return nil
}
