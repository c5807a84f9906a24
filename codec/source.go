package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"unsafe"
)

// source is where a message comes from: memory or a stream.
type source struct {
	b         []byte
	at        int // read of b
	alias     bool
	verify    bool
	sameBuild bool // that of this program

	r     io.Reader
	known bool  // left is known
	asked bool  // whether it is
	left  int64 // bytes left in r at least
	head  [headerSize + frameSize]byte
	ahead []inMemory // frames read in advance
	extra uint64     // bytes in them

	cur  frame
	meta []byte // of cur
	body []byte // of cur, if its block was read in advance
	seq  uint32
	buf  []byte

	rows int    // how many slices of slices are being read, one inside the other
	row  []byte // memory that is left for rows
}

type inMemory struct {
	frame
	meta, body []byte
}

// begin reads the header and, of a stream, the header of the first frame.
func (s *source) begin() (h header, err error) {
	if s.r == nil {
		if len(s.b) < headerSize {
			return h, corrupt("%d bytes are too short for a message", len(s.b))
		}
		s.at = headerSize
		return h, h.parse(s.b)
	}
	if n, err := io.ReadFull(s.r, s.head[:]); err != nil {
		if n == 0 && err == io.EOF {
			return h, io.EOF
		}
		return h, readError(err)
	}
	if err := h.parse(s.head[:]); err != nil {
		return h, err
	}
	copy(s.head[:], s.head[headerSize:])
	return h, nil
}

func readError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("codec: %w: it ends too early: %w", ErrCorrupt, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("codec: read a message: %w", err)
}

// next goes on to the next frame. Its block, if any, is taken by exactly one call of take, read or fetch.
func (s *source) next() (f frame, err error) {
	if s.r != nil {
		if len(s.ahead) > 0 {
			a := s.ahead[0]
			s.ahead = s.ahead[1:]
			s.extra -= uint64(len(a.meta) + len(a.body))
			s.cur, s.meta, s.body = a.frame, a.meta, a.body
			return a.frame, nil
		}
		s.body = nil
		if cap(s.buf) == 0 {
			s.buf = make([]byte, 0, 512)
		}
		if s.cur, s.buf, err = s.stream(s.buf); err != nil {
			return f, err
		}
		s.meta = s.buf[:s.cur.meta]
		return s.cur, nil
	}
	if len(s.b)-s.at < frameSize {
		return f, corrupt("it ends too early")
	}
	head := s.b[s.at:]
	if err := f.parse(head, s.seq); err != nil {
		return f, err
	}
	s.seq++
	if left := uint64(len(head) - frameSize); uint64(f.meta+f.pad) > left || f.block+uint64(f.trailer()) > left-uint64(f.meta+f.pad) {
		return f, corrupt("it ends too early")
	}
	if err := f.check(head, head[frameSize:frameSize+f.meta+f.pad]); err != nil {
		return f, err
	}
	s.at += frameSize + f.meta + f.pad
	s.cur, s.meta = f, head[frameSize:frameSize+f.meta]
	return f, nil
}

// stream reads the metadata of the frame whose header is in s.head, and the next header if no block is before.
func (s *source) stream(buf []byte) (f frame, _ []byte, err error) {
	if err := f.parse(s.head[:], s.seq); err != nil {
		return f, buf, err
	}
	s.seq++
	n := f.meta + f.pad
	want := n
	if f.block == 0 && f.flags&frameLast == 0 {
		want += frameSize
	}
	if buf, err = s.grow(buf[:0], want); err != nil {
		return f, buf, err
	}
	if err := f.check(s.head[:], buf[:n]); err != nil {
		return f, buf, err
	}
	copy(s.head[:], buf[n:])
	return f, buf, nil
}

// grow reads n bytes, into memory that grows as they arrive.
func (s *source) grow(buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		k := n - len(buf)
		if most := max(cap(buf)-len(buf), len(buf), 1<<20); k > most {
			if s.length(); !s.known || int64(k) > s.left {
				k = most
			}
		}
		if cap(buf)-len(buf) < k {
			bigger := bytesAt(dirty(len(buf)+k), len(buf)+k)
			copy(bigger, buf)
			buf = bigger[:len(buf)]
		}
		got, err := io.ReadFull(s.r, buf[len(buf):len(buf)+k])
		s.left -= int64(got)
		buf = buf[:len(buf)+got]
		if err != nil {
			return buf, readError(err)
		}
	}
	return buf, nil
}

// length asks r, once, how much is left in it.
func (s *source) length() {
	if s.asked {
		return
	}
	s.asked = true
	switch r := s.r.(type) {
	case interface{ Len() int }:
		s.known, s.left = true, int64(r.Len())
	case *io.LimitedReader:
		s.known, s.left = true, r.N
	case *io.SectionReader:
		if at, err := r.Seek(0, io.SeekCurrent); err == nil {
			s.known, s.left = true, r.Size()-at
		}
	case interface {
		io.Seeker
		Stat() (fs.FileInfo, error)
	}:
		if fi, err := r.Stat(); err == nil && fi.Mode().IsRegular() {
			if at, err := r.Seek(0, io.SeekCurrent); err == nil {
				s.known, s.left = true, fi.Size()-at
			}
		}
	}
}

// ensure makes sure that n bytes are to come, of which the caller has some, not counting the current block, which
// may be pending.
func (s *source) ensure(n, have uint64, pending bool) error {
	if s.r == nil {
		return short(n, have+uint64(len(s.b)-s.at))
	}
	have += s.extra
	if pending {
		have += uint64(len(s.body))
	}
	const slack = 64 << 10
	if n <= have+slack {
		return nil
	}
	if s.length(); s.known && n <= have+uint64(max(s.left, 0)) {
		return nil
	}
	// Only what has arrived counts, so the next frames are read ahead.
	if pending && s.body == nil {
		b, err := s.slurp(s.cur)
		if err != nil {
			return err
		}
		s.body = b
		have += uint64(len(b))
	}
	return s.prefetch(n, have)
}

func short(n, have uint64) error {
	if n > have {
		return corrupt("%d bytes are due and %d left", n, have)
	}
	return nil
}

// prefetch reads frames into memory until there are n bytes.
func (s *source) prefetch(n, have uint64) error {
	last := s.cur
	if len(s.ahead) > 0 {
		last = s.ahead[len(s.ahead)-1].frame
	}
	for n > have {
		if last.flags&frameLast != 0 {
			return short(n, have)
		}
		f, buf, err := s.stream(nil)
		if err != nil {
			return err
		}
		a := inMemory{frame: f, meta: buf[:f.meta]}
		if f.block > 0 {
			if a.body, err = s.slurp(f); err != nil {
				return err
			}
		}
		s.ahead = append(s.ahead, a)
		s.extra += uint64(len(a.meta) + len(a.body))
		have += uint64(len(a.meta) + len(a.body))
		last = f
	}
	return nil
}

// slurp reads the block of f from the stream into memory of its own.
func (s *source) slurp(f frame) ([]byte, error) {
	b, err := s.grow(nil, int(f.block))
	if err != nil {
		return nil, err
	}
	return b, s.afterBlock(f, func() uint64 { return blockSum(0, b) })
}

// afterBlock reads what follows a block in a stream: its checksum and the next frame's header.
func (s *source) afterBlock(f frame, sum func() uint64) error {
	var buf [8 + frameSize]byte
	b := buf[:f.trailer()+frameSize]
	n, err := io.ReadFull(s.r, b)
	s.left -= int64(n)
	if err != nil {
		return readError(err)
	}
	copy(s.head[:], b[f.trailer():])
	if f.trailer() > 0 && binary.LittleEndian.Uint64(b) != sum() {
		return corrupt("checksum of the block in frame %d does not match", f.seq)
	}
	return nil
}

// take returns the current block, which is in memory.
func (s *source) take(n int) ([]byte, error) {
	b := s.b[s.at : s.at+n]
	s.at += n
	if s.cur.trailer() > 0 {
		if s.verify && binary.LittleEndian.Uint64(s.b[s.at:]) != blockSum(0, b) {
			return nil, corrupt("checksum of the block in frame %d does not match", s.cur.seq)
		}
		s.at += 8
	}
	return b, nil
}

// read copies the current block to dst.
func (s *source) read(dst []byte) error {
	summed := s.cur.trailer() > 0
	var sum uint64
	switch {
	case s.body != nil: // checked when it was read
		copy(dst, s.body)
		return nil
	case s.r == nil:
		b, err := s.take(len(dst))
		if err != nil {
			return err
		}
		if !summed {
			copy(dst, b)
			return nil
		}
		for i := 0; i < len(b); i += chunkSize {
			c := b[i:min(i+chunkSize, len(b))]
			sum = blockSum(sum, c)
			copy(dst[i:], c)
		}
		if sum != binary.LittleEndian.Uint64(s.b[s.at-8:]) {
			return corrupt("checksum of the block in frame %d does not match", s.cur.seq)
		}
		return nil
	}
	step := len(dst)
	if summed {
		step = ioSize
	}
	for i := 0; i < len(dst); i += step {
		c := dst[i:min(i+step, len(dst))]
		n, err := io.ReadFull(s.r, c)
		s.left -= int64(n)
		if err != nil {
			return readError(err)
		}
		if summed {
			sum = blockSum(sum, c)
		}
	}
	return s.afterBlock(s.cur, func() uint64 { return sum })
}

// fetch returns the current block in memory of its own, or that of the message if it may be aliased.
func (s *source) fetch(n int) (unsafe.Pointer, error) {
	switch {
	case s.r == nil && s.alias && uintptr(unsafe.Pointer(&s.b[s.at]))%8 == 0:
		b, err := s.take(n)
		return unsafe.Pointer(unsafe.SliceData(b)), err
	case s.body != nil:
		return unsafe.Pointer(unsafe.SliceData(s.body)), nil
	case s.r != nil && n > 1<<20:
		if s.length(); !s.known || int64(n) > s.left {
			b, err := s.slurp(s.cur)
			return unsafe.Pointer(unsafe.SliceData(b)), err
		}
	}
	v := s.place(n)
	return v, s.read(bytesAt(v, n))
}

// rowsSize is how many bytes of rows share an allocation: a row that is kept by itself keeps as much.
const rowsSize = 1 << 20

// place allocates n bytes for a block. The rows of a slice of slices lie side by side: with an allocation each, they would
// cost half as much again.
func (s *source) place(n int) unsafe.Pointer {
	if s.rows == 0 || n > rowsSize/4 {
		return dirty(n)
	}
	size := (n + 7) &^ 7
	if size > len(s.row) {
		left := int64(len(s.b) - s.at) // what is there bounds what a length may have allocated
		if s.r != nil {
			s.length()
			left = s.left
		}
		if left < int64(size) {
			return dirty(n)
		}
		most := int(min(left, rowsSize))
		s.row = bytesAt(dirty(most), most)
	}
	v := unsafe.Pointer(unsafe.SliceData(s.row))
	s.row = s.row[size:]
	return v
}

// end checks that nothing follows the message in memory.
func (s *source) end() error {
	if s.r == nil && s.at != len(s.b) {
		return corrupt("%d bytes after its end", len(s.b)-s.at)
	}
	return nil
}
