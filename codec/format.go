package codec

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// The layout of a message; docs/codec-format.md specifies it. Change the two together, with formatVersion.
const (
	magic         = "\x89clv\r\n\x1a\n"
	formatVersion = 2
	headerSize    = 64
	frameSize     = 24

	blockMin   = 16 << 10 // memory of this size and more travels as a block
	blockAlign = 64       // blocks start at a multiple of this in the message
	metaFlush  = 64 << 10 // a frame is sent when its metadata has reached this size
	metaMax    = 1 << 20  // a reader refuses frames with more metadata
	chunkSize  = 64 << 10 // pieces of a block in its checksum, small enough to stay in the cache
	ioSize     = 1 << 20  // what of a block is summed between two writes or reads, a multiple of chunkSize

	frameLast   = 1 // flag: no frame follows
	frameSummed = 2 // flag: a checksum follows the block

	// maxDepth is the nesting of slices, maps and interfaces from which on contents are queued instead of
	// recursed into. Writer and reader count alike, so it is part of the format.
	maxDepth = 100
	// maxKeyDepth bounds interfaces in map keys, whose contents cannot be queued: a key is hashed at once.
	maxKeyDepth = 1000

	maxLength = min(1<<46, math.MaxInt) // of anything, in bytes
)

// Tokens before the contents of a value.
const (
	tokNil   = 0
	tokNew   = 1 // pointers, interfaces: new object, new type
	tokEmpty = 1 // slices
	tokRef   = 2 // slices, maps: the number of a known object follows
	tokLen   = 2 // slices, maps with n > 0 elements: n+tokLen
	tokKnown = 2 // pointers, interfaces: number of a known object or type, plus tokKnown
)

var (
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	littleEndian = func() bool { x := uint16(1); return *(*byte)(unsafe.Pointer(&x)) == 1 }()
)

// header is the first headerSize bytes of a message.
type header struct {
	words       byte // bits of an int: 32 or 64
	fingerprint [16]byte
	build       [16]byte
}

func (h *header) append(b []byte) []byte {
	n := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = append(b, h.words, 'l')
	b = append(b, 0, 0, 0, 0)
	b = append(b, h.fingerprint[:]...)
	b = append(b, h.build[:]...)
	b = append(b, make([]byte, headerSize-4-(len(b)-n))...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

func (h *header) parse(b []byte) error {
	switch {
	case string(b[:len(magic)]) != magic:
		return corrupt("this is no message of package codec")
	case binary.LittleEndian.Uint16(b[8:]) != formatVersion:
		return corrupt("format version %d; this program reads version %d", binary.LittleEndian.Uint16(b[8:]), formatVersion)
	case binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return corrupt("checksum of the header does not match")
	case b[11] != 'l' || b[10] != bits.UintSize:
		return corrupt("sent by a machine of another kind (%d-bit, byte order %q)", b[10], b[11])
	}
	h.words = b[10]
	copy(h.fingerprint[:], b[16:32])
	copy(h.build[:], b[32:48])
	return nil
}

// frame is what follows the header, any number of times: some metadata and then at most one block.
type frame struct {
	meta  int
	pad   int // zero bytes between metadata and block, so that the block is aligned
	flags byte
	block uint64
	seq   uint32
	sum   uint32 // of the frame's header up to here, the metadata and the padding
}

func (f *frame) put(b []byte) {
	binary.LittleEndian.PutUint32(b[0:], uint32(f.meta))
	b[4], b[5], b[6], b[7] = f.flags, byte(f.pad), 0, 0
	binary.LittleEndian.PutUint64(b[8:], f.block)
	binary.LittleEndian.PutUint32(b[16:], f.seq)
	binary.LittleEndian.PutUint32(b[20:], f.sum)
}

func (f *frame) parse(b []byte, seq uint32) error {
	f.meta = int(binary.LittleEndian.Uint32(b[0:]))
	f.flags, f.pad = b[4], int(b[5])
	f.block = binary.LittleEndian.Uint64(b[8:])
	f.seq = binary.LittleEndian.Uint32(b[16:])
	f.sum = binary.LittleEndian.Uint32(b[20:])
	switch {
	case f.meta > metaMax || f.pad >= blockAlign || f.flags&^(frameLast|frameSummed) != 0 || b[6] != 0 || b[7] != 0,
		f.block > maxLength, f.block == 0 && f.pad != 0,
		f.flags&frameLast != 0 && f.block != 0:
		return corrupt("impossible frame")
	case f.seq != seq:
		return corrupt("frame %d where %d was due", f.seq, seq)
	}
	return nil
}

// trailer is the number of bytes after the block.
func (f *frame) trailer() int {
	if f.block != 0 && f.flags&frameSummed != 0 {
		return 8
	}
	return 0
}

func (f *frame) check(head, meta []byte) error {
	if crc32.Update(crc32.Checksum(head[:20], castagnoli), castagnoli, meta) != f.sum {
		return corrupt("checksum of frame %d does not match", f.seq)
	}
	return nil
}

// blockSum goes on with the checksum of a block, from what it was for the bytes before b; b begins at a multiple of chunkSize
// in the block. It is XXH3, which is bound by memory where CRC-32C was measured to be three times slower, piece by piece,
// each with the sum so far as its seed: the library's hash of a stream copies it.
func blockSum(sum uint64, b []byte) uint64 {
	for len(b) > 0 {
		c := b[:min(len(b), chunkSize)]
		sum = xxh3.HashSeed(c, sum)
		b = b[len(c):]
	}
	return sum
}
