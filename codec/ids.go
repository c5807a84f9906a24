package codec

// idTable numbers the objects of a message: an open-addressing table from address and type to number. It is
// what keeps shared pointers shared, and it is on the path of every pointer, so it is not a map.
type idTable struct {
	slots []idSlot // a power of two
	shift uint8    // 64 - log2(len(slots))
	used  int
}

type idSlot struct {
	addr uintptr
	kind uint32 // identity of program and sort of object; 0: free
	id   uint32
}

const minSlots = 64

func (t *idTable) reset() {
	if len(t.slots) == 0 || len(t.slots) > 1<<14 {
		t.slots = make([]idSlot, minSlots)
		t.shift = 64 - 6
	} else if t.used > 0 {
		clear(t.slots)
	}
	t.used = 0
}

// put returns the number known for an object, or stores id for it.
func (t *idTable) put(addr uintptr, kind, id uint32) (known uint32, ok bool) {
	mask := uintptr(len(t.slots) - 1)
	for i := t.hash(addr, kind); ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.kind == 0 {
			*s = idSlot{addr, kind, id}
			if t.used++; t.used*4 > len(t.slots)*3 {
				t.grow()
			}
			return id, false
		}
		if s.addr == addr && s.kind == kind {
			return s.id, true
		}
	}
}

func (t *idTable) hash(addr uintptr, kind uint32) uintptr {
	return uintptr((uint64(addr>>3) ^ uint64(kind)<<40) * 0x9E3779B97F4A7C15 >> t.shift)
}

func (t *idTable) grow() {
	old := t.slots
	f := 2
	if len(old) < 1<<16 {
		f = 4
		t.shift--
	}
	t.shift--
	t.slots = make([]idSlot, f*len(old))
	mask := uintptr(len(t.slots) - 1)
	for _, s := range old {
		if s.kind == 0 {
			continue
		}
		i := t.hash(s.addr, s.kind)
		for t.slots[i].kind != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}
