package codec

import "strings"

// trace remembers the way to what is being encoded; nil remembers nothing.
type trace struct {
	nodes []traceNode
	at    int32 // current node plus one
}

type traceNode struct {
	up    int32
	label string
}

// enter goes down one step. The caller keeps the returned place and restores it to tr.at afterwards.
func (tr *trace) enter(label string) (was int32) {
	was = tr.at
	tr.nodes = append(tr.nodes, traceNode{was, label})
	tr.at = int32(len(tr.nodes))
	return was
}

func (tr *trace) path() string {
	if tr == nil {
		return ""
	}
	var labels []string
	for i := tr.at; i > 0; i = tr.nodes[i-1].up {
		labels = append(labels, tr.nodes[i-1].label)
	}
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		// A list of a million nodes has a long way to its end.
		if len(labels) > 40 && i == len(labels)-21 {
			b.WriteString("...")
			i = 20
		}
		b.WriteString(labels[i])
	}
	return b.String()
}
