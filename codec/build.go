package codec

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"
	"sync"
)

// Build identifies the build of this program: processes of the same executable have the same, also where it was
// stripped; another build has another. Only between processes of one build do unregistered package-level errors
// keep their identity. It is read from the notes of the linker in the executable, or is a hash of its read-only
// parts if it has none.
func Build() string {
	id := buildID()
	return hex.EncodeToString(id[:])
}

var buildID = sync.OnceValue(func() (id [16]byte) {
	path := "/proc/self/exe" // also when the file was replaced or removed
	f, err := os.Open(path)
	if err != nil {
		if path, err = os.Executable(); err != nil {
			return id
		}
		if f, err = os.Open(path); err != nil {
			return id
		}
	}
	defer f.Close()
	h := sha256.New()
	if e, err := elf.NewFile(f); err != nil {
		io.Copy(h, f)
	} else if note := buildNotes(e); len(note) > 0 {
		h.Write(note)
	} else {
		hashReadOnly(h, e)
	}
	copy(id[:], h.Sum(nil))
	return id
})

// buildNotes returns the notes with the build IDs of Go and of the linker, which cover all that went into the
// executable.
func buildNotes(e *elf.File) (ids []byte) {
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<16 {
			continue
		}
		b, err := io.ReadAll(p.Open())
		if err != nil {
			continue
		}
		// name size, description size, type, name, description; names and descriptions are padded to 4 bytes
		for len(b) >= 12 {
			name, desc := int(e.ByteOrder.Uint32(b)), int(e.ByteOrder.Uint32(b[4:]))
			kind := e.ByteOrder.Uint32(b[8:])
			b = b[12:]
			from, to := (name+3)&^3, (name+3)&^3+(desc+3)&^3
			if name < 0 || desc < 0 || from > len(b) || from+desc > len(b) {
				break
			}
			owner := string(bytes.TrimRight(b[:name], "\x00"))
			if desc > 0 && (owner == "Go" && kind == 4 || owner == "GNU" && kind == 3) {
				ids = append(ids, b[from:from+desc]...)
			}
			b = b[min(to, len(b)):]
		}
	}
	return ids
}

// hashReadOnly hashes code and constants, which stripping does not touch.
func hashReadOnly(w io.Writer, e *elf.File) {
	for _, p := range e.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_W != 0 {
			continue
		}
		r := p.Open()
		if p.Off == 0 {
			r.Seek(4096, io.SeekStart) // the first page holds the headers of the file
		}
		io.Copy(w, r)
	}
}
