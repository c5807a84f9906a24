package apicheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// response lists what is wrong with an answer.
func (c *Checker) response(op *operation, x exchange) (wrong []error) {
	described := op.Responses.Status(x.status)
	failed := x.status >= 400 || x.status == http.StatusNotModified
	if described == nil && failed {
		described = op.Responses.Default()
	}
	if described == nil {
		return []error{fmt.Errorf("status %d is not described, only %s", x.status, statuses(op))}
	}
	wrong = headers(op, described.Value, x)
	schema := op.body(x.status)
	switch {
	case x.request.Method == http.MethodHead || x.status == http.StatusNotModified || schema == nil:
		if len(x.responseBody) > 0 {
			wrong = append(wrong, fmt.Errorf("there is a body of %d bytes, where none is described", len(x.responseBody)))
		}
	case op.file() && !failed: // any content will do
	default:
		wrong = append(wrong, body(schema, x)...)
	}
	return wrong
}

func statuses(op *operation) string {
	var all []string
	for status := range op.Responses.Map() {
		if status != "default" {
			all = append(all, status)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// headers lists what is wrong with those of an answer.
func headers(op *operation, described *openapi3.Response, x exchange) (wrong []error) {
	for _, name := range required(op, described, x) {
		if x.header.Get(name) == "" {
			wrong = append(wrong, fmt.Errorf("header %s is missing", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(described.Headers)) {
		s := x.header.Get(name)
		if s == "" {
			continue
		}
		schema := described.Headers[name].Value.Schema.Value
		v, err := parameter(schema, s)
		if err == nil {
			err = schema.VisitJSON(v, visit...)
		}
		for _, err := range flatten(err) {
			wrong = append(wrong, fmt.Errorf("header %s: %w", name, err))
		}
	}
	return wrong
}

// required are the headers that the service is known to send with such an answer. The description only says which
// there may be.
func required(op *operation, described *openapi3.Response, x exchange) []string {
	names := []string{"request-id"}
	asked := x.request.Header
	if asked.Get("client-request-id") != "" && strings.EqualFold(asked.Get("return-client-request-id"), "true") {
		names = append(names, "client-request-id")
	}
	if x.status >= 300 {
		return names
	}
	var more []string
	resource, _, _ := strings.Cut(op.OperationID, "_")
	switch {
	case op.file():
		more = []string{"Last-Modified", "Content-Type", "ocp-batch-file-isdirectory", "ocp-batch-file-mode", "ocp-batch-file-url"}
		if x.request.Method == http.MethodHead {
			more = append(more, "Content-Length")
		}
	case slices.Contains([]string{"Pool", "Job", "JobSchedule", "Task"}, resource) && !op.list():
		more = []string{"ETag", "Last-Modified"}
	}
	if op.method != http.MethodGet {
		more = append(more, "DataServiceId")
	}
	for _, name := range more {
		if described.Headers[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// parameter is what the text of a header stands for.
func parameter(schema *openapi3.Schema, s string) (any, error) {
	switch {
	case schema.Type.Is("boolean"):
		return strconv.ParseBool(s)
	case schema.Type.Is("integer"):
		return strconv.ParseFloat(s, 64)
	}
	return s, nil
}

// body lists what is wrong with the JSON of an answer.
func body(schema *openapi3.SchemaRef, x exchange) (wrong []error) {
	if err := jsonContent(x.header); err != nil {
		wrong = append(wrong, err)
	}
	dec := json.NewDecoder(bytes.NewReader(x.responseBody))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return append(wrong, fmt.Errorf("the body is no JSON: %w", err))
	}
	if _, err := dec.Token(); err != io.EOF {
		wrong = append(wrong, errors.New("there is more after the body's JSON"))
	}
	selected := x.request.URL.Query().Get("$select") != "" && x.status < 300
	if object, ok := v.(map[string]any); ok {
		if metadata, ok := object["odata.metadata"]; ok {
			wrong = append(wrong, link("odata.metadata", metadata, false)...)
			delete(object, "odata.metadata")
		}
		if next, ok := object["odata.nextLink"]; ok {
			wrong = append(wrong, link("odata.nextLink", next, true)...)
		}
	}
	for _, err := range flatten(schema.Value.VisitJSON(v, append(visit, openapi3.VisitAsResponse())...)) {
		if e, ok := errors.AsType[*openapi3.SchemaError](err); ok && selected && e.SchemaField == "required" {
			continue
		}
		wrong = append(wrong, fmt.Errorf("body: %w", err))
	}
	return wrong
}

// link checks an absolute URL.
func link(name string, v any, version bool) []error {
	s, _ := v.(string)
	u, err := url.Parse(s)
	switch {
	case err != nil || !u.IsAbs() || u.Host == "":
		return []error{fmt.Errorf("%s is %v, which is no absolute URL", name, v)}
	case version && u.Query().Get("api-version") == "":
		return []error{fmt.Errorf("%s is %s, which has no api-version", name, s)}
	}
	return nil
}
