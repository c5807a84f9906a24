package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
	"unsafe"

	"github.com/clusterless-go/clusterless/codec"
)

// Point is a small struct.
type Point struct {
	ID      int64
	X, Y, Z float64
	Kind    uint16
	Valid   bool
	Name    string
}

// Tree is a node of a tree of pointers.
type Tree struct {
	Key         int64
	Left, Right *Tree
}

func points(n int) []Point {
	all := make([]Point, n)
	for i := range all {
		all[i] = Point{int64(i) * 7919, float64(i), float64(i) / 3, -float64(i), uint16(i), i%3 == 0, fmt.Sprint("point ", i)}
	}
	return all
}

func tree(n int, key int64) *Tree {
	if n == 0 {
		return nil
	}
	return &Tree{key, tree((n-1)/2, 2*key), tree(n-1-(n-1)/2, 2*key+1)}
}

// best is, for each of several pieces of work, the least time of several tries in turns, in seconds: what is to be known
// is the cost of the work, not of the noise. Before each, reset lets go of what the one before has made.
func best(tries int, reset func(), work ...func()) []float64 {
	least := make([]float64, len(work))
	for try := range tries {
		for i, f := range work {
			reset()
			runtime.GC()
			began := time.Now()
			f()
			if d := time.Since(began).Seconds(); try == 0 || d < least[i] {
				least[i] = d
			}
		}
	}
	return least
}

// memory is a writer into memory that is there.
type memory struct {
	b []byte
	n int
}

func (m *memory) Write(p []byte) (int, error) {
	n := copy(m.b[m.n:], p)
	m.n += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func codecAll(context.Context, string) (sample, error) {
	smp := sample{}
	// Without a goal the collector keeps free memory, so that whoever allocates gets memory that has been used, and
	// nobody pays for another's first touch.
	percent := debug.SetGCPercent(-1)
	for _, mb := range []int{1, 16, 64} {
		if err := numeric(smp, mb); err != nil {
			return nil, err
		}
	}
	debug.SetGCPercent(percent)
	ps, tr := points(100_000), tree(200_000, 1)
	if err := besideGob(smp, "structs", &ps); err != nil {
		return nil, err
	}
	if err := besideGob(smp, "tree", &tr); err != nil {
		return nil, err
	}
	return smp, nil
}

// numeric compares numbers of so many MB with copies of the same memory, rows with a copy of each: encoding with one into
// memory that is there, decoding with one into new memory, since the result has to be.
func numeric(smp sample, mb int) error {
	x := make([]float64, mb<<17)
	for i := range x {
		x[i] = float64(i)
	}
	rows := make([][]float64, 64)
	for i := range rows {
		rows[i] = slices.Clone(x[i*len(x)/64 : (i+1)*len(x)/64])
	}
	f32 := make([]float32, mb<<18)
	for i := range f32 {
		f32[i] = float32(i)
	}
	tries := max(10, 200/mb)
	size := 8 * len(x)
	buf := make([]byte, size+1<<20)
	keep := make([]any, max(1, 16/mb)) // small ones several times, so that caches are warm for all alike
	for name, ptr := range map[string]any{"f64": &x, "f32": &f32, "rows": &rows} {
		m := &memory{b: buf}
		var err error
		each := func(f func(i int)) func() {
			return func() {
				for i := range keep {
					f(i)
				}
			}
		}
		raw := bytesOf(ptr)
		t := best(tries, func() { clear(keep) },
			each(func(int) {
				n := 0
				for _, b := range raw {
					n += copy(buf[n:], b)
				}
			}),
			each(func(int) {
				m.n = 0
				if _, e := new(codec.Encoder).Encode(m, ptr); e != nil {
					err = e
				}
			}),
			each(func(i int) {
				all := make([][]byte, len(raw))
				for k, b := range raw {
					all[k] = slices.Clone(b)
				}
				keep[i] = all
			}),
			each(func(i int) {
				v := reflect.New(reflect.TypeOf(ptr).Elem())
				if e := new(codec.Decoder).DecodeBytes(m.b[:m.n], v.Interface()); e != nil {
					err = e
				}
				keep[i] = v
			}))
		if err != nil {
			return err
		}
		smp[fmt.Sprintf("memcpy_%dMB_GB/s", mb)] = float64(len(keep)*size) / t[0] / 1e9
		smp[fmt.Sprintf("enc_%s_%dMB", name, mb)] = t[0] / t[1]
		smp[fmt.Sprintf("dec_%s_%dMB", name, mb)] = t[2] / t[3]
	}
	runtime.KeepAlive(keep)
	return nil
}

// bytesOf is the memory of numbers, by rows.
func bytesOf(ptr any) [][]byte {
	view := func(p unsafe.Pointer, n int) []byte { return unsafe.Slice((*byte)(p), n) }
	switch x := ptr.(type) {
	case *[]float64:
		return [][]byte{view(unsafe.Pointer(unsafe.SliceData(*x)), 8*len(*x))}
	case *[]float32:
		return [][]byte{view(unsafe.Pointer(unsafe.SliceData(*x)), 4*len(*x))}
	case *[][]float64:
		var all [][]byte
		for _, row := range *x {
			all = append(all, view(unsafe.Pointer(unsafe.SliceData(row)), 8*len(row)))
		}
		return all
	}
	panic("no numbers")
}

// besideGob compares speeds with those of gob.
func besideGob[T any](smp sample, name string, ptr *T) error {
	const tries = 7
	var err error
	check := func(e error) {
		if e != nil {
			err = e
		}
	}
	var a, b bytes.Buffer
	t := best(tries, func() {},
		func() { a.Reset(); _, e := new(codec.Encoder).Encode(&a, ptr); check(e) },
		func() { b.Reset(); check(gob.NewEncoder(&b).Encode(ptr)) },
		func() { var v T; check(new(codec.Decoder).DecodeBytes(a.Bytes(), &v)) },
		func() { var v T; check(gob.NewDecoder(bytes.NewReader(b.Bytes())).Decode(&v)) })
	smp["enc_"+name], smp["dec_"+name] = t[1]/t[0], t[3]/t[2]
	return err
}

// codecMap is the time to map a file and decode numbers from it.
func codecMap(dir string, size int) (sample, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "array")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	x := make([]float64, size/8)
	x[len(x)-1] = 1
	if _, err := new(codec.Encoder).Encode(f, &x); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	smp, err := quantiles(200, func(int) error {
		b, unmap, err := mapFile(path)
		if err != nil {
			return err
		}
		defer unmap()
		var v []float64
		if err := new(codec.Decoder).Map(b, &v); err != nil {
			return err
		}
		if len(v) != len(x) || v[len(v)-1] != 1 {
			return fmt.Errorf("wrong array")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sample{"us": smp["p50_ms"] * 1e3}, nil
}
