package codec

import (
	"encoding/binary"
	"reflect"
	"strconv"
	"unsafe"
)

// value writes the value at v.
func (s *enc) value(p *program, v unsafe.Pointer) {
	switch p.op {
	case opMemory:
		s.memory(v, p.size)
	case opString:
		s.text(*(*string)(v))
	case opStruct:
		if s.trace != nil {
			s.traced(p, v)
			return
		}
		for i := range p.steps {
			st := &p.steps[i]
			s.value(st.p, unsafe.Add(v, st.off))
		}
	case opArray:
		for i := range p.n {
			at := unsafe.Add(v, uintptr(i)*p.elem.size)
			if s.trace != nil {
				was := s.trace.enter("[" + strconv.Itoa(i) + "]")
				s.value(p.elem, at)
				s.trace.at = was
				continue
			}
			s.value(p.elem, at)
			s.room()
		}
	case opPointer:
		s.pointer(p, *(*unsafe.Pointer)(v))
	case opSlice:
		s.slice(p, (*sliceHeader)(v))
	case opMap:
		s.mapping(p, v)
	case opIface:
		s.iface(p, v)
	case opHook:
		s.hooked(p, v)
	case opTime:
		s.time(v)
	case opLocation:
		s.location(v)
	case opList:
		s.list(v)
	case opNil:
		if *(*unsafe.Pointer)(v) != nil {
			s.refuse(p.reason, nil)
		}
		s.uvarint(tokNil)
	case opLock:
		if !p.lock(v) {
			s.refuse(p.reason, nil)
		}
		s.uvarint(tokNil)
	case opRefuse:
		s.refuse(p.reason, nil)
	}
}

// traced is value for structs while the way is noted.
func (s *enc) traced(p *program, v unsafe.Pointer) {
	for _, st := range p.steps {
		was := s.trace.enter(st.name)
		s.value(st.p, unsafe.Add(v, st.off))
		s.trace.at = was
	}
}

func (s *enc) uvarint(x uint64) {
	if x < 0x80 {
		s.buf = append(s.buf, byte(x))
		return
	}
	s.buf = binary.AppendUvarint(s.buf, x)
}

// memory writes n bytes as they are: they never straddle two frames.
func (s *enc) memory(v unsafe.Pointer, n uintptr) {
	if n >= blockMin {
		s.flush(v, int(n), 0)
		return
	}
	s.buf = append(s.buf, bytesAt(v, int(n))...)
	s.room()
}

// room ends the frame when there is enough in it. Wherever many small things are written, it is called now and
// then: a reader refuses frames of more than metaMax bytes.
func (s *enc) room() {
	if len(s.buf) >= metaFlush {
		s.flush(nil, 0, 0)
	}
}

func (s *enc) text(x string) {
	s.uvarint(uint64(len(x)))
	s.memory(unsafe.Pointer(unsafe.StringData(x)), uintptr(len(x)))
}

func (s *enc) bytes(b []byte) {
	s.uvarint(uint64(len(b)))
	s.memory(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}

// pointer writes the identity of what q points to, and queues what it points to when it is new.
func (s *enc) pointer(p *program, q unsafe.Pointer) {
	if q == nil {
		s.uvarint(tokNil)
		return
	}
	id, known := s.ids.put(uintptr(q), p.elem.id+objPointer, s.next)
	if known {
		s.uvarint(uint64(id) + tokKnown)
		return
	}
	s.next++
	s.uvarint(tokNew)
	if p.elem.op <= opString { // leads nowhere: no need to queue
		s.value(p.elem, q)
		return
	}
	s.later(objPointer, p.elem, q, 1)
}

func (s *enc) slice(p *program, h *sliceHeader) {
	switch {
	case h.data == nil:
		s.uvarint(tokNil)
		return
	case h.len == 0:
		s.uvarint(tokEmpty)
		return
	case p.elem.size == 0:
		s.uvarint(uint64(h.len) + tokLen)
		return
	}
	// Slices are one if they have the same first element and length; other overlaps are not kept.
	n := uint32(len(s.nums))
	if k, known := s.ids.put(uintptr(h.data), p.id+objSlice, n); !known {
		s.nums = append(s.nums, s.next)
		s.sizes = append(s.sizes, uint64(h.len))
	} else if s.sizes[k] == uint64(h.len) {
		s.uvarint(tokRef)
		s.uvarint(uint64(s.nums[k]))
		return
	}
	s.next++
	s.uvarint(uint64(h.len) + tokLen)
	switch {
	case p.elem.op == opMemory:
		s.memory(h.data, p.elem.size*uintptr(h.len))
	case s.depth >= maxDepth:
		s.later(objSlice, p.elem, h.data, h.len)
	default:
		s.elements(p.elem, h.data, h.len)
	}
}

func (s *enc) elements(p *program, v unsafe.Pointer, n int) {
	s.depth++
	for i := range n {
		at := unsafe.Add(v, uintptr(i)*p.size)
		if s.trace != nil {
			was := s.trace.enter("[" + strconv.Itoa(i) + "]")
			s.value(p, at)
			s.trace.at = was
			continue
		}
		s.value(p, at)
		s.room()
	}
	s.depth--
}

func (s *enc) mapping(p *program, v unsafe.Pointer) {
	m := *(*unsafe.Pointer)(v)
	if m == nil {
		s.uvarint(tokNil)
		return
	}
	id, known := s.ids.put(uintptr(m), p.id+objMap, s.next)
	if known {
		s.uvarint(tokRef)
		s.uvarint(uint64(id))
		return
	}
	s.next++
	n := reflect.NewAt(p.typ, v).Elem().Len()
	if n == 0 {
		s.uvarint(tokEmpty)
		return
	}
	s.uvarint(uint64(n) + tokLen)
	if s.depth >= maxDepth {
		s.later(objMap, p, m, n)
		return
	}
	s.entries(p, m, n)
}

func (s *enc) entries(p *program, m unsafe.Pointer, n int) {
	s.depth++
	if got := p.maps.encode(s, p, m); got != n {
		s.refuse("the map changed while it was being encoded", nil)
	}
	s.depth--
}

// entry writes one key and value of a map.
func (s *enc) entry(p *program, k, v unsafe.Pointer) {
	if s.trace != nil {
		was := s.trace.enter(keyLabel(p.key.typ, k))
		defer func() { s.trace.at = was }()
	}
	if p.key.op <= opString {
		s.value(p.key, k)
	} else {
		s.keys++
		s.value(p.key, k)
		s.keys--
	}
	s.value(p.elem, v)
	s.room()
}

func keyLabel(t reflect.Type, k unsafe.Pointer) string {
	v := reflect.NewAt(t, k).Elem()
	switch {
	case v.Kind() == reflect.String:
		return "[" + strconv.Quote(v.String()) + "]"
	case v.CanInt():
		return "[" + strconv.FormatInt(v.Int(), 10) + "]"
	case v.CanUint():
		return "[" + strconv.FormatUint(v.Uint(), 10) + "]"
	}
	return "[" + t.String() + "]"
}

// iface writes the dynamic type of an interface and its value.
func (s *enc) iface(p *program, v unsafe.Pointer) {
	w := (*ifaceWords)(v)
	if w.tab == nil {
		s.uvarint(tokNil)
		return
	}
	var x any
	if p.eface {
		x = *(*any)(v)
	} else {
		// The layout of interfaces with methods does not depend on the methods.
		x = any(*(*interface{ M() })(v))
	}
	rtype := (*ifaceWords)(unsafe.Pointer(&x)).tab
	q := s.dynamicType(rtype, x)
	if s.trace != nil {
		was := s.trace.enter(".(" + q.typ.String() + ")")
		defer func() { s.trace.at = was }()
	}
	if q.isErr && s.sentinel(q, w.data) {
		s.uvarint(tokNil) // the place says it all, and the contents could not travel
		return
	}
	switch {
	case q.direct:
		s.value(q, unsafe.Pointer(&w.data))
	case q.op <= opString:
		s.value(q, w.data)
	default:
		s.box(q, w.data)
	}
}

// box writes a value that an interface points to. Boxes never change, but sharing is kept: without, a value that
// holds the same interface twice at each of n levels would grow to 2^n.
func (s *enc) box(q *program, v unsafe.Pointer) {
	if s.keys > 0 {
		if s.keys > maxKeyDepth {
			s.refuse("interfaces in a map's key are nested too deeply", nil)
		}
		s.keys++
		s.value(q, v)
		s.keys--
		return
	}
	id, known := s.ids.put(uintptr(v), q.id+objBox, s.next)
	if known {
		s.uvarint(uint64(id) + tokKnown)
		return
	}
	s.next++
	s.uvarint(tokNew)
	if s.depth >= maxDepth {
		s.later(objBox, q, v, 1)
		return
	}
	s.depth++
	s.value(q, v)
	s.depth--
}

// dynamicType writes the number of a type, and on its first use its definition.
func (s *enc) dynamicType(rtype unsafe.Pointer, x any) *program {
	if s.last.rtype == rtype {
		s.uvarint(uint64(s.last.num) + tokKnown)
		return s.last.p
	}
	q := programOf(reflect.TypeOf(x))
	num, known := s.types[q]
	if known {
		s.uvarint(uint64(num) + tokKnown)
	} else {
		if q.op == opRefuse || q.op == opNil {
			s.refuse(q.reason, nil)
		}
		def, err := q.definition()
		if err != nil {
			s.refuse(err.Error(), err)
		}
		num = uint32(len(s.types))
		if s.types == nil {
			s.types = map[*program]uint32{}
		}
		s.types[q] = num
		s.uvarint(tokNew)
		s.bytes(def)
	}
	s.last = lastType{rtype, q, num}
	return q
}
