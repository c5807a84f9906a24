//go:build go1.26 && !go1.27 && linux && (amd64 || arm64)

package codec

import (
	"sync"
	"unsafe"
)

// lastmoduledatap is in the list of internals that the Go project keeps as they are because others use them
// (go.dev/issue/67401, go.dev/issue/71672). What it points to may change, hence the build constraint and the
// checks of theImage.
//
//go:linkname lastmoduledatap runtime.lastmoduledatap
var lastmoduledatap *moduledata

// moduledata is runtime.moduledata of Go 1.26; what is not used has no name.
type moduledata struct {
	_                     unsafe.Pointer // pcHeader
	_, _, _, _, _, _      []byte         // funcnametab, cutab, filetab, pctab, pclntable, ftab
	_, _, _               uintptr        // findfunctab, minpc, maxpc
	_, _                  uintptr        // text, etext
	noptrdata, enoptrdata unsafe.Pointer
	data, edata           unsafe.Pointer
	bss, ebss             unsafe.Pointer
	_, _, _, _            uintptr // noptrbss, enoptrbss, covctrs, ecovctrs
	_, _, _               uintptr // end, gcdata, gcbss
	_, _                  uintptr // types, etypes
	rodata                unsafe.Pointer
	_                     uintptr // gofunc
	epclntab              unsafe.Pointer
	_, _, _, _            []byte // textsectmap, typelinks, itablinks, ptab
	_                     string // pluginpath
	_, _                  []byte // pkghashes, inittasks
	_                     string // modulename
	_                     []byte // modulehashes
	hasmain, _            uint8  // and bad
	gcdatamask, gcbssmask bitvector
}

type bitvector struct {
	n    int32
	data *byte
}

// Variables of known kinds, to see whether the layout is the one expected.
var (
	probeTarget   int
	probeData     = &probeTarget
	probeBSS      *int
	probeConstant = "clusterless/codec: a constant of the program"
)

// theImage returns where the program's variables are; an image of nothing if that cannot be told.
var theImage = sync.OnceValue(func() *image {
	m, md := new(image), lastmoduledatap
	if md == nil || md.hasmain != 1 {
		return m // a plug-in was loaded: variables are in several places
	}
	data := section{start: md.data, size: uintptr(md.edata) - uintptr(md.data)}
	bss := section{start: md.bss, size: uintptr(md.ebss) - uintptr(md.bss)}
	plain := section{start: md.noptrdata, size: uintptr(md.enoptrdata) - uintptr(md.noptrdata)}
	consts, constsSize := md.rodata, uintptr(md.epclntab)-uintptr(md.rodata)
	text := unsafe.Pointer(unsafe.StringData(probeConstant))
	if !data.covers(unsafe.Pointer(&probeData)) || !bss.covers(unsafe.Pointer(&probeBSS)) ||
		plain.size > 1<<40 || uintptr(text)-uintptr(consts) >= constsSize ||
		uintptr(md.gcdatamask.n) != data.size/word || uintptr(md.gcbssmask.n) != bss.size/word ||
		md.gcdatamask.data == nil || md.gcbssmask.data == nil {
		return m
	}
	data.mask = unsafe.Slice(md.gcdatamask.data, (md.gcdatamask.n+7)/8)
	bss.mask = unsafe.Slice(md.gcbssmask.data, (md.gcbssmask.n+7)/8)
	if !data.pointer(uintptr(unsafe.Pointer(&probeData))/word-uintptr(data.start)/word) ||
		!bss.pointer(uintptr(unsafe.Pointer(&probeBSS))/word-uintptr(bss.start)/word) {
		return m
	}
	m.sections = [sections]section{sectionData: data, sectionBSS: bss, sectionNoPointers: plain}
	m.consts, m.constsSize = consts, constsSize
	m.index()
	return m
})

func (s *section) covers(v unsafe.Pointer) bool {
	return uintptr(s.start)%word == 0 && s.size < 1<<40 && uintptr(v)-uintptr(s.start) < s.size
}
