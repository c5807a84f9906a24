package autoscale

import (
	"strings"
	"unicode/utf8"
)

// position is a place in a formula; the zero position is the formula as a whole.
type position struct{ line, column int }

// A token is an operator or a delimiter by its own text, or one of the kinds below.
type token struct {
	kind string
	text string
	at   position
}

const (
	endToken    = "the end of the formula"
	nameToken   = "a name"
	numberToken = "a number"
	stringToken = "a string"
)

// String is how an error names the token.
func (t token) String() string {
	switch t.kind {
	case endToken:
		return endToken
	case stringToken:
		return `"` + t.text + `"`
	}
	return "'" + t.text + "'"
}

// operators are tried in order: the longer ones first.
var operators = []string{"<=", ">=", "==", "!=", "&&", "||", "<", ">", "=", "!", "+", "-", "*", "/", "?", ":", ".", ",", ";", "(", ")"}

type lexer struct {
	rest string
	at   position
}

// take consumes n bytes and counts lines and columns.
func (l *lexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		l.at.line += strings.Count(s, "\n")
		l.at.column = 1
		l.at.column += utf8.RuneCountInString(s[i+1:])
	} else {
		l.at.column += utf8.RuneCountInString(s)
	}
	return s
}

// skip passes white space and comments.
func (l *lexer) skip() {
	for {
		l.take(len(l.rest) - len(strings.TrimLeft(l.rest, " \t\r\n\v\f")))
		if !strings.HasPrefix(l.rest, "//") {
			return
		}
		if end := strings.IndexByte(l.rest, '\n'); end >= 0 {
			l.take(end)
		} else {
			l.take(len(l.rest))
		}
	}
}

func (l *lexer) next() (token, error) {
	l.skip()
	at := l.at
	if l.rest == "" {
		return token{kind: endToken, at: at}, nil
	}
	switch c := l.rest[0]; {
	case c == '$' || isLetter(c):
		n := 1
		for n < len(l.rest) && (isLetter(l.rest[n]) || isDigit(l.rest[n])) {
			n++
		}
		if c == '$' && (n == 1 || isDigit(l.rest[1])) {
			return token{}, newError(CodeSyntax, at, "a name has to follow '$'")
		}
		return token{kind: nameToken, text: l.take(n), at: at}, nil
	case isDigit(c):
		return token{kind: numberToken, text: l.take(numberLength(l.rest)), at: at}, nil
	case c == '"':
		end := strings.IndexAny(l.rest[1:], "\"\n")
		if end < 0 || l.rest[1+end] == '\n' {
			return token{}, newError(CodeSyntax, at, "the string has no closing '\"' on its line")
		}
		text := l.take(end + 2)
		return token{kind: stringToken, text: text[1 : len(text)-1], at: at}, nil
	}
	for _, op := range operators {
		if strings.HasPrefix(l.rest, op) {
			return token{kind: op, text: l.take(len(op)), at: at}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.rest)
	return token{}, newError(CodeSyntax, at, "unexpected character %q", r)
}

// numberLength is the length of the number that s begins with: 12, 0.5, 1.5e-3.
func numberLength(s string) int {
	digits := func(n int) int {
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		return n
	}
	n := digits(0)
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n = digits(n + 1)
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		e := n + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if end := digits(e); end > e {
			n = end
		}
	}
	return n
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
