package clusterless_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless"
)

type anyBox struct{ V any }

var anyEcho = clusterless.Define("test.any", func(_ context.Context, b anyBox) (anyBox, error) { return b, nil })

type named int

type shape interface{ Area() float64 }

type rect struct{ w, h float64 }

func (r rect) Area() float64 { return r.w * r.h }

type ring struct {
	Name string
	next *ring
}

type embedded struct {
	rect
	*ring
	tags map[string][]int
	fn   func()   //lint:ignore U1000 travels as nil
	ch   chan int //lint:ignore U1000 travels as nil
}

type record struct {
	b     bool
	i     int8
	u     uint64
	f     float32
	c     complex128
	s     string
	raw   []byte
	arr   [3]named
	m     map[named]shape
	p     **int
	t     time.Time
	d     time.Duration
	e     embedded
	any   any
	err   error
	empty struct{}
}

// Values of all kinds come back as they went.
func TestTypes(t *testing.T) {
	ctx, s := within(t), open(t)
	seven := 7
	pseven := &seven
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	summer := time.Date(2024, 7, 1, 12, 30, 0, 123456789, berlin)
	values := []any{
		nil, true, int8(-128), uint64(math.MaxUint64), math.MinInt64, float32(math.SmallestNonzeroFloat32), math.Inf(-1), complex(1, -2), "héllo\x00\xff", "",
		[]int(nil), []int{}, []string{"a", ""}, map[string]int(nil), map[string]int{}, map[string]int{"a": 1}, [2]bool{true, false},
		[]byte{1, 2, 3}, [][]float64{{1}, nil, {}}, named(5), rect{2, 3}, &rect{4, 5}, shape(rect{6, 7}), []shape{rect{1, 1}, nil, &rect{2, 2}},
		summer, summer.UTC(), time.Time{}, time.Date(1600, 1, 1, 0, 0, 0, 0, time.FixedZone("odd", 3723)), 90 * time.Second, time.July,
		*big.NewInt(0).Exp(big.NewInt(7), big.NewInt(300), nil), netip.MustParseAddr("2001:db8::1"),
		struct{ A, b int }{1, 2}, map[any]any{1: "x", "y": 2.5, rect{1, 2}: nil}, []any{1, "two", []any{3.0, nil}},
		record{true, -1, 2, 3.5, 4i, "s", []byte{0}, [3]named{1, 2, 3}, map[named]shape{1: rect{1, 2}, 2: nil}, &pseven, summer, time.Minute,
			embedded{rect: rect{8, 9}, ring: &ring{Name: "r"}, tags: map[string][]int{"t": {1}}}, []named{4}, fs.ErrNotExist, struct{}{}},
	}
	var ins []anyBox
	for _, v := range values {
		ins = append(ins, anyBox{v})
	}
	job := must(anyEcho.On(s).Map(ctx, ins))(t)
	got, err := job.Results(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range values {
		if v := got[i].V; !reflect.DeepEqual(v, want) {
			t.Errorf("%T: got %#v; want %#v", want, v, want)
		}
	}
	if z := got[slices.IndexFunc(values, func(v any) bool { return v == any(summer) })].V.(time.Time); z.Location().String() != "Europe/Berlin" || z.Format("MST") != "CEST" {
		t.Errorf("zone: got %v", z)
	}
}

// The bits of numbers, which no comparison of values shows.
func TestBitsOfNumbers(t *testing.T) {
	ctx, s := within(t), open(t)
	ins := []float64{math.Copysign(0, -1), math.Float64frombits(0x7ff8_dead_beef_0001), math.Float64frombits(0x7ff0_0000_0000_0001), math.MaxFloat64, 5e-324}
	for _, remote := range []clusterless.Remote[float64, float64]{echoFloat.On(s), echoFloat.On(s, clusterless.Span(1))} {
		for i, v := range must(must(remote.Map(ctx, ins))(t).Results(ctx))(t) {
			if math.Float64bits(v) != math.Float64bits(ins[i]) {
				t.Errorf("%v: got bits %x; want %x", ins[i], math.Float64bits(v), math.Float64bits(ins[i]))
			}
		}
	}
}

var ringEcho = clusterless.Define("test.ring", func(_ context.Context, r *ring) (*ring, error) {
	if r == nil {
		return nil, nil
	}
	r.Name += " and back"
	return r.next, nil
})

func TestCyclesAndSharing(t *testing.T) {
	ctx, s := within(t), open(t)
	a, b := &ring{Name: "a"}, &ring{Name: "b"}
	a.next, b.next = b, a
	got := must(ringEcho.On(s).Call(ctx, a))(t)
	if got.Name != "b" || got.next.Name != "a and back" || got.next.next != got {
		t.Errorf("got %s, %s, cycle closed: %v", got.Name, got.next.Name, got.next.next == got)
	}
	if got := must(ringEcho.On(s).Call(ctx, nil))(t); got != nil {
		t.Errorf("nil: got %v", got)
	}
	shared := &ring{Name: "shared"}
	m := map[string]int{"one": 1}
	box := must(anyEcho.On(s).Call(ctx, anyBox{[]any{shared, shared, m, m}}))(t).V.([]any)
	if box[0] != box[1] {
		t.Error("two pointers to one value came back as two values")
	}
	box[2].(map[string]int)["two"] = 2
	if box[3].(map[string]int)["two"] != 2 {
		t.Error("one map came back as two")
	}
	self := []any{nil}
	self[0] = self
	back := must(anyEcho.On(s).Call(ctx, anyBox{self}))(t).V.([]any)
	if inner := back[0].([]any); &inner[0] != &back[0] {
		t.Error("a slice that holds itself came back as another")
	}
}

type carrier struct {
	Model struct {
		done chan int
		Hook func()
		lock sync.Mutex
		File *os.File
		Any  any
		List []map[string]chan int
	}
}

var carry = clusterless.Define("test.carry", func(_ context.Context, c *carrier) (string, error) {
	return fmt.Sprint(c.Model.done == nil, c.Model.Hook == nil), nil
})

// What cannot travel is an error that names the way to it, before anything is sent. As nil it can.
func TestInputsThatCannotTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	for name, c := range map[string]struct {
		set  func(*carrier)
		want []string
	}{
		"channel":  {func(c *carrier) { c.Model.done = make(chan int) }, []string{"carrier.Model.done: cannot send a channel"}},
		"function": {func(c *carrier) { c.Model.Hook = func() {} }, []string{"carrier.Model.Hook: cannot send a function"}},
		"lock":     {func(c *carrier) { c.Model.lock.Lock() }, []string{"carrier.Model.lock: cannot send a locked sync.Mutex"}},
		"file":     {func(c *carrier) { c.Model.File = os.Stdout }, []string{"carrier.Model.File", "cannot send an open file"}},
		"any":      {func(c *carrier) { c.Model.Any = []any{1, make(chan bool)} }, []string{"carrier.Model.Any", "[1]", "cannot send a channel"}},
		"context":  {func(c *carrier) { c.Model.Any = ctx }, []string{"carrier.Model.Any", "cannot send a context: send what is of it as values", "the option Timeout"}},
		"deep":     {func(c *carrier) { c.Model.List = []map[string]chan int{nil, {"k": make(chan int)}} }, []string{"carrier.Model.List[1]", `"k"`, "cannot send a channel"}},
	} {
		in := &carrier{}
		c.set(in)
		want := append(c.want, "clusterless: test.carry: input 1: ")
		_, err := carry.On(s).Map(ctx, []*carrier{{}, in, {}})
		wantErr(t, err, clusterless.ErrCannotTravel, want...)
		if err == nil {
			t.Log("it was", name)
		}
		_, err = carry.On(s).Call(ctx, in)
		wantErr(t, err, clusterless.ErrCannotTravel, c.want...)
	}
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) > 0 {
		t.Errorf("jobs were made: %+v", jobs)
	}
	if got, err := carry.On(s).Call(ctx, &carrier{}); got != "true true" || err != nil {
		t.Errorf("with nil: got %q, %v", got, err)
	}
}

// Far into a large map of inputs, when the first are sent already.
func TestALateInputThatCannotTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	ins := make([]anyBox, 40_000)
	for i := range ins {
		ins[i].V = strings.Repeat("x", 300)
	}
	ins[39_000].V = make(chan int)
	_, err := anyEcho.On(s).Map(ctx, ins)
	wantErr(t, err, clusterless.ErrCannotTravel, "input 39000", "cannot send a channel")
	if jobs := must(s.Jobs(ctx, ""))(t); len(jobs) > 0 {
		t.Errorf("jobs are left: %+v", jobs)
	}
}

var returns = clusterless.Define("test.returns", func(_ context.Context, kind string) (any, error) {
	switch kind {
	case "channel":
		return struct{ In []any }{[]any{0, make(chan int)}}, nil
	case "late channel": // after more than is kept in memory
		return []any{bytes.Repeat([]byte("x"), 1<<20), make(chan int)}, nil
	}
	return kind, nil
})

func TestResultsThatCannotTravel(t *testing.T) {
	ctx, s := within(t), open(t)
	kinds := []string{"fine", "channel", "fine", "late channel", "fine"}
	job := must(returns.On(s, clusterless.Span(5)).Map(ctx, kinds))(t)
	for i, kind := range kinds {
		v, err := job.Result(ctx, i)
		if kind == "fine" {
			if v != "fine" || err != nil {
				t.Errorf("call %d: got %v, %v", i, v, err)
			}
			continue
		}
		wantErr(t, err, clusterless.ErrCannotTravel, fmt.Sprintf("call %d", i), "result cannot be sent", "[1]", "cannot send a channel")
	}
}

type point struct {
	X, Y int
	next [4]int16
}

var points = clusterless.Define("test.points", func(_ context.Context, p point) (point, error) {
	p.X, p.Y, p.next[3] = p.Y, p.X, int16(p.X)
	return p, nil
})

// Structs without pointers travel many to a message, also when there are many messages.
func TestManyStructs(t *testing.T) {
	ctx, s := within(t), open(t)
	ins := make([]point, 30_000)
	for i := range ins {
		ins[i] = point{X: i, Y: -i}
	}
	for i, p := range must(must(points.On(s).Map(ctx, ins))(t).Results(ctx))(t) {
		if want := (point{X: -i, Y: i, next: [4]int16{3: int16(i)}}); p != want {
			t.Fatalf("result %d: got %+v; want %+v", i, p, want)
		}
	}
}

var nothing = clusterless.Define("test.nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })

func TestNothingInAndOut(t *testing.T) {
	ctx, s := within(t), open(t)
	if got, err := must(nothing.On(s).Map(ctx, make([]struct{}, 10_000)))(t).Results(ctx); len(got) != 10_000 || err != nil {
		t.Errorf("got %d results, %v", len(got), err)
	}
}

// A result that the next call of the same process changes is what it was when it was returned.
func TestResultsAreCopiedWhenTheyAreReturned(t *testing.T) {
	ctx, s := within(t), open(t)
	job := must(sticky.On(s, clusterless.Span(50)).Map(ctx, upTo(50)))(t)
	for i, v := range must(job.Results(ctx))(t) {
		if !slices.Equal(v, []int{i, i}) {
			t.Errorf("result %d: got %v", i, v)
		}
	}
}

var kept = make([]int, 2)

var sticky = clusterless.Define("test.sticky", func(_ context.Context, x int) ([]int, error) {
	kept[0], kept[1] = x, x
	return kept, nil
})
