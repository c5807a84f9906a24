package apicheck

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed description/BatchService.json.gz
var compressed []byte

// description is Microsoft's file, as it is.
func description() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// load converts the description to OpenAPI 3 and makes it strict.
func load() (*openapi3.T, error) {
	raw, err := description()
	if err != nil {
		return nil, err
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		return nil, err
	}
	doc, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return nil, err
	}
	doc.Security = nil // who signs how is the business of those who check signatures
	if err := doc.WalkSchemas(strict); err != nil {
		return nil, err
	}
	for name, entity := range putWhole {
		for p, s := range doc.Components.Schemas[entity].Value.Properties {
			if to := doc.Components.Schemas[name].Value.Properties; to[p] == nil {
				to[p] = s
			}
		}
	}
	for name, properties := range secrets {
		for _, p := range properties {
			s := doc.Components.Schemas[name]
			if s == nil || s.Value.Properties[p] == nil {
				return nil, fmt.Errorf("the description has no secret %s of %s", p, name)
			}
			s.Value.Properties[p].Value.WriteOnly = true
		}
	}
	for name, required := range requiredOfErrors {
		s, ok := doc.Components.Schemas[name]
		if !ok {
			return nil, fmt.Errorf("the description has no definition of %s", name)
		}
		s.Value.Required = required
	}
	return doc, nil
}

// putWhole are bodies in which Microsoft's clients send back an entity as they got it, with all that cannot be changed.
var putWhole = map[string]string{"JobUpdateParameter": "CloudJob", "JobScheduleUpdateParameter": "CloudJobSchedule"}

// secrets are properties that are in no answer, required or not. The description marks one of them so, as x-ms-secret; recorded
// answers lack others.
var secrets = map[string][]string{
	"AzureBlobFileSystemConfiguration": {"accountKey", "sasKey"},
	"AzureFileShareConfiguration":      {"accountKey"},
	"CIFSMountConfiguration":           {"password"},
	"ContainerRegistry":                {"password"},
	"LinuxUserConfiguration":           {"sshPrivateKey"},
	"UserAccount":                      {"password"},
	"VMExtension":                      {"protectedSettings"},
}

// requiredOfErrors are properties that the service always gives, and the description does not ask for.
var requiredOfErrors = map[string][]string{
	"BatchError":       {"code", "message"},
	"ErrorMessage":     {"lang", "value"},
	"BatchErrorDetail": {"key", "value"},
}

// strict closes an object to properties that are not described, if any are, and opens a 64-bit integer to a string.
func strict(_ string, ref *openapi3.SchemaRef) error {
	s := ref.Value
	switch {
	case s.Type.Is("object") && len(s.Properties) > 0 && s.AdditionalProperties.Schema == nil && s.Format != "file":
		s.AdditionalProperties.Has = new(bool)
	case s.Type.Is("integer") && s.Format == "int64":
		s.Type = &openapi3.Types{"integer", "string"}
		s.Format = "integer64"
	}
	return nil
}

// duration is that of ISO 8601, in the parts that XML Schema and the service have.
var duration = regexp.MustCompile(`^-?P(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$`)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

var digits = regexp.MustCompile(`^-?[0-9]{1,19}$`)

// formats are those of strings in the description.
var formats = map[string]openapi3.StringFormatValidator{
	"date-time": text("a time like 2006-01-02T15:04:05.1234567Z", func(s string) bool {
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil
	}),
	"date-time-rfc1123": text("a time like Mon, 02 Jan 2006 15:04:05 GMT", func(s string) bool {
		_, err := time.Parse(http.TimeFormat, s)
		return err == nil
	}),
	"duration": text("a duration like P1DT2H", func(s string) bool {
		return duration.MatchString(s) && s[len(s)-1] != 'P' && s[len(s)-1] != 'T'
	}),
	"uuid":      text("a GUID without braces", uuidForm.MatchString),
	"integer64": text("an integer of 64 bits", digits.MatchString),
}

func text(want string, ok func(string) bool) openapi3.StringFormatValidator {
	return openapi3.NewCallbackValidator(func(s string) error {
		if !ok(s) {
			return errors.New("not " + want)
		}
		return nil
	})
}
