package odata

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// ETag is the tag of an entity that was last modified then, as the service makes it: the ticks in hexadecimal. Two changes
// need two ticks to have two tags.
func ETag(modified time.Time) string { return fmt.Sprintf("0x%X", ticks(modified)) }

// SetETag sets the headers ETag, which the service writes without quotes, and Last-Modified.
func SetETag(h http.Header, etag string, modified time.Time) {
	h.Set("ETag", etag)
	h.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
}

// Conditions are the headers by which a request depends on the state of an entity.
type Conditions struct {
	match, noneMatch               []string // tags without quotes
	modifiedSince, unmodifiedSince time.Time
}

// ParseConditions reads If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since. Of these only one may be there,
// or If-Match with If-Unmodified-Since, or If-None-Match with If-Modified-Since, where the tag decides.
func ParseConditions(h http.Header) (Conditions, error) {
	c := Conditions{match: tags(h.Values("If-Match")), noneMatch: tags(h.Values("If-None-Match"))}
	var err error
	if c.modifiedSince, err = date(h, "If-Modified-Since"); err != nil {
		return Conditions{}, err
	}
	if c.unmodifiedSince, err = date(h, "If-Unmodified-Since"); err != nil {
		return Conditions{}, err
	}
	writes := c.match != nil || !c.unmodifiedSince.IsZero()
	reads := c.noneMatch != nil || !c.modifiedSince.IsZero()
	if writes && reads {
		return Conditions{}, apierror.New(apierror.MultipleConditionHeadersNotSupported)
	}
	return c, nil
}

// Check compares with an entity that exists. When a condition is not met the error is ConditionNotMet: of status 304 when
// a client that reads has the present state already, else 412.
func (c Conditions) Check(method, etag string, modified time.Time) error {
	modified = modified.Truncate(time.Second) // what Last-Modified told the client
	unmet := false
	switch {
	case c.match != nil:
		unmet = !has(c.match, etag)
	case !c.unmodifiedSince.IsZero():
		unmet = modified.After(c.unmodifiedSince)
	case c.noneMatch != nil:
		unmet = has(c.noneMatch, etag)
	case !c.modifiedSince.IsZero():
		unmet = !modified.After(c.modifiedSince)
	}
	if !unmet {
		return nil
	}
	e := apierror.New(apierror.ConditionNotMet)
	reads := method == http.MethodGet || method == http.MethodHead
	if reads && (c.noneMatch != nil || !c.modifiedSince.IsZero()) {
		e.Status = http.StatusNotModified
	}
	return e
}

func has(tags []string, etag string) bool {
	for _, t := range tags {
		if t == "*" || strings.EqualFold(t, etag) {
			return true
		}
	}
	return false
}

// tags splits a list of tags. With or without quotes, weak or not: a tag means the same.
func tags(values []string) (list []string) {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.Trim(strings.TrimPrefix(strings.TrimSpace(t), "W/"), `"`); t != "" {
				list = append(list, t)
			}
		}
	}
	return list
}

func date(h http.Header, name string) (time.Time, error) {
	s := h.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}, apierror.Header(name, s)
	}
	return t, nil
}
