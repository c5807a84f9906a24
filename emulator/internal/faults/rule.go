// Package faults makes the emulator fail on request, so that clients can be tested against a service that throttles them,
// is busy, slow, out of quota, or behind a network that drops connections.
package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// A Rule says which requests go wrong, and how.
type Rule struct {
	ID string `json:"id,omitempty"` // given by the Injector

	// Which requests: those that fit all that is set.
	Operation string `json:"operation,omitempty"` // of the API's description; a pattern of path.Match, as "Task_*"
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"` // a regular expression

	// Which of those: after the first Skip, each with the probability Rate (0: 1), up to Count of them (0: no end).
	Skip  int     `json:"skip,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
	Count int     `json:"count,omitempty"`

	// What happens: the request waits, and then is answered with an error, or its connection drops, or, when neither is
	// set, it goes on.
	Delay      Duration         `json:"delay,omitempty"`
	Code       string           `json:"code,omitempty"`       // of the API's table, or any with a Status
	Status     int              `json:"status,omitempty"`     // 0: that of the code
	Message    string           `json:"message,omitempty"`    // empty: that of the code
	Values     []apierror.Value `json:"values,omitempty"`     // details of the error
	RetryAfter int              `json:"retryAfter,omitempty"` // seconds; for the header Retry-After
	Drop       Drop             `json:"drop,omitempty"`

	Hits int `json:"hits"` // how many requests have gone wrong by this rule
}

// Drop says when the connection of a request drops.
type Drop string

const (
	DropBefore Drop = "before" // nothing has been done
	DropAfter  Drop = "after"  // all has been done, and the client does not hear of it
	DropMidway Drop = "midway" // all has been done, and half of the answer is sent
)

// A Duration is written in JSON as Go writes it: "1.5s".
type Duration time.Duration

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads a string that time.ParseDuration understands.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(s)
	*d = Duration(parsed)
	return err
}

// check completes a rule, and returns what of it is compiled. Its errors say what is wrong with the rule.
func (r *Rule) check() (*regexp.Regexp, error) {
	match, err := r.checkFields()
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	return match, nil
}

func (r *Rule) checkFields() (*regexp.Regexp, error) {
	if _, err := path.Match(r.Operation, ""); err != nil {
		return nil, fmt.Errorf("operation: %w", err)
	}
	match, err := regexp.Compile(r.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	if r.Skip < 0 || r.Count < 0 || r.RetryAfter < 0 || r.Delay < 0 {
		return nil, errors.New("skip, count, retryAfter and delay are not negative")
	}
	if r.Rate < 0 || r.Rate > 1 {
		return nil, errors.New("rate is between 0 and 1")
	}
	switch r.Drop {
	case "", DropBefore, DropAfter, DropMidway:
	default:
		return nil, fmt.Errorf("drop is %q, %q or %q", DropBefore, DropAfter, DropMidway)
	}
	fails := r.Code != "" || r.Status != 0
	if fails && r.Drop != "" {
		return nil, errors.New("a request is answered with an error, or its connection drops: not both")
	}
	if !fails && r.Drop == "" && r.Delay == 0 {
		return nil, errors.New("nothing happens: set delay, code, status or drop")
	}
	if r.Status != 0 && (r.Status < 400 || r.Status > 599) {
		return nil, errors.New("status is between 400 and 599")
	}
	if fails {
		r.complete()
		if r.Status == 0 {
			return nil, fmt.Errorf("the code %s has no status of its own: set one", r.Code)
		}
	}
	return match, nil
}

// complete sets of code, status and message what follows from the others.
func (r *Rule) complete() {
	if r.Code == "" {
		switch r.Status {
		case http.StatusTooManyRequests:
			r.Code = apierror.TooManyRequests
		case http.StatusServiceUnavailable:
			r.Code = apierror.ServerBusy
		default:
			r.Code = apierror.InternalError
		}
	}
	if r.Status == 0 {
		r.Status = apierror.Status(r.Code)
	}
	if r.Message == "" {
		r.Message = apierror.Message(r.Code)
	}
}

// err is what a request is answered with.
func (r *Rule) err() *apierror.Error {
	e := &apierror.Error{Code: r.Code, Status: r.Status, Message: r.Message, Values: r.Values}
	if r.RetryAfter > 0 {
		e.Header = http.Header{"Retry-After": {fmt.Sprint(r.RetryAfter)}}
	}
	return e
}
