package codec

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// noContext is why contexts do not travel. A function that takes the value has a context of its own.
const noContext = "cannot send a context: send what is of it as values (a deadline as a time.Time), or use the option Timeout; the function gets a context of its own"

// Handles of this process: their memory means nothing elsewhere.
var refusedTypes = map[string]string{
	"os.File":                "cannot send an open file",
	"os.file":                "cannot send an open file",
	"os.Root":                "cannot send an open directory",
	"os.Process":             "cannot send a process",
	"internal/poll.FD":       "cannot send an open file or connection",
	"net.netFD":              "cannot send a network connection",
	"reflect.Value":          "cannot send a reflect.Value",
	"reflect.rtype":          "cannot send a reflect.Type",
	"internal/abi.Type":      "cannot send a reflect.Type",
	"container/list.Element": "cannot send an element without its list",
	"sync.Cond":              "cannot send a sync.Cond",
	"sync.Pool":              "cannot send a sync.Pool",
	"time.Timer":             "cannot send a timer",
	"time.Ticker":            "cannot send a ticker",
	"context.cancelCtx":      noContext,
	"context.timerCtx":       noContext,
	"context.afterFuncCtx":   noContext,
	"context.stopCtx":        noContext,
	"os/signal.signalCtx":    noContext, // that of Main
	"runtime.Cleanup":        "cannot send a runtime.Cleanup",
	"runtime.Pinner":         "cannot send a runtime.Pinner",
	"testing.common":         "cannot send a test",
}

// Refusal returns why values of the type that has this name in the package of this path can never travel, as they are
// handles of a process; "" if there is nothing against the type itself. It is for tools that read programs; programs have
// [Check].
func Refusal(pkg, name string) string {
	if pkg == "unique" && strings.HasPrefix(name, "Handle[") {
		return "cannot send a unique.Handle"
	}
	return refusedTypes[pkg+"."+name]
}

// refused is Refusal for a type.
func refused(t reflect.Type) string {
	if t.PkgPath() == "" {
		return ""
	}
	return Refusal(t.PkgPath(), t.Name())
}

// lockOf returns, for types that travel as zero and only when they are at rest, what tells whether they are.
func lockOf(t reflect.Type) func(unsafe.Pointer) bool {
	switch t {
	case reflect.TypeFor[sync.Mutex]():
		return func(v unsafe.Pointer) bool {
			m := (*sync.Mutex)(v)
			if !m.TryLock() {
				return false
			}
			m.Unlock()
			return true
		}
	case reflect.TypeFor[sync.RWMutex]():
		return func(v unsafe.Pointer) bool {
			m := (*sync.RWMutex)(v)
			if !m.TryLock() {
				return false
			}
			m.Unlock()
			return true
		}
	case reflect.TypeFor[sync.WaitGroup](), reflect.TypeFor[sync.Map]():
		// No method tells whether a WaitGroup waits, but a used one may have bits left over from that: only
		// the counter, the upper half of its first eight bytes, says it does. A Map is at rest when empty.
		if t.Name() == "WaitGroup" {
			return func(v unsafe.Pointer) bool { return *(*uint64)(v)>>32 == 0 }
		}
		return func(v unsafe.Pointer) bool {
			empty := true
			(*sync.Map)(v).Range(func(any, any) bool {
				empty = false
				return false
			})
			return empty
		}
	}
	return nil
}

func lockReason(t reflect.Type) string {
	switch t.Name() {
	case "WaitGroup":
		return "cannot send a sync.WaitGroup that is waited for"
	case "Map":
		return "cannot send a sync.Map that is not empty"
	}
	return "cannot send a locked " + t.String()
}

func isAtomicPointer(t reflect.Type) bool {
	return t.PkgPath() == "sync/atomic" && strings.HasPrefix(t.Name(), "Pointer[") &&
		t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Type.Kind() == reflect.Array &&
		t.Size() == unsafe.Sizeof(uintptr(0))
}

// Check says whether values of type t could travel at all: it returns a *RefusedError for channels, functions,
// unsafe pointers, open files and the like, and for what holds such a thing by value. A field that may be nil is
// no obstacle: if it is not nil, that is an error of Encode.
func Check(t reflect.Type) error {
	if t == nil {
		return &RefusedError{Path: "nil", Reason: "no type"}
	}
	outer := t
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	p := programOf(t)
	if p.op == opNil {
		return &RefusedError{Path: typeName(outer), Reason: p.reason}
	}
	return p.check(typeName(t))
}

// check looks at what every value of a type holds.
func (p *program) check(path string) error {
	switch p.op {
	case opRefuse:
		return &RefusedError{Path: path, Reason: p.reason}
	case opStruct:
		for _, s := range p.steps {
			if err := s.p.check(path + s.name); err != nil {
				return err
			}
		}
	case opArray:
		if p.n > 0 {
			return p.elem.check(path + "[0]")
		}
	}
	return nil
}

// mayRefuse reports whether values of a type may hold something, other than in an interface, that cannot travel.
func (p *program) mayRefuse() bool {
	p.lazy.static.Do(func() { p.lazy.never = p.findRefusal(map[*program]bool{}) })
	return p.lazy.never
}

func (p *program) findRefusal(seen map[*program]bool) bool {
	if p == nil || seen[p] {
		return false
	}
	seen[p] = true
	switch p.op {
	case opNil, opLock, opRefuse:
		return true
	case opStruct:
		for _, s := range p.steps {
			if s.p.findRefusal(seen) {
				return true
			}
		}
	case opArray, opSlice, opPointer, opMap:
		return p.elem.findRefusal(seen) || p.key.findRefusal(seen)
	}
	return false
}
