// Package azerror makes one line of an error of Azure's services, with what to do about it. The text of the SDK's errors is the whole
// answer, of many lines, and may quote what was sent, with a token in it.
package azerror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Code is the service's code of an error; "" for any other error.
func Code(err error) string {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r.ErrorCode
	}
	return ""
}

// Status is the HTTP status of an error; 0 for one that is no answer of a service.
func Status(err error) int {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r.StatusCode
	}
	return 0
}

// An Error has a text for people in place of that of the error that it wraps.
type Error struct {
	Text string
	Err  error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Explain is an [Error] for an error of a service: its code, what it says, and, by the code, what to do. Other errors are returned as
// they are.
func Explain(err error, advice map[string]string) error {
	var r *azcore.ResponseError
	if said := (*Error)(nil); !errors.As(err, &r) || errors.As(err, &said) {
		return err
	}
	text := r.ErrorCode
	if m := message(r); m != "" {
		text = strings.TrimPrefix(text+": "+m, ": ")
	}
	if text == "" {
		text = http.StatusText(r.StatusCode)
	}
	if a := advice[r.ErrorCode]; a != "" {
		text += ": " + a
	}
	return &Error{text, err}
}

// message is what the service says beside the code. Batch says {"message": {"value": TEXT}, "values": [{"key", "value"}]}, ARM
// {"error": {"message": TEXT}}.
func message(r *azcore.ResponseError) string {
	if r.RawResponse == nil {
		return ""
	}
	type said struct {
		Message json.RawMessage
		Values  []struct{ Key, Value string }
	}
	var body struct {
		said
		Error said
	}
	b, err := runtime.Payload(r.RawResponse)
	if err != nil || json.Unmarshal(b, &body) != nil {
		return ""
	}
	if body.Message == nil {
		body.said = body.Error
	}
	var text string
	var in struct{ Value string }
	if json.Unmarshal(body.Message, &text) != nil && json.Unmarshal(body.Message, &in) == nil {
		text, _, _ = strings.Cut(in.Value, "\n") // what follows are the request's ID and time
	}
	for _, v := range body.Values {
		text += fmt.Sprintf(" (%s: %s)", v.Key, strings.TrimSpace(v.Value))
	}
	return Redact(strings.Join(strings.Fields(text), " "))
}

// signature is that of a shared access signature.
var signature = regexp.MustCompile(`(?i)\bsig(=|%3D)[^&\s"'\\]*`)

// Redact takes the signatures of URLs out of a text.
func Redact(text string) string { return signature.ReplaceAllString(text, "sig$1[secret]") }
