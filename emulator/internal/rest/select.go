package rest

import "strings"

// running are the properties of a task that change while it runs, which cost little to tell.
var running = map[string]bool{"id": true, "url": true, "etag": true, "lastmodified": true, "creationtime": true,
	"state": true, "statetransitiontime": true, "previousstate": true, "previousstatetransitiontime": true,
	"requiredslots": true, "executioninfo": true, "nodeinfo": true, "stats": true}

// needsSpecification says whether a selection names properties of a task that it was given when it was added: those are kept
// as text, which is read again for each task. A client that follows many tasks asks for none of them.
func needsSpecification(selected string) bool {
	if selected == "" {
		return true
	}
	for name := range strings.SplitSeq(selected, ",") {
		name, _, _ = strings.Cut(strings.TrimSpace(name), "/")
		if !running[strings.ToLower(name)] {
			return true
		}
	}
	return false
}
