package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// Encoder writes values as messages. Its zero value is ready for use, by many goroutines at a time if OnMarshal
// is.
type Encoder struct {
	// OnMarshal, if set, is called with a pointer to each value that travels through its own MarshalBinary or
	// AppendBinary, before that. The pointer is good only during the call: the value may be a copy (of a map's
	// element). An error ends the encoding.
	OnMarshal func(ptr any) error

	// Checksum adds a checksum to each block of memory. Everything else always has one; blocks are left to
	// whoever stores and sends them, because summing them takes about as long as moving them.
	Checksum bool
}

// RefusedError is the reason why a value cannot travel.
type RefusedError struct {
	Path   string // where it is, from the name of the outermost type: Shot.Model.done
	Reason string // such as: cannot send a channel
	Err    error  // what a hook of the value returned, if that is the reason
}

func (e *RefusedError) Error() string { return "codec: " + e.Path + ": " + e.Reason }

func (e *RefusedError) Unwrap() error { return e.Err }

// Encode writes the value that ptr points to as one message and returns the number of bytes written. A value
// that cannot travel is a *RefusedError; some of the message may have been written by then. The value must not
// change meanwhile.
func (e *Encoder) Encode(w io.Writer, ptr any) (n int64, err error) {
	t, v, err := target(ptr)
	if err != nil {
		return 0, err
	}
	p := programOf(t)
	s := encoders.Get().(*enc)
	defer func() {
		s.reset()
		encoders.Put(s)
	}()
	err = s.message(e, w, p, v, nil)
	n = s.off
	if bad, ok := errors.AsType[*RefusedError](err); ok && bad.Path == "" {
		// Once more, this time noting the way: values that travel do not pay for it.
		s.reset()
		again := s.message(e, io.Discard, p, v, &trace{})
		if with, ok := errors.AsType[*RefusedError](again); ok {
			bad = with
		}
		if bad.Path == "" {
			bad.Path = typeName(t)
		}
		err = bad
	}
	runtime.KeepAlive(ptr)
	return n, err
}

// target takes a pointer to a value apart.
func target(ptr any) (reflect.Type, unsafe.Pointer, error) {
	t := reflect.TypeOf(ptr)
	if t == nil || t.Kind() != reflect.Pointer {
		return nil, nil, fmt.Errorf("codec: want a pointer to the value, have %T", ptr)
	}
	v := reflect.ValueOf(ptr).UnsafePointer()
	if v == nil {
		return nil, nil, fmt.Errorf("codec: the pointer to the value is a nil %s", t)
	}
	if !littleEndian {
		return nil, nil, errors.New("codec: big-endian machines are not supported")
	}
	return t.Elem(), v, nil
}

func typeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return t.String()
}

// enc is the state of writing one message.
type enc struct {
	opts  *Encoder
	w     io.Writer
	off   int64  // bytes written
	buf   []byte // next to be written: what the last frame still owed, a frame's header, its metadata
	start int    // of the frame's header in buf
	seq   uint32

	ids   idTable
	next  uint32   // number of the next object
	sizes []uint64 // lengths of slices, by the number in idTable
	nums  []uint32 // object numbers of slices, likewise
	todo  []queued
	depth int
	keys  int // depth of map keys being written
	types map[*program]uint32
	last  lastType
	zones map[zone]uint32
	trace *trace
}

// lastType is the dynamic type of the last interface written: they come in runs.
type lastType struct {
	rtype unsafe.Pointer
	p     *program
	num   uint32
}

// queued is contents to be written or read later.
type queued struct {
	p    *program
	v    unsafe.Pointer
	n    int
	sort int8  // objX
	at   int32 // place in the trace
}

var encoders = sync.Pool{New: func() any { return &enc{} }}

// reset makes s ready for the next message, without memory that only a large message needs.
func (s *enc) reset() {
	todo := s.todo[:cap(s.todo)]
	clear(todo)
	if cap(todo) > 1<<12 {
		todo = nil
	}
	buf := s.buf
	if cap(buf) > 4*metaFlush {
		buf = nil
	}
	*s = enc{buf: buf[:0], todo: todo[:0], ids: s.ids}
}

// bail carries an error out of the recursion.
type bail struct{ err error }

func (s *enc) fail(err error) { panic(bail{err}) }

func (s *enc) refuse(reason string, err error) {
	s.fail(&RefusedError{Path: s.trace.path(), Reason: reason, Err: err})
}

// message writes a whole message.
func (s *enc) message(e *Encoder, w io.Writer, p *program, v unsafe.Pointer, tr *trace) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case bail:
			err = r.err
		default:
			panic(r)
		}
	}()
	s.opts, s.w, s.trace = e, w, tr
	s.ids.reset()
	h := header{words: bits.UintSize, fingerprint: p.fingerprint(), build: buildID()}
	s.buf = h.append(s.buf[:0])
	s.begin()
	s.text(p.typ.String())
	if tr != nil {
		tr.enter(typeName(p.typ))
	}
	// The value itself is the first object: a pointer inside may lead back to it.
	s.ids.put(uintptr(v), p.id+objPointer, 0)
	s.next = 1
	s.value(p, v)
	for len(s.todo) > 0 {
		q := s.todo[len(s.todo)-1]
		s.todo = s.todo[:len(s.todo)-1]
		s.depth = 0
		if tr != nil {
			tr.at = q.at
		}
		switch q.sort {
		case objSlice:
			s.elements(q.p, q.v, q.n)
		case objMap:
			s.entries(q.p, q.v, q.n)
		default:
			s.value(q.p, q.v)
		}
		s.room()
	}
	s.flush(nil, 0, frameLast)
	return nil
}

// later queues contents.
func (s *enc) later(sort int8, p *program, v unsafe.Pointer, n int) {
	q := queued{p: p, v: v, n: n, sort: sort}
	if s.trace != nil {
		q.at = s.trace.at
	}
	s.todo = append(s.todo, q)
}

// begin leaves room for the header of the next frame.
func (s *enc) begin() {
	s.start = len(s.buf)
	s.buf = append(s.buf, make([]byte, frameSize)...)
}

// flush writes a frame of all metadata so far and a block of n bytes, if there are any.
func (s *enc) flush(block unsafe.Pointer, n int, flags byte) {
	f := frame{meta: len(s.buf) - s.start - frameSize, flags: flags, block: uint64(n), seq: s.seq}
	s.seq++
	if n > 0 {
		f.pad = int(-(s.off + int64(len(s.buf))) & (blockAlign - 1))
		s.buf = append(s.buf, make([]byte, f.pad)...)
		if s.opts.Checksum {
			f.flags |= frameSummed
		}
	}
	head := s.buf[s.start:]
	f.put(head)
	f.sum = crc32.Update(crc32.Checksum(head[:20], castagnoli), castagnoli, head[frameSize:])
	f.put(head)
	s.write(s.buf)
	s.buf = s.buf[:0]
	if n > 0 {
		b := bytesAt(block, n)
		if f.flags&frameSummed != 0 {
			s.buf = binary.LittleEndian.AppendUint64(s.buf, s.summed(b))
		} else {
			s.write(b)
		}
	}
	if flags&frameLast == 0 {
		s.begin()
	}
}

// summed writes b and sums it up piece by piece, while the piece is in the cache.
func (s *enc) summed(b []byte) (sum uint64) {
	for len(b) > 0 {
		c := b[:min(len(b), ioSize)]
		sum = blockSum(sum, c)
		s.write(c)
		b = b[len(c):]
	}
	return sum
}

func (s *enc) write(b []byte) {
	n, err := s.w.Write(b)
	s.off += int64(n)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.fail(fmt.Errorf("codec: write a message: %w", err))
	}
}
