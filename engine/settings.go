package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/internal/spelling"
)

// ParseDuration reads a time of an engine's settings, as time.ParseDuration does, which must be more than 0.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("want a time such as 30s, 20m or 8h")
	case d <= 0:
		return 0, fmt.Errorf("want more than 0")
	}
	return d, nil
}

// ParseSettings hands the settings of a job, NAME=value each, to set, which says whether it knows the name. names are all that it
// knows, and scheme is the engine's, both for the error.
func ParseSettings(scheme string, settings []string, names string, set func(name, value string) (known bool, err error)) error {
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		known, err := set(name, value)
		if !known {
			err = fmt.Errorf("no such setting of a job%s; there are %s", spelling.Hint(name, strings.Split(names, ", ")), names)
		}
		if err != nil {
			return fmt.Errorf("setting %s.%s: %w", scheme, s, err)
		}
	}
	return nil
}
