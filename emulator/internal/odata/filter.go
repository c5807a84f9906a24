package odata

import (
	"fmt"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// deepest is how deep parentheses and "not" may be nested, so that no filter uses up the stack.
const deepest = 100

// Filter compiles the text of $filter to a function that says which items belong in the answer: all, for an empty text. The
// error is an *apierror.Error of code InvalidQueryParameterValue that says where the text is wrong.
func (f Fields[T]) Filter(src string) (func(T) bool, error) {
	if src == "" {
		return func(T) bool { return true }, nil
	}
	p := &parser[T]{fields: f, lex: lexer{src: src}}
	p.advance()
	match := p.or()
	if p.tok.kind != end {
		p.fail("expected and, or, or the end, and found %v", p.tok)
	}
	if p.err != nil {
		return nil, apierror.Parameter("$filter", src, p.err.Error())
	}
	return match, nil
}

// A parser goes down the grammar:
//
//	or         = and { "or" and }
//	and        = not { "and" not }
//	not        = "not" not | "(" or ")" | test
//	test       = operand operator operand | "startswith" "(" name "," literal ")" | name
//	operand    = name | literal
//
// where one operand of a test is the name of a property and the other a literal. After an error it finds
// itself at the end of the filter.
type parser[T any] struct {
	fields Fields[T]
	lex    lexer
	tok    token // the next one
	depth  int
	err    error // the first
}

func (p *parser[T]) advance() {
	if p.err != nil {
		return
	}
	var err error
	if p.tok, err = p.lex.next(); err != nil {
		p.stop(err)
	}
}

// stop keeps the first error and makes it the end of the filter: no rule waits for more.
func (p *parser[T]) stop(err error) {
	if p.err == nil {
		p.err, p.tok = err, token{kind: end}
	}
}

// fail stops at the next token.
func (p *parser[T]) fail(format string, args ...any) { p.failAt(p.tok, format, args...) }

func (p *parser[T]) failAt(t token, format string, args ...any) {
	p.stop(fmt.Errorf("at position %d: "+format, append([]any{t.at}, args...)...))
}

func (p *parser[T]) expect(k tokenKind, what string) token {
	t := p.tok
	if t.kind != k {
		p.fail("expected %s and found %v", what, t)
	}
	p.advance()
	return t
}

func (p *parser[T]) is(w string) bool { return p.tok.kind == word && p.tok.text == w }

func (p *parser[T]) or() func(T) bool {
	a := p.and()
	for p.is("or") {
		p.advance()
		l, r := a, p.and()
		a = func(t T) bool { return l(t) || r(t) }
	}
	return a
}

func (p *parser[T]) and() func(T) bool {
	a := p.not()
	for p.is("and") {
		p.advance()
		l, r := a, p.not()
		a = func(t T) bool { return l(t) && r(t) }
	}
	return a
}

func (p *parser[T]) not() func(T) bool {
	if p.depth++; p.depth > deepest {
		p.fail("the filter is nested more than %d deep", deepest)
	}
	defer func() { p.depth-- }()
	switch {
	case p.is("not"):
		p.advance()
		a := p.not()
		return func(t T) bool { return !a(t) }
	case p.tok.kind == open:
		p.advance()
		a := p.or()
		p.expect(closed, ")")
		return a
	}
	return p.test()
}

func (p *parser[T]) test() func(T) bool {
	if p.is("startswith") {
		return p.startsWith()
	}
	left := p.operand()
	o, ok := op(0), false
	if p.tok.kind == word {
		o, ok = comparison(p.tok.text)
	}
	if !ok {
		if left.kind == word { // a property that is true or false stands for itself
			if f := p.field(left, equal); f.kind == truth {
				return f.test(equal, value{kind: truth, number: 1})
			}
		}
		p.fail("expected one of eq, ne, gt, ge, lt, le and found %v", p.tok)
		return nil
	}
	p.advance()
	right := p.operand()
	if left.kind == literal {
		left, right, o = right, left, o.turned()
	}
	return p.compile(left, o, right)
}

func (p *parser[T]) startsWith() func(T) bool {
	p.advance()
	p.expect(open, "(")
	name := p.expect(word, "the name of a property")
	p.expect(comma, "a comma")
	prefix := p.expect(literal, "a string")
	p.expect(closed, ")")
	return p.compile(name, startsWith, prefix)
}

func (p *parser[T]) operand() token {
	t := p.tok
	if t.kind != word && t.kind != literal {
		p.fail("expected a property or a literal and found %v", t)
	}
	p.advance()
	return t
}

// field finds a property that o may be used with.
func (p *parser[T]) field(name token, o op) Field[T] {
	f, ok := p.fields[name.text]
	switch {
	case !ok || name.kind != word:
		p.failAt(name, "%v is no property to filter by", name)
	case !f.allows(o):
		p.failAt(name, "%v cannot be used with the property %s", o, name.text)
	}
	return f
}

func (p *parser[T]) compile(name token, o op, with token) func(T) bool {
	f := p.field(name, o)
	if p.err != nil {
		return nil
	}
	v := with.value
	if with.kind != literal || v.kind != f.kind && (v.kind != null || o == startsWith) {
		p.failAt(with, "%s is compared with %v, and is %v", name.text, with, f.kind)
		return nil
	}
	return f.test(o, v)
}
