package codec_test

import (
	"reflect"
	"testing"

	"github.com/clusterless-go/clusterless/codec"
)

type graph struct {
	Name        string
	Left, Right *graph
	Any         any
	Kids        []*graph
	ByName      map[string]*graph
	self        *graph
	weights     []float64
	same        []float64
}

func TestSharing(t *testing.T) {
	w := []float64{1, 2, 3}
	shared := &graph{Name: "shared"}
	g := &graph{Name: "root", Left: shared, Right: shared, Any: shared, Kids: []*graph{shared, {Name: "kid"}}, weights: w, same: w}
	g.self = g
	g.ByName = map[string]*graph{"root": g, "kid": g.Kids[1]}
	shared.Left, shared.Any, shared.ByName = g, g.ByName, g.ByName
	got := travelAt(t, g)
	switch {
	case got.self != got, got.Left != got.Right, got.Any != any(got.Left), got.Kids[0] != got.Left:
		t.Error("shared pointers are not shared")
	case got.ByName["root"] != got, got.ByName["kid"] != got.Kids[1], got.Left.Left != got:
		t.Error("pointers back are not the same")
	case &got.weights[0] != &got.same[0]:
		t.Error("shared slices are not shared")
	}
	got.Left.ByName["new"] = nil
	if _, ok := got.ByName["new"]; !ok {
		t.Error("shared maps are not shared")
	}
	if _, ok := got.Left.Any.(map[string]*graph)["new"]; !ok {
		t.Error("a map in an interface is not the same as the map in a field")
	}
}

type ring []ring

// Types that lead back to themselves, which may be compiled from any of them.
type (
	tree1 struct {
		k    int
		l, r *tree1
	}
	tree2 struct {
		k    int
		kids []tree2
		x    byte
	}
	tree3 struct {
		kids map[string]tree3
		any  any
		k    float64
	}
	link4 *struct {
		next link4
		k    int
	}
)

func TestRecursiveTypes(t *testing.T) {
	for _, v := range []any{
		&tree1{1, &tree1{2, nil, nil}, &tree1{3, nil, nil}},
		[]tree2{{1, []tree2{{2, nil, 3}}, 4}},
		map[string]tree3{"a": {map[string]tree3{"b": {k: 1.5}}, &tree1{k: 7}, 2.5}},
		link4(&struct {
			next link4
			k    int
		}{nil, 5}),
	} {
		if got := travel(t, v); !reflect.DeepEqual(got, v) {
			t.Errorf("got %#v, want %#v", got, v)
		}
	}
}

func TestCycles(t *testing.T) {
	r := ring{nil, nil}
	r[1] = r
	if got := travel(t, r); &got[1][1][0] != &got[0] {
		t.Error("a slice that holds itself does not")
	}
	a := []any{1, nil}
	a[1] = a
	if got := travel(t, a); &got[1].([]any)[0] != &got[0] {
		t.Error("an []any that holds itself does not")
	}
	m := map[string]any{}
	m["self"] = m
	got := travel(t, m)
	got["x"] = 1
	if got["self"].(map[string]any)["x"] != 1 {
		t.Error("a map that holds itself does not")
	}
	var p any
	p = &p
	if got := *travelAt(t, &p); got != *got.(*any) {
		t.Error("an interface that holds its own pointer does not")
	}
	type self *self
	var s self
	s = &s
	if got := travelAt(t, &s); self(got) != *got {
		t.Error("a pointer to itself is not")
	}
}

func TestDeep(t *testing.T) {
	t.Run("list", func(t *testing.T) {
		const n = 1_000_000
		var head, got *tree1
		for range n {
			head = &tree1{l: head}
		}
		if err := new(codec.Decoder).DecodeBytes(encode(t, &head), &got); err != nil {
			t.Fatal(err)
		}
		depth := 0
		for ; got != nil; got = got.l {
			depth++
		}
		if depth != n {
			t.Errorf("got %d nodes", depth)
		}
	})
	const n = 50_000
	t.Run("interfaces", func(t *testing.T) {
		var x any
		for i := range n {
			x = nested{x, i}
		}
		depth := 0
		for x = travel(t, x); x != nil; x = x.(nested).next {
			depth++
		}
		if depth != n {
			t.Errorf("got %d levels", depth)
		}
	})
	t.Run("slices and maps", func(t *testing.T) {
		var x any
		for range n {
			x = []any{map[string]any{"x": x}}
		}
		depth := 0
		for x = travel(t, x); x != nil; x = x.([]any)[0].(map[string]any)["x"] {
			depth++
		}
		if depth != n {
			t.Errorf("got %d levels", depth)
		}
	})
	t.Run("interfaces shared", func(t *testing.T) {
		type pair struct{ a, b any }
		var x any = pair{}
		for range 64 {
			x = pair{x, x}
		}
		if b := encode(t, &x); len(b) > 4000 {
			t.Errorf("%d bytes", len(b))
		}
		travel(t, x)
	})
}
