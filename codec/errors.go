package codec

import (
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Portable returns err if it can travel, else an error that can: with the same text, and with what err wraps
// made portable likewise, so that errors.Is and errors.As still find what does travel.
func Portable(err error) error { return portable(err, 0) }

const maxWrapping = 100

func portable(err error, depth int) error {
	if err == nil || canTravel(err) {
		return err
	}
	p := &portableError{Type: fmt.Sprintf("%T", err)}
	text, ok := textOf(err)
	if !ok {
		text = "(a " + p.Type + " whose Error method panics)"
	}
	p.Text = text
	if depth < maxWrapping {
		for _, e := range unwrap(err) {
			if e = portable(e, depth+1); e != nil {
				p.Wrapped = append(p.Wrapped, e)
			}
		}
	}
	// A type may say what it is by a method Is, which is lost with it.
	for _, known := range wellKnown {
		if is(err, known) && !errors.Is(p, known) {
			p.Wrapped = append(p.Wrapped, known)
		}
	}
	return p
}

// canTravel reports whether err can be encoded, by doing it.
func canTravel(err error) bool {
	var e Encoder
	_, bad := e.Encode(io.Discard, &err)
	return bad == nil
}

// unwrap returns what err wraps; nothing if its methods panic.
func unwrap(err error) (wrapped []error) {
	defer func() {
		if recover() != nil {
			wrapped = nil
		}
	}()
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return []error{x.Unwrap()}
	case interface{ Unwrap() []error }:
		return x.Unwrap()
	}
	return nil
}

func is(err, target error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return errors.Is(err, target)
}

// portableError stands for an error that could not travel.
type portableError struct {
	Text    string
	Type    string // of the original
	Wrapped []error
}

func (e *portableError) Error() string { return e.Text }

func (e *portableError) Unwrap() []error { return e.Wrapped }

func init() { Reach(reflect.TypeFor[portableError]()) }
