package odata

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

type tokenKind uint8

const (
	end tokenKind = iota
	word
	literal
	open
	closed
	comma
)

// A token is a piece of a filter.
type token struct {
	kind  tokenKind
	at    int    // its first byte in the filter
	text  string // as written
	value value  // of a literal
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return strconv.Quote(t.text)
}

// A lexer cuts a filter into tokens.
type lexer struct {
	src string
	pos int
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) && strings.IndexByte(" \t\r\n", l.src[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.src) {
		return token{kind: end, at: start}, nil
	}
	switch c := l.src[start]; {
	case c == '(' || c == ')' || c == ',':
		l.pos++
		return token{kind: map[byte]tokenKind{'(': open, ')': closed, ',': comma}[c], at: start, text: string(c)}, nil
	case c == '\'':
		s, err := l.quoted()
		return token{kind: literal, at: start, text: l.src[start:l.pos], value: value{kind: text, text: s}}, err
	case letter(c):
		l.skip(func(c byte) bool { return letter(c) || digit(c) || c == '/' || c == '.' })
		return l.word(start)
	case digit(c) || c == '-':
		l.pos++
		l.skip(func(c byte) bool { return letter(c) || digit(c) || strings.IndexByte("+-:.", c) >= 0 })
		v, err := numberOrTime(l.src[start:l.pos])
		if err != nil {
			err = fmt.Errorf("at position %d: %w", start, err)
		}
		return token{kind: literal, at: start, text: l.src[start:l.pos], value: v}, err
	default:
		return token{}, fmt.Errorf("at position %d: unexpected character %q", start, []rune(l.src[start:])[0])
	}
}

// word makes a token of letters: true, false, null, DateTime'...', or a name.
func (l *lexer) word(start int) (token, error) {
	w := l.src[start:l.pos]
	t := token{kind: literal, at: start, text: w}
	switch {
	case w == "true":
		t.value = value{kind: truth, number: 1}
	case w == "false":
		t.value = value{kind: truth}
	case w == "null":
	case l.pos < len(l.src) && l.src[l.pos] == '\'':
		if !strings.EqualFold(w, "datetime") && !strings.EqualFold(w, "datetimeoffset") {
			return t, fmt.Errorf("at position %d: no literal begins with %s", start, w)
		}
		s, err := l.quoted()
		if err == nil {
			t.value, err = dateTime(s)
		}
		if err != nil {
			return t, fmt.Errorf("at position %d: %w", start, err)
		}
		t.text = l.src[start:l.pos]
	default:
		t.kind = word
	}
	return t, nil
}

// quoted reads a string from its first quote to its last. Two quotes stand for one.
func (l *lexer) quoted() (string, error) {
	var b strings.Builder
	for start := l.pos; ; {
		i := strings.IndexByte(l.src[l.pos+1:], '\'')
		if i < 0 {
			return "", fmt.Errorf("at position %d: the string has no end", start)
		}
		b.WriteString(l.src[l.pos+1 : l.pos+1+i])
		l.pos += i + 2
		if l.pos == len(l.src) || l.src[l.pos] != '\'' {
			return b.String(), nil
		}
		b.WriteByte('\'')
	}
}

func (l *lexer) skip(in func(byte) bool) {
	for l.pos < len(l.src) && in(l.src[l.pos]) {
		l.pos++
	}
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// numberOrTime reads what begins with a digit or a sign. A number may end in the letter of its type, as 5L.
func numberOrTime(s string) (value, error) {
	digits := s
	if i := len(s) - 1; i > 0 && strings.IndexByte("lLdDfFmM", s[i]) >= 0 {
		digits = s[:i]
	}
	if n, err := strconv.ParseFloat(digits, 64); err == nil && !strings.ContainsAny(digits, "xXnN_") { // no hex, no NaN, no Infinity
		return value{kind: number, number: n}, nil
	}
	if v, err := dateTime(s); err == nil {
		return v, nil
	}
	return value{}, fmt.Errorf("%s is neither a number nor a time like 2006-01-02T15:04:05Z", s)
}

// dateTime reads a time, with or without its zone: without one it is UTC.
func dateTime(s string) (value, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return value{kind: moment, ticks: ticks(t)}, nil
		}
	}
	return value{}, fmt.Errorf("%q is no time like 2006-01-02T15:04:05Z", s)
}
