package node

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// A pattern says which files to upload, in the language of OutputFile.Pattern: * any characters, ? one, [a-c] one of a set,
// [!a-c] one that is not, ** any directories, none included. None of them stands for a dot at the beginning of a name.
// Brackets make a wildcard an ordinary character: [*].
type pattern struct {
	base     string   // the directory before the first wildcard, in the task's directory
	segments []string // what follows
	single   bool     // no wildcards: one file, base joined with the one segment
}

// parsePattern reads a pattern. Relative ones are relative to wd in the task's directory; absolute ones name files as the task
// sees them. False says that it leads out of the task's directory.
func parsePattern(text, taskDir string, getenv func(string) string) (pattern, bool) {
	text = os.Expand(text, getenv)
	if path.IsAbs(text) {
		rest, ok := strings.CutPrefix(text, strings.TrimSuffix(taskDir, "/")+"/")
		if !ok {
			return pattern{}, false
		}
		text = rest
	} else {
		text = "wd/" + text
	}
	var p pattern
	all := strings.Split(text, "/")
	first := slices.IndexFunc(all, func(s string) bool { return strings.ContainsAny(s, "*?[") })
	if p.single = first < 0; p.single {
		first = len(all) - 1
	}
	p.base = path.Clean(strings.Join(all[:first], "/"))
	for _, s := range all[first:] {
		if s == ".." {
			return pattern{}, false
		}
		if s == "**" && len(p.segments) > 0 && p.segments[len(p.segments)-1] == s {
			continue
		}
		if s != "" && s != "." {
			p.segments = append(p.segments, s)
		}
	}
	return p, len(p.segments) > 0 && (p.base == "." || local(p.base))
}

// files are the names below the task's directory that match, in order. Directories that are links are looked into by name
// only, so that a circle of them has an end.
func (p pattern) files(dir fs.FS) (names []string, err error) {
	if p.single {
		name := path.Join(p.base, p.segments[0])
		if st, err := fs.Stat(dir, name); err == nil && st.Mode().IsRegular() {
			names = append(names, name)
		}
		return names, nil
	}
	err = expand(dir, p.base, p.segments, &names)
	slices.Sort(names)
	return slices.Compact(names), err
}

func expand(fsys fs.FS, dir string, segments []string, names *[]string) error {
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	segment, rest := segments[0], segments[1:]
	deep := segment == "**"
	if deep {
		if len(rest) == 0 {
			rest = []string{"*"}
		}
		if err := expand(fsys, dir, rest, names); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case deep:
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				if err := expand(fsys, name, segments, names); err != nil {
					return err
				}
			}
		case !match(segment, e.Name()):
		case len(rest) == 0:
			if st, err := fs.Stat(fsys, name); err == nil && st.Mode().IsRegular() {
				*names = append(*names, name)
			}
		default:
			if st, err := fs.Stat(fsys, name); err == nil && st.IsDir() {
				if err := expand(fsys, name, rest, names); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// match says whether a name matches a segment of a pattern.
func match(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	p, s := []rune(pattern), []rune(name)
	star, at := -1, 0 // where to go on when what follows the latest * does not match
	i, j := 0, 0
	for j < len(s) {
		if i < len(p) && p[i] == '*' {
			star, at = i, j
			i++
			continue
		}
		if n, ok := one(p[i:], s[j]); ok {
			i, j = i+n, j+1
			continue
		}
		if star < 0 {
			return false
		}
		at++
		i, j = star+1, at
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// one matches a character with the first element of a pattern, which has n characters.
func one(p []rune, c rune) (n int, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	switch p[0] {
	case '?':
		return 1, true
	case '[':
		if n, ok, closed := set(p, c); closed {
			return n, ok
		}
	}
	return 1, p[0] == c
}

// set matches a character with [...]. A bracket that is not closed is an ordinary character.
func set(p []rune, c rune) (n int, ok, closed bool) {
	i := 1
	negated := i < len(p) && p[i] == '!'
	if negated {
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return i + 1, ok != negated, true
		}
		low, high := p[i], p[i]
		if i+2 < len(p) && p[i+1] == '-' && p[i+2] != ']' {
			high = p[i+2]
			i += 2
		}
		i++
		ok = ok || low <= c && c <= high
	}
	return 0, false, false
}
