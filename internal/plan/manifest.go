package plan

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// The blob of a manifest holds, beside the manifest, record 0 of the plan and, if it is small, part 0 of the inputs,
// so that a single call is one blob:
//
//	"CLMANI\x00\x01"                                  8 bytes
//	length of the JSON, CRC-32C of the JSON           uint32 each, little-endian
//	{"manifest": …, "plan": …}                        JSON
//	zeros up to a multiple of Align
//	part 0, a pack, to the end                        if the plan's first part has "size" > 0 in record 0 and Inline

const maniMagic = "CLMANI\x00\x01"

// A Sheet is what the manifest's blob holds.
type Sheet struct {
	Manifest Manifest `json:"manifest"`
	Plan     Record   `json:"plan"`
	// Inline says that part 0 follows.
	Inline bool   `json:"inline,omitempty"`
	Part0  []byte `json:"-"`
}

// Bytes returns the blob.
func (s *Sheet) Bytes() ([]byte, error) {
	j, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 16+len(j)+Align+len(s.Part0))
	b = append(b, maniMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(j)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(j, castagnoli))
	b = append(b, j...)
	if r := len(b) % Align; r != 0 {
		b = append(b, zeros[r:]...)
	}
	return append(b, s.Part0...), nil
}

// ParseSheet reads a manifest's blob.
func ParseSheet(b []byte) (*Sheet, error) {
	if len(b) < 16 || string(b[:6]) != maniMagic[:6] {
		return nil, fmt.Errorf("not a manifest: %w", ErrDamaged)
	}
	if string(b[:8]) != maniMagic {
		return nil, fmt.Errorf("manifest of format %d.%d, this program reads %d.%d: use the program that wrote it", b[6], b[7], maniMagic[6], maniMagic[7])
	}
	n := int(binary.LittleEndian.Uint32(b[8:]))
	if n < 0 || n > len(b)-16 {
		return nil, fmt.Errorf("manifest is cut off: %w", ErrDamaged)
	}
	j := b[16 : 16+n]
	if crc32.Checksum(j, castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return nil, fmt.Errorf("manifest has another checksum than was written: %w", ErrDamaged)
	}
	s := new(Sheet)
	if err := json.Unmarshal(j, s); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if s.Manifest.Version != Version {
		return nil, fmt.Errorf("manifest of version %d, this program reads %d: use the program that wrote it", s.Manifest.Version, Version)
	}
	if s.Inline {
		at := 16 + n
		if r := at % Align; r != 0 {
			at += Align - r
		}
		if at > len(b) {
			return nil, fmt.Errorf("manifest is cut off: %w", ErrDamaged)
		}
		s.Part0 = b[at:]
	}
	return s, nil
}
