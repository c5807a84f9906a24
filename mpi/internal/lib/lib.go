// Package lib is the MPI library of this node: found and loaded at run time, and called without cgo. It knows the two
// binary interfaces that matter, Open MPI's and MPICH's (Intel MPI, MVAPICH and Cray MPICH have the latter), and hides
// how they differ: a handle is a uintptr in both, the address of an exported symbol in one and a C int in the other.
package lib

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// An ABI is a binary interface.
type ABI uint8

// The interfaces. MPI 5 standardises a third, which would be one more table.
const (
	OpenMPI ABI = iota + 1
	MPICH
)

// String names it for people.
func (a ABI) String() string {
	switch a {
	case OpenMPI:
		return "Open MPI"
	case MPICH:
		return "MPICH"
	}
	return "unknown"
}

// A Func is a function of the library.
type Func uint8

// The functions that are called.
const (
	Init Func = iota
	Finalize
	GetVersion
	ErrorClass
	ErrorString
	SetErrhandler
	Rank
	Size
	Send
	Recv
	Isend
	Irecv
	Wait
	Test
	Probe
	Barrier
	Bcast
	Reduce
	Allreduce
	Scan
	Exscan
	Gather
	Gatherv
	Allgather
	Allgatherv
	Scatter
	Scatterv
	Alltoall
	Alltoallv
	Split
	SplitType
	Dup
	Free
	OpCreate
	CartCreate
	CartCoords
	CartRank
	CartShift
	CartSub
	DimsCreate
	numFuncs
)

var names = [numFuncs]string{"MPI_Init_thread", "MPI_Finalize", "MPI_Get_library_version", "MPI_Error_class", "MPI_Error_string",
	"MPI_Comm_set_errhandler", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Send", "MPI_Recv", "MPI_Isend", "MPI_Irecv", "MPI_Wait", "MPI_Test",
	"MPI_Probe", "MPI_Barrier", "MPI_Bcast", "MPI_Reduce", "MPI_Allreduce", "MPI_Scan", "MPI_Exscan", "MPI_Gather", "MPI_Gatherv",
	"MPI_Allgather", "MPI_Allgatherv", "MPI_Scatter", "MPI_Scatterv", "MPI_Alltoall", "MPI_Alltoallv", "MPI_Comm_split",
	"MPI_Comm_split_type", "MPI_Comm_dup", "MPI_Comm_free", "MPI_Op_create", "MPI_Cart_create", "MPI_Cart_coords", "MPI_Cart_rank",
	"MPI_Cart_shift", "MPI_Cart_sub", "MPI_Dims_create"}

// String is the name in C.
func (f Func) String() string { return names[f] }

// Levels of thread support, the same in both interfaces.
const (
	ThreadFunneled   = 1
	ThreadSerialized = 2
	ThreadMultiple   = 3
)

// Predefined operators, as indices of Library.Ops.
const (
	OpSum = iota
	OpProd
	OpMax
	OpMin
	OpLand
	OpLor
	OpBand
	OpBor
	OpBxor
	NumOps
)

// Classes of errors that callers tell apart, as indices of Library.classes.
const (
	ClassCount = iota
	ClassTag
	ClassRank
	ClassRoot
	ClassOp
	ClassTruncate
	numClasses
)

// A Library is a loaded MPI library. Its fields are constants of its interface.
type Library struct {
	ABI     ABI
	Path    string
	Version string // the first line of what it says of itself

	World, Self, CommNull, InfoNull, ErrorsReturn uintptr
	InPlace                                       uintptr
	AnySource, AnyTag, ProcNull, Undefined        int
	TypeShared                                    int
	Ops                                           [NumOps]uintptr

	types   [reflect.Complex128 + 1]uintptr
	classes [numClasses]int
	status  statusLayout
	fn      [numFuncs]uintptr
}

// A Status is MPI_Status, large enough for either interface.
type Status [6]int32

// statusLayout says at which int32 of a Status things are. Both keep the number of bytes that came as 64 bits.
type statusLayout struct{ source, tag, bytes int }

// Source, Tag and Bytes read a status.
func (l *Library) Source(s *Status) int { return int(s[l.status.source]) }

// Tag is the tag of the message.
func (l *Library) Tag(s *Status) int { return int(s[l.status.tag]) }

// Bytes is the length of the message.
func (l *Library) Bytes(s *Status) int {
	lo, hi := uint32(s[l.status.bytes]), uint32(s[l.status.bytes+1])
	if l.ABI == MPICH {
		hi >>= 1 // the lowest bit says that it was cancelled
	}
	return int(uint64(hi)<<32 | uint64(lo))
}

// Type is the datatype of a kind of numbers.
func (l *Library) Type(k reflect.Kind) uintptr { return l.types[k] }

// Class returns which of the Class constants an error class of the library is, -1 for others.
func (l *Library) Class(class int) int {
	for i, c := range l.classes {
		if c == class {
			return i
		}
	}
	return -1
}

// ErrNone: there is no MPI library on this node.
var ErrNone = errors.New("no MPI library")

// ErrForeign: the library has neither of the two binary interfaces.
var ErrForeign = errors.New("MPI library with an unknown binary interface")

// kinds of Go's numbers, in the order of the type names and constants of the tables.
var kinds = []reflect.Kind{reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
	reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128}

// setTypes fills the table of datatypes from handles in the order of kinds.
func (l *Library) setTypes(handles []uintptr) {
	for i, k := range kinds {
		l.types[k] = handles[i]
	}
	l.types[reflect.Int], l.types[reflect.Uint] = l.types[reflect.Int64], l.types[reflect.Uint64]
	if reflect.TypeFor[int]().Size() == 4 {
		l.types[reflect.Int], l.types[reflect.Uint] = l.types[reflect.Int32], l.types[reflect.Uint32]
	}
}

// kindOf tells the interface from the version text.
func kindOf(version string) ABI {
	switch {
	case strings.HasPrefix(version, "Open MPI"):
		return OpenMPI
	case strings.HasPrefix(version, "MPICH"), strings.HasPrefix(version, "Intel(R) MPI"), strings.HasPrefix(version, "MVAPICH"),
		strings.HasPrefix(version, "CRAY MPICH"), strings.Contains(version, "MPICH"):
		return MPICH
	}
	return 0
}

// mpich fills in the constants of the MPICH ABI (mpi.h of MPICH 4.0.2, fixed by the MPICH ABI Compatibility Initiative).
func (l *Library) mpich() {
	l.World, l.Self, l.CommNull, l.InfoNull, l.ErrorsReturn = 0x44000000, 0x44000001, 0x04000000, 0x1c000000, 0x54000001
	l.InPlace = ^uintptr(0)
	l.AnySource, l.AnyTag, l.ProcNull, l.Undefined, l.TypeShared = -2, -1, -1, -32766, 1
	l.Ops = [NumOps]uintptr{0x58000003, 0x58000004, 0x58000001, 0x58000002, 0x58000005, 0x58000007, 0x58000006, 0x58000008, 0x5800000a}
	l.setTypes([]uintptr{0x4c000137, 0x4c000238, 0x4c000439, 0x4c00083a, 0x4c00013b, 0x4c00023c, 0x4c00043d, 0x4c00083e,
		0x4c00040a, 0x4c00080b, 0x4c000840, 0x4c001041})
	l.classes = [numClasses]int{2, 4, 6, 7, 9, 14}
	l.status = statusLayout{source: 2, tag: 3, bytes: 0}
}

// openmpi fills in the constants of Open MPI 1.7 to 5 (mpi.h of 4.1.4), whose handles are addresses of symbols.
func (l *Library) openmpi(symbol func(string) (uintptr, error)) error {
	var missing error
	get := func(name string) uintptr {
		p, err := symbol(name)
		if err != nil && missing == nil {
			missing = fmt.Errorf("%s has no symbol %s: %w", l.Path, name, ErrForeign)
		}
		return p
	}
	l.World, l.Self, l.CommNull = get("ompi_mpi_comm_world"), get("ompi_mpi_comm_self"), get("ompi_mpi_comm_null")
	l.InfoNull, l.ErrorsReturn = get("ompi_mpi_info_null"), get("ompi_mpi_errors_return")
	l.InPlace = 1
	l.AnySource, l.AnyTag, l.ProcNull, l.Undefined, l.TypeShared = -1, -1, -2, -32766, 0
	for i, op := range [NumOps]string{"sum", "prod", "max", "min", "land", "lor", "band", "bor", "bxor"} {
		l.Ops[i] = get("ompi_mpi_op_" + op)
	}
	var types []uintptr
	for _, t := range []string{"int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t",
		"float", "double", "c_float_complex", "c_double_complex"} {
		types = append(types, get("ompi_mpi_"+t))
	}
	l.setTypes(types)
	l.classes = [numClasses]int{2, 4, 6, 8, 10, 15}
	l.status = statusLayout{source: 0, tag: 1, bytes: 4}
	return missing
}
