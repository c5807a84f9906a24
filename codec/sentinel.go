package codec

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"unsafe"
)

// Errors that programs compare by identity. One that a package-level variable of type error holds travels with
// the place of that variable, which is the same in all processes of a build; one that is itself laid down by
// the compiler travels with its own place. The reader takes neither on trust: the variable has to hold an error
// of the same type and text, the object to look the same down to its bytes.
const (
	sentNone     = 0
	sentNamed    = 1 // name
	sentVariable = 2 // section, offset, text
	sentObject   = 3 // section, offset, hash
)

// wellKnown are errors of the standard library, which keep their identity between builds.
var wellKnown = map[string]error{
	"bufio.ErrTooLong":       bufio.ErrTooLong,
	"context.Canceled":       context.Canceled,
	"errors.ErrUnsupported":  errors.ErrUnsupported,
	"fs.ErrClosed":           fs.ErrClosed,
	"fs.ErrExist":            fs.ErrExist,
	"fs.ErrInvalid":          fs.ErrInvalid,
	"fs.ErrNotExist":         fs.ErrNotExist,
	"fs.ErrPermission":       fs.ErrPermission,
	"fs.SkipAll":             fs.SkipAll,
	"fs.SkipDir":             fs.SkipDir,
	"io.EOF":                 io.EOF,
	"io.ErrClosedPipe":       io.ErrClosedPipe,
	"io.ErrNoProgress":       io.ErrNoProgress,
	"io.ErrShortBuffer":      io.ErrShortBuffer,
	"io.ErrShortWrite":       io.ErrShortWrite,
	"io.ErrUnexpectedEOF":    io.ErrUnexpectedEOF,
	"os.ErrDeadlineExceeded": os.ErrDeadlineExceeded,
	"os.ErrProcessDone":      os.ErrProcessDone,
	"strconv.ErrRange":       strconv.ErrRange,
	"strconv.ErrSyntax":      strconv.ErrSyntax,
}

var wellKnownNames = func() map[error]string {
	names := map[error]string{}
	for name, err := range wellKnown {
		names[err] = name
	}
	return names
}()

var errorProgram = programOf(errorType)

// errorAt makes an error of the pointer data, of type q.
func errorAt(q *program, data unsafe.Pointer) (err error) {
	*(*ifaceWords)(unsafe.Pointer(&err)) = ifaceWords{errorProgram.itab(q), data}
	return err
}

func textOf(err error) (text string, ok bool) {
	defer func() { ok = recover() == nil }()
	return err.Error(), true
}

// sentinel writes how the error that data points to is known, and reports whether its contents must not follow.
func (s *enc) sentinel(q *program, data unsafe.Pointer) (bare bool) {
	if data == nil || q.op != opPointer {
		s.uvarint(sentNone)
		return false
	}
	err := errorAt(q, data)
	name, ok := wellKnownNames[err]
	if !ok {
		registered.RLock()
		name, ok = registered.names[err]
		registered.RUnlock()
	}
	if ok {
		s.uvarint(sentNamed)
		s.text(name)
		return q.elem.mayRefuse()
	}
	if place, ok := theImage().variableOf(errorProgram.itab(q), data); ok {
		if text, ok := textOf(err); ok {
			s.uvarint(sentVariable)
			s.place(place)
			s.text(text)
			return q.elem.mayRefuse()
		}
	}
	if place, ok := theImage().placeOf(data); ok {
		if sum, ok := theImage().sum(q.elem, place); ok {
			s.uvarint(sentObject)
			s.place(place)
			s.memory(unsafe.Pointer(&sum), uintptr(len(sum)))
			return false
		}
	}
	s.uvarint(sentNone)
	return false
}

func (s *enc) place(p place) {
	s.uvarint(uint64(p.section))
	s.uvarint(uint64(p.offset))
}

// maybeSentinel reads a pointer that is an error.
func (d *dec) maybeSentinel(q *program) unsafe.Pointer {
	var found error
	kind, name := d.uvarint(), ""
	switch kind {
	case sentNone:
	case sentNamed:
		name = d.text()
		if found = wellKnown[name]; found == nil {
			registered.RLock()
			found = registered.errors[name]
			registered.RUnlock()
		}
	case sentVariable:
		at := d.place()
		name = d.text()
		if d.src.sameBuild {
			if v, ok := theImage().variable(at, errorProgram.itab(q)); ok {
				err := errorAt(q, v)
				if text, ok := textOf(err); ok && text == name {
					found = err
				}
			}
		}
	case sentObject:
		at := d.place()
		want := [16]byte(d.take(16))
		if d.src.sameBuild && q.op == opPointer {
			if sum, ok := theImage().sum(q.elem, at); ok && sum == want {
				v, _ := theImage().object(at, q.elem.size)
				found = errorAt(q, v)
			}
		}
	default:
		d.corrupt("an error of kind %d", kind)
	}
	next := d.count
	var v unsafe.Pointer
	d.value(q, unsafe.Pointer(&v))
	if found != nil {
		w := *(*ifaceWords)(unsafe.Pointer(&found))
		if w.tab == errorProgram.itab(q) {
			if d.count > next {
				d.objectAt(next).v = w.data
			}
			return w.data
		}
	}
	if v == nil && kind != sentNone {
		d.fail(mismatch("the error %q of type %s is not in this program, and its contents cannot be sent", clip(name), q.typ))
	}
	return v
}

func (d *dec) place() place {
	section, offset := d.uvarint(), d.uvarint()
	if section >= sections || offset > 1<<40 {
		d.corrupt("an impossible place")
	}
	return place{uint8(section), uintptr(offset)}
}

// place is a place among the variables of the program.
type place struct {
	section uint8
	offset  uintptr
}

// Sections of variables.
const (
	sectionData = iota
	sectionBSS
	sectionNoPointers
	sections
)

// section is a range of memory in which variables lie; mask has a bit for each word that is a pointer.
type section struct {
	start unsafe.Pointer
	size  uintptr
	mask  []byte
}

func (s *section) pointer(word uintptr) bool {
	return word/8 < uintptr(len(s.mask)) && s.mask[word/8]>>(word%8)&1 != 0
}

// image is the memory of the program's variables and constants, as the linker laid it out.
type image struct {
	sections   [sections]section
	consts     unsafe.Pointer
	constsSize uintptr
	errors     map[uintptr][]place // pointers in interfaces held by variables
}

const word = unsafe.Sizeof(uintptr(0))

// index notes the variables that hold an interface: a word that the collector does not follow and then one that
// it does. It looks only once; what it finds is looked at again when it is used.
//
//go:norace
func (m *image) index() {
	m.errors = map[uintptr][]place{}
	for i := range m.sections {
		s := &m.sections[i]
		for w := uintptr(0); s.mask != nil && (w+2)*word <= s.size; w++ {
			if s.pointer(w) || !s.pointer(w+1) {
				continue
			}
			v := (*[2]uintptr)(unsafe.Add(s.start, w*word))
			if v[0] != 0 && v[1] != 0 {
				m.errors[v[1]] = append(m.errors[v[1]], place{uint8(i), w * word})
			}
		}
	}
}

// variableOf finds the variable that holds the interface of the method table and pointer.
func (m *image) variableOf(tab, data unsafe.Pointer) (place, bool) {
	for _, at := range m.errors[uintptr(data)] {
		if v, ok := m.variable(at, tab); ok && v == data {
			return at, true
		}
	}
	return place{}, false
}

// variable returns the pointer in the interface variable at a place, if it has the method table.
//
//go:norace
func (m *image) variable(at place, tab unsafe.Pointer) (unsafe.Pointer, bool) {
	s := &m.sections[at.section]
	w := at.offset / word
	if at.offset%word != 0 || s.size < 2*word || at.offset > s.size-2*word || s.pointer(w) || !s.pointer(w+1) {
		return nil, false
	}
	v := (*ifaceWords)(unsafe.Add(s.start, at.offset))
	if tab == nil || v.tab != tab || v.data == nil {
		return nil, false
	}
	return v.data, true
}

// placeOf returns where data lies, if it was laid down by the compiler.
func (m *image) placeOf(data unsafe.Pointer) (place, bool) {
	for i := range m.sections {
		s := &m.sections[i]
		if off := uintptr(data) - uintptr(s.start); s.start != nil && off < s.size {
			return place{uint8(i), off}, true
		}
	}
	return place{}, false
}

// object returns the address of a place with size bytes of memory.
func (m *image) object(at place, size uintptr) (unsafe.Pointer, bool) {
	s := &m.sections[at.section]
	if s.start == nil || size == 0 || size > s.size || at.offset > s.size-size {
		return nil, false
	}
	return unsafe.Add(s.start, at.offset), true
}

// sum hashes the value of type p at a place. It fails for what it cannot look at safely whatever lies there:
// strings that are no constants, pointers.
func (m *image) sum(p *program, at place) (sum [16]byte, ok bool) {
	v, ok := m.object(at, p.size)
	if !ok || uintptr(v)%uintptr(p.typ.Align()) != 0 {
		return sum, false
	}
	text, ok := m.look(nil, p, v)
	full := sha256.Sum256(text)
	copy(sum[:], full[:])
	return sum, ok
}

//go:norace
func (m *image) look(b []byte, p *program, v unsafe.Pointer) ([]byte, bool) {
	ok := true
	switch p.op {
	case opMemory:
		return append(b, bytesAt(v, int(p.size))...), !p.bools || p.goodBools(v, 1)
	case opString:
		h := (*struct {
			data unsafe.Pointer
			len  uintptr
		})(v)
		if off := uintptr(h.data) - uintptr(m.consts); h.len > 0 && (off >= m.constsSize || h.len > m.constsSize-off) {
			return nil, false
		}
		b = binary.AppendUvarint(b, uint64(h.len))
		return append(b, bytesAt(h.data, int(h.len))...), true
	case opStruct:
		for i := range p.steps {
			if b, ok = m.look(b, p.steps[i].p, unsafe.Add(v, p.steps[i].off)); !ok {
				return nil, false
			}
		}
		return b, true
	case opPointer, opSlice, opMap, opIface, opNil, opLocation:
		for w := uintptr(0); w < p.size; w += word {
			if *(*uintptr)(unsafe.Add(v, w)) != 0 {
				return nil, false
			}
		}
		return b, true
	}
	return nil, false
}
