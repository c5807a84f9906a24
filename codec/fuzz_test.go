package codec_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/codec"
)

// everything has a field of each sort.
type everything struct {
	Any      any
	List     []any
	ByName   map[string]any
	Self     *everything
	Err      error
	Floats   []float64
	Rows     [][]string
	Time     time.Time
	ByAny    map[any]int
	Bools    []bool
	Flags    []flags
	Hook     decimal
	Zone     *time.Location
	Shape    shape
	Rings    [2]ring
	ByPoint  map[point]*everything
	Numbers  map[int]float64
	None     []struct{}
	Nothing  map[struct{}]struct{}
	Large    *[5000]int
	Sync     counters
	Function func()
}

func specimens() []*everything {
	full := &everything{
		Any:     mixed{a: 1, d: "d", f: ptr(3)},
		List:    []any{1, "two", []any{3.0}, map[int]string{4: "four"}, &point{5, 6}, nested{nested{nil, 1}, 2}, [3]any{7, nil, []int{8}}, struct{ A, b int }{9, 10}},
		ByName:  map[string]any{"a": 1, "b": nil, "c": time.Unix(1, 0)},
		Err:     fmt.Errorf("wrapped: %w", &fs.PathError{Op: "op", Path: "path", Err: io.ErrUnexpectedEOF}),
		Floats:  []float64{1, 2, 3},
		Rows:    [][]string{{"a"}, nil, {}},
		Time:    time.Date(2024, 1, 2, 3, 4, 5, 6, time.FixedZone("X", 3600)),
		ByAny:   map[any]int{1: 2, "a": 3, point{1, 2}: 4, [1]any{5}: 6},
		Bools:   []bool{true, false},
		Flags:   []flags{{a: true}},
		Hook:    decimal{[]byte("12")},
		Zone:    time.UTC,
		Shape:   kelvin(4),
		Rings:   [2]ring{{nil, {}}, nil},
		ByPoint: map[point]*everything{{1, 2}: {Hook: decimal{[]byte("3")}}},
		Numbers: map[int]float64{1: 2},
		None:    make([]struct{}, 5),
		Nothing: map[struct{}]struct{}{{}: {}},
	}
	full.Self = full
	large := &everything{Floats: make([]float64, 3000), Large: new([5000]int), Hook: full.Hook, Err: ErrOurs, Shape: &mixed{}, Any: errTyped}
	return []*everything{{Hook: full.Hook}, full, large}
}

// tryAll decodes a message in all ways; none may panic, or allocate much more than there are bytes.
func tryAll(t *testing.T, b []byte) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	codec.Verify(b)
	var v everything
	if new(codec.Decoder).DecodeBytes(b, &v) == nil {
		// What was accepted is a good value: it can be sent again, or be refused.
		new(codec.Encoder).Encode(io.Discard, &v)
	}
	new(codec.Decoder).Map(aligned(b), new(everything))
	new(codec.Decoder).Decode(bytes.NewReader(b), new(everything))
	new(codec.Decoder).Decode(readOnly{bytes.NewReader(b)}, new(everything))
	metrics.Read(sample)
	if n := sample[0].Value.Uint64() - before; n > 64<<20+2000*uint64(len(b)) {
		t.Errorf("%d bytes of message made it allocate %d", len(b), n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range specimens() {
		b := encode(f, v)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) { tryAll(t, b) })
}

// FuzzContents gets past the checksums.
func FuzzContents(f *testing.F) {
	for _, v := range specimens() {
		meta, blocks := codec.Contents(encode(f, v))
		f.Add(meta, blocks)
	}
	f.Fuzz(func(t *testing.T, meta, block []byte) {
		if bytes.Contains(meta, []byte("testing.")) || bytes.Contains(meta, []byte("zoneinfo")) {
			return
		}
		tryAll(t, codec.Envelope(reflect.TypeFor[everything](), meta, block))
	})
}

func TestTruncated(t *testing.T) {
	for i, v := range specimens() {
		b := encode(t, v)
		step := max(1, len(b)/500)
		for n := 0; n < len(b); n += step {
			for name, way := range ways {
				if name == "stream" || name == "unknown length" {
					continue // these append to the message
				}
				if err := way(aligned(b[:n]), new(everything)); err == nil {
					t.Errorf("specimen %d: %s: %d of %d bytes give no error", i, name, n, len(b))
				}
			}
			for _, r := range []io.Reader{bytes.NewReader(b[:n]), readOnly{bytes.NewReader(b[:n])}} {
				if err := new(codec.Decoder).Decode(r, new(everything)); err == nil {
					t.Errorf("specimen %d: stream: %d of %d bytes give no error", i, n, len(b))
				}
			}
			damaged := bytes.Clone(b)
			damaged[n] ^= 0x10
			tryAll(t, damaged)
		}
	}
}

func TestHugeClaims(t *testing.T) {
	// Lengths of 2^40 and so on, at the start of everything that has a length.
	for _, c := range []struct {
		name string
		t    any
	}{
		{"strings", new([]string)}, {"numbers", new([]float64)}, {"nested", new([][][]*int)}, {"map", new(map[string]int)},
		{"map of nothing", new(map[struct{}]struct{})}, {"text", new(string)}, {"bools", new([]bool)}, {"rings", new(ring)},
		{"structs", new([]everything)}, {"locks", new([]counters)}, {"hooks", new([]decimal)},
	} {
		for _, n := range []byte{1, 5, 6, 7, 8, 9} {
			claim := append(bytes.Repeat([]byte{0xff}, int(n)), 1)
			meta := bytes.Repeat(append(claim, 3), 3)
			b := codec.Envelope(reflect.TypeOf(c.t).Elem(), meta, nil)
			for _, r := range []io.Reader{bytes.NewReader(b), readOnly{bytes.NewReader(b)}, strings.NewReader(string(b)), &io.LimitedReader{R: bytes.NewReader(b), N: int64(len(b))}} {
				if err := new(codec.Decoder).Decode(r, c.t); err == nil {
					t.Errorf("%s: no error", c.name)
				}
			}
			if err := new(codec.Decoder).DecodeBytes(b, c.t); err == nil {
				t.Errorf("%s: no error", c.name)
			}
		}
	}
}
