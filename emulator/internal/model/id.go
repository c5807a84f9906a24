package model

import (
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// CheckID checks the ID of a pool, job, job schedule or task: 1 to 64 letters, digits, hyphens and underscores.
func CheckID(property, id string) error {
	if len(id) == 0 || len(id) > 64 {
		return apierror.Property(property, id, "It must have 1 to 64 characters.")
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return apierror.Property(property, id, "It may have only letters, digits, hyphens and underscores.")
		}
	}
	return nil
}

// Key is what IDs are compared by: they differ in more than case.
func Key(id string) string { return strings.ToLower(id) }
