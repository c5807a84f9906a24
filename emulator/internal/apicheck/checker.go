package apicheck

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// Checker has the description, and remembers what it checked. It may be used by several goroutines and servers at once.
type Checker struct {
	doc        *openapi3.T
	operations []*operation // by name

	mu   sync.Mutex
	seen map[*operation]*Coverage
}

// New loads the description. That takes some time: tests share a Checker.
func New() (*Checker, error) {
	doc, err := load()
	if err != nil {
		return nil, fmt.Errorf("apicheck: load the description: %w", err)
	}
	return &Checker{doc: doc, operations: operations(doc), seen: map[*operation]*Coverage{}}, nil
}

// Violation is one point in which an exchange does not conform.
type Violation struct {
	Operation string // its name in the description, as Pool_Add; empty when there is none for the request
	Method    string
	URL       string
	Status    int  // of the answer
	Request   bool // whether it is about the request, else it is about the answer
	Err       error
}

func (v *Violation) Error() string {
	part := "the answer"
	if v.Request {
		part = "the request"
	}
	name := v.Operation
	if name == "" {
		name = "no operation"
	}
	return fmt.Sprintf("%s: %s %s: %d: %s does not conform: %v", name, v.Method, v.URL, v.Status, part, v.Err)
}

func (v *Violation) Unwrap() error { return v.Err }

// An exchange is a request and its answer, after both.
type exchange struct {
	request      *http.Request
	requestBody  []byte
	status       int
	header       http.Header
	responseBody []byte // nil for a file's content
}

// refusals are the statuses that say that a request had the wrong form: the service found itself what is wrong with it.
var refusals = []int{
	http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusRequestEntityTooLarge,
	http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented,
}

func (c *Checker) check(x exchange, report func(error)) {
	op, params := c.find(x.request)
	v := Violation{Method: x.request.Method, URL: x.request.URL.String(), Status: x.status}
	refused := slices.Contains(refusals, x.status)
	if op == nil {
		if !refused && x.status != http.StatusNotFound {
			v.Request, v.Err = true, fmt.Errorf("the description has no such method and path")
			report(&v)
		}
		return
	}
	v.Operation = op.OperationID
	c.note(op, x.status)
	if !refused {
		for _, err := range c.request(op, params, x) {
			v := v
			v.Request, v.Err = true, err
			report(&v)
		}
	}
	for _, err := range c.response(op, x) {
		v := v
		v.Err = err
		report(&v)
	}
}
