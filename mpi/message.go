package mpi

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// A Status describes a message that was received or found.
type Status struct {
	Source int // the rank it came from
	Tag    int
	Count  int // elements
}

// status reads the library's.
func (c *Comm) status(s *lib.Status, size int) Status {
	l := c.w.lib
	st := Status{Source: l.Source(s), Tag: l.Tag(s), Count: l.Bytes(s) / size}
	if st.Source == l.ProcNull {
		return Status{Source: NoRank, Tag: AnyTag}
	}
	return st
}

// Send sends buf to a rank, marked with a tag from 0 to 32767. It returns when buf can be used again, which may be
// before it was received, or not until then.
func Send[T Number](c *Comm, buf []T, to, tag int) error {
	if err := check(buf); err != nil {
		return err
	}
	f := c.takeFrame(data(buf))
	f.args = [7]uintptr{uintptr(f.buf), uintptr(len(buf)), typeOf[T](c), c.destination(to), sendTag(tag), c.h}
	err := c.call(lib.Send, f.args[:6]...)
	c.giveFrame(f)
	return err
}

// A frame holds the arguments of a blocking message, which is worth not making garbage for. The buffer's address is
// converted outside of the call's arguments, so the frame, which is on the heap, keeps the buffer there, where it does not
// move, and alive.
type frame struct {
	args   [7]uintptr
	status lib.Status
	buf    unsafe.Pointer
}

// takeFrame returns the communicator's frame, or another one while a goroutine has that.
func (c *Comm) takeFrame(buf unsafe.Pointer) *frame {
	f := c.frame.Swap(nil)
	if f == nil {
		f = new(frame)
	}
	f.buf = buf
	return f
}

func (c *Comm) giveFrame(f *frame) {
	f.buf = nil
	c.frame.Store(f)
}

// Recv waits for a message from a rank (or [AnySource]) with a tag (or [AnyTag]) and puts it at the beginning of buf. A
// message that is longer than buf is [ErrTruncate].
func Recv[T Number](c *Comm, buf []T, from, tag int) (Status, error) {
	if err := check(buf); err != nil {
		return Status{}, err
	}
	f := c.takeFrame(data(buf))
	f.args = [7]uintptr{uintptr(f.buf), uintptr(len(buf)), typeOf[T](c), c.source(from), c.tag(tag), c.h, uintptr(unsafe.Pointer(&f.status))}
	var st Status
	err := c.call(lib.Recv, f.args[:]...)
	if err == nil {
		st = c.status(&f.status, sizeOf[T]())
	}
	c.giveFrame(f)
	return st, err
}

// SendRecv sends one message and receives another, without the deadlock of two ranks that both send first.
func SendRecv[T Number](c *Comm, send []T, to, sendTag int, recv []T, from, recvTag int) (Status, error) {
	r, err := Irecv(c, recv, from, recvTag)
	if err != nil {
		return Status{}, err
	}
	if err := Send(c, send, to, sendTag); err != nil {
		return Status{}, err // the receipt stays pending: the program cannot go on anyway
	}
	return r.Wait()
}

// Probe waits until there is a message to receive from a rank with a tag, as Recv would take it, and describes it; Count
// is in elements of T.
func Probe[T Number](c *Comm, from, tag int) (Status, error) {
	s := new(lib.Status)
	if err := c.call(lib.Probe, c.source(from), c.tag(tag), c.h, uintptr(unsafe.Pointer(s))); err != nil {
		return Status{}, err
	}
	return c.status(s, sizeOf[T]()), nil
}

// A Request is an operation that goes on beside the program, begun by Isend or Irecv. Each must be waited for, with Wait,
// or with Test until it is done. One goroutine at a time may do so.
type Request struct {
	c      *Comm
	h      uintptr
	size   int // of an element
	pin    runtime.Pinner
	done   bool
	status Status
	err    error
}

// Isend begins to send; the buffer must not be written to until the request is done.
func Isend[T Number](c *Comm, buf []T, to, tag int) (*Request, error) {
	return begin(c, lib.Isend, buf, c.destination(to), sendTag(tag))
}

// Irecv begins to receive; the buffer must not be touched until the request is done.
func Irecv[T Number](c *Comm, buf []T, from, tag int) (*Request, error) {
	return begin(c, lib.Irecv, buf, c.source(from), c.tag(tag))
}

func begin[T Number](c *Comm, f lib.Func, buf []T, rank, tag uintptr) (*Request, error) {
	if err := check(buf); err != nil {
		return nil, err
	}
	r := &Request{c: c, size: sizeOf[T]()}
	if len(buf) > 0 {
		r.pin.Pin(unsafe.SliceData(buf)) // the library keeps the address beyond the call
	}
	if err := c.call(f, uintptr(data(buf)), uintptr(len(buf)), typeOf[T](c), rank, tag, c.h, uintptr(unsafe.Pointer(&r.h))); err != nil {
		r.pin.Unpin()
		return nil, err
	}
	c.w.mu.Lock()
	c.w.pending[r] = struct{}{} // so that a request that is forgotten does not free its buffer while it is written to
	c.w.mu.Unlock()
	return r, nil
}

// Wait waits until the operation is done. The status is of a receipt.
func (r *Request) Wait() (Status, error) {
	if !r.done {
		s := new(lib.Status)
		r.end(s, r.c.w.call(lib.Wait, uintptr(unsafe.Pointer(&r.h)), uintptr(unsafe.Pointer(s))))
	}
	return r.status, r.err
}

// Test reports whether the operation is done, without waiting. After true, Wait returns its outcome at once.
func (r *Request) Test() bool {
	if r.done {
		return true
	}
	s, flag := new(lib.Status), new(int32)
	err := r.c.w.call(lib.Test, uintptr(unsafe.Pointer(&r.h)), uintptr(unsafe.Pointer(flag)), uintptr(unsafe.Pointer(s)))
	if err != nil || *flag != 0 {
		r.end(s, err)
	}
	return r.done
}

func (r *Request) end(s *lib.Status, err error) {
	r.done, r.err = true, err
	if err == nil {
		r.status = r.c.status(s, r.size)
	}
	r.pin.Unpin()
	r.c.w.mu.Lock()
	delete(r.c.w.pending, r)
	r.c.w.mu.Unlock()
}

// WaitAll waits for all of the requests, and returns the first error.
func WaitAll(requests ...*Request) error {
	var first error
	for i, r := range requests {
		if _, err := r.Wait(); err != nil && first == nil {
			first = fmt.Errorf("request %d: %w", i, err)
		}
	}
	return first
}
