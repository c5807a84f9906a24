package apicheck

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// An operation is one of the API, with what it takes to tell whether a request is for it.
type operation struct {
	*openapi3.Operation
	method string
	path   string // as in the description
	match  *regexp.Regexp
	params []string // the names of match's groups
	item   *openapi3.PathItem
}

var placeholder = regexp.MustCompile(`\\\{(\w+)\\\}`)

// operations lists all of the description by name. Of the values in a path only that of a file may have slashes.
func operations(doc *openapi3.T) []*operation {
	var all []*operation
	for path, item := range doc.Paths.Map() {
		var params []string
		pattern := placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(p string) string {
			name := strings.Trim(p, `\{}`)
			params = append(params, name)
			if name == "filePath" {
				return "(.+)"
			}
			return "([^/]+)"
		})
		match := regexp.MustCompile("^" + pattern + "$")
		for method, op := range item.Operations() {
			all = append(all, &operation{Operation: op, method: method, path: path, match: match, params: params, item: item})
		}
	}
	slices.SortFunc(all, func(a, b *operation) int { return strings.Compare(a.OperationID, b.OperationID) })
	return all
}

// find is the operation that a request is for, and the values in its path.
func (c *Checker) find(r *http.Request) (*operation, map[string]string) {
	path := r.URL.EscapedPath()
	for _, op := range c.operations {
		if op.method != r.Method {
			continue
		}
		if groups := op.match.FindStringSubmatch(path); groups != nil {
			params := map[string]string{}
			for i, name := range op.params {
				params[name] = groups[i+1]
				if s, err := url.PathUnescape(groups[i+1]); err == nil {
					params[name] = s
				}
			}
			return op, params
		}
	}
	return nil, nil
}

// list tells whether an operation returns a page of many things.
func (op *operation) list() bool {
	s := op.body(http.StatusOK)
	if s == nil {
		return false
	}
	value := s.Value.Properties["value"]
	return value != nil && value.Value.Type.Is("array")
}

// file tells whether an operation returns the content or the properties of a file.
func (op *operation) file() bool {
	return strings.HasPrefix(op.OperationID, "File_Get")
}

// body is the schema of what an operation answers with a status, or nil.
func (op *operation) body(status int) *openapi3.SchemaRef {
	r := op.Responses.Status(status)
	if r == nil {
		if r = op.Responses.Default(); status < 300 || r == nil {
			return nil
		}
	}
	for _, content := range r.Value.Content {
		return content.Schema
	}
	return nil
}
