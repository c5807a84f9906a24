package engine

import (
	"fmt"
	"strings"
	"time"
)

// ParseDuration reads a time of an engine's settings, as time.ParseDuration does, which must be more than 0.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("want more than 0")
	}
	return d, err
}

// ParseSettings hands the settings of a job, NAME=value each, to set, which says whether it knows the name. names are all that it
// knows, and scheme is the engine's, both for the error.
func ParseSettings(scheme string, settings []string, names string, set func(name, value string) (known bool, err error)) error {
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		known, err := set(name, value)
		if !known {
			err = fmt.Errorf("no such setting of a job; there are %s", names)
		}
		if err != nil {
			return fmt.Errorf("setting %s.%s: %w", scheme, s, err)
		}
	}
	return nil
}
