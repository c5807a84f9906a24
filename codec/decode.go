package codec

import (
	"reflect"
	"unsafe"
)

// value reads a value to v.
func (d *dec) value(p *program, v unsafe.Pointer) {
	switch p.op {
	case opMemory:
		d.fill(v, int(p.size))
		if p.bools {
			d.checkBools(p, v, 1)
		}
	case opString:
		*(*string)(v) = d.text()
	case opStruct:
		for i := range p.steps {
			st := &p.steps[i]
			d.value(st.p, unsafe.Add(v, st.off))
		}
	case opArray:
		for i := range p.n {
			d.value(p.elem, unsafe.Add(v, uintptr(i)*p.elem.size))
		}
	case opPointer:
		*(*unsafe.Pointer)(v) = d.pointer(p)
	case opSlice:
		d.slice(p, (*sliceHeader)(v))
	case opMap:
		d.mapping(p, v)
	case opIface:
		d.iface(p, v)
	case opHook:
		d.hooked(p, v)
	case opTime:
		d.time(v)
	case opLocation:
		d.location(v)
	case opList:
		d.list(v)
	case opNil, opLock:
		if d.uvarint() != tokNil {
			d.corrupt("a %s that is not zero", p.typ)
		}
		reflect.NewAt(p.typ, v).Elem().SetZero()
	default:
		d.fail(corrupt("a %s cannot be sent", p.typ))
	}
}

func (d *dec) checkBools(p *program, v unsafe.Pointer, n int) {
	if !p.goodBools(v, n) {
		d.corrupt("a bool that is neither true nor false")
	}
}

// length reads a number of bytes of memory.
func (d *dec) length() int {
	n := d.uvarint()
	if n > maxLength {
		d.corrupt("%d bytes in one piece", n)
	}
	return int(n)
}

func (d *dec) text() string {
	n := d.length()
	if n < blockMin {
		return string(d.take(n))
	}
	return unsafe.String((*byte)(d.memory(n)), n)
}

// bytes reads bytes to memory of their own.
func (d *dec) bytes() []byte {
	n := d.length()
	return bytesAt(d.memory(n), n)
}

// object looks up an object that is referred to.
func (d *dec) object(id uint64, kind uint32) *object {
	if id >= uint64(d.count) {
		d.corrupt("object %d of %d", id, d.count)
	}
	o := d.objectAt(int(id))
	if o.kind != kind {
		d.corrupt("object %d is of another kind", id)
	}
	return o
}

func (d *dec) pointer(p *program) unsafe.Pointer {
	switch tok := d.uvarint(); tok {
	case tokNil:
		return nil
	case tokNew:
		if p.elem.op == opMemory && p.elem.size >= blockMin {
			v := d.memory(int(p.elem.size))
			if p.elem.bools {
				d.checkBools(p.elem, v, 1)
			}
			d.addObject(v, p.elem.id+objPointer)
			return v
		}
		d.owe(p.elem.min)
		v := d.alloc(p)
		d.addObject(v, p.elem.id+objPointer)
		if p.elem.op <= opString {
			d.paid(p.elem.min)
			d.value(p.elem, v)
		} else {
			d.todo = append(d.todo, queued{p: p.elem, v: v, n: 1, sort: objPointer})
		}
		return v
	default:
		return d.object(tok-tokKnown, p.elem.id+objPointer).v
	}
}

// slab is memory for the next pointees of a type.
type slab struct {
	p    *program
	v    unsafe.Pointer
	left int
	size int
}

// alloc allocates what a pointer of type p.typ points to. The first few of a run of the same type are allocated
// one by one, later ones several at a time: that is faster, and keeps at most their neighbours alive.
func (d *dec) alloc(p *program) unsafe.Pointer {
	s := &d.slab
	e := p.elem
	if s.p != e {
		*s = slab{p: e}
	}
	if s.left == 0 {
		if s.size < 4 || !p.slab {
			s.size++
			return newArray(e, 1)
		}
		s.size = min(2*s.size, max(4<<10/int(e.size+1), 1))
		s.left = s.size
		s.v = newArray(e, s.size)
	}
	v := s.v
	s.left--
	if s.left > 0 {
		s.v = unsafe.Add(v, e.size)
	} else {
		s.v = nil
	}
	return v
}

func (d *dec) slice(p *program, h *sliceHeader) {
	tok := d.uvarint()
	switch tok {
	case tokNil:
		*h = sliceHeader{}
		return
	case tokEmpty:
		*h = sliceHeader{data: unsafe.Pointer(&zeroSized)}
		return
	}
	if tok == tokRef {
		o := d.object(d.uvarint(), p.id+objSlice)
		*h = sliceHeader{o.v, d.sizes[o.size], d.sizes[o.size]}
		return
	}
	n := tok - tokLen
	e := p.elem
	if n > maxLength || e.size > 0 && n > maxLength/uint64(e.size) {
		d.corrupt("%d elements of %s", n, e.typ)
	}
	if e.size == 0 {
		*h = sliceHeader{unsafe.Pointer(&zeroSized), int(n), int(n)}
		return
	}
	id := d.addObject(nil, p.id+objSlice)
	d.objectAt(id).size = uint32(len(d.sizes))
	d.sizes = append(d.sizes, int(n))
	if e.op == opMemory {
		v := d.memory(int(n) * int(e.size))
		if e.bools {
			d.checkBools(e, v, int(n))
		}
		d.objectAt(id).v = v
		*h = sliceHeader{v, int(n), int(n)}
		return
	}
	d.owe(satMul(n, e.min))
	v := newArray(e, int(n))
	d.objectAt(id).v = v
	*h = sliceHeader{v, int(n), int(n)}
	if d.depth >= maxDepth {
		d.todo = append(d.todo, queued{p: e, v: v, n: int(n), sort: objSlice})
		return
	}
	if e.op != opSlice {
		d.elements(e, v, int(n))
		return
	}
	d.src.rows++
	d.elements(e, v, int(n))
	d.src.rows--
}

func (d *dec) elements(p *program, v unsafe.Pointer, n int) {
	d.depth++
	for i := range n {
		d.owed -= p.min
		d.value(p, unsafe.Add(v, uintptr(i)*p.size))
	}
	d.depth--
}

func (d *dec) mapping(p *program, v unsafe.Pointer) {
	tok := d.uvarint()
	if tok == tokNil {
		*(*unsafe.Pointer)(v) = nil
		return
	}
	if tok == tokRef {
		*(*unsafe.Pointer)(v) = d.object(d.uvarint(), p.id+objMap).v
		return
	}
	n := uint64(0)
	if tok != tokEmpty {
		n = tok - tokLen
	}
	if n > 1 && p.key.size == 0 || n > maxLength {
		d.corrupt("a map with %d keys of %s", n, p.key.typ)
	}
	d.owe(satMul(n, satAdd(p.key.min, p.elem.min)))
	m := reflect.MakeMapWithSize(p.typ, int(n)).UnsafePointer()
	*(*unsafe.Pointer)(v) = m
	d.addObject(m, p.id+objMap)
	switch {
	case n == 0:
	case d.depth >= maxDepth:
		d.todo = append(d.todo, queued{p: p, v: m, n: int(n), sort: objMap})
	default:
		d.entries(p, m, int(n))
	}
}

func (d *dec) entries(p *program, m unsafe.Pointer, n int) {
	d.depth++
	p.maps.decode(d, p, m, n)
	d.depth--
}

// entry reads one key and value of a map.
func (d *dec) entry(p *program, k, v unsafe.Pointer) {
	d.paid(satAdd(p.key.min, p.elem.min))
	if p.key.op <= opString {
		d.value(p.key, k)
	} else {
		d.keys++
		d.value(p.key, k)
		d.keys--
	}
	d.value(p.elem, v)
}

// iface reads the dynamic type of an interface and its value.
func (d *dec) iface(p *program, v unsafe.Pointer) {
	w := (*ifaceWords)(v)
	tok := d.uvarint()
	if tok == tokNil {
		*w = ifaceWords{}
		return
	}
	q := d.dynamicType(tok)
	tab := q.rtype
	if !p.eface {
		if tab = p.itab(q); tab == nil {
			d.fail(mismatch("a %s is no %s", q.typ, p.typ))
		}
	}
	var data unsafe.Pointer
	switch {
	case q.isErr:
		data = d.maybeSentinel(q)
	case q.direct:
		d.value(q, unsafe.Pointer(&data))
	case q.op == opString:
		s := d.text()
		data = unsafe.Pointer(&s)
	case q.op == opMemory:
		if q.size == 0 {
			data = unsafe.Pointer(&zeroSized)
			break
		}
		data = d.memory(int(q.size))
		if q.bools {
			d.checkBools(q, data, 1)
		}
	default:
		data = d.box(q)
	}
	*w = ifaceWords{tab, data}
}

func (d *dec) box(q *program) unsafe.Pointer {
	if d.keys > 0 {
		if d.keys > maxKeyDepth {
			d.corrupt("interfaces in a map's key are nested too deeply")
		}
		d.owe(q.min)
		v := newArray(q, 1)
		d.paid(q.min)
		d.keys++
		d.value(q, v)
		d.keys--
		return v
	}
	tok := d.uvarint()
	if tok != tokNew {
		return d.object(tok-tokKnown, q.id+objBox).v
	}
	d.owe(q.min)
	v := newArray(q, 1)
	d.addObject(v, q.id+objBox)
	if d.depth >= maxDepth {
		d.todo = append(d.todo, queued{p: q, v: v, n: 1, sort: objBox})
		return v
	}
	d.paid(q.min)
	d.depth++
	d.value(q, v)
	d.depth--
	return v
}

// itab returns the method table of an interface type for q, nil if q has not the methods.
func (p *program) itab(q *program) unsafe.Pointer {
	if t, ok := p.itabs.Load(q); ok {
		return t.(unsafe.Pointer)
	}
	if !q.typ.Implements(p.typ) {
		return nil
	}
	x := reflect.New(p.typ)
	x.Elem().Set(reflect.Zero(q.typ))
	tab := (*ifaceWords)(x.UnsafePointer()).tab
	p.itabs.Store(q, tab)
	return tab
}

func (d *dec) dynamicType(tok uint64) *program {
	if tok != tokNew {
		if tok-tokKnown >= uint64(len(d.types)) {
			d.corrupt("type %d of %d", tok-tokKnown, len(d.types))
		}
		return d.types[tok-tokKnown]
	}
	n := d.length()
	if n >= blockMin {
		d.corrupt("a type of %d bytes", n)
	}
	t, err := typeOfDefinition(d.take(n), d.src.sameBuild)
	if err != nil {
		d.fail(err)
	}
	q := programOf(t)
	d.types = append(d.types, q)
	return q
}
