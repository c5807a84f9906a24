package team

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// A Pack is several encoded values, each behind its length: the inputs of calls, or their results.
type Pack struct {
	b bytes.Buffer
	N int
}

// Add appends the value that encode writes; nothing if it fails.
func (p *Pack) Add(encode func(io.Writer) error) error {
	at := p.b.Len()
	p.b.Write(make([]byte, 8))
	if err := encode(&p.b); err != nil {
		p.b.Truncate(at)
		return err
	}
	binary.LittleEndian.PutUint64(p.b.Bytes()[at:], uint64(p.b.Len()-at-8))
	p.N++
	return nil
}

// Bytes is the whole, until the next Add.
func (p *Pack) Bytes() []byte { return p.b.Bytes() }

// Reset empties it.
func (p *Pack) Reset() {
	p.b.Reset()
	p.N = 0
}

// Unpack returns the next value of a pack, and the rest.
func Unpack(b []byte) (value, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, errors.New("a pack of values is cut off")
	}
	n := binary.LittleEndian.Uint64(b)
	if b = b[8:]; n > uint64(len(b)) {
		return nil, nil, errors.New("a pack of values is cut off")
	}
	return b[:n], b[n:], nil
}
