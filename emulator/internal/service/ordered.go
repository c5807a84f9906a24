package service

import (
	"iter"
	"slices"
	"sort"
)

// An ordered is a map that can be walked in the order of its keys. Adding costs as little as in a map: what was added since
// the last walk is sorted when the next begins.
type ordered[T any] struct {
	items  map[string]T
	sorted []string // may name keys that are gone
	added  []string
}

func (o *ordered[T]) get(key string) (T, bool) {
	v, ok := o.items[key]
	return v, ok
}

func (o *ordered[T]) len() int { return len(o.items) }

// add puts v under a key that is not taken.
func (o *ordered[T]) add(key string, v T) {
	if o.items == nil {
		o.items = map[string]T{}
	}
	o.items[key] = v
	o.added = append(o.added, key)
}

func (o *ordered[T]) remove(key string) { delete(o.items, key) }

// settle brings the sorted keys up to date.
func (o *ordered[T]) settle() {
	if len(o.added) > 0 {
		slices.Sort(o.added)
		merged := make([]string, 0, len(o.sorted)+len(o.added))
		a, b := o.sorted, o.added
		for len(a) > 0 || len(b) > 0 {
			from := &a
			if len(a) == 0 || len(b) > 0 && b[0] < a[0] {
				from = &b
			}
			k := (*from)[0]
			*from = (*from)[1:]
			if _, ok := o.items[k]; ok && (len(merged) == 0 || merged[len(merged)-1] != k) {
				merged = append(merged, k)
			}
		}
		o.sorted, o.added = merged, nil
	}
	if len(o.sorted) > 2*len(o.items)+16 {
		kept := make([]string, 0, len(o.items)) // not in place: somebody may be walking them
		for _, k := range o.sorted {
			if _, ok := o.items[k]; ok {
				kept = append(kept, k)
			}
		}
		o.sorted = kept
	}
}

// from walks the items whose keys are not less than first. Items that are removed while it walks are left out, and those
// that are added do not come.
func (o *ordered[T]) from(first string) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		o.settle()
		keys := o.sorted
		for _, k := range keys[sort.SearchStrings(keys, first):] {
			if v, ok := o.items[k]; ok && !yield(k, v) {
				return
			}
		}
	}
}

func (o *ordered[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, v := range o.from("") {
			if !yield(v) {
				return
			}
		}
	}
}
