package codec

import (
	"reflect"
	"sync"
	"unsafe"
)

// op says how the values of a type travel.
type op uint8

const (
	opUnset    op = iota // being compiled
	opMemory             // as they lie in memory: no pointers, no padding
	opString             // length and bytes
	opStruct             // step by step
	opArray              // element by element
	opSlice              // identity, length, elements
	opPointer            // identity; what it points to is queued
	opMap                // identity, length, keys and values
	opIface              // type and value
	opHook               // through MarshalBinary and UnmarshalBinary
	opTime               // instant and zone
	opLocation           // *time.Location
	opList               // list.List
	opNil                // only nil can travel: channels, functions, unsafe pointers
	opLock               // only unlocked: travels as zero
	opRefuse             // never
)

// program is how the values of one type travel; it is compiled once.
type program struct {
	typ   reflect.Type
	rtype unsafe.Pointer
	id    uint32 // of this program in this process, from 1; shifted to leave room for objX below
	op    op
	size  uintptr
	min   uint64 // least number of bytes of an encoded value; 0 only for types of size 0
	bools bool   // opMemory that holds bools, whose bytes must be checked

	steps []step   // opStruct; opMemory with bools
	elem  *program // opArray, opSlice, opPointer, opMap
	key   *program // opMap
	n     int      // opArray; opMemory arrays

	maps   mapCoder // opMap
	eface  bool     // opIface without methods
	direct bool     // interfaces hold the value itself, not a pointer to it
	isErr  bool     // a pointer that implements error: may be a sentinel
	slab   bool     // pointees may be allocated several at a time
	hook   *hook
	lock   func(unsafe.Pointer) bool // opLock: reports whether it is free
	reason string                    // opNil, opLock, opRefuse: why not

	itabs sync.Map // opIface: reflect.Type -> itab
	lazy  lazy
}

// lazy is what is computed on first use only.
type lazy struct {
	fpOnce  sync.Once
	fp      [16]byte
	defOnce sync.Once
	def     []byte
	defErr  error
	static  sync.Once
	never   bool
}

// step is one field of a struct, or a run of adjacent fields that are moved together.
type step struct {
	off  uintptr
	p    *program
	name string
}

// Sorts of objects, added to program.id for idTable.
const (
	objPointer = iota
	objSlice
	objMap
	objBox
	objSorts
)

var programs struct {
	sync.Map // reflect.Type -> *program
	building sync.Mutex
	n        uint32
}

func programOf(t reflect.Type) *program {
	if p, ok := programs.Load(t); ok {
		return p.(*program)
	}
	programs.building.Lock()
	defer programs.building.Unlock()
	c := compiler{made: map[reflect.Type]*program{}}
	p := c.program(t)
	for t, p := range c.made {
		programs.Store(t, p)
	}
	return p
}

type compiler struct {
	made map[reflect.Type]*program
}

func (c *compiler) program(t reflect.Type) *program {
	if p, ok := programs.Load(t); ok {
		return p.(*program)
	}
	if p, ok := c.made[t]; ok {
		return p
	}
	programs.n++
	p := &program{typ: t, rtype: rtypeOf(t), id: programs.n * objSorts, size: t.Size(), min: 1}
	c.made[t] = p
	p.direct = isDirect(t)
	if c.special(p) {
		return p
	}
	switch t.Kind() {
	case reflect.String:
		p.op = opString
	case reflect.Struct:
		c.structure(p)
	case reflect.Array:
		p.elem, p.n = c.program(t.Elem()), t.Len()
		p.op = opArray
		if p.elem.op == opMemory {
			p.op, p.bools = opMemory, p.elem.bools
		}
		p.min = satMul(p.elem.min, uint64(p.n))
	case reflect.Slice:
		p.op = opSlice // before the element, which may lead back here
		p.elem = c.program(t.Elem())
	case reflect.Pointer:
		p.op = opPointer
		p.elem = c.program(t.Elem())
		p.isErr = t.Implements(errorType)
		p.slab = p.size > 0 && t.Elem().Size() <= 256
	case reflect.Map:
		p.op = opMap
		p.key, p.elem = c.program(t.Key()), c.program(t.Elem())
		p.maps = mapCoderFor(t)
	case reflect.Interface:
		p.op, p.eface = opIface, t.NumMethod() == 0
	case reflect.Chan:
		p.op, p.reason = opNil, "cannot send a channel"
	case reflect.Func:
		p.op, p.reason = opNil, "cannot send a function"
	case reflect.UnsafePointer:
		p.op, p.reason = opNil, "cannot send an unsafe pointer"
	default: // numbers and bools
		p.op, p.min = opMemory, uint64(p.size)
		p.bools = t.Kind() == reflect.Bool
	}
	return p
}

// special compiles the types that have a way of their own.
func (c *compiler) special(p *program) bool {
	t := p.typ
	switch {
	case t == timeType:
		p.op = opTime
		p.min = 13
	case t == locationType:
		p.op = opLocation
	case t == listType:
		p.op = opList
	case refused(t) != "":
		p.op, p.reason = opRefuse, refused(t)
	case lockOf(t) != nil:
		p.op, p.lock, p.reason = opLock, lockOf(t), lockReason(t)
	case isAtomicPointer(t):
		// struct{ _ [0]*T; _ noCopy; v unsafe.Pointer }: the pointer is all there is.
		p.op = opPointer
		p.elem = c.program(t.Field(0).Type.Elem().Elem())
	default:
		if p.hook = hookOf(t); p.hook == nil {
			return false
		}
		p.op = opHook
	}
	return true
}

// structure compiles a struct: nested structs are flattened, and neighbours without a pointer or a gap between
// them become one step.
func (c *compiler) structure(p *program) {
	p.op = opStruct
	var flat []step
	for i := range p.typ.NumField() {
		f := p.typ.Field(i)
		q := c.program(f.Type)
		if p.typ == builderType && q.op == opPointer {
			q = selfPointer(f.Type)
		}
		if q.op == opUnset {
			panic("codec: " + p.typ.String() + " holds itself")
		}
		if q.op == opStruct {
			for _, s := range q.steps {
				flat = append(flat, step{f.Offset + s.off, s.p, "." + f.Name + s.name})
			}
			continue
		}
		if q.size == 0 && q.op == opMemory {
			continue
		}
		flat = append(flat, step{f.Offset, q, "." + f.Name})
	}
	p.min = 0
	for i := 0; i < len(flat); {
		s := flat[i]
		j := i + 1
		if s.p.op == opMemory {
			end := s.off + s.p.size
			for j < len(flat) && flat[j].p.op == opMemory && flat[j].off == end {
				end += flat[j].p.size
				j++
			}
			if j > i+1 {
				run := &program{typ: p.typ, op: opMemory, size: end - s.off, min: uint64(end - s.off)}
				for _, m := range flat[i:j] {
					if m.p.bools {
						run.bools = true
						run.steps = append(run.steps, step{m.off - s.off, m.p, m.name})
					}
				}
				s.p = run
			}
		}
		p.steps = append(p.steps, s)
		p.min = satAdd(p.min, s.p.min)
		i = j
	}
	if len(p.steps) == 1 && p.steps[0].p.op == opMemory && p.steps[0].p.size == p.size {
		run := p.steps[0].p
		p.op, p.bools, p.steps = opMemory, run.bools, nil
		if run.bools {
			p.steps = run.steps
			if len(run.steps) == 0 {
				p.steps = []step{{0, run, ""}}
			}
		}
		return
	}
	switch {
	case len(p.steps) == 0 && p.size == 0:
		p.op = opMemory
	case len(p.steps) == 0: // nothing but padding cannot be; be safe about the least size all the same
		p.op, p.reason = opRefuse, "cannot send a struct of no fields"
		p.min = 1
	}
}

// goodBools reports whether all bools in n values at v are 0 or 1.
func (p *program) goodBools(v unsafe.Pointer, n int) bool {
	if p.typ.Kind() == reflect.Bool && p.size == 1 {
		bad := byte(0)
		for _, b := range unsafe.Slice((*byte)(v), n) {
			bad |= b
		}
		return bad&^1 == 0
	}
	if p.elem != nil {
		return p.elem.goodBools(v, n*p.n)
	}
	for i := range n {
		at := unsafe.Add(v, uintptr(i)*p.size)
		for _, s := range p.steps {
			if !s.p.goodBools(unsafe.Add(at, s.off), 1) {
				return false
			}
		}
	}
	return true
}

func satMul(a, b uint64) uint64 {
	if a != 0 && b > (1<<62)/a {
		return 1 << 62
	}
	return a * b
}

func satAdd(a, b uint64) uint64 { return min(a+b, 1<<62) }
