// Package model has the bodies of the Batch API's requests and answers, field by field as the description of version
// 2024-07-01.20.0 has them, and the strict reading of requests. A `batch` tag says what the description asks of a field:
// required, and the values that an enumeration has. What it calls secret is taken in requests and left out of answers.
package model

// A List is a page of any kind of item. T is a model, or JSON of which properties were selected.
type List[T any] struct {
	ODataMetadata string `json:"odata.metadata,omitempty"`
	Value         []T    `json:"value"`
	NextLink      string `json:"odata.nextLink,omitempty"`
}

// Or is the value that p points to, or the default when there is none.
func Or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

// Default gives *p a value when it has none.
func Default[T any](p **T, def T) {
	if *p == nil {
		*p = &def
	}
}
