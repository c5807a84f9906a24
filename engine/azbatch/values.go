package azbatch

import "strings"

// What the service sends are pointers: to what it may leave out.

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func deref32(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// word is a word of the service's for a state or a result. Its description writes all in small letters, and so do the SDK's constants;
// in Microsoft's examples of answers some begin with a capital ("Success", "ClientError", "UserError").
func word[T ~string](v *T) T {
	if v == nil {
		return ""
	}
	return T(strings.ToLower(string(*v)))
}
