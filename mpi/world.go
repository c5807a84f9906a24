package mpi

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// world is this process as a rank. MPI has one for a process, from MPI_Init to MPI_Finalize.
type world struct {
	lib     *lib.Library
	threads int          // level of thread support that the library gave
	thread  int          // that may call, with less than ThreadSerialized
	calls   atomic.Int32 // now in the library, counted with less than ThreadMultiple
	over    atomic.Bool  // finalized
	mu      sync.Mutex
	pending map[*Request]struct{} // not waited for
	comm    *Comm
}

var process struct {
	sync.Mutex
	w   *world
	err error
}

// World joins the MPI program that this process is a rank of, and returns the communicator of all its ranks. Functions
// made with [Define] are given it. Other programs call it when they were started by mpiexec; one that was started by hand
// is a program of one rank. It loads the library and initialises it at the first call; later calls return the same. If
// the library does not let several threads call it (see [Comm]), the calling goroutine is locked to its thread, and must
// be the one that makes all calls.
func World() (*Comm, error) {
	process.Lock()
	defer process.Unlock()
	if process.w == nil && process.err == nil {
		process.w, process.err = start()
	}
	if process.err != nil {
		return nil, process.err
	}
	if process.w.over.Load() {
		return nil, errors.New("mpi: World after Finalize: a process can be a rank only once")
	}
	return process.w.comm, nil
}

// Finalize ends MPI in this process, after which no communicator can be used. All ranks call it, when all their
// operations are complete. Functions made with [Define] must not: it is done for them.
func Finalize() error {
	process.Lock()
	defer process.Unlock()
	w := process.w
	if w == nil || w.over.Load() {
		return nil
	}
	w.mu.Lock()
	n := len(w.pending)
	w.mu.Unlock()
	if n > 0 {
		return fmt.Errorf("mpi: Finalize: %d operations that were begun by Isend or Irecv are not complete: Wait for them", n)
	}
	w.enter(lib.Finalize)
	w.over.Store(true)
	code := w.lib.Call(lib.Finalize)
	w.leave()
	if code != 0 {
		return fmt.Errorf("mpi: MPI_Finalize: error %d", code)
	}
	return nil
}

func start() (*world, error) {
	l, err := lib.Load()
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	w := &world{lib: l, pending: map[*Request]struct{}{}, thread: threadID()}
	// The thread that initialises is the one that may call, where only one may; elsewhere it matters to nobody.
	runtime.LockOSThread()
	var provided int32
	if code := l.Call(lib.Init, 0, 0, lib.ThreadMultiple, uintptr(unsafe.Pointer(&provided))); code != 0 {
		return nil, fmt.Errorf("mpi: MPI_Init_thread of %s: error %d: what it says of the reason is above in the log", l.Version, code)
	}
	if w.threads = int(provided); w.threads >= lib.ThreadSerialized {
		runtime.UnlockOSThread()
	} else {
		w.thread = threadID()
	}
	for _, c := range []uintptr{l.World, l.Self} {
		if code := l.Call(lib.SetErrhandler, c, l.ErrorsReturn); code != 0 {
			return nil, w.error(lib.SetErrhandler, code)
		}
	}
	w.comm, err = w.newComm(l.World)
	if err != nil {
		return nil, err
	}
	if want, _ := strconv.Atoi(os.Getenv(envSize)); want > 0 && w.comm.size != want {
		return nil, fmt.Errorf("mpi: one of %d ranks is in a world of %d: its library is %s (%s): set MPIEXEC to the mpiexec of this library, or %s to the library of mpiexec: %w",
			want, w.comm.size, l.Path, l.Version, lib.EnvLibrary, ErrLonely)
	}
	return w, nil
}

// envSize tells a rank how many ranks its launcher wants.
const envSize = "CLUSTERLESS_MPI_SIZE"

// call makes a call of the library, by the rules.
//
//go:uintptrescapes
func (w *world) call(f lib.Func, args ...uintptr) error {
	w.enter(f)
	code := w.lib.Call(f, args...)
	w.leave()
	if code != 0 {
		return w.error(f, code)
	}
	return nil
}

// enter is called before each call of the library that communicates, and checks the rules that would otherwise be broken
// silently.
func (w *world) enter(f lib.Func) {
	if w.over.Load() {
		panic(fmt.Sprintf("mpi: %v after Finalize", f))
	}
	if w.threads == lib.ThreadMultiple {
		return
	}
	if w.threads < lib.ThreadSerialized && threadID() != w.thread {
		panic(fmt.Sprintf("mpi: %v on a thread other than the one of World: this library (%s) lets only that one call: make all calls from the goroutine that called World, or was called with the communicator", f, w.lib.Version))
	}
	if !w.calls.CompareAndSwap(0, 1) {
		panic(fmt.Sprintf("mpi: %v while another goroutine is in a call: this library (%s) allows one call at a time", f, w.lib.Version))
	}
}

func (w *world) leave() {
	if w.threads != lib.ThreadMultiple {
		w.calls.Store(0)
	}
}
