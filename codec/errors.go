package codec

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Portable returns err if it can travel, its Error method works, its text has at most 64 KiB, and it is encoded to at most
// 1 MiB. Else it returns an error of which all that holds: with the same text, or the beginning of it, and with what err wraps
// made portable likewise, so that errors.Is and errors.As still find what does travel.
func Portable(err error) error {
	room := maxError
	e, ok := portable(err, 0, &room).(*portableError)
	if !ok {
		return err
	}
	// A type may say what it is by a method Is, which is lost with it.
	for _, known := range wellKnown {
		if !errors.Is(e, known) && is(err, known) {
			e.Wrapped = append(e.Wrapped, known)
		}
	}
	return e
}

const (
	maxWrapping  = 100
	maxErrorText = 64 << 10
	maxError     = 1 << 20
)

// portable makes an error that takes at most room, and takes that from it; nil if there is no room.
func portable(err error, depth int, room *int) error {
	if err == nil || *room < 100 {
		return nil
	}
	text, ok := textOf(err)
	if ok && len(text) <= maxErrorText && canTravel(err, room) {
		return err
	}
	p := &portableError{Type: fmt.Sprintf("%T", err), Text: text}
	if !ok {
		p.Text = "(a " + p.Type + " whose Error method panics)"
	}
	if limit := min(maxErrorText, *room/4); len(p.Text) > limit {
		p.Text = fmt.Sprintf("%s… (%d bytes in all)", strings.ToValidUTF8(p.Text[:limit], ""), len(p.Text))
	}
	*room -= len(p.Text) + len(p.Type)
	if depth < maxWrapping {
		for _, e := range unwrap(err) {
			if e = portable(e, depth+1, room); e != nil {
				p.Wrapped = append(p.Wrapped, e)
			}
		}
	}
	return p
}

// canTravel reports whether err can be encoded to at most room bytes, by doing it, and takes them from room.
func canTravel(err error, room *int) bool {
	var e Encoder
	n, bad := e.Encode(&limited{*room}, &err)
	if bad == nil {
		*room -= int(n)
	}
	return bad == nil
}

// limited is io.Discard for a number of bytes.
type limited struct{ left int }

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.left {
		return 0, io.ErrShortWrite
	}
	l.left -= len(b)
	return len(b), nil
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
