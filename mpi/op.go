package mpi

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// An Op is an operator of reductions. It is associative; [NewOp] makes others.
type Op struct {
	predefined int // index of Library.Ops
	name       string
	user       *userOp
}

// The operators that every library has. Max, Min and the logical ones are not for complex numbers, the bitwise ones only for
// integers; the logical ones take 0 as false and give 0 or 1.
var (
	Sum  = &Op{predefined: lib.OpSum, name: "sum"}
	Prod = &Op{predefined: lib.OpProd, name: "product"}
	Max  = &Op{predefined: lib.OpMax, name: "maximum"}
	Min  = &Op{predefined: lib.OpMin, name: "minimum"}
	And  = &Op{predefined: lib.OpLand, name: "logical and"}
	Or   = &Op{predefined: lib.OpLor, name: "logical or"}
	BAnd = &Op{predefined: lib.OpBand, name: "bitwise and"}
	BOr  = &Op{predefined: lib.OpBor, name: "bitwise or"}
	BXor = &Op{predefined: lib.OpBxor, name: "bitwise exclusive or"}
)

// userOp is an operator of the program's own.
type userOp struct {
	kind    reflect.Kind
	commute bool
	apply   func(in, inout unsafe.Pointer, n int)

	mu     sync.Mutex
	h      uintptr
	failed string // of a panic in apply
}

// NewOp makes an operator from a function that combines the elements of two slices of equal length: inout[i] becomes
// in[i] combined with inout[i], where in is from the lower rank. It must be associative; commute says that it is also
// commutative, which lets the library choose the order. All ranks of a reduction give the same. A panic in f ends the
// reduction on this rank with that panic, once the library has returned. Operators are never freed and there can be about 2,000
// in a process: make them in variables of a package.
func NewOp[T Number](name string, commute bool, f func(in, inout []T)) *Op {
	return &Op{name: name, user: &userOp{kind: reflect.TypeFor[T]().Kind(), commute: commute, apply: func(in, inout unsafe.Pointer, n int) {
		f(unsafe.Slice((*T)(in), n), unsafe.Slice((*T)(inout), n))
	}}}
}

// handle is the library's operator for numbers of a kind.
func (o *Op) handle(c *Comm, k reflect.Kind) (uintptr, error) {
	if o.user == nil {
		complexes := k == reflect.Complex64 || k == reflect.Complex128
		floats := k == reflect.Float32 || k == reflect.Float64
		bits := o.predefined == lib.OpBand || o.predefined == lib.OpBor || o.predefined == lib.OpBxor
		logical := o.predefined == lib.OpLand || o.predefined == lib.OpLor
		if complexes && o.predefined != lib.OpSum && o.predefined != lib.OpProd || floats && (bits || logical) {
			return 0, fmt.Errorf("mpi: %s of %v numbers: %w", o.name, k, ErrOp)
		}
		return c.w.lib.Ops[o.predefined], nil
	}
	u := o.user
	if k != u.kind {
		return 0, fmt.Errorf("mpi: operator %s is for %v numbers, not %v: %w", o.name, u.kind, k, ErrOp)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.h == 0 {
		var commute uintptr
		if u.commute {
			commute = 1
		}
		h := new(uintptr)
		if err := c.call(lib.OpCreate, lib.Callback(u.run), commute, uintptr(unsafe.Pointer(h))); err != nil {
			return 0, err
		}
		u.h = *h
	}
	return u.h, nil
}

// run is called by the library. A panic must not cross its frames.
func (u *userOp) run(in, inout unsafe.Pointer, n int) {
	defer func() {
		if p := recover(); p != nil {
			u.mu.Lock()
			u.failed = fmt.Sprintf("%v\n%s", p, debug.Stack())
			u.mu.Unlock()
		}
	}()
	u.apply(in, inout, n)
}

// settle raises the panic of an operator after the reduction.
func (o *Op) settle() {
	if o.user == nil {
		return
	}
	o.user.mu.Lock()
	p := o.user.failed
	o.user.failed = ""
	o.user.mu.Unlock()
	if p != "" {
		panic(fmt.Sprintf("mpi: operator %s: panic: %s", o.name, p))
	}
}
