package node

import (
	"slices"
	"testing"
)

func TestSplitCommand(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                nil,
		"  \t ":                           nil,
		"a b  c":                          {"a", "b", "c"},
		"/bin/sh -c 'echo $A | b'":        {"/bin/sh", "-c", "echo $A | b"},
		`/bin/sh -c "echo \"x\" \$A 'y'"`: {"/bin/sh", "-c", `echo "x" \$A 'y'`},
		`a\ b 'c'd"e"`:                    {"a b", "cde"},
		`a '' ""`:                         {"a", "", ""},
		`a "\\" '\' \'`:                   {"a", `\`, `\`, `'`},
		"a > b; c & d | $(e) `f`":         {"a", ">", "b;", "c", "&", "d", "|", "$(e)", "`f`"},
		"a\nb":                            {"a", "b"},
		`é "ü 漢"`:                         {"é", "ü 漢"},
	} {
		got, err := splitCommand(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`a 'b`, `a "b`, `a "b\`, `a \`, `a"`, "a 'b\x00'"} {
		if got, err := splitCommand(line); err == nil {
			t.Errorf("%q: got %q, want an error", line, got)
		}
	}
}
