package autoscale

import (
	"strconv"
	"unicode/utf8"
)

// Limits of a formula, from Microsoft's guide.
const (
	MaxLength     = 8192 // characters
	MaxStatements = 100
)

// Formula is one that has the right form. It does not change, and may be evaluated by several goroutines at once.
type Formula struct {
	statements []statement
}

// A statement is an expression, whose value goes to a variable when target has a name.
type statement struct {
	target name
	x      node
}

// A node is an expression; position is what an error about it points to.
type node interface{ position() position }

type (
	literal struct { // a float64 or a string
		at    position
		value value
	}
	name struct { // a variable or a constant
		at   position
		text string
	}
	member struct { // x.field
		at    position // of the field
		x     node
		field string
	}
	call struct { // function(args), or x.function(args) when x is not nil
		at       position // of the parenthesis, which is where the service finds fault
		x        node
		function string
		args     []node
	}
	unary struct {
		at position
		op string
		x  node
	}
	binary struct {
		at   position // of the operator
		op   string
		l, r node
	}
	conditional struct {
		at      position // of the question mark
		c, a, b node
	}
)

func (n literal) position() position     { return n.at }
func (n name) position() position        { return n.at }
func (n member) position() position      { return n.at }
func (n call) position() position        { return n.at }
func (n unary) position() position       { return n.at }
func (n binary) position() position      { return n.at }
func (n conditional) position() position { return n.at }

// Parse checks the form of a formula: its syntax and its size. This is what the service refuses when a formula is
// given to a pool. Names, types and values show at an evaluation. The error is an *Error.
func Parse(text string) (*Formula, error) {
	if n := utf8.RuneCountInString(text); n > MaxLength {
		return nil, newError(CodeTooLong, position{}, "the formula has %d characters, more than %d", n, MaxLength)
	}
	p := parser{lexer: lexer{rest: text, at: position{1, 1}}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	f := &Formula{}
	for p.token.kind != endToken {
		if p.token.kind == ";" {
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		}
		at := p.token.at
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		if len(f.statements) == MaxStatements {
			return nil, newError(CodeTooLong, at, "the formula has more than %d statements", MaxStatements)
		}
		f.statements = append(f.statements, s)
		if p.token.kind != endToken && p.token.kind != ";" {
			return nil, newError(CodeSyntax, p.token.at, "expected ';' before %v", p.token)
		}
	}
	if len(f.statements) == 0 {
		return nil, newError(CodeSyntax, position{}, "the formula has no statement")
	}
	return f, nil
}

type parser struct {
	lexer lexer
	token token // the next, not yet consumed
}

func (p *parser) advance() (err error) {
	p.token, err = p.lexer.next()
	return err
}

func (p *parser) expect(kind string) error {
	if p.token.kind != kind {
		return newError(CodeSyntax, p.token.at, "expected '%s' before %v", kind, p.token)
	}
	return p.advance()
}

func (p *parser) statement() (s statement, err error) {
	if p.assigns() {
		s.target = name{at: p.token.at, text: p.token.text}
		for range 2 { // the name and the sign
			if err := p.advance(); err != nil {
				return s, err
			}
		}
	}
	if s.x, err = p.expression(); err != nil {
		return s, err
	}
	if p.token.kind == "=" {
		return s, newError(CodeSyntax, p.token.at, "only a variable can stand before '='")
	}
	return s, nil
}

// assigns tells whether a variable and '=' come next.
func (p *parser) assigns() bool {
	ahead := *p
	return p.token.kind == nameToken && ahead.advance() == nil && ahead.token.kind == "="
}

func (p *parser) expression() (node, error) {
	c, err := p.binary(0)
	if err != nil || p.token.kind != "?" {
		return c, err
	}
	n := conditional{at: p.token.at, c: c}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if n.a, err = p.expression(); err != nil {
		return nil, err
	}
	if err := p.expect(":"); err != nil {
		return nil, err
	}
	n.b, err = p.expression()
	return n, err
}

// precedence is that of C; all binary operators group from the left.
var precedence = map[string]int{
	"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6,
}

// binary reads operators that bind more tightly than above.
func (p *parser) binary(above int) (node, error) {
	l, err := p.unary()
	if err != nil {
		return nil, err
	}
	for precedence[p.token.kind] > above {
		n := binary{at: p.token.at, op: p.token.kind, l: l}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if n.r, err = p.binary(precedence[n.op]); err != nil {
			return nil, err
		}
		l = n
	}
	return l, nil
}

func (p *parser) unary() (node, error) {
	if p.token.kind != "-" && p.token.kind != "!" {
		return p.postfix()
	}
	n := unary{at: p.token.at, op: p.token.kind}
	err := p.advance()
	if err == nil {
		n.x, err = p.unary()
	}
	return n, err
}

// postfix reads a primary expression and the members and calls of methods that follow it.
func (p *parser) postfix() (node, error) {
	x, err := p.primary()
	for err == nil && p.token.kind == "." {
		if err := p.advance(); err != nil {
			return nil, err
		}
		field := p.token
		if err := p.name(); err != nil {
			return nil, err
		}
		if p.token.kind == "(" {
			x, err = p.call(x, field.text)
		} else {
			x = member{at: field.at, x: x, field: field.text}
		}
	}
	return x, err
}

func (p *parser) name() error {
	if p.token.kind != nameToken {
		return newError(CodeSyntax, p.token.at, "expected a name before %v", p.token)
	}
	return p.advance()
}

func (p *parser) primary() (node, error) {
	t := p.token
	switch t.kind {
	case numberToken:
		v, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, newError(CodeSyntax, t.at, "the number %s is out of range", t.text)
		}
		return literal{at: t.at, value: v}, p.advance()
	case stringToken:
		return literal{at: t.at, value: t.text}, p.advance()
	case nameToken:
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.token.kind == "(" {
			return p.call(nil, t.text)
		}
		return name{at: t.at, text: t.text}, nil
	case "(":
		if err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		return x, p.expect(")")
	}
	return nil, newError(CodeSyntax, t.at, "expected a value before %v", t)
}

// call reads the arguments of a function or a method; the next token is the parenthesis.
func (p *parser) call(x node, function string) (node, error) {
	n := call{at: p.token.at, x: x, function: function}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for p.token.kind != ")" {
		if len(n.args) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		arg, err := p.expression()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, arg)
	}
	return n, p.advance()
}
