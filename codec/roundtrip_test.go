package codec_test

import (
	"bytes"
	"container/list"
	"errors"
	"io"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/clusterless-go/clusterless/codec"
)

func encode[T any](t testing.TB, v *T) []byte {
	t.Helper()
	var buf bytes.Buffer
	n, err := (&codec.Encoder{}).Encode(&buf, v)
	if err != nil {
		t.Fatalf("Encode(%T): %v", v, err)
	}
	if n != int64(buf.Len()) {
		t.Fatalf("Encode returned %d, wrote %d", n, buf.Len())
	}
	return buf.Bytes()
}

// readOnly hides everything but Read.
type readOnly struct{ io.Reader }

// ways are the ways to decode a message.
var ways = map[string]func(b []byte, ptr any) error{
	"bytes": func(b []byte, ptr any) error {
		defer clear(b) // the value must not alias b
		return new(codec.Decoder).DecodeBytes(b, ptr)
	},
	"map": func(b []byte, ptr any) error { return new(codec.Decoder).Map(b, ptr) },
	"stream": func(b []byte, ptr any) error {
		r := strings.NewReader(string(b) + "rest")
		err := new(codec.Decoder).Decode(r, ptr)
		if err == nil && r.Len() != len("rest") {
			err = errors.New("read past the end of the message")
		}
		return err
	},
	"unknown length": func(b []byte, ptr any) error {
		r := strings.NewReader(string(b) + "rest")
		err := new(codec.Decoder).Decode(readOnly{iotest.HalfReader(r)}, ptr)
		if err == nil && r.Len() != len("rest") {
			err = errors.New("read past the end of the message")
		}
		return err
	},
}

// travel sends a value and returns what arrives, having checked that all ways to decode give the same.
func travel[T any](t *testing.T, v T) T {
	t.Helper()
	return *travelAt(t, &v)
}

func travelAt[T any](t *testing.T, v *T) *T {
	t.Helper()
	b := encode(t, v)
	if err := codec.Verify(b); err != nil {
		t.Errorf("Verify: %v", err)
	}
	got := new(T)
	for name, way := range ways {
		at := new(T)
		if err := way(aligned(b), at); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "bytes" {
			got = at
		} else if again := encode(t, at); len(again) != len(b) {
			t.Errorf("%s: encodes to %d bytes afterwards, not %d", name, len(again), len(b))
		}
	}
	return got
}

// aligned copies b to memory that is aligned as a mapped file is.
func aligned(b []byte) []byte {
	buf := make([]byte, len(b)+64)
	off := int(-reflect.ValueOf(buf).Pointer() & 63)
	return append(buf[off:off:len(buf)], b...)
}

type (
	point  struct{ x, y float64 }
	kelvin float64
	name   string
	mixed  struct {
		a int8
		b int64
		c bool
		d string
		e [3]uint16
		f *int
		_ int32
		g struct {
			h []byte
			i complex64
		}
	}
	flags struct {
		a, b bool
		c    uint16
		d    [4]bool
	}
	embedsTime struct {
		time.Time
		extra int
	}
	shape  interface{ area() float64 }
	nested struct {
		next any
		v    int
	}
)

func (p point) area() float64  { return p.x * p.y }
func (p *mixed) area() float64 { return float64(p.b) }
func (k kelvin) area() float64 { return float64(k) }

func ptr[T any](v T) *T { return &v }

func TestRoundTrip(t *testing.T) {
	big1, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	u, _ := url.Parse("https://user:pw@example.org/a?b=c#d")
	var zeroSized [3]struct{}
	values := map[string]any{
		"numbers":       []any{1, int8(-2), uint16(3), 4.5, float32(5), 6i, complex64(7), 'x', byte(9), uintptr(10), true, false},
		"strings":       []any{"", "x", strings.Repeat("long", 10000)},
		"nil and empty": []any{[]int(nil), []int{}, map[string]int(nil), map[string]int{}, (*int)(nil), nil, []any(nil), []any{}, []string{}},
		"unexported": mixed{1, 2, true, "d", [3]uint16{1, 2, 3}, ptr(7), 0, struct {
			h []byte
			i complex64
		}{[]byte("h"), 3i}},
		"bools": []flags{{true, false, 7, [4]bool{1: true}}, {b: true}},
		"padded": []struct {
			a byte
			b int32
			c byte
		}{{1, 2, 3}, {4, 5, 6}},
		"pointer to zero": []*int{ptr(0), nil, ptr(1)},
		"named":           []any{kelvin(1.5), name("n"), point{1, 2}, &point{3, 4}},
		"interfaces":      []shape{point{1, 2}, &mixed{b: 3}, kelvin(2), nil, (*mixed)(nil)},
		"maps": []any{
			map[string]string{"a": "b", "": ""}, map[name]kelvin{"a": 1}, map[int]string{1: "a", -1: "b"},
			map[string]any{"a": 1, "b": "c", "d": nil, "e": []any{1}}, map[int32]int64{-1: 1, 5: 6}, map[uint32]string{1: "x"},
			map[int64]float64{math.MinInt64: -1}, map[bool]bool{true: false}, map[point][]int{{1, 2}: {3}},
			map[any]int{1: 1, "a": 2, point{1, 2}: 3, [2]any{1, "x"}: 4, kelvin(3): 5}, map[shape]string{kelvin(1): "k"},
			map[float64]point{1.5: {1, 2}}, map[[2]string]*int{{"a", "b"}: ptr(5)}, map[string][]float64{"a": {1, 2}, "b": nil},
			map[struct{}]int{{}: 1}, map[int8]struct{}{1: {}, 2: {}}, map[string]map[string]int{"x": {"y": 1}},
		},
		"arrays": []any{[3]int{1, 2, 3}, [2]string{"a", "b"}, [0]int{}, [2][2]any{{1, 2}, {"3", nil}}, [1]*int{ptr(1)}},
		"anonymous struct": []any{struct {
			A int
			b string
		}{1, "2"}, struct{}{}, []struct{ X any }{{1}, {nil}}},
		"zero-sized":    []any{struct{}{}, [0]string{}, make([]struct{}, 1000), zeroSized, []struct{}(nil), &struct{}{}},
		"deep types":    []any{[][][]map[string][]*[2]int{{{{"a": {{1, 2}}}}}}, []chan int{nil}, []func(int, ...string) error{nil}, map[string]func(){"x": nil}},
		"floats":        [][]float64{{1, 2}, nil, {}, make([]float64, 5000), {3}},
		"blocks":        []any{make([]int32, 100000), [][]complex128{make([]complex128, 3000), make([]complex128, 4000)}, strings.Repeat("x", 100000), make([]flags, 9000), &[20000]byte{1, 2}, [5000]int{1}},
		"big":           []any{big1, *big1, big.NewFloat(1.5), big.NewRat(3, 4)},
		"hooks":         []any{u, *u, netip.MustParseAddr("fe80::1%eth0"), map[netip.Addr]netip.Prefix{netip.MustParseAddr("1.2.3.4"): netip.MustParsePrefix("10.0.0.0/8")}},
		"times":         []any{time.Time{}, time.Unix(1, 2).UTC(), time.Date(2024, 7, 1, 2, 3, 4, 5, time.FixedZone("CET", 3600)), time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), []time.Time{{}, time.Unix(0, 0).UTC()}, map[time.Time]int{time.Unix(5, 0).UTC(): 1}, time.Duration(5), time.March},
		"embedded hook": embedsTime{time.Unix(77, 0).UTC(), 5},
		"made at run time": []any{
			reflect.New(reflect.SliceOf(reflect.ArrayOf(7, reflect.TypeFor[kelvin]()))).Elem().Interface(),
			reflect.Zero(reflect.ArrayOf(13, reflect.TypeFor[string]())).Interface(),
			reflect.Zero(reflect.StructOf([]reflect.StructField{{Name: "Made", Type: reflect.TypeFor[int](), Tag: `a:"b"`}, {Name: "At", Type: reflect.TypeFor[time.Time]()}})).Interface(),
			reflect.MakeMap(reflect.MapOf(reflect.TypeFor[kelvin](), reflect.TypeFor[[9]string]())).Interface(),
		},
		"list": func() any { l := list.New(); l.PushBack(1); l.PushBack("two"); return l }(),
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			if got := travel(t, v); !reflect.DeepEqual(got, v) {
				t.Errorf("got  %#v\nwant %#v", got, v)
			}
		})
	}
}

func TestFloatBits(t *testing.T) {
	nan := math.Float64frombits(0x7ff8_0000_dead_beef)
	in := []float64{nan, math.Copysign(0, -1), math.Inf(-1), math.SmallestNonzeroFloat64}
	type holder struct {
		S []float64
		F float64
		A any
		N float32
	}
	got := travel(t, holder{in, nan, math.Copysign(0, -1), math.Float32frombits(0x7fa00001)})
	for i, f := range got.S {
		if math.Float64bits(f) != math.Float64bits(in[i]) {
			t.Errorf("element %d: got %x, want %x", i, math.Float64bits(f), math.Float64bits(in[i]))
		}
	}
	if math.Float64bits(got.F) != math.Float64bits(nan) || !math.Signbit(got.A.(float64)) || math.Float32bits(got.N) != 0x7fa00001 {
		t.Errorf("got %x, %v, %x", math.Float64bits(got.F), got.A, math.Float32bits(got.N))
	}
	keys := travel(t, map[float64]int{nan: 1, math.NaN(): 2, 1: 3})
	if len(keys) != 3 || keys[1] != 3 {
		t.Errorf("map with NaN keys: got %v", keys)
	}
}

func TestSelfReferences(t *testing.T) {
	type holder struct {
		X int
		L list.List
		P *list.List
		B strings.Builder
	}
	var h holder
	h.L.PushBack(1)
	h.L.PushBack("two")
	h.L.PushFront(nil)
	h.P = list.New()
	h.P.PushBack(h.P)
	h.B.WriteString("text")
	got := travelAt(t, &h)
	var values []any
	for e := got.L.Front(); e != nil; e = e.Next() {
		values = append(values, e.Value)
	}
	if want := []any{nil, 1, "two"}; !reflect.DeepEqual(values, want) {
		t.Errorf("list: got %v, want %v", values, want)
	}
	if got.P.Front().Value != any(got.P) {
		t.Error("a list that holds itself does not")
	}
	if got.B.WriteString("!"); got.B.String() != "text!" {
		t.Errorf("builder: got %q", got.B.String())
	}
}

func TestCapacity(t *testing.T) {
	in := append(make([]int, 0, 100), 1, 2, 3)
	if got := travel(t, in); cap(got) != 3 {
		t.Errorf("cap %d", cap(got))
	}
}

func TestZones(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	when := time.Date(2024, 7, 1, 12, 0, 0, 123456789, berlin)
	got := travel(t, when)
	if got != when && !(got.Equal(when) && got.Location().String() == "Europe/Berlin") {
		t.Errorf("got %v", got)
	}
	// The rules of the zone come along: half a year later it is winter.
	if z, _ := got.AddDate(0, 6, 0).Zone(); z != "CET" {
		t.Errorf("half a year later the zone is %s", z)
	}
	fixed := travel(t, when.In(time.FixedZone("CET", 3600)))
	if z, off := fixed.AddDate(0, 6, 6).Zone(); z != "CET" || off != 3600 {
		t.Errorf("fixed zone: %s %d", z, off)
	}
	now := time.Now()
	if got := travel(t, now); !got.Equal(now) || got.Location() != time.Local || got.String() != now.Round(0).String() {
		t.Errorf("local: got %v, want %v", got, now)
	}
	loc := travel(t, []*time.Location{nil, time.UTC, time.Local, berlin, time.FixedZone("X", -60)})
	if loc[0] != nil || loc[1] != time.UTC || loc[2] != time.Local || loc[3].String() != "Europe/Berlin" || loc[4].String() != "X" {
		t.Errorf("locations: %v", loc)
	}
}

type counters struct {
	mu    sync.Mutex
	rw    sync.RWMutex
	wg    sync.WaitGroup
	once  sync.Once
	n     atomic.Int64
	b     atomic.Bool
	p     atomic.Pointer[point]
	v     atomic.Value
	m     sync.Map
	ready chan bool
	f     func()
	x     int
}

func TestSync(t *testing.T) {
	c := &counters{x: 5}
	c.n.Store(7)
	c.b.Store(true)
	c.p.Store(&point{1, 2})
	c.v.Store("value")
	c.once.Do(func() {})
	c.mu.Lock()
	c.f = nil
	c.mu.Unlock()
	c.m.Store(1, 2)
	c.m.Delete(1)
	c.wg.Add(1)
	c.wg.Done()
	got := travelAt(t, c)
	if got.x != 5 || got.n.Load() != 7 || !got.b.Load() || *got.p.Load() != (point{1, 2}) || got.v.Load() != "value" {
		t.Errorf("got %v %v %v %v", got.n.Load(), got.b.Load(), got.p.Load(), got.v.Load())
	}
	got.once.Do(func() { t.Error("a Once that was done is not") })
	got.mu.Lock()
	got.rw.Lock()
	if _, ok := got.m.Load(1); ok || got.ready != nil || got.f != nil {
		t.Error("what is zero does not arrive as zero")
	}
}

type decimal struct{ digits []byte }

func (d decimal) MarshalBinary() ([]byte, error) {
	if d.digits == nil {
		return nil, errors.New("no digits")
	}
	if len(d.digits) == 0 {
		panic("empty")
	}
	return append([]byte("v1:"), d.digits...), nil
}

func (d *decimal) UnmarshalBinary(b []byte) error {
	rest, ok := bytes.CutPrefix(b, []byte("v1:"))
	if !ok {
		return errors.New("not v1")
	}
	d.digits = rest
	return nil
}

func TestHooks(t *testing.T) {
	type holder struct {
		A decimal
		B *decimal
		C any
		D map[string]decimal
		E []decimal
	}
	d := decimal{[]byte("42")}
	in := holder{d, &d, d, map[string]decimal{"x": d}, []decimal{d}}
	if got := travel(t, in); !reflect.DeepEqual(got, in) {
		t.Errorf("got %v", got)
	}
	var out, back int
	enc := codec.Encoder{OnMarshal: func(p any) error { out += len(p.(*decimal).digits); return nil }}
	var buf bytes.Buffer
	if _, err := enc.Encode(&buf, &in); err != nil {
		t.Fatal(err)
	}
	dec := codec.Decoder{OnUnmarshal: func(p any) error { back += len(p.(*decimal).digits); return nil }}
	if err := dec.Decode(&buf, new(holder)); err != nil {
		t.Fatal(err)
	}
	if out != 10 || back != 10 {
		t.Errorf("hooks saw %d and %d digits, want 10", out, back)
	}
	stop := errors.New("stop")
	enc.OnMarshal = func(any) error { return stop }
	if _, err := enc.Encode(io.Discard, &in); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	dec.OnUnmarshal = func(any) error { return stop }
	if err := dec.DecodeBytes(encode(t, &in), new(holder)); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestLocalTypes(t *testing.T) {
	a, b := localA(), localB()
	got := travel(t, []any{a, b})
	if reflect.TypeOf(got[0]) != reflect.TypeOf(a) || reflect.TypeOf(got[1]) != reflect.TypeOf(b) {
		t.Errorf("types of the same name and structure are confused: %T %T", got[0], got[1])
	}
}

func localA() any { type same struct{ x int }; return same{1} }
func localB() any { type same struct{ x int }; return same{2} }

func TestChecksum(t *testing.T) {
	in := make([]float64, 10000)
	for i := range in {
		in[i] = float64(i)
	}
	var buf bytes.Buffer
	if _, err := (&codec.Encoder{Checksum: true}).Encode(&buf, &in); err != nil {
		t.Fatal(err)
	}
	for name, way := range ways {
		var got []float64
		if err := way(aligned(buf.Bytes()), &got); err != nil || !reflect.DeepEqual(got, in) {
			t.Errorf("%s: %v", name, err)
		}
		b := aligned(buf.Bytes())
		b[len(b)/2] ^= 1
		if err := way(b, &got); !errors.Is(err, codec.ErrCorrupt) && name != "map" {
			t.Errorf("%s of a damaged message: %v", name, err)
		}
		b = aligned(buf.Bytes())
		b[len(b)/2] ^= 1
		if err := codec.Verify(b); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("Verify of a damaged message: %v", err)
		}
	}
}

func TestMapAliases(t *testing.T) {
	in := make([]float64, 10000)
	b := aligned(encode(t, &in))
	var got []float64
	if err := new(codec.Decoder).Map(b, &got); err != nil {
		t.Fatal(err)
	}
	got[5000] = math.Pi
	var again []float64
	if err := new(codec.Decoder).DecodeBytes(b, &again); err != nil {
		t.Fatal(err)
	}
	if again[5000] != math.Pi {
		t.Error("the slice does not alias the message")
	}
}

func TestStreamOfMessages(t *testing.T) {
	var buf bytes.Buffer
	for i := range 3 {
		v := make([]int, i*3000)
		if _, err := new(codec.Encoder).Encode(&buf, &v); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		var v []int
		if err := new(codec.Decoder).Decode(&buf, &v); err != nil || len(v) != i*3000 {
			t.Errorf("message %d: %d elements, %v", i, len(v), err)
		}
	}
	if err := new(codec.Decoder).Decode(&buf, new([]int)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				type local struct {
					a []any
					m map[string]any
				}
				v := local{[]any{i, "x", &i}, map[string]any{"k": i}}
				var got local
				if err := new(codec.Decoder).DecodeBytes(encode(t, &v), &got); err != nil || got.m["k"] != i {
					t.Error(err, got)
				}
			}
		})
	}
	wg.Wait()
}

// Rows that arrive share memory, but none can be reached through another.
func TestRowsApart(t *testing.T) {
	in := make([][]float32, 300)
	for i := range in {
		in[i] = make([]float32, 5000+i)
		for j := range in[i] {
			in[i][j] = float32(i)
		}
	}
	var b bytes.Buffer
	if _, err := new(codec.Encoder).Encode(&b, &in); err != nil {
		t.Fatal(err)
	}
	for name, decode := range map[string]func(*[][]float32) error{
		"bytes":  func(out *[][]float32) error { return new(codec.Decoder).DecodeBytes(b.Bytes(), out) },
		"stream": func(out *[][]float32) error { return new(codec.Decoder).Decode(bytes.NewReader(b.Bytes()), out) },
		"pipe": func(out *[][]float32) error {
			return new(codec.Decoder).Decode(struct{ io.Reader }{bytes.NewReader(b.Bytes())}, out)
		},
	} {
		var out [][]float32
		if err := decode(&out); err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%s: %v, %d rows", name, err, len(out))
		}
		for i := range out {
			_ = append(out[i], -1, -2, -3)
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%s: a row that was appended to wrote over another", name)
		}
	}
}
