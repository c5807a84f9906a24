package codec_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/codec"
)

// fixed is a writer to memory that is there already.
type fixed struct {
	b []byte
	n int
}

func (w *fixed) Write(b []byte) (int, error) {
	w.n += copy(w.b[w.n:], b)
	return len(b), nil
}

type record struct {
	ID    int
	Name  string
	X, Y  float64
	Tags  []string
	Flags [4]bool
}

type Tree struct {
	Key         int
	Left, Right *Tree
}

func records(n int) []record {
	rs := make([]record, n)
	for i := range rs {
		rs[i] = record{ID: i, Name: fmt.Sprint("record ", i), X: rand.Float64(), Y: float64(i), Tags: []string{"a", "tag"}[:i%3]}
	}
	return rs
}

func tree(n int) *Tree {
	if n == 0 {
		return nil
	}
	return &Tree{n, tree((n - 1) / 2), tree(n - 1 - (n-1)/2)}
}

func floats(n int) []float64 {
	f := make([]float64, n)
	for i := range f {
		f[i] = rand.Float64()
	}
	return f
}

func rows(n, m int) [][]float64 {
	r := make([][]float64, n)
	for i := range r {
		r[i] = floats(m)
	}
	return r
}

// best is the shortest of several runs.
func best(n int, f func()) time.Duration {
	var ds []time.Duration
	for range n {
		start := time.Now()
		f()
		ds = append(ds, time.Since(start))
	}
	return slices.Min(ds)
}

// against reports the speed of encoding and decoding v as multiples of those of two other functions, taken in
// turns: the machine may be shared.
func against[T any](b *testing.B, v T, unit string, encode, decode func()) {
	var size bytes.Buffer
	if _, err := new(codec.Encoder).Encode(&size, &v); err != nil {
		b.Fatal(err)
	}
	msg := aligned(size.Bytes())
	out := &fixed{b: make([]byte, len(msg))}
	var enc codec.Encoder
	ourEncode := func() {
		out.n = 0
		if _, err := enc.Encode(out, &v); err != nil {
			b.Fatal(err)
		}
	}
	ourDecode := func() {
		var got T
		if err := new(codec.Decoder).DecodeBytes(msg, &got); err != nil {
			b.Fatal(err)
		}
	}
	e, d, m := time.Hour, time.Hour, time.Hour
	e2, d2 := e, d
	for b.Loop() {
		e, e2 = min(e, best(3, ourEncode)), min(e2, best(3, encode))
		d, d2 = min(d, best(3, ourDecode)), min(d2, best(3, decode))
		m = min(m, best(3, func() {
			var got T
			if err := new(codec.Decoder).Map(msg, &got); err != nil {
				b.Fatal(err)
			}
		}))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(e2)/float64(e), "encode/"+unit)
	b.ReportMetric(float64(d2)/float64(d), "decode/"+unit)
	b.ReportMetric(float64(len(msg))/e.Seconds()/1e6, "encodeMB/s")
	b.ReportMetric(float64(len(msg))/d.Seconds()/1e6, "decodeMB/s")
	b.ReportMetric(float64(m)/1e3, "map-us")
}

func againstGob[T any](b *testing.B, v T) {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(&v); err != nil {
		b.Fatal(err)
	}
	msg := slices.Clone(buf.Bytes())
	against(b, v, "gob", func() {
		buf.Reset()
		if err := gob.NewEncoder(&buf).Encode(&v); err != nil {
			b.Fatal(err)
		}
	}, func() {
		var got T
		if err := gob.NewDecoder(bytes.NewReader(msg)).Decode(&got); err != nil {
			b.Fatal(err)
		}
	})
}

var sink any

func BenchmarkFloat64s(b *testing.B) {
	for _, mb := range []int{1, 8, 64} {
		v := floats(mb << 17)
		dst := make([]float64, len(v))
		b.Run(fmt.Sprint(mb, "MB"), func(b *testing.B) {
			against(b, v, "memcpy", func() { copy(dst, v) }, func() {
				d := make([]float64, len(v))
				copy(d, v)
				sink = d
			})
		})
	}
}

func BenchmarkRows(b *testing.B) {
	for _, m := range []int{500, 4096} {
		v := rows(4<<20/8/m, m)
		dst := make([]float64, m*len(v))
		b.Run(fmt.Sprint(len(v), "x", m), func(b *testing.B) {
			against(b, v, "memcpy", func() {
				for i, r := range v {
					copy(dst[i*m:], r)
				}
			}, func() {
				d := make([][]float64, len(v))
				for i, r := range v {
					d[i] = make([]float64, m)
					copy(d[i], r)
				}
				sink = d
			})
		})
	}
}

func BenchmarkStructs(b *testing.B) { againstGob(b, records(1e5)) }

func BenchmarkTree(b *testing.B) { againstGob(b, tree(2e5)) }

func BenchmarkMaps(b *testing.B) {
	s, i := map[string]string{}, map[int]float64{}
	for k := range 50000 {
		s[fmt.Sprint("key", k)], i[k] = fmt.Sprint(k), float64(k)
	}
	b.Run("string-string", func(b *testing.B) { againstGob(b, s) })
	b.Run("int-float64", func(b *testing.B) { againstGob(b, i) })
}

// BenchmarkSmall is a call's worth of arguments.
func BenchmarkSmall(b *testing.B) {
	v := records(1)[0]
	var buf bytes.Buffer
	var got record
	for b.Loop() {
		buf.Reset()
		if _, err := new(codec.Encoder).Encode(&buf, &v); err != nil {
			b.Fatal(err)
		}
		if err := new(codec.Decoder).Decode(&buf, &got); err != nil {
			b.Fatal(err)
		}
	}
}
