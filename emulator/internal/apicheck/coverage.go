package apicheck

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Coverage is how much of an operation was exercised.
type Coverage struct {
	Operation string // Pool_Add
	Method    string
	Path      string // /pools/{poolId}
	Requests  int    // exchanges that were checked
	Statuses  []int  // of their answers, each once, in order
}

// Coverage lists all operations of the description by name, exercised or not.
func (c *Checker) Coverage() []Coverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Coverage, len(c.operations))
	for i, op := range c.operations {
		all[i] = Coverage{Operation: op.OperationID, Method: op.method, Path: op.path}
		if seen := c.seen[op]; seen != nil {
			all[i].Requests, all[i].Statuses = seen.Requests, slices.Clone(seen.Statuses)
		}
	}
	return all
}

// WriteCoverage writes a table of Coverage, and how many operations of how many were exercised with success.
func (c *Checker) WriteCoverage(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "operation\trequests\tstatuses")
	all, done := c.Coverage(), 0
	for _, o := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\n", o.Operation, o.Requests, strings.Trim(fmt.Sprint(o.Statuses), "[]"))
		if slices.ContainsFunc(o.Statuses, func(status int) bool { return status < 300 }) {
			done++
		}
	}
	fmt.Fprintf(t, "%d of %d\t\t\n", done, len(all))
	return t.Flush()
}

// Properties are the names of the properties that a definition of the description has, as PoolAddParameter, in order.
func (c *Checker) Properties(definition string) []string {
	s := c.doc.Components.Schemas[definition]
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Value.Properties))
}

func (c *Checker) note(op *operation, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen[op]
	if seen == nil {
		seen = &Coverage{}
		c.seen[op] = seen
	}
	seen.Requests++
	if i, found := slices.BinarySearch(seen.Statuses, status); !found {
		seen.Statuses = slices.Insert(seen.Statuses, i, status)
	}
}
