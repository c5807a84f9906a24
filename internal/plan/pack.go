package plan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
)

// A pack is a blob of messages with an index at its end: the form of input parts and of commits. Messages begin at
// multiples of Align from the start of the pack, so that a mapped file can be decoded in place.
//
//	"CLPACK\x00\x01"                  8 bytes
//	messages, padded to Align
//	index: head, entries              see appendIndex
//	index offset, index length        uint64 each, little-endian
//	CRC-32C of the index              uint32
//	zero                              uint32
//	"CLPKEND\x01"                     8 bytes

// Align is the alignment of messages in a pack, in bytes.
const Align = 64

const (
	packMagic  = "CLPACK\x00\x01"
	packEnd    = "CLPKEND\x01"
	footerSize = 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is wrapped by errors about bytes that are not what was written. errors.Is takes it for store.ErrDamaged too.
var ErrDamaged error = damaged{}

type damaged struct{}

func (damaged) Error() string { return "damaged" }

func (damaged) Is(target error) bool {
	_, ok := target.(interface{ Damaged() })
	return ok
}

// An Entry is one message of a pack: the inputs, or the outcomes, of N calls from First.
type Entry struct {
	First, N int
	Off, Len int64  // of the message in the pack
	Meta     []byte // what goes with it in the index
}

// An Item is a message to be written: Data, or what Write writes.
type Item struct {
	First, N int
	Meta     []byte
	Data     []byte
	Write    func(io.Writer) error
}

// WritePack writes a pack of messages, with head as JSON, and returns its size.
func WritePack(w io.Writer, items []Item, head any) (int64, error) {
	p := &packWriter{w: w}
	for _, it := range items {
		if err := p.add(it); err != nil {
			return p.off, err
		}
	}
	err := p.close(head)
	return p.off, err
}

// packWriter writes a pack to w.
type packWriter struct {
	w       io.Writer
	off     int64
	entries []Entry
}

var zeros [Align]byte

// Write writes a part of a message.
func (p *packWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.off += int64(n)
	return n, err
}

func (p *packWriter) write(b []byte) error {
	_, err := p.Write(b)
	return err
}

// pad goes on to where the next message begins.
func (p *packWriter) pad() error {
	if p.off == 0 {
		if err := p.write([]byte(packMagic)); err != nil {
			return err
		}
	}
	if r := p.off % Align; r != 0 {
		return p.write(zeros[r:])
	}
	return nil
}

func (p *packWriter) add(it Item) error {
	if err := p.pad(); err != nil {
		return err
	}
	at := p.off
	var err error
	if it.Write != nil {
		err = it.Write(p)
	} else {
		err = p.write(it.Data)
	}
	p.entries = append(p.entries, Entry{it.First, it.N, at, p.off - at, it.Meta})
	return err
}

// close writes the index and the footer.
func (p *packWriter) close(head any) error {
	if err := p.pad(); err != nil {
		return err
	}
	h, err := json.Marshal(head)
	if err != nil {
		return err
	}
	b := appendIndex(nil, h, p.entries)
	n, crc := uint64(len(b)), crc32.Checksum(b, castagnoli)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.off))
	b = binary.LittleEndian.AppendUint64(b, n)
	b = binary.LittleEndian.AppendUint32(b, crc)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, packEnd...)
	return p.write(b)
}

// ErrLarge is the error of a [Limited] that has no room.
var ErrLarge = errors.New("larger than the limit")

// A Limited collects a message that is kept if it is small. What goes beyond Max bytes is [ErrLarge]: such a message is
// better written straight to where it belongs.
type Limited struct {
	To  *bytes.Buffer
	Max int
}

// Write implements io.Writer.
func (l *Limited) Write(b []byte) (int, error) {
	if l.To.Len()+len(b) > l.Max {
		return 0, ErrLarge
	}
	return l.To.Write(b)
}

// appendIndex writes uvarints: length of head, head, number of entries, and for each: first, n, offset, length, length
// of meta, meta.
func appendIndex(b, head []byte, entries []Entry) []byte {
	b = binary.AppendUvarint(b, uint64(len(head)))
	b = append(b, head...)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(e.First))
		b = binary.AppendUvarint(b, uint64(e.N))
		b = binary.AppendUvarint(b, uint64(e.Off))
		b = binary.AppendUvarint(b, uint64(e.Len))
		b = binary.AppendUvarint(b, uint64(len(e.Meta)))
		b = append(b, e.Meta...)
	}
	return b
}

// A Pack is an opened pack: its index in memory, its messages where they are.
type Pack struct {
	r       io.ReaderAt
	head    []byte
	Entries []Entry // in the order of writing
}

// OpenPack reads the index of a pack of size bytes.
func OpenPack(r io.ReaderAt, size int64) (*Pack, error) {
	if size < int64(len(packMagic))+footerSize {
		return nil, fmt.Errorf("pack of %d bytes is cut off: %w", size, ErrDamaged)
	}
	// One read usually gets footer and index both.
	guess := min(size, 16<<10)
	tail := make([]byte, guess)
	if _, err := r.ReadAt(tail, size-guess); err != nil && err != io.EOF {
		return nil, err
	}
	foot := tail[guess-footerSize:]
	if string(foot[24:]) != packEnd {
		return nil, fmt.Errorf("pack has no end mark: %w", ErrDamaged)
	}
	off, n := binary.LittleEndian.Uint64(foot), binary.LittleEndian.Uint64(foot[8:])
	crc := binary.LittleEndian.Uint32(foot[16:])
	if off > uint64(size) || n > uint64(size) || off+n != uint64(size-footerSize) {
		return nil, fmt.Errorf("pack of %d bytes has its index at %d, %d bytes long: %w", size, off, n, ErrDamaged)
	}
	var index []byte
	if int64(n)+footerSize <= guess {
		index = tail[guess-footerSize-int64(n) : guess-footerSize]
	} else {
		index = make([]byte, n)
		if _, err := r.ReadAt(index, int64(off)); err != nil && err != io.EOF {
			return nil, err
		}
	}
	if crc32.Checksum(index, castagnoli) != crc {
		return nil, fmt.Errorf("index of a pack has another checksum than was written: %w", ErrDamaged)
	}
	p := &Pack{r: r}
	if err := p.parse(index, int64(off)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pack) parse(b []byte, end int64) error {
	bad := fmt.Errorf("index of a pack makes no sense: %w", ErrDamaged)
	num := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 1 << 62
		}
		b = b[n:]
		return v
	}
	bytesOf := func(n uint64) []byte {
		if n > uint64(len(b)) {
			b = nil
			return nil
		}
		s := b[:n:n]
		b = b[n:]
		return s
	}
	p.head = bytesOf(num())
	n := num()
	if n > uint64(len(b)) {
		return bad
	}
	p.Entries = make([]Entry, n)
	for i := range p.Entries {
		if b == nil {
			return bad
		}
		e := &p.Entries[i]
		first, calls, off, size, meta := num(), num(), num(), num(), num()
		if first > 1<<50 || calls > 1<<50 || off > uint64(end) || size > uint64(end)-off || meta > uint64(len(b)) {
			return bad
		}
		e.First, e.N, e.Off, e.Len, e.Meta = int(first), int(calls), int64(off), int64(size), bytesOf(meta)
	}
	return nil
}

// Head reads the head into v.
func (p *Pack) Head(v any) error { return json.Unmarshal(p.head, v) }

// Find returns the number of the entry that has the call, or -1. Entries must be in order of calls.
func (p *Pack) Find(call int) int {
	i := sort.Search(len(p.Entries), func(i int) bool { return p.Entries[i].First+p.Entries[i].N > call })
	if i == len(p.Entries) || p.Entries[i].First > call {
		return -1
	}
	return i
}

// Message returns a reader of the i-th message. If the pack is in memory it also returns the bytes.
func (p *Pack) Message(i int) (*io.SectionReader, []byte) {
	e := p.Entries[i]
	var mem []byte
	if m, ok := p.r.(*Bytes); ok {
		mem = m.b[e.Off : e.Off+e.Len : e.Off+e.Len]
	}
	return io.NewSectionReader(p.r, e.Off, e.Len), mem
}

// Bytes is an io.ReaderAt over memory that Pack.Message hands out without copying.
type Bytes struct {
	*bytes.Reader
	b []byte
}

// NewBytes returns a reader of b.
func NewBytes(b []byte) *Bytes { return &Bytes{bytes.NewReader(b), b} }
