// Package apierror has the errors of the Batch API: their codes, with the status and the text that the service gives each,
// and the body that they travel in.
package apierror

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An Error is what a request is refused with. New makes one; it must not be changed after it was handed on.
type Error struct {
	Code    string
	Status  int
	Message string
	Values  []Value     // details, in the order they were added
	Header  http.Header // headers of the response besides the usual; may be nil
}

// A Value is a named detail of an error, as "PropertyName".
type Value struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// New returns the error of a code. It panics for a code that does not answer requests: that is a slip in the program.
func New(code string, values ...Value) *Error {
	r, ok := table[code]
	if !ok || r.status == 0 {
		panic("apierror: " + code + " is no code of a response")
	}
	return &Error{Code: code, Status: r.status, Message: r.text, Values: values}
}

// Message is the text of any code, also of those that stand in an entity; empty for an unknown one.
func Message(code string) string { return table[code].text }

// Status is that of the response that carries a code, zero when none does.
func Status(code string) int { return table[code].status }

// With returns a copy that has one more detail.
func (e *Error) With(key, value string) *Error {
	c := *e
	c.Values = append(slices.Clip(c.Values), Value{key, value})
	return &c
}

// Property says that a property of the body, a path such as "poolInfo/poolId", has a value that is not allowed.
func Property(name, value, reason string) *Error {
	return New(InvalidPropertyValue).With("PropertyName", name).With("PropertyValue", value).With("Reason", reason)
}

// Parameter says that a query parameter has a value that is not allowed.
func Parameter(name, value, reason string) *Error {
	return New(InvalidQueryParameterValue).With("QueryParameterName", name).With("QueryParameterValue", value).With("Reason", reason)
}

// Header says that a header has a value that is not allowed.
func Header(name, value string) *Error {
	return New(InvalidHeaderValue).With("HeaderName", name).With("HeaderValue", value)
}

// Of finds the Error in err's chain. Any other error becomes an InternalError that tells the client nothing of it.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return New(InternalError)
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	for _, v := range e.Values {
		fmt.Fprintf(&b, " %s: %s.", v.Key, v.Value)
	}
	return b.String()
}

// Is makes errors.Is compare codes only.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// A Body is an error as JSON.
type Body struct {
	Metadata string  `json:"odata.metadata,omitempty"`
	Code     string  `json:"code"`
	Message  Text    `json:"message"`
	Values   []Value `json:"values,omitempty"`
}

// A Text is a message in a language.
type Text struct {
	Lang  string `json:"lang"`
	Value string `json:"value"`
}

// Body returns the error as JSON has it. The service ends each text with the request's ID and the time.
func (e *Error) Body(requestID string, now time.Time) Body {
	text := fmt.Sprintf("%s\nRequestId:%s\nTime:%s", e.Message, requestID, now.UTC().Format("2006-01-02T15:04:05.0000000Z"))
	return Body{Code: e.Code, Message: Text{Lang: "en-US", Value: text}, Values: e.Values}
}
