package node

import (
	"errors"
	"strings"
)

// splitCommand splits a command line as Linux nodes do: like a shell, but for quotes and backslashes only. In single
// quotes everything is literal, in double quotes a backslash escapes a quote or a backslash, elsewhere any character.
// Nothing is expanded, and | > & ; are characters like others. (How nodes split exactly is not documented; these are the
// rules of Python's shlex, in which the command lines of Microsoft's samples mean what they are meant to.)
func splitCommand(line string) ([]string, error) {
	var args []string
	var word strings.Builder
	in := false // a word, perhaps an empty one
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n', '\r':
			if in {
				args = append(args, word.String())
				word.Reset()
				in = false
			}
		case '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("a single quote has no closing one")
			}
			word.WriteString(line[i+1 : i+1+n])
			i, in = i+1+n, true
		case '"':
			in = true
			for i++; ; i++ {
				if i >= len(line) {
					return nil, errors.New("a double quote has no closing one")
				}
				if line[i] == '"' {
					break
				}
				if line[i] == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\') {
					i++
				}
				word.WriteByte(line[i])
			}
		case '\\':
			if i++; i >= len(line) {
				return nil, errors.New("it ends with a backslash")
			}
			word.WriteByte(line[i])
			in = true
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		args = append(args, word.String())
	}
	for _, a := range args {
		if strings.IndexByte(a, 0) >= 0 {
			return nil, errors.New("it has a character 0")
		}
	}
	return args, nil
}
