package apicheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// versions are those that the emulator speaks.
var versions = []string{"2024-07-01.20.0", "2022-10-01.16.0"}

// spellings are other names of query parameters, by which the SDK for Go sends them.
var spellings = map[string]string{"timeOut": "timeout", "startTime": "starttime"}

// request lists what is wrong with a request.
func (c *Checker) request(op *operation, params map[string]string, x exchange) (wrong []error) {
	r := x.request.Clone(context.Background())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.requestBody)), int64(len(x.requestBody))
	if len(x.requestBody) == 0 {
		r.Body = http.NoBody
		r.Header.Del("Content-Type")
	} else {
		if err := jsonContent(r.Header); err != nil {
			wrong = append(wrong, err)
		}
		r.Header.Set("Content-Type", consumed)
	}

	query := r.URL.Query()
	for name, values := range query {
		if as, ok := spellings[name]; ok {
			query.Del(name)
			query[as] = values
		}
	}
	r.URL.RawQuery = query.Encode()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name == "$skiptoken" && op.list() { // it is from an odata.nextLink, which is the service's business
			continue
		}
		if op.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			wrong = append(wrong, fmt.Errorf("query parameter %q is not described", name))
		} else if len(query[name]) > 1 {
			wrong = append(wrong, fmt.Errorf("query parameter %q is given %d times", name, len(query[name])))
		}
	}
	if v := query.Get("api-version"); v != "" && !slices.Contains(versions, v) {
		wrong = append(wrong, fmt.Errorf("api-version is %q, not one of %q", v, versions))
	}

	return append(wrong, flatten(openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: params,
		Route:      &routers.Route{Spec: c.doc, Path: op.path, PathItem: op.item, Method: op.method, Operation: op.Operation},
		Options: &openapi3filter.Options{
			MultiError:                        true,
			SkipSettingDefaults:               true,
			RejectWhenRequestBodyNotSpecified: true,
			ExcludeReadOnlyValidations:        true, // who changes a job may send back what they got
			SchemaValidationOptions:           visit,
		},
	}))...)
}

// consumed is the content type of requests as the description spells it.
const consumed = "application/json; odata=minimalmetadata"

const jsonMedia = "application/json"

// jsonContent says whether a body is said to be JSON in the form of the service. Clients and the service add a charset.
func jsonContent(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != jsonMedia || params["odata"] != "minimalmetadata" {
		return fmt.Errorf("Content-Type is %q, not application/json; odata=minimalmetadata", h.Get("Content-Type"))
	}
	return nil
}

// visit is how values are compared with schemas.
var visit = []openapi3.SchemaValidationOption{
	openapi3.MultiErrors(), openapi3.EnableFormatValidation(), openapi3.WithStringFormatValidators(formats),
}

// flatten lists the errors in an error of kin-openapi, each with the place that it is about, in an order that is
// always the same.
func flatten(err error) []error {
	var all []error
	if many, ok := err.(openapi3.MultiError); ok {
		for _, e := range many {
			all = append(all, flatten(e)...)
		}
		slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return all
	}
	if err == nil {
		return nil
	}
	where := ""
	if e, ok := errors.AsType[*openapi3filter.RequestError](err); ok {
		switch {
		case e.Parameter != nil:
			where = e.Parameter.In + " parameter " + e.Parameter.Name + ": "
		case e.RequestBody != nil:
			where = "body: "
		}
		if e.Err == nil {
			return []error{errors.New(where + e.Reason)}
		}
		for _, inner := range flatten(e.Err) {
			all = append(all, fmt.Errorf("%s%w", where, inner))
		}
		return all
	}
	if e, ok := err.(*openapi3.SchemaError); ok {
		return []error{&schemaError{e}}
	}
	return []error{err}
}

// schemaError prints without the schema and the value, which can be long.
type schemaError struct{ *openapi3.SchemaError }

func (e *schemaError) Error() string {
	return "/" + strings.Join(e.JSONPointer(), "/") + ": " + e.Reason
}

func (e *schemaError) Unwrap() error { return e.SchemaError }
