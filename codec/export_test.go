package codec

import (
	"math/bits"
	"reflect"
)

func init() { paranoid = true }

// Envelope makes a message for a value of type t of any metadata and, if there is any, a block: all checksums
// are right, so that only the contents can be wrong.
func Envelope(t reflect.Type, meta, block []byte) []byte {
	if len(meta) > metaMax/2 {
		meta = meta[:metaMax/2]
	}
	h := header{words: bits.UintSize, fingerprint: Fingerprint(t), build: buildID()}
	b := h.append(nil)
	w := &collector{b: nil}
	s := &enc{opts: &Encoder{}, w: w, buf: b}
	s.begin()
	s.text(t.String())
	s.buf = append(s.buf, meta...)
	if len(block) > 0 {
		s.flush(reflect.ValueOf(block).UnsafePointer(), len(block), 0)
	}
	s.flush(nil, 0, frameLast)
	return w.b
}

type collector struct{ b []byte }

func (c *collector) Write(b []byte) (int, error) {
	c.b = append(c.b, b...)
	return len(b), nil
}

// Contents takes a message of a type apart into its metadata and its blocks.
func Contents(b []byte) (meta, blocks []byte) {
	s := source{b: b, at: headerSize}
	for {
		f, err := s.next()
		if err != nil {
			panic(err)
		}
		meta = append(meta, s.meta...)
		if f.block > 0 {
			block, _ := s.take(int(f.block))
			blocks = append(blocks, block...)
		}
		if f.flags&frameLast != 0 {
			break
		}
	}
	d := dec{meta: meta}
	d.text()
	return d.meta, blocks
}
