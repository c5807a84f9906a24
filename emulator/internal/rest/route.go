package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A route is an operation of the description.
type route struct {
	name    string // its operationId
	method  string
	path    []string // segments; "{}" is any one, "{...}" at the end is any number of them
	allowed []string // query parameters besides those that every operation has
	handle  func(*call) error
}

// match finds out whether segments are those of the route, and the ones that its braces stand for.
func (r *route) match(segments []string) (ids []string, ok bool) {
	for i, p := range r.path {
		switch {
		case p == "{...}":
			if i >= len(segments) {
				return nil, false
			}
			return append(ids, strings.Join(segments[i:], "/")), true
		case i >= len(segments):
			return nil, false
		case p == "{}":
			ids = append(ids, segments[i])
		case !strings.EqualFold(p, segments[i]):
			return nil, false
		}
	}
	return ids, len(segments) == len(r.path)
}

// split cuts the path of a request into segments. A slash that was escaped cuts nothing.
func split(u *url.URL) (segments []string, err error) {
	for _, s := range strings.Split(strings.Trim(u.EscapedPath(), "/"), "/") {
		s, err := url.PathUnescape(s)
		if err != nil {
			return nil, err
		}
		// The collection of certificates has its keys in parentheses: certificates(thumbprintAlgorithm=a,thumbprint=t).
		if inner, ok := strings.CutPrefix(s, "certificates("); ok && len(segments) == 0 {
			algorithm, thumbprint, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ",")
			_, algorithm, _ = strings.Cut(algorithm, "=")
			_, thumbprint, _ = strings.Cut(thumbprint, "=")
			segments = append(segments, "certificates", strings.Trim(algorithm, "'"), strings.Trim(thumbprint, "'"))
			continue
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// find is the route of a request, with the names in its path. When there is none for the method, other says whether there
// is one for another.
func find(method string, segments []string) (r *route, ids []string, other bool) {
	for i := range routes {
		r := &routes[i]
		ids, ok := r.match(segments)
		if ok && r.method == method {
			return r, ids, false
		}
		other = other || ok
	}
	return nil, nil, other
}

// Operation is the operationId of a request in the description, as "Task_Add"; empty for none.
func Operation(r *http.Request) string {
	segments, err := split(r.URL)
	if err != nil {
		return ""
	}
	if found, _, _ := find(r.Method, segments); found != nil {
		return found.name
	}
	return ""
}

// allows says whether the operation has a query parameter.
func (r *route) allows(name string) bool {
	return slices.Contains(everywhere, strings.ToLower(name)) || slices.ContainsFunc(r.allowed,
		func(a string) bool { return strings.EqualFold(a, name) })
}

// everywhere are the query parameters of every operation.
var everywhere = []string{"api-version", "timeout"}
