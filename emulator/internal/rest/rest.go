// Package rest is the HTTP of the Batch API: which operation a request asks for, whether it is well formed, and how the answer
// is written. What the operations do is in package service.
package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// Versions are the API versions that are served: those of Microsoft's SDK for Go and of the Azure CLI.
var Versions = []string{"2024-07-01.20.0", "2022-10-01.16.0"}

// MaxBody is the most bytes that a request's body may have. Clients take an addtaskcollection of about 1 MB for too large.
const MaxBody = 1 << 20

// Handler serves the API of a service. What surrounds requests (identifiers, faults, authentication) is for others.
func Handler(s *service.Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.Clock().Now().Format(http.TimeFormat)) // as all times here are the account's
		if err := serve(s, w, r); err != nil {
			wire.Error(w, r, err)
		}
	})
}

// A call is a request under way.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	s     *service.Service
	route *route
	ids   []string // the names in the path
	query url.Values
	base  string // that URLs in the answer begin with
}

func serve(s *service.Service, w http.ResponseWriter, r *http.Request) error {
	segments, err := split(r.URL)
	if err != nil {
		return apierror.New(apierror.RequestUrlFailedToParse)
	}
	found, ids, other := find(r.Method, segments)
	switch {
	case found == nil && other:
		return apierror.New(apierror.UnsupportedHttpVerb)
	case found == nil:
		return apierror.New(apierror.InvalidUri)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return apierror.New(apierror.RequestUrlFailedToParse)
	}
	c := &call{w: w, r: r, s: s, route: found, ids: ids, query: query, base: wire.Origin(r)}
	if err := c.checkQuery(); err != nil {
		return err
	}
	return found.handle(c)
}

func (c *call) checkQuery() error {
	version := c.query.Get("api-version")
	if version == "" {
		return noVersion()
	}
	if !slices.Contains(Versions, version) {
		return apierror.New(apierror.UnsupportedRequestVersion).With("QueryParameterName",
			"api-version").With("QueryParameterValue", version)
	}
	for name, values := range c.query {
		if !c.route.allows(name) {
			return apierror.New(apierror.UnsupportedQueryParameter).With("QueryParameterName", name)
		}
		if strings.EqualFold(name, "timeout") {
			if _, err := strconv.ParseUint(values[0], 10, 31); err != nil {
				return apierror.Parameter(name, values[0], "It is no number of seconds.")
			}
		}
	}
	return nil
}

// flag reads a query parameter that is true or false.
func (c *call) flag(name string) (bool, error) {
	v := c.query.Get(name)
	switch strings.ToLower(v) {
	case "":
		return false, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, apierror.Parameter(name, v, "It is neither true nor false.")
}

// body reads the request's body as JSON of type T.
func body[T any](c *call) (*T, error) {
	if c.r.ContentLength < 0 {
		return nil, apierror.New(apierror.MissingContentLengthHeader)
	}
	if t := c.r.Header.Get("Content-Type"); t != "" {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
			return nil, apierror.Header("Content-Type", t)
		}
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, apierror.New(apierror.RequestBodyTooLarge).With("MaxLimit", strconv.Itoa(MaxBody))
	case err != nil:
		return nil, apierror.New(apierror.InvalidRequestBody).With("Reason", "The body could not be read.")
	}
	return model.Decode[T](b)
}

// optional is body for bodies that may be missing: then it is the zero T.
func optional[T any](c *call) (*T, error) {
	if c.r.ContentLength == 0 {
		return new(T), nil
	}
	return body[T](c)
}

func (c *call) conditions() (odata.Conditions, error) { return odata.ParseConditions(c.r.Header) }

// accepted answers a request that changed something.
func (c *call) accepted(status int, tag service.Tag) error {
	h := c.w.Header()
	h.Set("DataServiceId", c.base+c.r.URL.EscapedPath())
	if tag.ETag != "" {
		odata.SetETag(h, tag.ETag, tag.Modified)
	}
	c.w.WriteHeader(status)
	return nil
}

// created answers a request that made something, which is at a path below the collection's.
func (c *call) created(path string, tag service.Tag) error {
	location := c.base + path
	c.w.Header().Set("Location", location)
	h := c.w.Header()
	h.Set("DataServiceId", location)
	if tag.ETag != "" {
		odata.SetETag(h, tag.ETag, tag.Modified)
	}
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// pages answers with a page of a list.
func pages[M any](c *call, what string, q odata.Query, items []M, after string) error {
	next := ""
	if after != "" {
		next = odata.NextLink(c.r, after)
	}
	metadata := wire.Metadata(c.r, what)
	if items == nil {
		items = []M{}
	}
	if c.query.Get("$select") == "" {
		wire.JSON(c.w, c.r, http.StatusOK, model.List[M]{ODataMetadata: metadata, Value: items, NextLink: next})
		return nil
	}
	list := model.List[any]{ODataMetadata: metadata, Value: make([]any, len(items)), NextLink: next}
	for i := range items {
		cut, err := q.Select.Apply(&items[i])
		if err != nil {
			return err
		}
		list.Value[i] = cut
	}
	wire.JSON(c.w, c.r, http.StatusOK, list)
	return nil
}

// entity answers with one entity, of which metadata is where its odata.metadata goes.
func entity(c *call, what string, q odata.Query, v any, metadata *string, tag service.Tag) error {
	if tag.ETag != "" {
		odata.SetETag(c.w.Header(), tag.ETag, tag.Modified)
	}
	if c.r.Method == http.MethodHead {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	if c.query.Get("$select") == "" {
		*metadata = wire.Metadata(c.r, what+"/@Element")
		wire.JSON(c.w, c.r, http.StatusOK, v)
		return nil
	}
	cut, err := q.Select.Apply(v)
	if err != nil {
		return err
	}
	wire.JSON(c.w, c.r, http.StatusOK, cut)
	return nil
}

// A reading is the query of a request that reads.
type reading struct{ options odata.Options }

// of is a reading of entities of type M, with what $expand may name.
func of[M any](expand ...string) reading {
	return reading{odata.Options{Select: odata.NamesOf[M](), Expand: expand}}
}

func (r reading) parse(c *call) (odata.Query, error) { return odata.Parse(c.query, r.options) }

// Versioned answers requests without an api-version, which the service complains of before it looks at who asks.
func Versioned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("api-version") {
			wire.Error(w, r, noVersion())
			return
		}
		next.ServeHTTP(w, r)
	})
}

func noVersion() error {
	return apierror.New(apierror.MissingRequiredQueryParameter).With("QueryParameterName", "api-version")
}
