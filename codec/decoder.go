package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"unsafe"
)

// ErrCorrupt is in every error about a message that cannot be right, whatever was sent.
var ErrCorrupt = errors.New("corrupt message")

// ErrMismatch is in every error about a message that is sound but holds other types than are wanted or known
// here.
var ErrMismatch = errors.New("type mismatch")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("codec: %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Decoder reads messages. Its zero value is ready for use, by many goroutines at a time if OnUnmarshal is.
// After an error the value is incomplete.
type Decoder struct {
	// OnUnmarshal, if set, is called with a pointer to each value that was read by its own UnmarshalBinary,
	// after that. The pointer is good only during the call: a map's element moves to its place later. An error
	// ends the decoding.
	OnUnmarshal func(ptr any) error
}

// Decode reads one message from r into the value that ptr points to, and nothing past its end. Large blocks
// are read straight into their final memory; they are allocated at once if r tells its length (a Len method, an
// io.LimitedReader, a file), else as the bytes come in. At the end of r the error is io.EOF.
func (d *Decoder) Decode(r io.Reader, ptr any) error {
	return d.decode(source{r: r}, ptr)
}

// DecodeBytes reads the message b into the value that ptr points to. The value does not alias b.
func (d *Decoder) DecodeBytes(b []byte, ptr any) error {
	return d.decode(source{b: b}, ptr)
}

// Map is DecodeBytes without the copy: slices of numbers and strings of 16 KiB and more alias b, which has to
// outlive the value, should start at a multiple of 64 bytes, and is written to when the program writes to such a
// slice, so a mapped file is mapped privately. Checksums of aliased blocks are not looked at; see [Verify].
func (d *Decoder) Map(b []byte, ptr any) error {
	return d.decode(source{b: b, alias: true}, ptr)
}

// Verify checks all checksums of the message b, and that it is whole.
func Verify(b []byte) error {
	if len(b) < headerSize {
		return corrupt("%d bytes are too short for a message", len(b))
	}
	if err := new(header).parse(b); err != nil {
		return err
	}
	s := source{b: b, at: headerSize, verify: true}
	for {
		f, err := s.next()
		if err != nil {
			return err
		}
		if f.block > 0 {
			if _, err := s.take(int(f.block)); err != nil {
				return err
			}
		}
		if f.flags&frameLast != 0 {
			return s.end()
		}
	}
}

func (d *Decoder) decode(src source, ptr any) error {
	t, v, err := target(ptr)
	if err != nil {
		return err
	}
	s := decoders.Get().(*dec)
	src.buf = s.src.buf
	s.opts, s.src = d, src
	err = s.message(programOf(t), v)
	s.release()
	runtime.KeepAlive(ptr)
	return err
}

// dec is the state of reading one message.
type dec struct {
	opts *Decoder
	src  source

	frame frame
	meta  []byte // of the current frame, what is not read yet
	block bool   // the current frame's block is not read yet
	owed  uint64 // least number of bytes that what was begun still needs

	objects [][]object // in pieces of objectPiece, so that many of them are never moved
	count   int
	todo    []queued
	depth   int
	keys    int
	types   []*program
	zones   []zone
	sizes   []int // lengths of slices that are objects
	slab    slab
}

// object is something that may be referred to again.
type object struct {
	v    unsafe.Pointer
	kind uint32 // program.id of the pointee, slice, map or box, plus objX
	size uint32 // of a slice: index of its length in dec.sizes
}

const objectPiece = 256

func (d *dec) addObject(v unsafe.Pointer, kind uint32) (id int) {
	if d.count%objectPiece == 0 && d.count/objectPiece == len(d.objects) {
		d.objects = append(d.objects, make([]object, objectPiece))
	}
	id = d.count
	*d.objectAt(id) = object{v: v, kind: kind}
	d.count++
	return id
}

func (d *dec) objectAt(id int) *object { return &d.objects[id/objectPiece][id%objectPiece] }

var decoders = sync.Pool{New: func() any { return &dec{} }}

func (d *dec) release() {
	objects, todo := d.objects[:min(len(d.objects), 1)], d.todo[:cap(d.todo)]
	if len(objects) > 0 {
		clear(objects[0][:min(d.count, objectPiece)])
		clear(d.objects[1:])
	}
	if cap(todo) > 1<<12 {
		todo = nil
	}
	clear(todo)
	buf := d.src.buf
	*d = dec{objects: objects, todo: todo[:0]}
	if cap(buf) <= 4*metaFlush {
		d.src.buf = buf
	}
	decoders.Put(d)
}

func (d *dec) fail(err error) { panic(bail{err}) }

func (d *dec) corrupt(format string, args ...any) { d.fail(corrupt(format, args...)) }

// paranoid lets panics through, for tests: there must not be any.
var paranoid = false

func (d *dec) message(p *program, v unsafe.Pointer) (err error) {
	defer func() {
		r := recover()
		if b, ok := r.(bail); ok {
			err = b.err
		} else if r != nil {
			if paranoid {
				panic(r)
			}
			err = corrupt("%v", r)
		}
	}()
	h, err := d.src.begin()
	if err != nil {
		return err
	}
	d.nextFrame()
	sent := d.text()
	if here := p.fingerprint(); h.fingerprint != here {
		return fmt.Errorf("codec: %w: the message holds a %s (%x), wanted is a %s (%x)",
			ErrMismatch, clip(sent), h.fingerprint[:4], p.typ, here[:4])
	}
	d.src.sameBuild = h.build == buildID()
	d.addObject(v, p.id+objPointer)
	d.owe(p.min)
	d.paid(p.min)
	d.value(p, v)
	for len(d.todo) > 0 {
		q := d.todo[len(d.todo)-1]
		d.todo = d.todo[:len(d.todo)-1]
		d.depth = 0
		switch q.sort {
		case objSlice:
			d.elements(q.p, q.v, q.n)
		case objMap:
			d.entries(q.p, q.v, q.n)
		default:
			d.paid(q.p.min)
			d.value(q.p, q.v)
		}
	}
	for d.frame.flags&frameLast == 0 && len(d.meta) == 0 && !d.block {
		d.nextFrame()
	}
	if len(d.meta) > 0 || d.block {
		d.corrupt("more than the value")
	}
	return d.src.end()
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

func (d *dec) nextFrame() {
	switch {
	case d.block:
		d.corrupt("a block where metadata was due")
	case d.frame.flags&frameLast != 0:
		d.corrupt("it ends too early")
	}
	f, err := d.src.next()
	if err != nil {
		d.fail(err)
	}
	d.frame, d.meta, d.block = f, d.src.meta, f.block > 0
}

// take returns the next n bytes of metadata.
func (d *dec) take(n int) []byte {
	if len(d.meta) < n {
		for len(d.meta) == 0 {
			d.nextFrame()
		}
		if len(d.meta) < n {
			d.corrupt("a value straddles two frames")
		}
	}
	b := d.meta[:n:n]
	d.meta = d.meta[n:]
	return b
}

func (d *dec) uvarint() uint64 {
	for len(d.meta) == 0 {
		d.nextFrame()
	}
	if x := d.meta[0]; x < 0x80 {
		d.meta = d.meta[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(d.meta)
	if n <= 0 {
		d.corrupt("a number straddles two frames")
	}
	d.meta = d.meta[n:]
	return x
}

// blockOf makes the next block, of n bytes, current.
func (d *dec) blockOf(n int) {
	for len(d.meta) == 0 && !d.block {
		d.nextFrame()
	}
	if len(d.meta) != 0 || d.frame.block != uint64(n) {
		d.corrupt("a block of %d bytes was due", n)
	}
	d.block = false
}

// fill reads n bytes of memory to v.
func (d *dec) fill(v unsafe.Pointer, n int) {
	if n < blockMin {
		copy(bytesAt(v, n), d.take(n))
		return
	}
	d.blockOf(n)
	if err := d.src.read(bytesAt(v, n)); err != nil {
		d.fail(err)
	}
}

// memory reads n bytes of memory to a place of their own.
func (d *dec) memory(n int) unsafe.Pointer {
	if n < blockMin {
		b := append([]byte(nil), d.take(n)...)
		return unsafe.Pointer(unsafe.SliceData(b))
	}
	d.blockOf(n)
	v, err := d.src.fetch(n)
	if err != nil {
		d.fail(err)
	}
	return v
}

// owe notes that n bytes more have to come, and fails if they cannot. Nothing is allocated for contents that
// have not been owed: so what is allocated stays in proportion to what was sent.
func (d *dec) owe(n uint64) {
	d.owed = satAdd(d.owed, n)
	if have := uint64(len(d.meta)); d.owed > have {
		if err := d.src.ensure(d.owed, have, d.block); err != nil {
			d.fail(err)
		}
	}
}

func (d *dec) paid(n uint64) { d.owed -= n }
